"""Direct connections for HTTP: what the pool's own tests and those of the calls do not reach."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from falrt.auth.direct import DirectTransport
from tests.certificates import make_certificate, server_context, trusting_context
from tests.leaks import soon

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def client(context: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    transport = DirectTransport(context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return httpx.AsyncClient(transport=transport, trust_env=False)


@asynccontextmanager
async def served(answer: Any, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Give the URL of a server whose function answers each connection."""
    ended = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(reader, writer)
            await reader.read()
        writer.transport.abort()
        ended.release()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}"
        await soon(ended.acquire())


async def test_a_connection_that_was_closed_while_the_loop_was_busy_is_not_used_again() -> None:
    answered = threading.Event()
    closed = threading.Event()

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            line, _ = listener.accept()
            line.recv(65536)
            line.sendall(GOOD)
            answered.wait(5)
            line.close()
            closed.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        async with client() as http:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            assert (await soon(http.get(url))).text == "ok"
            answered.set()
            closed.wait(5)  # blocks the loop, as a program may that computes
            assert (await soon(http.get(url))).text == "ok"
        await asyncio.to_thread(thread.join)


async def test_an_answer_before_the_body_was_sent_is_read() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")

    async with served(refuse) as url, client() as http:
        assert (await soon(http.post(url, content=bytes(8_000_000)))).status_code == 413


async def test_a_large_answer_waits_for_a_slow_reader_and_arrives_whole() -> None:
    size, sent = 20_000_000, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(500_000))
            await writer.drain()
            sent += 500_000

    async with served(serve) as url, client() as http, asyncio.timeout(20), http.stream("GET", url) as answer:
        pieces = answer.aiter_bytes()
        got = len(await anext(pieces))
        for _ in range(200):
            await asyncio.sleep(0)
        assert sent < size, "everything was taken although nobody read it"
        async for piece in pieces:
            got += len(piece)
    assert got == size


async def test_tls_is_spoken_with_a_trusted_server_and_nobody_else(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(GOOD)

    certificate = make_certificate(tmp_path)
    async with served(serve, server_context(certificate)) as url:
        async with client(trusting_context(certificate)) as http:
            assert (await soon(http.get(url))).text == "ok"
        async with client(ssl.create_default_context()) as http:
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                await soon(http.get(url))


async def test_silence_and_nobody_there_are_errors_of_httpx() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with served(silent) as url, client() as http:
        with pytest.raises(httpx.ReadTimeout):
            await soon(http.get(url, timeout=0.05))
        with pytest.raises(httpx.ConnectError):
            await soon(http.get("http://127.0.0.1:1"))
