"""One direction of a network path: bytes go in, and come out later, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from falrt.testing.allowed import check_fields

__all__ = ["Line", "LineOptions"]


@dataclass(frozen=True, slots=True)
class LineOptions:
    """How a path behaves in one direction.

    Attributes:
        latency: Seconds that every piece takes.
        jitter: Up to this many seconds more, evenly drawn for each piece; order is kept, as TCP keeps it.
        bandwidth: Bytes a second, or None for no limit. A piece arrives when its last byte does.

    Raises:
        ConfigurationError: A negative time, or a bandwidth that is not above 0.
    """

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        """Check each value."""
        check_fields(self)


class Line:
    """Carries pieces of bytes to `deliver`; an empty piece stands for the end of the stream.

    Args:
        deliver: Called on the event loop with each piece, when it arrives.
        options: How the path behaves; may be replaced at any time by setting `options`.
        rng: Where the jitter comes from.
    """

    def __init__(self, deliver: Callable[[bytes], None], options: LineOptions, rng: Random) -> None:
        self.options = options
        self._deliver = deliver
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        # (when it arrives, the piece), oldest first.
        self._pieces: deque[tuple[float, bytes]] = deque()
        # When the last byte so far has left a path of limited bandwidth.
        self._busy_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._held = False
        # Bytes on their way: what a sender must wait for if it wants to bound them.
        self.pending_bytes = 0

    def send(self, piece: bytes) -> None:
        """Put one piece on its way. Where nothing delays it, it arrives before this returns."""
        arrives_at = self._arrival(len(piece))
        if arrives_at is None and not self._pieces and not self._held:
            self._deliver(piece)
            return
        previous = self._pieces[-1][0] if self._pieces else 0.0
        # A copy: asyncio reads into 256 KiB and shrinks what it got, and such pieces, kept, leave holes in the heap.
        piece = bytes(memoryview(piece))
        self._pieces.append((max(previous, arrives_at or self._loop.time()), piece))
        self.pending_bytes += len(piece)
        self._set_timer()

    @property
    def is_held(self) -> bool:
        """Whether nothing arrives until `release`."""
        return self._held

    def hold(self) -> None:
        """Let nothing arrive until `release`; what is sent meanwhile waits."""
        self._held = True
        self._cancel_timer()

    def release(self) -> None:
        """Let what was held arrive, as far as its time has come."""
        self._held = False
        self._set_timer()

    def clear(self) -> None:
        """Forget everything that is on its way."""
        self._pieces.clear()
        self.pending_bytes = 0
        self._cancel_timer()

    def _arrival(self, size: int) -> float | None:
        options, now = self.options, self._loop.time()
        if not options.latency and not options.jitter and options.bandwidth is None:
            return None
        departs_at = now
        if options.bandwidth is not None:
            departs_at = self._busy_until = max(now, self._busy_until) + size / options.bandwidth
        return departs_at + options.latency + self._rng.random() * options.jitter

    def _set_timer(self) -> None:
        if self._timer is None and self._pieces and not self._held:
            self._timer = self._loop.call_at(self._pieces[0][0], self._arrive)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arrive(self) -> None:
        # An early timer must not read as "not yet": at least the first piece has arrived.
        now = max(self._loop.time(), self._pieces[0][0])
        self._timer = None
        while self._pieces and self._pieces[0][0] <= now and not self._held:
            _, piece = self._pieces.popleft()
            self.pending_bytes -= len(piece)
            self._deliver(piece)
        self._set_timer()
