from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from falrt import server
from tests.server.conftest import MakeBackend
from tests.server.serving import KEY, raw_exchange, serving

RUN = "https://fal.run/fal-ai/flux/dev"


async def test_a_visitor_has_so_many_calls_at_once_and_holds_up_nobody_else(backend: MakeBackend) -> None:
    async with backend(authorize=lambda it: it.headers["user"], limit=server.Limit(calls=1)) as it:
        anna, ben = {"user": "anna"}, {"user": "ben"}
        status = "https://queue.fal.run/fal-ai/flux/requests/1/status"
        headers = {"x-fal-target-url": f"{RUN}/stream", **anna}
        async with it.http.stream("POST", "/api/fal/proxy", json={}, headers=headers) as stream:
            assert stream.status_code == 200
            refused = await it.proxy(status, "GET", headers=anna)
            assert (refused.status_code, refused.json()) == (429, {"detail": "Too many calls"})
            assert refused.headers["retry-after"] == "1"
            assert (await it.proxy(status, "GET", headers=ben)).status_code == 200
            it.upstream.go_on.set()
            await stream.aread()
        it.upstream.answer = JSONResponse({"detail": "no"}, 422)
        async with asyncio.timeout(5):
            while (await it.proxy(RUN, headers=anna)).status_code == 429:
                pass  # the end of the stream has come here, and not yet where the place is given back
        for _ in range(2):
            assert (await it.proxy(RUN, headers=anna)).status_code == 422
        it.upstream.answer = None
        assert (await it.proxy(status, "GET", headers=anna)).status_code == 200


async def test_a_few_addresses_cannot_take_all_places_and_a_newcomer_finds_one(
    backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("falrt.server.entrance.CALLS_MAX", 4)
    async with backend() as it, contextlib.AsyncExitStack() as stack:

        async def begin(address: str) -> int:
            headers = {"x-fal-target-url": f"{RUN}/stream", "x-forwarded-for": address}
            stream = it.http.stream("POST", "/api/fal/proxy", json={}, headers=headers)
            return (await stack.enter_async_context(stream)).status_code

        # Nobody may hold more places than are free.
        assert [await begin("10.0.0.1") for _ in range(3)] == [200, 200, 503]
        assert [await begin("10.0.0.2") for _ in range(2)] == [200, 503]
        assert [await begin("10.0.0.3"), await begin("10.0.0.4")] == [200, 503]
        it.upstream.go_on.set()
        await stack.aclose()
        async with asyncio.timeout(5):
            while (await it.proxy(RUN, headers={"x-forwarded-for": "10.0.0.4"})).status_code == 503:
                pass  # the streams have ended here, and not yet where their places are given back


def user(request: Request) -> str | None:
    return request.headers.get("user")


QUEUE = "https://queue.fal.run/fal-ai/flux"
FOLLOWING = [("GET", ""), ("GET", "/status"), ("GET", "/status/stream"), ("PUT", "/cancel")]


async def test_what_a_user_has_submitted_nobody_else_may_follow_or_cancel(backend: MakeBackend) -> None:
    async with backend(authorize=user) as it:
        it.upstream.answer = JSONResponse({"request_id": "r-7", "status": "IN_QUEUE"})
        submitted = await it.proxy(f"{QUEUE}/dev", headers={"user": "anna"})
        assert submitted.json() == {"request_id": "r-7", "status": "IN_QUEUE"}
        for method, rest in FOLLOWING:
            url = f"{QUEUE}/requests/r-7{rest}"
            refused = await it.proxy(url, method, headers={"user": "ben"})
            assert (refused.status_code, refused.json()) == (404, {"detail": "Request not found"})
            assert (await it.proxy(url, method, headers={"user": "anna"})).status_code == 200
        for another_spelling in ("R-7", "r7"):
            url = f"{QUEUE}/requests/{another_spelling}"
            assert (await it.proxy(url, "GET", headers={"user": "ben"})).status_code == 404
        assert len(it.upstream.calls) == 1 + len(FOLLOWING)


async def test_a_request_that_was_not_submitted_here_may_be_followed(backend: MakeBackend) -> None:
    # Such as one that the app's own backend has submitted for the page.
    async with backend(authorize=user) as it:
        assert (await it.proxy(f"{QUEUE}/requests/r-8", "GET", headers={"user": "ben"})).status_code == 200


async def test_visitors_without_a_name_may_change_their_address_while_they_wait(backend: MakeBackend) -> None:
    async with backend() as it:
        it.upstream.answer = JSONResponse({"request_id": "r-9"})
        await it.proxy(f"{QUEUE}/dev", headers={"x-forwarded-for": "10.0.0.1"})
        headers = {"x-forwarded-for": "10.0.0.2"}
        assert (await it.proxy(f"{QUEUE}/requests/r-9", "GET", headers=headers)).status_code == 200


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"request_id": 7}', b""])
async def test_an_answer_to_a_submission_that_names_no_request_is_passed_on(
    backend: MakeBackend, content: bytes
) -> None:
    async with backend(authorize=user) as it:
        it.upstream.answer = Response(content, media_type="application/json")
        answer = await it.proxy(f"{QUEUE}/dev", headers={"user": "anna"})
    assert (answer.status_code, answer.content) == (200, content)


