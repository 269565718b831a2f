from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.responses import JSONResponse

from falrt.auth import TokenCache
from falrt.testing import read_claims
from tests.server.conftest import MakeBackend
from tests.server.serving import KEY

PATH = "fal-ai/flux-2/klein/realtime"


async def test_get_gives_a_token_as_json(backend: MakeBackend) -> None:
    async with backend() as it:
        answer = await it.http.get("/api/fal/token", params={"app": PATH})
    assert answer.status_code == 200
    assert read_claims(answer.json()["token"])["allowed_apps"] == ["flux-2"]
    assert answer.headers["cache-control"] == "no-store"


async def test_post_gives_a_token_as_text(backend: MakeBackend) -> None:
    async with backend() as it:
        answer = await it.http.post("/api/fal/realtime-token", json={"app": PATH})
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"
    assert read_claims(answer.text)["allowed_apps"] == ["flux-2"]


async def test_a_token_lives_no_longer_than_the_owner_says(backend: MakeBackend) -> None:
    async with backend(token_seconds=90) as it:
        for asked in (30, 3600, None, "long", -5, True):
            await it.http.post("/api/fal/realtime-token", json={"app": PATH, "token_expiration": asked})
        given = [json.loads(call.body)["token_expiration"] for call in it.upstream.calls]
    assert given == [30, 90, 90, 90, 1, 90]


async def test_no_token_is_made_for_another_app(backend: MakeBackend) -> None:
    others: dict[Any, int] = {
        "fal-ai/flux-2": 403,
        "fal-ai/flux-pro/realtime": 403,
        "flux-2": 422,
        "": 422,
        "../tokens": 422,
        "https://fal.run/acme/app": 422,
        ("acme/x",): 422,
        7: 422,
        None: 422,
    }
    async with backend() as it:
        answers = [await it.http.post("/api/fal/realtime-token", json={"app": app}) for app in others]
        assert [answer.status_code for answer in answers] == list(others.values())
        assert all(answer.json()["detail"] for answer in answers)
        assert it.upstream.calls == []


async def test_the_javascript_clients_token_request_through_the_proxy_is_answered(
    backend: MakeBackend,
) -> None:
    async with backend() as it:
        answer = await it.proxy(
            "https://rest.fal.ai/tokens/", json={"allowed_apps": ["flux-2"], "token_expiration": 120}
        )
    assert answer.status_code == 201
    assert read_claims(answer.json())["allowed_apps"] == ["flux-2"]


async def test_the_proxy_makes_no_token_for_what_the_list_does_not_have(backend: MakeBackend) -> None:
    bodies: list[Any] = [
        {"allowed_apps": ["flux-2", "flux-pro"]},
        {"allowed_apps": ["flux-pro"]},
        {"allowed_apps": ["fal-ai/flux-pro/realtime"], "app": "fal-ai/flux-2/klein"},
        {"allowed_apps": ["*"]},
        {"allowed_apps": []},
        {"allowed_apps": [["flux-2"], {"flux": 2}]},
        {"allowed_apps": {"flux-2": 1}},
        {"app": 7},
        {},
        [],
        "flux-2",
    ]
    async with backend() as it:
        answers = [await it.proxy("https://rest.fal.ai/tokens/", json=body) for body in bodies]
        assert {answer.status_code for answer in answers} == {403, 422}
        assert it.upstream.calls == []


async def test_our_own_client_gets_its_token_through_the_proxy(backend: MakeBackend) -> None:
    async with backend() as it:
        tokens = TokenCache(proxy_url=f"{it.url}/api/fal/proxy")
        token = await tokens.get(PATH, "flux-2")
        await tokens.aclose()
        assert it.upstream.calls[0].header("authorization") == f"Key {KEY}"
    assert read_claims(token.value)["allowed_apps"] == ["flux-2"]


@pytest.mark.parametrize(("fals", "ours"), [(401, 502), (402, 502), (403, 502), (500, 503), (429, 503)])
async def test_what_is_wrong_between_us_and_fal_stays_there(
    backend: MakeBackend, fals: int, ours: int
) -> None:
    async with backend() as it:
        it.upstream.answer = JSONResponse({"detail": f"key {KEY} is bad"}, fals)
        answer = await it.http.get("/api/fal/token", params={"app": PATH})
    assert answer.status_code == ours
    assert answer.json() == {"detail": "No token could be made"}
    assert ("retry-after" in answer.headers) == (ours == 503)


async def test_large_and_broken_bodies_are_refused(backend: MakeBackend) -> None:
    async with backend() as it:
        path = "/api/fal/realtime-token"
        assert (await it.http.post(path, content=b"x" * 5000)).status_code == 413
        assert (await it.http.post(path, content=b"{")).status_code == 422
        assert (await it.http.post(path, content=b"[" * 4000)).status_code == 422
