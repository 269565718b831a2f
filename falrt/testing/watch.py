"""Waiting for a condition without sleeping for luck."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Watch"]


class Watch:
    """Lets tasks wait until something holds, and is told whenever that may have changed."""

    def __init__(self) -> None:
        # Of the next change; None where nobody waits for it.
        self._next: asyncio.Event | None = None

    def changed(self) -> None:
        """Something happened: whoever waits looks again."""
        if self._next is not None:
            self._next.set()
            self._next = None

    async def wait(self) -> None:
        """Wait for the next change."""
        self._next = self._next or asyncio.Event()
        await self._next.wait()

    async def until(self, condition: Callable[[], object], timeout: float) -> None:
        """Wait until a condition holds; it is asked at once, and again after every change.

        Raises:
            TimeoutError: It did not hold within this many seconds.
        """
        async with asyncio.timeout(timeout):
            while not condition():
                await self.wait()