async def test_fals_cookies_are_not_kept_for_the_next_call(backend: MakeBackend) -> None:
    async with backend() as it:
        it.upstream.answer = JSONResponse({}, headers={"set-cookie": "fal=1; path=/"})
        await it.proxy(RUN)
        await it.proxy(RUN)
        assert [call.header("cookie") for call in it.upstream.calls] == [None, None]


async def test_tokens_and_calls_go_by_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode().split()[1])
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        app = server.create_app(
            allow=["fal-ai/flux/*"], authorize=server.anyone, key=KEY, base_url="http://fal.example"
        )
        async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
            await http.post("/api/fal/proxy", json={}, headers={"x-fal-target-url": RUN})
            await http.get("/api/fal/token?app=fal-ai/flux/dev")
    assert asked[:2] == ["http://fal.example/fal-ai/flux/dev", "http://fal.example/tokens/"]


async def test_a_call_reaches_fal_with_our_key(backend: MakeBackend) -> None:
    async with backend() as it:
        answer = await it.proxy(RUN, headers={"x-fal-runner-hint": "me"})
        call = it.upstream.calls[0]
    assert answer.json() == {"asked": '{"prompt":"a fox"}'}
    assert answer.headers["x-fal-request-id"] == "r-1"
    assert (call.method, call.path) == ("POST", "/fal-ai/flux/dev")
    assert call.header("authorization") == f"Key {KEY}"
    assert call.header("x-fal-runner-hint") == "me"


async def test_what_belongs_to_the_caller_or_to_us_is_not_passed_on(backend: MakeBackend) -> None:
    sent = {
        "authorization": "Bearer of-the-caller",
        "cookie": "session=secret",
        "x-forwarded-for": "10.0.0.1",
        "forwarded": "for=10.0.0.1",
        "x-fal-something-new": "1",
        "proxy-authorization": "Basic x",
        "referer": "https://app.example/private?page=1",
        "x-http-method-override": "DELETE",
        "te": "trailers",
    }
    async with backend() as it:
        await it.proxy(RUN, headers=sent)
        headers = it.upstream.calls[0].headers
    assert [value for name, value in headers if name == "authorization"] == [f"Key {KEY}"]
    assert not {name for name, _ in headers} & (set(sent) - {"authorization"})
    assert "x-fal-target-url" not in dict(headers)


async def test_our_secrets_and_fals_cookies_do_not_come_back(backend: MakeBackend) -> None:
    async with backend() as it:
        it.upstream.answer = JSONResponse(
            {"detail": f"key {KEY} may not"},
            403,
            {
                "set-cookie": "fal=1",
                "authorization": f"Key {KEY}",
                "x-fal-echo": f"Key {KEY}",
                "x-fal-request-id": "r-2",
                "server": "fal",
                "location": "https://evil.example",
            },
        )
        answer = await it.proxy(RUN)
    assert answer.status_code == 403
    assert answer.json() == {"detail": "key *** may not"}
    assert answer.headers["x-fal-request-id"] == "r-2"
    assert not {"set-cookie", "authorization", "x-fal-echo", "location"} & set(answer.headers)
    assert "secret-of-ours" not in str(answer.headers) + answer.text


async def test_a_redirect_is_neither_followed_nor_passed_on(backend: MakeBackend) -> None:
    async with backend() as it:
        for number, status in enumerate((301, 302, 303, 307, 308, 304), 1):
            it.upstream.answer = RedirectResponse("https://evil.example/", status)
            answer = await it.proxy(RUN)
            assert len(it.upstream.calls) == number
            assert answer.status_code == 502
            assert "evil" not in str(answer.headers) + answer.text


