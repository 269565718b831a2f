"""Direct connections for HTTP on asyncio's own transports, which send a request's head and body in one piece.

httpcore's usual connections write them one after the other, and let the loop turn at each step: a quarter of what a
small call costs. What is written is held until there is much of it, or until the answer is wanted.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx

from falrt.tasks import address_race

__all__ = ["DirectTransport"]

_HELD_BYTES: Final = 64 * 1024
# What has come and nobody has read; a sender of more waits.
_AHEAD_BYTES: Final = 1024 * 1024


class _Stream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """A connection whose small writes leave together."""

    def __init__(self, backend: _Backend) -> None:
        self._backend = backend
        self._held = bytearray()
        self._received = bytearray()
        # Set by news of the peer, and where there is room to write.
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._is_over = False
        self._error: Exception | None = None
        self._transport: Any = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _AHEAD_BYTES:
            self._transport.pause_reading()
        self._news.set()

    def eof_received(self) -> None:
        self._is_over = True
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over, self._error = True, exc
        self._news.set()
        self._room.set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    # What httpcore calls.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._send()
        with _as_httpcore(httpcore.ReadTimeout, httpcore.ReadError):
            while not self._received and not self._is_over:
                self._news.clear()
                await self._wait(self._news, timeout)
            if self._error is not None and not self._received:
                raise self._error
        data = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        if len(self._received) <= _AHEAD_BYTES:
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._held += buffer
        if len(self._held) < _HELD_BYTES:
            return
        self._send()
        with _as_httpcore(httpcore.WriteTimeout, httpcore.WriteError):
            await self._wait(self._room, timeout)
            if self._error is not None:
                raise self._error

    async def aclose(self) -> None:
        self._transport.close()
        try:
            await asyncio.sleep(0)
        finally:
            self._transport.abort()  # a peer that takes nothing any more is not waited for

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        with _as_httpcore(httpcore.ConnectTimeout, httpcore.ConnectError):
            try:
                async with asyncio.timeout(timeout):
                    self._transport = await asyncio.get_running_loop().start_tls(
                        self._transport, self, ssl_context, server_hostname=server_hostname
                    )
            except BaseException:
                self._transport.abort()
                raise
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            # Before the next request: has the peer closed? The loop may not have had time to notice.
            return (
                self._is_over or bool(self._received) or _has_news(self._transport.get_extra_info("socket"))
            )
        return self._transport.get_extra_info(info)

    async def _wait(self, event: asyncio.Event, timeout: float | None) -> None:
        try:
            async with asyncio.timeout(timeout):
                await event.wait()
        except BaseException:
            # Half a request or answer is of no use. httpcore closes behind waits of its own, which a caller that is
            # cancelled a second time does not reach.
            self._transport.abort()
            raise

    def _send(self) -> None:
        if self._backend.is_closed:  # while this connection was made: the pool did not know it yet
            raise httpcore.WriteError("the client is closed")
        if self._held:
            held, self._held = self._held, bytearray()
            self._transport.write(held)


class _Backend(httpcore.AsyncNetworkBackend):
    is_closed = False

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        with _as_httpcore(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                made: tuple[Any, _Stream] = await loop.create_connection(
                    lambda: _Stream(self), host, port, **address_race(host)
                )
        transport, stream = made
        for option in socket_options or ():
            transport.get_extra_info("socket").setsockopt(*option)
        return stream

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _has_news(line: socket.socket) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([line], [], [], 0)[0])
    poll = select.poll()
    poll.register(line, select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _as_httpcore(timeout: type[Exception], failure: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as exc:
        raise timeout(str(exc)) from exc
    except (OSError, UnicodeError) as exc:  # a host that no name server takes is the latter
        raise failure(str(exc)) from exc


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        with _as_httpx():
            await self._stream.aclose()


class DirectTransport(httpx.AsyncBaseTransport):
    """A pool of direct connections.

    Args:
        context: For ``https``.
        **options: Those of ``httpcore.AsyncConnectionPool``.
    """

    def __init__(self, context: ssl.SSLContext, **options: Any) -> None:
        self._backend = _Backend()
        self._pool = httpcore.AsyncConnectionPool(context, network_backend=self._backend, **options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx():
            answer = await self._pool.handle_async_request(asked)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        """Close every connection."""
        self._backend.is_closed = True
        await self._pool.aclose()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Raise httpcore's errors as httpx's, which have the same names."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as exc:
        kind = getattr(httpx, type(exc).__name__, httpx.TransportError)
        raise kind(str(exc)) from exc
