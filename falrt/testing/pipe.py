"""A pair of TCP connections through which bytes pass as over a bad network; what `FaultProxy` is made of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from falrt.testing.link import Line, LineOptions
from falrt.testing.peer import Peer

__all__ = ["End", "Pipe"]

QUEUE_LIMIT_BYTES: Final = 256 * 1024
"""What a direction may hold before its sender is no longer read: the buffer of a cheap router."""


class End(Peer):
    """One TCP connection of a pair; what comes before its `Pipe` begins waits here.

    Args:
        came: Called with it when the connection stands.
    """

    def __init__(self, came: Callable[[End], None] = lambda end: None) -> None:
        super().__init__()
        self._came = came
        # Reading may go on although it was paused, as on uvloop, which begins to read after `connection_made`
        # whatever was said there.
        self._early: list[bytes] = []
        self._pipe: Pipe | None = None
        # Whether the transport takes no more, and whether we are not read because the other side's does not.
        self.is_jammed = self.is_paused = False
        # Whether the end of the other side's stream has come through to here.
        self.has_ended = False

    def begin(self, pipe: Pipe) -> None:
        """Pass on from now on, and first what came before."""
        self._pipe = pipe
        early, self._early = self._early, []
        for data in early:
            pipe.received(self, data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        super().connection_made(transport)
        self._came(self)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        if self._pipe is not None:
            self._pipe.received(self, data)
        else:
            self._early.append(data)

    def eof_received(self) -> bool:
        """Pass the end on."""
        self.data_received(b"")
        return True  # the other direction may still be in use

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has gone, broken or not."""
        super().connection_lost(exc)
        if self._pipe is not None:
            self._pipe.gone(self, broken=exc is not None)

    def pause_writing(self) -> None:
        """The transport is full."""
        self._jam(True)

    def resume_writing(self) -> None:
        """The transport has room again."""
        self._jam(False)

    def _jam(self, is_jammed: bool) -> None:
        self.is_jammed = is_jammed
        if self._pipe is not None:
            self._pipe.regulate()

    def deliver(self, data: bytes) -> None:
        """Write what came through the line; an empty piece is the end of the stream."""
        self.has_ended = not data
        if self.transport is None or self.transport.is_closing():
            return
        if data:
            self.transport.write(data)
        elif self.transport.can_write_eof():
            # The peer may have reset the connection in this very turn: then there is nobody to tell of the end.
            with contextlib.suppress(OSError):
                self.transport.write_eof()


class Pipe:
    """A client's connection and the server's, joined in both directions.

    Args:
        client: The one end.
        server: The other.
        options: Of ``"up"``, from the client to the server, and of ``"down"``.
        rng: For the jitter.
        count: Called with the direction and the number of bytes that were read.
        lost: Called when both sides are down.
    """

    def __init__(
        self,
        client: End,
        server: End,
        options: dict[str, LineOptions],
        rng: Random,
        count: Callable[[str, int], None],
        lost: Callable[[Pipe], None],
    ) -> None:
        self._count, self._lost = count, lost
        # The direction of what is read at an end, and where it goes.
        self._ways = {client: ("up", server), server: ("down", client)}
        self.lines = {
            way: Line(partial(self._deliver, sink), options[way], rng) for way, sink in self._ways.values()
        }

    def begin(self) -> None:
        """Let bytes through; not before the lines are held that should be."""
        for end in self._ways:
            end.begin(self)

    def received(self, end: End, data: bytes) -> None:
        """Take in what was read at one end."""
        way, _ = self._ways[end]
        self._count(way, len(data))
        self.lines[way].send(data)
        self.regulate()

    def _deliver(self, sink: End, data: bytes) -> None:
        sink.deliver(data)
        self.regulate()
        if all(end.has_ended for end in self._ways):
            for end in self._ways:
                if end.transport is not None:
                    end.transport.close()  # when everything is written

    def regulate(self) -> None:
        """Read no more than can be passed on, as a full router pushes back on a sender."""
        for end, (way, sink) in self._ways.items():
            is_full = sink.is_jammed or self.lines[way].pending_bytes > QUEUE_LIMIT_BYTES
            if is_full is not end.is_paused:
                end.is_paused = is_full
                if is_full:
                    end.pause_reading()
                else:
                    end.resume_reading()

    def gone(self, end: End, *, broken: bool) -> None:
        """One end is down."""
        way, other = self._ways[end]
        if broken and not self.lines[way].is_held:  # not even a reset comes out of a black hole
            other.reset()
        if other.lost.is_set():
            for line in self.lines.values():
                line.clear()
            self._lost(self)

    def pass_on_resets(self) -> None:
        """Reset the side whose partner went away in a black hole."""
        if any(end.lost.is_set() for end in self._ways):
            self.reset()

    def reset(self) -> None:
        """Reset both sides."""
        for end in self._ways:
            end.reset()

    async def abort(self) -> None:
        """Drop both sides, and wait until they are down."""
        for end in self._ways:
            end.abort()
        for end in self._ways:
            await end.lost.wait()
