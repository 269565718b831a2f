"""Waiting for a condition without sleeping for luck."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

__all__ = ["Watch"]


class Watch:
    """Lets tasks wait until something holds, and is told whenever that may have changed."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Future[None]] = set()

    def changed(self) -> None:
        """Something happened: every waiting condition is asked again."""
        for watcher in self._watchers:
            with contextlib.suppress(asyncio.InvalidStateError):  # cancelled in this very turn
                watcher.set_result(None)
        self._watchers.clear()

    async def until(self, condition: Callable[[], object], timeout: float) -> None:
        """Wait until a condition holds.

        Args:
            condition: Asked at once, and again after every change.
            timeout: Seconds after which to give up.

        Raises:
            TimeoutError: It did not hold in time.
        """
        async with asyncio.timeout(timeout):
            while not condition():
                watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._watchers.add(watcher)
                try:
                    await watcher
                finally:
                    self._watchers.discard(watcher)
