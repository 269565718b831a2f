"""The token endpoints over real HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from falrt.testing import FakeServer, read_claims, script

HEADERS = {"Authorization": "Key test"}


async def post(
    server: FakeServer, path: str, body: Any, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Call an endpoint on a connection of its own, and return status and JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await exchange(server, "POST", path, content, HEADERS if headers is None else headers)


async def exchange(
    server: FakeServer, method: str, path: str, content: bytes, headers: dict[str, str]
) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    try:
        async with asyncio.timeout(5):
            fields = {"Host": "127.0.0.1", "Content-Length": str(len(content)), **headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
            return await reply(reader)
    finally:
        writer.close()
        await writer.wait_closed()


async def reply(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
    text = await reader.readexactly(int(fields["content-length"]))
    is_json = fields["content-type"] == "application/json"
    return int(head.split()[1]), json.loads(text) if is_json else text.decode()


def lifetime(token: str) -> float:
    return float(read_claims(token)["exp"] - time.time())


async def test_the_general_endpoint_mints_for_an_alias() -> None:
    async with FakeServer() as server:
        status, token = await post(server, "/tokens/", {"allowed_apps": ["flux-2"], "token_expiration": 200})
        _, by_default = await post(server, "/tokens/", {"allowed_apps": ["flux-2"]})

    assert status == 201
    assert read_claims(token)["allowed_apps"] == ["flux-2"]
    assert 190 < lifetime(token) <= 200
    assert 50 < lifetime(by_default) <= 60
    assert [request.status for request in server.token_requests] == [201, 201]
    assert server.token_requests[0].token == token
    assert token not in repr(server.token_requests)


@pytest.mark.wire("W43")
@pytest.mark.parametrize(
    ("app", "cap"), [("fal-ai/flux-2/klein/realtime", 120), ("fal-ai/flux-2", 10), ("flux-2", 10)]
)
async def test_the_realtime_endpoint_caps_the_lifetime_by_the_form_of_the_app(app: str, cap: float) -> None:
    async with FakeServer() as server:
        status, token = await post(server, "/tokens/realtime", {"app": app, "token_expiration": 500})
    assert status == 201
    assert cap - 2 < lifetime(token) <= cap


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/tokens/", {"app": "a"}, "allowed_apps"),
        ("/tokens/", {"allowed_apps": []}, "allowed_apps"),
        ("/tokens/realtime", {"allowed_apps": "a/b/c"}, "allowed_apps"),
        ("/tokens/realtime", {}, "app"),
        ("/tokens/realtime", {"app": "a/b", "token_expiration": "long"}, "token_expiration"),
    ],
)
async def test_a_bad_body_is_a_422_that_names_the_field(path: str, body: Any, field: str) -> None:
    async with FakeServer() as server:
        status, answer = await post(server, path, body)
    assert status == 422
    assert answer["detail"][0]["loc"] == ["body", field]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Key other"}, {"Authorization": "Basic test"}])
async def test_a_bad_key_is_a_401(headers: dict[str, str]) -> None:
    async with FakeServer() as server:
        status, answer = await post(server, "/tokens/", {"allowed_apps": ["a"]}, headers)
    assert status == 401
    assert answer == {"detail": "No user found for Key ID and Secret" if headers else "Unauthorized"}


@pytest.mark.parametrize("form", ["token", "jwt", "detail"])
async def test_a_token_may_come_in_a_map(form: Any) -> None:
    async with FakeServer(token_reply=form) as server:
        _, answer = await post(server, "/tokens/", {"allowed_apps": ["a"]})
    assert list(answer) == [form]
    assert read_claims(answer[form])


async def test_the_lifetime_can_be_set() -> None:
    async with FakeServer(token_lifetime=3) as server:
        _, token = await post(server, "/tokens/", {"allowed_apps": ["a"], "token_expiration": 120})
    assert 0 < lifetime(token) <= 3


async def test_a_proxy_adds_the_key() -> None:
    async with FakeServer() as server:
        path = server.proxy_url.removeprefix(server.url)
        target = {"x-fal-target-url": "https://rest.fal.ai/tokens/"}
        status, token = await post(server, path, {"allowed_apps": ["a"]}, target)
        assert status == 201
        assert read_claims(token)
        assert server.token_requests[0].via_proxy
        assert (await post(server, path, {}, {}))[0] == 404


async def test_token_faults_strike_where_they_should() -> None:
    faults = [
        script.RefuseToken(403, endpoint="general"),
        script.RefuseToken(429, {"detail": "slow down"}, endpoint="realtime"),
        script.ExpiredToken(5.0),
        script.SlowToken(0.001),
    ]
    general, realtime = {"allowed_apps": ["a"]}, {"app": "o/a/realtime"}
    async with FakeServer(faults=faults) as server:
        assert await post(server, "/tokens/", general) == (403, {"detail": "Forbidden"})
        assert await post(server, "/tokens/realtime", realtime) == (429, {"detail": "slow down"})
        _, token = await post(server, "/tokens/", general)
        assert lifetime(token) > 0


async def test_an_expired_token_is_minted() -> None:
    async with FakeServer(faults=[script.ExpiredToken(5.0)]) as server:
        _, token = await post(server, "/tokens/", {"allowed_apps": ["a"]})
        assert lifetime(token) < 0


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/acme/app/realtime"), ("POST", "/x"), ("GET", "/tokens/")]
)
async def test_everything_else_is_not_found(method: str, path: str) -> None:
    async with FakeServer() as server:
        assert await exchange(server, method, path, b"", {}) == (404, {"detail": f"Path {path} not found"})
    assert server.token_requests == []


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /tokens/ HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + bytes(70_000), 431),
        (b"GET /a/b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", 426),
    ],
)
async def test_bad_http_is_answered_and_hung_up_on(raw: bytes, status: int) -> None:
    async with FakeServer(auth=False) as server, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(raw)
        assert (await reply(reader))[0] == status
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_a_connection_is_kept_for_the_next_request_however_it_is_cut() -> None:
    head = b"POST /tokens/ HTTP/1.1\r\nHost: x\r\nAuthorization: Key test\r\nContent-Length: 23\r\n\r\n"
    request = head + b'{"allowed_apps": ["a"]}'
    async with FakeServer() as server, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(request + request[:30])
        assert (await reply(reader))[0] == 201
        writer.write(request[30:-5])
        await asyncio.sleep(0)
        writer.write(request[-5:])
        assert (await reply(reader))[0] == 201
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
