"""What a security reviewer would try on a server of ours, and what becomes of it.

Forged target URLs are in test_targets.py, foreign pages in test_origins.py, credentials in and out in test_proxy.py,
tokens for foreign apps in test_tokens.py, floods on sockets in test_relay.py.
"""

# ruff: noqa: SIM117 - servers outside, sockets inside
from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from typing import Any

import httpx
import msgpack
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from falrt import server
from falrt.testing import FakeServer, make_token
from tests.server.conftest import MakeBackend
from tests.server.serving import KEY, raw_exchange, serving
from tests.server.test_relay import closing, echo, next_result, relay

RUN = "https://fal.run/fal-ai/flux/dev"
HEAD = b"POST /api/fal/proxy HTTP/1.1\r\nhost: ours\r\ncontent-type: application/json\r\n"


def known(request: Request) -> str | None:
    return {"anna": "anna", "ben": "ben"}.get(request.cookies.get("session", ""))


# --- request smuggling: two servers that disagree about where a request ends

SMUGGLED = b"GET /api/fal/token?app=fal-ai/flux/dev HTTP/1.1\r\nhost: ours\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        b"content-length: 2\r\ncontent-length: 60\r\n",
        b"content-length: 2, 60\r\n",
        b"content-length: +2\r\n",
        b"content-length: -1\r\n",
        b"content-length: 0x2\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"transfer-encoding : chunked\r\n",
        b"x-fal-target-url: https://fal.run/\r\n fal-ai/flux/dev\r\n",
        b"x-fal\x00: 1\r\n",
    ],
)
async def test_a_request_whose_end_is_in_doubt_goes_no_further(backend: MakeBackend, headers: bytes) -> None:
    async with backend() as it:
        target = b"x-fal-target-url: https://fal.run/fal-ai/flux/dev\r\n"
        answer = await raw_exchange(it.url, HEAD + target + headers + b"\r\n{}" + SMUGGLED)
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 412", b"HTTP/1.1 501"))
        assert it.upstream.calls == []


async def test_length_and_chunks_together_leave_no_second_request(backend: MakeBackend) -> None:
    async with backend() as it:
        body = b"2\r\n{}\r\n0\r\n\r\n"
        headers = b"x-fal-target-url: https://fal.run/fal-ai/flux/dev\r\ncontent-length: 200\r\n"
        answer = await raw_exchange(it.url, HEAD + headers + b"transfer-encoding: chunked\r\n\r\n" + body)
        # Read by its chunks, as the standard says, and told on with one length only.
        assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400", b"HTTP/1.1 413"))
        for call in it.upstream.calls:
            names = [name for name, _ in call.headers]
            assert not {"content-length", "transfer-encoding"} <= set(names)
            assert call.body == b"{}"


async def test_of_two_targets_none_is_called_unjudged(backend: MakeBackend) -> None:
    async with backend() as it:
        for first, second in ((RUN, "https://fal.run/fal-ai/secret"), ("https://fal.run/fal-ai/secret", RUN)):
            targets = [("x-fal-target-url", first), ("x-fal-target-url", second)]
            headers = httpx.Headers([*targets, ("content-type", "application/json")])
            answer = await it.http.post("/api/fal/proxy", content=b"{}", headers=headers)
            assert answer.status_code in (400, 403, 412)
        assert it.upstream.calls == []


async def test_a_header_that_says_another_method_is_not_believed(backend: MakeBackend) -> None:
    async with backend() as it:
        url = "https://queue.fal.run/fal-ai/flux/requests/1/cancel"
        for name in ("x-http-method-override", "x-http-method", "x-method-override"):
            assert (await it.proxy(url, "GET", headers={name: "PUT"})).status_code == 405
        assert it.upstream.calls == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/fal/proxy/../token",
        "/api/fal/%2e%2e/fal/token",
        "/api/fal//token",
        "/API/FAL/TOKEN",
        "/api/fal/token/",
        "/api/fal/token;x",
        "/api/fal/realtime/acme/app",
    ],
)
async def test_our_own_paths_have_one_form(backend: MakeBackend, path: str) -> None:
    async with backend() as it:
        answer = await raw_exchange(
            it.url, f"GET {path}?app=fal-ai/flux/dev HTTP/1.1\r\nhost: ours\r\n\r\n".encode()
        )
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 307", b"HTTP/1.1 403"))
        assert b"token" not in answer.partition(b"\r\n\r\n")[2]
        assert it.upstream.calls == []