async def test_answers_are_kept_by_no_cache(backend: MakeBackend) -> None:
    async with backend() as it:
        it.upstream.answer = JSONResponse({}, headers={"cache-control": "public, max-age=600"})
        answer = await it.proxy(RUN)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_event_is_passed_on_before_the_next_one_comes(backend: MakeBackend) -> None:
    async with backend() as it:
        request = it.http.build_request(
            "POST", "/api/fal/proxy", json={}, headers={"x-fal-target-url": f"{RUN}/stream"}
        )
        answer = await it.http.send(request, stream=True)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        async with asyncio.timeout(10):
            events = answer.aiter_bytes()
            assert await anext(events) == b'data: {"number": 1}\n\n'
            it.upstream.go_on.set()
            assert await anext(events) == b'data: {"number": 2}\n\n'
        await answer.aclose()


async def test_a_caller_who_leaves_ends_the_call_at_fal(backend: MakeBackend) -> None:
    async with backend() as it:
        request = it.http.build_request(
            "POST", "/api/fal/proxy", json={}, headers={"x-fal-target-url": f"{RUN}/stream"}
        )
        answer = await it.http.send(request, stream=True)
        await anext(answer.aiter_bytes())
        await answer.aclose()
        async with asyncio.timeout(10):
            await it.upstream.broken_off.wait()


async def test_an_answer_that_breaks_off_does_not_pass_for_whole(backend: MakeBackend) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half a pic"
        raise ConnectionResetError

    async with backend() as it:
        it.upstream.answer = StreamingResponse(broken(), media_type="image/png")
        with pytest.raises(httpx.RemoteProtocolError):
            await it.proxy(RUN)


async def test_a_body_is_passed_on_piece_by_piece(backend: MakeBackend) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"prompt": '
        yield b'"a fox"}'

    async with backend() as it:
        answer = await it.proxy(RUN, content=pieces(), headers={"content-type": "application/json"})
    assert json.loads(answer.json()["asked"]) == {"prompt": "a fox"}


@pytest.mark.parametrize("declared", [True, False])
async def test_a_large_body_is_refused(backend: MakeBackend, declared: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    content = b"x" * 2000 if declared else pieces()
    async with backend(limit=server.Limit(body_bytes=1000)) as it:
        answer = await it.proxy(RUN, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert it.upstream.calls == []


async def test_a_body_that_stops_coming_is_given_up(
    backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("falrt.server.bodies._PIECE_TIMEOUT", 0.05)
    async with backend() as it:
        answer = await raw_exchange(
            it.url,
            b"POST /api/fal/proxy HTTP/1.1\r\nhost: ours\r\ncontent-type: application/json\r\n"
            b"content-length: 20\r\nx-fal-target-url: https://fal.run/fal-ai/flux/dev\r\n\r\n{",
        )
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_is_not_json_is_415(backend: MakeBackend) -> None:
    async with backend() as it:
        for content_type in ("text/plain", "multipart/form-data; boundary=x", "", "application/jsonx"):
            answer = await it.proxy(RUN, content=b"{}", headers={"content-type": content_type})
            assert answer.status_code == 415
        assert it.upstream.calls == []


async def test_fals_errors_arrive_as_fal_words_them(backend: MakeBackend) -> None:
    detail = [{"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}]
    async with backend() as it:
        it.upstream.answer = JSONResponse({"detail": detail}, 422, {"x-fal-error-type": "bad_request"})
        answer = await it.proxy(RUN)
    assert (answer.status_code, answer.json()) == (422, {"detail": detail})
    assert answer.headers["x-fal-error-type"] == "bad_request"


async def test_a_forbidden_url_is_not_called(backend: MakeBackend) -> None:
    async with backend() as it:
        assert (await it.proxy("https://fal.run/fal-ai/secret")).status_code == 403
        assert (await it.proxy(f"{it.url}/fal-ai/flux/dev")).status_code == 412
        assert (await it.http.post("/api/fal/proxy", json={})).status_code == 400
        assert it.upstream.calls == []


async def test_a_fal_that_cannot_be_reached_is_502() -> None:
    app = server.create_app(
        allow=["fal-ai/flux/*"], authorize=server.anyone, key=KEY, base_url="http://127.0.0.1:9"
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ours") as http:
        answer = await http.post("/api/fal/proxy", json={}, headers={"x-fal-target-url": RUN})
    assert answer.status_code == 502
    assert answer.json() == {"detail": "fal could not be reached"}


async def test_cancelling_in_the_queue_is_a_put_without_a_body(backend: MakeBackend) -> None:
    url = "https://queue.fal.run/fal-ai/flux/requests/1/cancel"
    async with backend() as it:
        it.upstream.answer = Response(status_code=202)
        answer = await it.proxy(url, "PUT", json={})
        call = it.upstream.calls[0]
    assert answer.status_code == 202
    assert (call.method, call.body) == ("PUT", b"")
    # Where all of fal is at one place, the queue is told from the rest by its host's name.
    assert call.path == "/queue.fal.run/fal-ai/flux/requests/1/cancel"
