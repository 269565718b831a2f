"""The way to a host through a proxy: HTTP CONNECT by ourselves, SOCKS by ``python-socks``."""

from __future__ import annotations

import asyncio
import base64
import ssl as tls
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from falrt.connection.handshake import Answer, NotAnUpgrade, Refused, read_answer
from falrt.exceptions import ConnectError, MissingDependencyError
from falrt.protocol.wire.proxies import Proxy

if TYPE_CHECKING:
    import socket

__all__ = ["tunnel"]

# Ours is open_timeout, and ends earlier.
LIMIT: Final = 3600.0


class _Connecting(asyncio.Protocol):
    """Asks an HTTP proxy for a connection, and waits for its answer."""

    def __init__(self, request: bytes) -> None:
        self._request, self._head = request, bytearray()
        self._transport: asyncio.Transport
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Read the answer."""
        if self.answer.done():
            return
        self._head += data
        try:
            answer = read_answer(self._head)
            while answer is not None and answer.status < 200:
                del self._head[: answer.size]
                answer = read_answer(self._head)
        except NotAnUpgrade as exc:
            self._fail(exc)
        else:
            if answer is not None:
                # Nothing follows it: the host speaks only after we have spoken, through another protocol.
                self._transport.pause_reading()
                self.answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """The proxy has hung up."""
        self._fail(exc or NotAnUpgrade("it ended the connection"))

    def _fail(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)
            self.answer.exception()  # where nobody waits any more, nobody needs to be told so


async def tunnel(
    factory: Callable[[], asyncio.BaseProtocol],
    host: str,
    port: int,
    proxy: Proxy,
    *,
    ssl: tls.SSLContext | None,
    proxy_ssl: tls.SSLContext | None,
) -> None:
    """Connect a protocol to a host through a proxy.

    Args:
        factory: Makes the protocol.
        host: Where to.
        port: Where to.
        proxy: The way there.
        ssl: For TLS with the host.
        proxy_ssl: For TLS with a proxy whose scheme is ``https``.

    Raises:
        MissingDependencyError: A SOCKS proxy, and ``python-socks`` is not installed.
        ConnectError: The proxy did not connect; the text names it, without its credentials.
        Refused: The same, with the HTTP status that it gave.
        OSError: The proxy cannot be reached, or TLS failed.
    """
    loop = asyncio.get_running_loop()
    if proxy.scheme.startswith("socks"):
        sock = await _through_socks(host, port, proxy)
        try:
            await loop.create_connection(factory, sock=sock, ssl=ssl, server_hostname=host if ssl else None)
        except BaseException:
            sock.close()
            raise
        return
    transport = await _through_http(host, port, proxy, proxy_ssl)
    protocol = factory()
    try:
        if ssl is not None:
            secured = await loop.start_tls(transport, protocol, ssl, server_hostname=host)
            assert secured is not None  # noqa: S101 - None only where the loop is closing
            transport = secured
        else:
            transport.set_protocol(protocol)
            transport.resume_reading()
    except BaseException:
        transport.abort()
        raise
    protocol.connection_made(transport)


async def _through_http(host: str, port: int, proxy: Proxy, ssl: tls.SSLContext | None) -> asyncio.Transport:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username:
        login = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")
    request = "\r\n".join([*lines, "", ""]).encode()
    secure = proxy.scheme == "https"
    transport, connecting = await asyncio.get_running_loop().create_connection(
        lambda: _Connecting(request),
        proxy.host,
        proxy.port,
        ssl=(ssl or tls.create_default_context()) if secure else None,
        server_hostname=proxy.host if secure else None,
    )
    try:
        answer = await connecting.answer
        if not 200 <= answer.status < 300:
            raise Refused(answer, proxy=proxy.address)
    except NotAnUpgrade as exc:
        transport.abort()
        raise ConnectError(f"the proxy {proxy.address} did not answer as an HTTP proxy: {exc}") from None
    except BaseException:
        transport.abort()
        raise
    return transport


async def _through_socks(host: str, port: int, proxy: Proxy) -> socket.socket:
    try:
        from python_socks import ProxyError, ProxyType
        from python_socks.async_.asyncio import Proxy as SocksProxy
    except ImportError as exc:
        raise MissingDependencyError("python-socks", "proxy", "a SOCKS proxy") from exc
    way = SocksProxy(
        ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        proxy.username or None,
        proxy.password or None,
        # Who looks up the name: the proxy, in the forms with a letter behind the number.
        rdns=proxy.scheme in ("socks4a", "socks5h"),
    )
    try:
        return await way.connect(host, port, timeout=LIMIT)
    except ProxyError as exc:
        raise ConnectError(f"the proxy {proxy.address} did not connect to {host}: {exc}") from exc