# --- credentials


async def test_a_stolen_token_of_fals_opens_nothing_of_ours(backend: MakeBackend) -> None:
    token = make_token({"allowed_apps": ["flux"]}, lifetime=60)
    async with backend(authorize=known) as it:
        headers = {"authorization": f"Bearer {token}", "cookie": f"fal_jwt_token={token}"}
        assert (await it.proxy(RUN, headers=headers)).status_code == 401
        url = it.url.replace("http", "ws") + f"/api/fal/realtime/acme/app?fal_jwt_token={token}"
        async with connect(url, additional_headers=headers) as ws:
            assert (await closing(ws))[0] == 4401
        assert it.upstream.calls == []


async def test_an_ended_session_gets_nothing_more(backend: MakeBackend) -> None:
    sessions = {"anna"}

    def login(request: Request) -> str | None:
        name = request.cookies.get("session", "")
        return name if name in sessions else None

    async with backend(authorize=login) as it:
        headers = {"cookie": "session=anna"}
        assert (await it.proxy(RUN, headers=headers)).status_code == 200
        sessions.clear()
        assert (await it.proxy(RUN, headers=headers)).status_code == 401
        assert (await it.http.get("/api/fal/token?app=fal-ai/flux/dev", headers=headers)).status_code == 401


async def test_no_secret_reaches_a_log_or_an_answer(
    backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with backend() as it:
        token = (await it.http.get("/api/fal/token?app=fal-ai/flux/dev")).json()["token"]
        it.upstream.answer = JSONResponse({"detail": f"bad key {KEY} and token {token}"}, 403)
        answers = [
            await it.proxy(RUN, headers={"authorization": "Bearer of-the-caller"}),
            await it.http.get("/api/fal/token?app=fal-ai/flux/dev"),
            await it.proxy("https://rest.fal.ai/tokens/", json={"allowed_apps": ["flux"]}),
        ]
    said = " ".join(answer.text + str(answer.headers) for answer in answers)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    for secret in (KEY, *KEY.split(":"), "of-the-caller"):
        assert secret not in said
        assert secret not in logged
    assert token not in logged


async def test_a_mistake_in_the_apps_login_lets_nobody_in_and_tells_nothing() -> None:
    def broken(request: Request) -> str:
        raise RuntimeError("password of the database: hunter2")

    app = server.create_app(allow=["acme/app"], authorize=broken, key=KEY)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://ours") as http:
        answer = await http.get("/api/fal/token?app=acme/app")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text


async def test_private_answers_are_not_kept_for_others(backend: MakeBackend) -> None:
    async with backend(authorize=known) as it:
        headers = {"cookie": "session=anna"}
        it.upstream.answer = JSONResponse(
            {"picture": "of anna"}, headers={"etag": '"1"', "expires": "tomorrow"}
        )
        private = await it.proxy(RUN, headers=headers)
        conditional = await it.proxy(RUN, headers={**headers, "if-none-match": '"1"'})
        for answer in (private, conditional):
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            assert not {"etag", "expires", "last-modified"} & set(answer.headers)
        assert (await it.proxy(RUN, headers={"cookie": "session=ben"})).json() == {"picture": "of anna"}
        assert len(it.upstream.calls) == 3  # each was asked for anew


# --- too much of everything


async def test_hundreds_of_sockets_from_one_address_get_the_few_that_one_may_have() -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal, limit=server.Limit(sockets=2)) as url:
        async with contextlib.AsyncExitStack() as stack:
            path = f"{url}/realtime/acme/app"
            sockets = [await stack.enter_async_context(connect(path)) for _ in range(200)]
            for ws in sockets:
                with contextlib.suppress(ConnectionClosed):
                    await ws.send(msgpack.packb({"prompt": "a fox"}))
            # Logins are looked at in threads, so any two may be the first; the others are closed.
            endings = [asyncio.create_task(closing(ws)) for ws in sockets]
            ended = [(await each)[0] for each in itertools.islice(asyncio.as_completed(endings), 198)]
            assert set(ended) == {4429}
            await fal.wait_for(lambda: len(fal.inputs) == 2)
            for ending in endings:
                ending.cancel()
        assert len(fal.connections) == 2


