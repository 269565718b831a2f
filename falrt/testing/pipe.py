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
    """One TCP connection of a pair."""

    def __init__(self, came: Callable[[End], None] | None) -> None:
        super().__init__()
        self._came = came
        # What came before the pipe took it: reading may go on although it was paused, as on uvloop, which begins to
        # read after `connection_made` whatever was said there.
        self._early: list[bytes] = []
        # Set by the pipe.
        self._feed: Callable[[bytes], None] | None = None
        self.jammed: Callable[[bool], None] | None = None
        self.gone: Callable[[bool], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        super().connection_made(transport)
        if self._came is not None:
            self._came(self)

    def feed_into(self, feed: Callable[[bytes], None]) -> None:
        """Pass on to `feed` from now on, and first what came before."""
        self._feed = feed
        early, self._early = self._early, []
        for data in early:
            feed(data)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        if self._feed is not None:
            self._feed(data)
        else:
            self._early.append(data)

    def eof_received(self) -> bool:
        """Pass the end on; the other direction goes on."""
        self.data_received(b"")
        return True  # the other direction may still be in use

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has gone, broken or not."""
        super().connection_lost(exc)
        if self.gone is not None:
            self.gone(exc is not None)

    def pause_writing(self) -> None:
        """The transport is full."""
        if self.jammed is not None:
            self.jammed(True)

    def resume_writing(self) -> None:
        """The transport has room again."""
        if self.jammed is not None:
            self.jammed(False)

    def deliver(self, data: bytes) -> None:
        """Write what came through the line; an empty piece is the end of the stream."""
        if self.transport is None or self.transport.is_closing():
            return
        if data:
            self.transport.write(data)
        elif self.transport.can_write_eof():
            # The peer may have reset the connection in this very turn: then there is nobody to tell of the end.
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def close(self) -> None:
        """Close when everything is written."""
        if self.transport is not None:
            self.transport.close()


class Way:
    """One direction of a pipe: what is read at `source` goes through a line to `sink`."""

    def __init__(
        self, source: End, sink: End, options: LineOptions, rng: Random, count: Callable[[int], None]
    ) -> None:
        self._source, self._sink = source, sink
        self._count = count
        self.line = Line(self._deliver, options, rng)
        # Whether the sink takes no more, and whether the source is not read for it.
        self._is_jammed = self._is_paused = False
        # Whether the end of the stream has come through.
        self.has_ended = False
        # What to do when it has.
        self.when_ended: Callable[[], None] | None = None
        sink.jammed = self._jammed

    def begin(self) -> None:
        """Let bytes in; not before the line is held where it should be."""
        self._source.feed_into(self._feed)

    def _feed(self, data: bytes) -> None:
        self._count(len(data))
        self.line.send(data)
        self._regulate()

    def _deliver(self, data: bytes) -> None:
        self._sink.deliver(data)
        self._regulate()
        if not data:
            self.has_ended = True
            if self.when_ended is not None:
                self.when_ended()

    def _jammed(self, is_jammed: bool) -> None:
        self._is_jammed = is_jammed
        self._regulate()

    def _regulate(self) -> None:
        """Read no more than can be passed on, as a full router pushes back on a sender."""
        is_full = self._is_jammed or self.line.pending_bytes > QUEUE_LIMIT_BYTES
        if is_full is not self._is_paused:
            self._is_paused = is_full
            if is_full:
                self._source.pause_reading()
            else:
                self._source.resume_reading()


class Pipe:
    """A client's connection and the server's, joined in both directions."""

    def __init__(
        self,
        client: End,
        server: End,
        options: dict[str, LineOptions],
        rng: Random,
        count: Callable[[str, int], None],
    ) -> None:
        self._ends = (client, server)
        self.when_lost: Callable[[Pipe], None] | None = None
        up = Way(client, server, options["up"], rng, partial(count, "up"))
        down = Way(server, client, options["down"], rng, partial(count, "down"))
        self._ways = (up, down)
        self.lines = {"up": up.line, "down": down.line}
        for way in self._ways:
            way.when_ended = self._end_came_through
        client.gone = partial(self._gone, up, server)
        server.gone = partial(self._gone, down, client)

    def begin(self) -> None:
        """Let bytes through."""
        for way in self._ways:
            way.begin()

    def _end_came_through(self) -> None:
        if all(way.has_ended for way in self._ways):
            for end in self._ends:
                end.close()

    def _gone(self, way: Way, other: End, broken: bool) -> None:
        if broken and not way.line.is_held:  # not even a reset comes out of a black hole
            other.reset()
        if all(end.lost.is_set() for end in self._ends):
            for line in self.lines.values():
                line.clear()
            if self.when_lost is not None:
                self.when_lost(self)

    def pass_on_resets(self) -> None:
        """Reset the side whose partner went away in a black hole."""
        if any(end.lost.is_set() for end in self._ends):
            self.reset()

    def reset(self) -> None:
        """Reset both sides."""
        for end in self._ends:
            end.reset()

    def abort(self) -> None:
        """Drop both sides."""
        for end in self._ends:
            end.abort()

    async def lost(self) -> None:
        """Wait until both sides are down."""
        for end in self._ends:
            await end.lost.wait()
