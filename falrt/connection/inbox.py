"""A bounded queue of results and errors between the reader and whoever takes them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from falrt.exceptions import QueueFullError

__all__ = ["Inbox"]

MESSAGES_MAX: Final = 256
BYTES_MAX: Final = 64 * 1024 * 1024


class Inbox:
    """First in, first out, for one taker; counts what it holds in messages and bytes."""

    __slots__ = ("_bytes", "_items", "_taker", "_told", "discarded")

    def __init__(self) -> None:
        # Made with the first item: an idle connection stays small.
        self._items: deque[tuple[Any, int]] | None = None
        self._bytes = 0
        self._taker: asyncio.Future[None] | None = None
        # Results given up because nobody took them, since somebody was last told.
        self.discarded = 0
        # Whether somebody was told that results are being given up; no more is told until there is room again.
        self._told = False

    def __bool__(self) -> bool:
        return bool(self._items)

    @property
    def full(self) -> bool:
        """Whether one of the limits is reached."""
        return self._items is not None and (len(self._items) >= MESSAGES_MAX or self._bytes >= BYTES_MAX)

    def put(self, item: Any, size_bytes: int = 0) -> None:
        """Append an item. The caller keeps the limits, by waiting or by :meth:`discard_oldest`."""
        if self._items is None:
            self._items = deque()
        self._items.append((item, size_bytes))
        self._bytes += size_bytes
        self.wake()

    def take(self) -> Any:
        """Remove and return the oldest item."""
        if not self._items:
            raise IndexError("the inbox is empty")
        item, size_bytes = self._items.popleft()
        self._bytes -= size_bytes
        return item

    def next(self) -> Any:
        """Remove and return what is to be handed out: the oldest item, or first that some were given up.

        That is told once when it begins, and once more, for those given up since, when half of the room is free again.
        """
        if self._told or not self.discarded:
            item = self.take()
            self._told = self._told and (
                len(self._items or ()) > MESSAGES_MAX // 2 or self._bytes > BYTES_MAX // 2
            )
            return item
        self._told = True
        discarded, self.discarded = self.discarded, 0
        text = f"{discarded} unread results were discarded: receive faster, or use stream() or latest()"
        return QueueFullError("receive", text, dropped=discarded)

    def discard_oldest(self) -> None:
        """Make room, and count it."""
        self.take()
        self.discarded += 1

    def wake(self) -> None:
        """Let the taker look again."""
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        """Return what the taker waits for: done when an item was put or :meth:`wake` was called."""
        self._taker = asyncio.get_running_loop().create_future()
        return self._taker
