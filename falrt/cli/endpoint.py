"""Where a command connects to: fal, or a local server that runs meanwhile."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["endpoint"]


@contextlib.contextmanager
def endpoint(*, local: bool, speed: float = 1.0) -> Iterator[dict[str, Any]]:
    """Give the options for ``falrt.connect``.

    Args:
        local: Serve the stand-in on a free port until the block is left; else the options are empty, so that the key
            and ``FALRT_BASE_URL`` come from the environment.
        speed: Of the stand-in.
    """
    if not local:
        yield {}
        return
    from falrt.local import LocalOptions, LocalServer

    with LocalServer(LocalOptions(speed=speed)) as server:
        yield {"base_url": server.url, "key": "local"}
