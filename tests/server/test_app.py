"""What the app asks of its owner, and who it lets in."""

from __future__ import annotations

import inspect
import uuid
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.authentication import SimpleUser, UnauthenticatedUser
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Mount

import falrt
from falrt import server
from falrt.server.entrance import Visitor
from tests.server.conftest import ALLOW, MakeBackend
from tests.server.serving import KEY, serving

TOKEN = "/api/fal/token?app=fal-ai/flux-2/klein"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"authorize": server.anyone}, "allow is empty"),
        ({"allow": ALLOW}, "authorize is required"),
        ({"allow": ALLOW, "authorize": True}, "authorize is required"),
        ({"allow": ALLOW, "authorize": server.anyone, "origins": ["*"]}, "origins has"),
        ({"allow": ALLOW, "authorize": server.anyone, "token_seconds": 1e6}, "token_seconds"),
        ({"allow": ALLOW, "authorize": server.anyone, "base_url": "nowhere"}, "base_url"),
    ],
)
def test_it_does_not_start_without_what_makes_it_safe(options: dict[str, Any], text: str) -> None:
    with pytest.raises(falrt.ConfigurationError, match=text):
        server.create_app(**{"key": KEY, **options})


def test_an_app_takes_what_the_routes_take() -> None:
    app, routes = (inspect.signature(each) for each in (server.create_app, server.routes))
    assert app.parameters == routes.parameters
    assert (app.return_annotation, routes.return_annotation) == ("Starlette", "Routes")


def test_it_does_not_start_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(falrt.MissingCredentialsError):
        server.create_app(allow=ALLOW, authorize=server.anyone)


async def hello(request: Request) -> str | None:
    """A login by a cookie."""
    return {"anna": "Anna", "ben": "Ben"}.get(request.cookies.get("session", ""))


async def test_only_those_who_are_logged_in_come_in(backend: MakeBackend) -> None:
    async with backend(authorize=hello) as it:
        assert (await it.http.get(TOKEN)).status_code == 401
        assert (await it.http.get(TOKEN, headers={"cookie": "session=mallory"})).status_code == 401
        assert (await it.proxy("https://fal.run/fal-ai/flux/dev")).status_code == 401
        assert it.upstream.calls == []
        assert (await it.http.get(TOKEN, headers={"cookie": "session=anna"})).status_code == 200


def forbids(request: Request) -> bool:
    raise HTTPException(418, "only for teapots")


def fails(request: Request) -> bool:
    raise RuntimeError("the database is down")


@pytest.mark.parametrize(
    ("authorize", "status"),
    [
        (lambda request: None, 401),
        (lambda request: False, 401),
        (lambda request: "", 401),
        (lambda request: {}, 401),
        (lambda request: UnauthenticatedUser(), 401),
        (lambda request: 0, 200),
        (lambda request: SimpleUser("anna"), 200),
        (lambda request: True, 200),
        (lambda request: {"id": 7}, 200),
        (forbids, 418),
        (fails, 500),
    ],
)
async def test_authorize_decides_by_what_it_returns_or_raises(
    backend: MakeBackend, authorize: Any, status: int
) -> None:
    async with backend(authorize=authorize) as it:
        assert (await it.http.get(TOKEN)).status_code == status


async def test_a_user_has_so_many_requests_whatever_the_address(backend: MakeBackend) -> None:
    async with backend(authorize=hello, limit=server.Limit(requests=2, per=60)) as it:
        anna, ben = {"cookie": "session=anna"}, {"cookie": "session=ben"}
        statuses = [(await it.http.get(TOKEN, headers=anna)).status_code for _ in range(3)]
        refused = await it.http.get(TOKEN, headers=anna)
        assert statuses == [200, 200, 429]
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert (await it.http.get(TOKEN, headers=ben)).status_code == 200


