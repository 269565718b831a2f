"""Where a command connects to: fal, or a local server that runs meanwhile."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from falrt.exceptions import FalrtError, MissingCredentialsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from falrt.models.spec import RealtimeModel

__all__ = ["check_endpoint", "endpoint", "told"]


def told(error: FalrtError) -> str:
    """Return an error's text; where the key is missing, in words for a shell instead of those for programmers."""
    if isinstance(error, MissingCredentialsError) and str(error).startswith("no fal key"):
        return (
            "no fal key found: run 'export FAL_KEY=...' with a key from https://fal.ai/dashboard/keys; "
            "'falrt demo' and --local need none"
        )
    return str(error)


def check_endpoint(
    model: RealtimeModel[Any, Any], *, local: bool, speed: float = 1.0, max_buffering: int | None = None
) -> None:
    """Find what is wrong with the options, the key or the address before anything is started.

    Raises:
        ConfigurationError: Something is.
        MissingCredentialsError: There is no key, and one is needed.
    """
    import falrt

    options: dict[str, Any] = {}
    if local:
        from falrt.local import LocalOptions

        LocalOptions(speed=speed)
        options = {"base_url": "http://127.0.0.1", "key": "local"}
    # A connection checks all it was given when it is made, and opens only when it is entered.
    falrt.connect(model, max_buffering=max_buffering, **options)


@contextlib.contextmanager
def endpoint(*, local: bool, speed: float = 1.0) -> Iterator[dict[str, Any]]:
    """Give the options for ``falrt.connect``: those of a stand-in that is served until the block is left.

    If not ``local`` they are empty, so that the key and ``FALRT_BASE_URL`` come from the environment.
    """
    if not local:
        yield {}
        return
    from falrt.local import LocalOptions, LocalServer

    with LocalServer(LocalOptions(speed=speed)) as server:
        yield {"base_url": server.url, "key": "local"}
