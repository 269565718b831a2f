"""How a socket is opened: the way to the host, TLS, and the request to upgrade. Loaded when the first one opens.

Compression is off unless asked for: JPEG does not shrink, and permessage-deflate makes a 60 KB round trip
sixteen times slower on both sides.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from urllib.parse import urlsplit

from falrt.connection.framing import Framing
from falrt.connection.transport import Socket
from falrt.connection.tunnel import tunnel
from falrt.protocol.wire.proxies import Proxy
from falrt.tasks import address_race
from falrt.threads import run_in_thread

__all__ = ["default_ssl_context", "open_socket"]


async def open_socket(
    url: str,
    *,
    headers: dict[str, str],
    ssl: tls.SSLContext | None,
    max_size: int | None,
    proxy: Proxy | None,
    compression: str | None,
    user_agent: str,
) -> Socket:
    """Open a WebSocket. Redirects are not followed: the credential is meant for one host only.

    ``url``, ``headers``, ``max_size`` and ``compression`` are those of ``Framing``; ``ssl`` is for ``wss://`` and for a
    proxy that is spoken to in TLS.

    Raises:
        Exception: :func:`falrt.connection.losses.loss_of_opening` says what it means.
    """
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "wss"
    port = parts.port or (443 if secure else 80)
    headers = {**headers, "User-Agent": user_agent}
    socket = Socket(Framing(url, headers, max_size=max_size, compression=compression))
    try:
        if proxy is not None:
            await tunnel(lambda: socket, host, port, proxy, ssl=ssl if secure else None, proxy_ssl=ssl)
        else:
            name = host if secure else None
            await loop.create_connection(
                lambda: socket,
                host,
                port,
                ssl=ssl if secure else None,
                server_hostname=name,
                **address_race(host),
            )
        await socket.opened()
    except BaseException:
        socket.cut()
        raise
    return socket


async def default_ssl_context() -> tls.SSLContext:
    """Build the default TLS context in a thread: reading the certificates takes 20 ms."""
    return await run_in_thread(_ssl_context)


def _ssl_context() -> tls.SSLContext:
    context = tls.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        # Python builds without a system store (python.org's for macOS): use the one that httpx brings.
        import certifi

        context.load_verify_locations(certifi.where())
    return context