async def test_an_address_has_only_so_many_users(backend: MakeBackend) -> None:
    def new_user(request: Request) -> dict[str, uuid.UUID]:
        return {"id": uuid.uuid4()}

    async with backend(authorize=new_user, limit=server.Limit(requests=1, users_per_address=3)) as it:
        assert [(await it.http.get(TOKEN)).status_code for _ in range(4)] == [200, 200, 200, 429]


async def test_following_a_request_in_the_queue_costs_nothing(backend: MakeBackend) -> None:
    async with backend(limit=server.Limit(requests=1)) as it:
        url = "https://queue.fal.run/fal-ai/flux/requests/1/status"
        assert [(await it.proxy(url, "GET")).status_code for _ in range(3)] == [200] * 3


async def test_a_page_of_another_origin_is_kept_out(backend: MakeBackend) -> None:
    async with backend(origins=["https://app.example"]) as it:
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
        ):
            assert (await it.http.get(TOKEN, headers=headers)).status_code == 403
            assert (await it.proxy("https://fal.run/acme/app", headers=headers)).status_code == 403
        assert it.upstream.calls == []


async def test_a_listed_page_may_call_and_read_and_others_are_told_nothing(backend: MakeBackend) -> None:
    async with backend(origins=["https://app.example"]) as it:
        answer = await it.http.get(TOKEN, headers={"origin": "https://app.example"})
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "origin"
        preflight = await it.http.options("/api/fal/proxy", headers={"origin": "https://app.example"})
        assert preflight.status_code == 204
        assert "x-fal-target-url" in preflight.headers["access-control-allow-headers"]
        assert "PUT" in preflight.headers["access-control-allow-methods"]
        refused = await it.http.options("/api/fal/proxy", headers={"origin": "https://evil.example"})
        assert refused.status_code == 403
        assert not [name for name in refused.headers if name.startswith("access-control")]
        same = await it.http.get(TOKEN, headers={"origin": it.url})
        assert same.status_code == 200
        assert "access-control-allow-origin" not in same.headers


async def test_a_refusal_can_be_read_by_the_listed_page(backend: MakeBackend) -> None:
    async with backend(origins=["https://app.example"], authorize=hello) as it:
        answer = await it.http.get(TOKEN, headers={"origin": "https://app.example"})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == "https://app.example"


async def test_another_method_is_405_in_our_form(backend: MakeBackend) -> None:
    async with backend() as it:
        for method in ("PATCH", "DELETE", "PUT"):
            answer = await it.http.request(method, "/api/fal/token")
            assert answer.status_code == 405
            assert answer.json() == {"detail": "Method Not Allowed"}


@pytest.mark.parametrize("kind", ["fastapi", "starlette", "mounted"])
async def test_it_is_put_into_an_app_of_ones_own(kind: str) -> None:
    fal = server.routes(allow=ALLOW, authorize=server.anyone, key=KEY, prefix="/fal")
    if kind == "fastapi":
        app: Any = FastAPI(routes=fal, lifespan=fal.lifespan)
    elif kind == "starlette":
        app = Starlette(routes=fal, lifespan=fal.lifespan)
    else:
        whole = server.create_app(allow=ALLOW, authorize=server.anyone, key=KEY)
        app = FastAPI(routes=[Mount("/", whole)])
    path = "/api/fal/token" if kind == "mounted" else "/fal/token"
    async with serving(app) as url, httpx.AsyncClient() as http:
        assert (await http.get(url + path, params={"app": "fal-ai/secret"})).status_code == 403


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("203.0.113.9", 1), "203.0.113.9"),
        (("::ffff:203.0.113.9", 1), "203.0.113.9"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::1", 1), "2001:db8:1:2::/64"),
        (None, "unknown"),
    ],
)
async def test_limits_know_an_address_however_it_is_written(client: Any, address: str) -> None:
    from falrt.server.entrance import Entrance
    from falrt.server.limits import Limiter
    from falrt.server.origins import Origins

    entrance = Entrance(server.anyone, Origins(), server.Limit(), Limiter())
    request = Request({"type": "http", "method": "GET", "headers": [], "client": client})
    assert await entrance.visitor(request) == Visitor(True, None, address)
