"""The HTTP connection pool of a client, for token requests and calls, with the TLS context of its sockets.

Source of the limits: docs/explanation/design.md.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from falrt.exceptions import ConfigurationError, MissingDependencyError
from falrt.protocol.wire.proxies import NO_PROXIES, Proxies, Proxy
from falrt.threads import run_in_thread

if TYPE_CHECKING:
    import httpx

__all__ = ["LOOPBACK", "HTTPPool", "cause_of", "http_proxy"]

E = TypeVar("E", bound=BaseException)

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

# A handshake takes two round trips, so an idle connection is kept for the next call; servers keep theirs longer.
_LIMITS: Final[Mapping[str, Any]] = {
    "max_connections": None,
    "max_keepalive_connections": 100,
    "keepalive_expiry": 30.0,
}
# A generation may take minutes without data. TCP keepalive tells a slow peer from a dead one: the first probe after
# 30 s of silence, then three, 10 s apart.
_PROBES: Final = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 30),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
)


class HTTPPool:
    """Makes the pool on first use; httpx and the TLS context take 300 ms to load, so a thread loads them.

    Args:
        place: A URL that most requests go to; it decides about TLS and the proxy.
        ssl_context: Returns the TLS context; None to create the default one.
        proxies: The proxies; the one for ``place`` is used for all requests.
    """

    __slots__ = (
        "_client",
        "_is_closed",
        "_loop",
        "_making",
        "_place",
        "_proxies",
        "_ssl_context",
        "_transport",
    )

    def __init__(
        self,
        place: str,
        ssl_context: Callable[[], Awaitable[ssl.SSLContext]] | None = None,
        proxies: Proxies = NO_PROXIES,
    ) -> None:
        self._place = place
        self._ssl_context, self._proxies = ssl_context, proxies
        self._transport: httpx.AsyncBaseTransport | None = None
        self._client: httpx.AsyncClient | None = None
        # For two first requests at the same time. Made with the first, so that a client without requests stays small.
        self._making: asyncio.Lock | None = None
        # The event loop of the connections: a program may call asyncio.run() again, and they ended with the old loop.
        self._loop: asyncio.AbstractEventLoop | None = None
        # A call that is under way when its client is closed must not open connections that nobody closes.
        self._is_closed = False

    async def transport(self) -> httpx.AsyncBaseTransport:
        """Return the pool itself, without redirects, cookies and logged URLs."""
        self._adopt()
        if self._transport is None:
            await self.client()
            assert self._transport is not None  # noqa: S101 - client() has made it
        return self._transport

    async def client(self) -> httpx.AsyncClient:
        """Return an HTTP client on the pool.

        Raises:
            ConfigurationError: The pool is closed.
        """
        self._adopt()
        self._making = making = self._making or asyncio.Lock()
        async with making:
            if self._is_closed:
                raise ConfigurationError("the client is closed: make a new one")
            if self._client is None:
                self._transport = await self._make()
                import httpx

                self._client = httpx.AsyncClient(transport=self._transport, trust_env=False)
            return self._client

    async def aclose(self) -> None:
        """Close every connection; the next request is refused."""
        self._is_closed = True
        self._adopt()
        if self._making is not None:
            async with self._making:
                pass  # one that is being made is closed too
        client, self._client, self._transport = self._client, None, None
        if client is not None:
            await client.aclose()

    def _adopt(self) -> None:
        """Start over if another event loop is running than before."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._client, self._transport, self._making = loop, None, None, None

    async def _make(self) -> httpx.AsyncBaseTransport:
        if "httpx" not in sys.modules:
            await run_in_thread(lambda: importlib.import_module("httpx"))
        import httpx

        if urlsplit(self._place).scheme == "http":
            # Never used. Without certificate authorities it is created quickly.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        elif self._ssl_context is not None:
            context = await self._ssl_context()
        else:
            context = await run_in_thread(ssl.create_default_context)
        probes = [
            (level, getattr(socket, name), value)
            for level, name, value in _PROBES
            if hasattr(socket, name)  # the names depend on the system
        ]
        proxy = self._proxies.to(self._place)
        if proxy is None:
            from falrt.auth.direct import DirectTransport

            return DirectTransport(context, socket_options=probes, **_LIMITS)
        return httpx.AsyncHTTPTransport(
            verify=context,
            proxy=http_proxy(proxy, context),
            trust_env=False,
            limits=httpx.Limits(**_LIMITS),
        )


def http_proxy(proxy: Proxy, context: ssl.SSLContext) -> httpx.Proxy:
    """Return a proxy in the form of ``httpx``.

    Raises:
        MissingDependencyError: A SOCKS proxy, and the library for it is not installed.
    """
    import httpx

    if proxy.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise MissingDependencyError("socksio", "proxy", "a SOCKS proxy")
    return httpx.Proxy(proxy.url, ssl_context=context if proxy.scheme == "https" else None)


def cause_of(kind: type[E], error: BaseException) -> E | None:
    """Return the error of this kind that a failure is, or that led to it; None where there is none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kind):
        cause = cause.__cause__ or cause.__context__
    return cause
