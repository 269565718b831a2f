"""What the commands that serve have in common: an address, uvicorn, and sockets that do not keep old pictures."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

from falrt.exceptions import ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["listening", "run_app"]

# Bytes that the system may hold unsent for a slow viewer; what is above waits here, where a newer picture replaces it.
_UNSENT_BYTES = 128 * 1024


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """Listen on an address; gives the socket and its URL.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as exc:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {exc}; choose another port") from exc
    with listener:
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # Accepted sockets inherit it.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        name, number = listener.getsockname()[:2]
        if name in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            name = "localhost"
        yield listener, f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}"


def run_app(app: Any, listener: socket.socket, started: Callable[[], None], **options: Any) -> None:
    """Serve an ASGI app until SIGINT or SIGTERM.

    Args:
        app: What to serve.
        listener: Where.
        started: Called once connections are taken.
        **options: Further ones of uvicorn's.

    Raises:
        MissingDependencyError: uvicorn is absent.
    """
    try:
        import uvicorn
    except ModuleNotFoundError as exc:
        raise MissingDependencyError("uvicorn", "server", "serving") from exc

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        # JPEGs do not shrink, and trying takes longer than sending.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
        **options,
    )
    with contextlib.suppress(KeyboardInterrupt):
        # uvicorn raises the signal again after it has shut down; by then there is nothing left to interrupt.
        Announcing(config).run(sockets=[listener])
