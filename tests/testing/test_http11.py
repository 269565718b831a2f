"""Requests in and responses out, byte by byte and over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import httpx
import pytest

from falrt.testing import FakeServer
from falrt.testing.http11 import BODY_LIMIT_BYTES, HTTPExchange
from falrt.testing.platform.port import Refused, Request, Response, Route

REQUEST = b"POST /a?b=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"


def test_a_request_may_come_in_any_pieces() -> None:
    exchange = HTTPExchange()
    for number in range(len(REQUEST) - 1):
        exchange.receive(REQUEST[number : number + 1])
        assert exchange.next_request() is None
    exchange.receive(REQUEST[-1:])
    request = exchange.next_request()
    assert request is not None
    assert (request.method, request.path, request.query, request.body) == ("POST", "/a", {"b": "1"}, b"abc")
    assert request.headers["host"] == "x"
    assert exchange.upgrade is None


def test_the_next_request_waits_for_the_answer_to_the_one_before() -> None:
    exchange = HTTPExchange()
    exchange.receive(REQUEST + REQUEST)
    assert exchange.next_request()
    assert exchange.next_request() is None
    assert exchange.begin(Response(200, b"hi")) + exchange.chunk(b"hi") + exchange.end()
    assert exchange.next_request()


def test_an_upgrade_hands_over_every_byte() -> None:
    handshake = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    exchange = HTTPExchange()
    exchange.receive(REQUEST + handshake[:20])
    assert exchange.next_request()
    exchange.begin(Response(200))
    exchange.end()
    exchange.receive(handshake[20:] + b"frame")
    assert exchange.next_request()
    assert exchange.upgrade == handshake + b"frame"


def test_a_body_may_be_chunked() -> None:
    exchange = HTTPExchange()
    head = b"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    exchange.receive(head + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    request = exchange.next_request()
    assert request is not None
    assert request.body == b"abc"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + bytes(70_000), 431),
    ],
)
def test_what_is_no_request_is_malformed(data: bytes, status: int) -> None:
    exchange = HTTPExchange()
    exchange.receive(data)
    with pytest.raises(Refused) as caught:
        exchange.next_request()
    assert caught.value.response.status == status


def test_a_body_has_a_limit() -> None:
    exchange = HTTPExchange()
    exchange.receive(REQUEST[:-3].replace(b"3\r\n", b"%d\r\n" % (BODY_LIMIT_BYTES + 1)))
    exchange.receive(bytes(BODY_LIMIT_BYTES))
    assert exchange.next_request() is None
    exchange.receive(bytes(1))
    with pytest.raises(Refused, match="body too large"):
        exchange.next_request()


def serve(server: FakeServer, response: Response) -> None:
    """Add one route, /x."""

    async def answer(request: Request) -> Response:
        return response

    server.platform.add(Route("GET", "fal.run", "/x", answer, needs_key=False))


async def test_a_streamed_body_arrives_in_chunks() -> None:
    go_on = asyncio.Event()

    async def body() -> AsyncGenerator[bytes, None]:
        yield b"one"
        await go_on.wait()
        yield b"two"

    async with FakeServer() as server, httpx.AsyncClient() as client, asyncio.timeout(5):
        serve(server, Response(200, body(), "text/event-stream"))
        async with client.stream("GET", f"{server.url}/x") as reply:
            assert reply.headers["content-type"] == "text/event-stream"
            chunks = reply.aiter_bytes()
            assert await anext(chunks) == b"one"
            go_on.set()
            assert await anext(chunks) == b"two"


async def test_a_body_is_closed_when_its_client_leaves() -> None:
    closed = asyncio.Event()

    async def body() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with FakeServer() as server, httpx.AsyncClient() as client, asyncio.timeout(5):
        serve(server, Response(200, body()))
        async with client.stream("GET", f"{server.url}/x") as reply:
            assert await anext(reply.aiter_bytes()) == b"one"
        await closed.wait()


async def test_a_body_that_fails_cuts_the_connection() -> None:
    async def body() -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise ConnectionAbortedError

    async with FakeServer() as server, httpx.AsyncClient() as client, asyncio.timeout(5):
        serve(server, Response(200, body()))
        with pytest.raises(httpx.TransportError):
            await client.get(f"{server.url}/x")