async def test_many_names_do_not_help_one_address() -> None:
    names = iter(range(1000))
    async with FakeServer(echo, key=KEY) as fal:
        limit = server.Limit(sockets=1, users_per_address=3)
        async with relay(fal, limit=limit, authorize=lambda request: {"id": next(names)}) as url:
            async with contextlib.AsyncExitStack() as stack:
                path = f"{url}/realtime/acme/app"
                sockets = [await stack.enter_async_context(connect(path)) for _ in range(6)]
                # Logins are looked at in threads, so any three may be the first.
                endings = [asyncio.create_task(closing(ws)) for ws in sockets]
                ended = [(await each)[0] for each in itertools.islice(asyncio.as_completed(endings), 3)]
                assert ended == [4429] * 3
                staying = [ws for ws, ending in zip(sockets, endings, strict=True) if not ending.done()]
                assert len(staying) == 3
                for ending in endings:
                    ending.cancel()


async def test_large_headers_are_refused(backend: MakeBackend) -> None:
    async with backend() as it:
        for headers in (b"x: " + b"a" * 200_000 + b"\r\n", b"x: 1\r\n" * 20_000):
            answer = b""
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                answer = await raw_exchange(it.url, HEAD + headers + b"\r\n")
            assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
        assert it.upstream.calls == []


async def test_deep_nesting_takes_neither_stack_nor_memory(backend: MakeBackend) -> None:
    async with backend() as it:
        for content in (b"[" * 4000, b'{"a":' * 800):
            answer = await it.proxy(
                "https://rest.fal.ai/tokens/", content=content, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 422
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            await ws.send(b"\xdd\xff\xff\xff\xff" * 2000)
            assert (await closing(ws))[0] == 1007


@pytest.mark.parametrize(
    "path", ["acme/app%2f..%2fsecret", "acme%2fsecret", "acme/app/..%2f..%2fapi", "%00", "acme/app%20x"]
)
async def test_a_socket_leads_nowhere_else(path: str) -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/{path}") as ws:
            assert (await closing(ws))[0] == 4403
        assert fal.connections == []


async def test_what_one_is_refused_does_not_show_what_exists(backend: MakeBackend) -> None:
    async with backend() as it:
        answers: list[Any] = [
            await it.http.get("/api/fal/token", params={"app": app})
            for app in ("fal-ai/other", "no-such/app")
        ]
        assert {answer.status_code for answer in answers} == {403}
        texts = [answer.text.replace("fal-ai/other", "X").replace("no-such/app", "X") for answer in answers]
        assert texts[0] == texts[1]


async def test_a_server_that_stops_tells_its_sockets() -> None:
    async with FakeServer(echo, key=KEY) as fal:
        app = server.create_app(allow=["acme/app"], authorize=server.anyone, key=KEY, base_url=fal.url)
        async with contextlib.AsyncExitStack() as stack:
            async with serving(app) as url:
                ws = await stack.enter_async_context(
                    connect(url.replace("http", "ws") + "/api/fal/realtime/acme/app")
                )
                await ws.send(msgpack.packb({"prompt": "a fox"}))
                await next_result(ws)
            assert (await closing(ws))[0] in (1001, 1012)
        await fal.wait_for_close()
