"""Where sockets read into: one buffer for all sockets of an event loop, and buffers for messages that come in pieces.

What a socket read is used up before the loop turns to the next socket, so one buffer serves all of them, and no
memory is allocated for a message that comes in one piece. A message that comes in pieces is read into a buffer of
its own size, of which one is kept for the next such message: the C library would give memory of that size back to the
system, and every page of it would have to be fetched anew.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final
from weakref import WeakKeyDictionary

__all__ = ["Buffers", "buffers_of"]

SHARED_BYTES: Final = 256 * 1024
# Behind a message's own bytes: what follows it at once, such as its timings, comes with the same read.
SLACK_BYTES: Final = 16 * 1024


class Buffers:
    """The buffers of one event loop.

    Attributes:
        shared: What sockets read into that are in the middle of nothing.
        in_use: Whether the shared one holds bytes that somebody is looking at: a loop within a loop must not
            read into it.
    """

    __slots__ = ("__weakref__", "_spare", "in_use", "shared")

    def __init__(self) -> None:
        _keep_memory()
        self.shared = memoryview(bytearray(SHARED_BYTES))
        self.in_use = False
        # The largest that came back.
        self._spare: memoryview | None = None

    def take(self, size: int) -> memoryview:
        """Return a buffer of at least this size, and some more."""
        spare = self._spare
        if spare is not None and len(spare) >= size:
            self._spare = None
            return spare
        return memoryview(bytearray(size + SLACK_BYTES))

    def give_back(self, buffer: memoryview) -> None:
        """Keep a buffer for the next message, if it is larger than the one that is kept."""
        if self._spare is None or len(buffer) > len(self._spare):
            self._spare = buffer


def _keep_memory() -> None:
    """Let the C library keep the memory of large messages for the next ones.

    glibc gives blocks of more than 128 KiB back to the system at once, and fetching their pages anew costs more than
    everything else that is done with a message of 150 KB. It learns from the first large block that is freed: from
    this one, which is never written to, it learns to keep up to 32 MiB. That goes for the whole process;
    ``FALRT_KEEP_MEMORY=0`` leaves it alone.
    """
    if sys.platform == "linux" and os.environ.get("FALRT_KEEP_MEMORY", "1") != "0":
        bytes(1 << 24)


# The one thing that sockets of different clients share: it belongs to the loop, and goes with it.
_BUFFERS: WeakKeyDictionary[asyncio.AbstractEventLoop, Buffers] = WeakKeyDictionary()


def buffers_of(loop: asyncio.AbstractEventLoop) -> Buffers:
    """Return the buffers of an event loop."""
    buffers = _BUFFERS.get(loop)
    if buffers is None:
        buffers = _BUFFERS[loop] = Buffers()
    return buffers
