"""A port, and uvicorn on it until a signal: the stand-in's, and that of the commands that serve a page or a proxy."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

from falrt.exceptions import ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

    import uvicorn

__all__ = ["config_for", "listen", "run", "url_of"]


# Bytes that the system may hold unsent for a slow viewer; what is above waits here, where a newer picture replaces it.
_UNSENT_BYTES = 128 * 1024


def listen(host: str, port: int, *, for_viewers: bool = False) -> socket.socket:
    """Listen on an address; port 0 takes a free one.

    Args:
        host: The address.
        port: Its port.
        for_viewers: Sockets do not keep old pictures for who is slow.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as exc:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {exc}; choose another host or port"
        ) from exc
    if for_viewers and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        # Accepted sockets inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the URL at which this machine reaches a listening socket."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def config_for(app: Any, **options: Any) -> uvicorn.Config:
    """Return uvicorn's settings for an ASGI app, quiet; ``options`` are further ones.

    Raises:
        MissingDependencyError: uvicorn is absent.
    """
    try:
        import uvicorn
    except ModuleNotFoundError as exc:
        raise MissingDependencyError("uvicorn", "server", "serving") from exc
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        # fal's server agrees to compression, but JPEGs do not shrink, and trying costs sixteen times the round trip.
        ws_per_message_deflate=False,
        # A socket that does not answer the closing handshake must not hold up the end.
        timeout_graceful_shutdown=1,
        **options,
    )


def run(config: uvicorn.Config, listener: socket.socket, started: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``started`` is called once connections are taken."""
    import uvicorn

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

    with contextlib.suppress(KeyboardInterrupt):
        # uvicorn raises the signal again after it has shut down; by then there is nothing left to interrupt.
        Announcing(config).run(sockets=[listener])
