"""fal if there is a key, otherwise the local stand-in: for examples that anyone can run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

__all__ = ["Where", "fal_or_stand_in"]


class Where(TypedDict, total=False):
    """Options for ``falrt.connect``; empty for fal itself."""

    base_url: str
    key: str


@contextmanager
def fal_or_stand_in(speed: float = 4.0) -> Iterator[Where]:
    """Yield the options with which ``falrt.connect`` reaches fal, or a stand-in started for the while.

    Args:
        speed: How many times quicker than fal's models the stand-in is.
    """
    if os.environ.get("FAL_KEY") or os.environ.get("FAL_KEY_ID") or os.environ.get("FALRT_BASE_URL"):
        yield {}
        return
    from falrt.local.options import LocalOptions
    from falrt.local.server import LocalServer

    with LocalServer(LocalOptions(speed=speed)) as server:
        yield {"base_url": server.url, "key": "local"}
