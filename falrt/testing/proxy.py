"""`FaultProxy`: a bad network in front of any server on TCP, fal's own included."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias, cast

from falrt.exceptions import ConfigurationError
from falrt.testing.link import Line, LineOptions

__all__ = ["Direction", "FaultProxy"]

Direction: TypeAlias = Literal["up", "down", "both"]
"""``"up"`` is from the client to the server."""

QUEUE_LIMIT_BYTES: Final = 256 * 1024
"""What a direction may hold before its sender is no longer read: the buffer of a cheap router."""


class FaultProxy:
    """Passes TCP connections on to a server, as slowly and unreliably as it is told.

    An async context manager on ``127.0.0.1`` and a free port. Everything can be changed while it runs.

    ```python
    async with FaultProxy("127.0.0.1", port, latency=0.03) as proxy:
        async with falrt.connect("acme/app", base_url=proxy.url, key="test") as conn:
            proxy.cut()
    ```

    Args:
        target_host: Where the server is.
        target_port: Its port.
        latency: Seconds that every piece of bytes takes, each way.
        jitter: Up to this many seconds more; order is kept.
        bandwidth: Bytes a second, each way; None: no limit.
        seed: For the jitter.

    Attributes:
        accepted: Connections taken so far.
        bytes_up: Bytes taken from clients.
        bytes_down: Bytes taken from the server.
    """

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        latency: float = 0.0,
        jitter: float = 0.0,
        bandwidth: float | None = None,
        seed: int = 0,
    ) -> None:
        self._target = (target_host, target_port)
        options = LineOptions(latency, jitter, bandwidth)
        self._options = {"up": options, "down": options}
        self._held = {"up": False, "down": False}
        self._rng = Random(seed)
        self._server: asyncio.Server | None = None
        self._port = 0
        # Keeps the port ours while nobody listens, or another server of this machine might get it.
        self._reserved: socket.socket | None = None
        self._pipes: set[_Pipe] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.accepted = 0
        self.bytes_up = 0
        self.bytes_down = 0

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def url(self) -> str:
        """What to give as `base_url`, such as ``http://127.0.0.1:40123``."""
        if not self._port:
            raise ConfigurationError("the FaultProxy is not running: `async with FaultProxy(...) as proxy`")
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def open_connections(self) -> int:
        """How many connections pass through it now."""
        return len(self._pipes)

    def shape(
        self,
        direction: Direction = "both",
        *,
        latency: float | None = None,
        jitter: float | None = None,
        bandwidth: float | None = None,
    ) -> None:
        """Change how the path behaves, for open connections too; what is not given stays as it is."""
        given = {"latency": latency, "jitter": jitter, "bandwidth": bandwidth}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        for way in _ways(direction):
            self._options[way] = replace(self._options[way], **changes)
            for pipe in self._pipes:
                pipe.lines[way].options = self._options[way]

    def cut(self) -> None:
        """Reset every open connection on both sides; what was on its way is lost."""
        for pipe in list(self._pipes):
            pipe.reset()

    def black_hole(self, direction: Direction = "both", *, seconds: float | None = None) -> None:
        """Let nothing pass any more, on new connections neither, and tell nobody: half-open connections.

        Args:
            direction: Which way; ``"up"`` alone makes a server that seems deaf.
            seconds: After which `restore` is called; None: never.
        """
        for way in _ways(direction):
            self._held[way] = True
            for pipe in self._pipes:
                pipe.lines[way].hold()
        if seconds is not None:
            self._cancel_timer()
            self._timer = asyncio.get_running_loop().call_later(seconds, self.restore)

    def restore(self) -> None:
        """End a black hole: what was held goes on its way, as TCP would send it again."""
        self._cancel_timer()
        for way in ("up", "down"):
            self._held[way] = False
            for pipe in list(self._pipes):
                pipe.lines[way].release()
        for pipe in list(self._pipes):
            pipe.pass_on_resets()

    def refuse(self) -> None:
        """Stop listening, so that new connections are refused; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._reserved = _bound(self._port)

    async def accept(self) -> None:
        """Listen, or listen again on the same port after `refuse`."""
        if self._server is None:
            listener, self._reserved = self._reserved or _bound(self._port), None
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _End(self._client_came), sock=listener
            )
            self._port = listener.getsockname()[1]

    async def close(self) -> None:
        """Stop listening and drop every connection. May be called twice."""
        self._cancel_timer()
        for listener in (self._server, self._reserved):
            if listener is not None:
                listener.close()
        self._server = self._reserved = None
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        pipes = list(self._pipes)
        for pipe in pipes:
            pipe.abort()
        for pipe in pipes:
            await pipe.lost()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _client_came(self, client: _End) -> None:
        self.accepted += 1
        client.pause_reading()  # until the other side is there
        task = asyncio.get_running_loop().create_task(self._connect(client), name="falrt fault proxy")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, client: _End) -> None:
        try:
            _, server = await asyncio.get_running_loop().create_connection(lambda: _End(None), *self._target)
        except OSError:
            client.reset()
            return
        except asyncio.CancelledError:
            client.abort()
            raise
        if client.lost.is_set():
            server.abort()
            return
        pipe = _Pipe(client, server, self._options, self._rng, self._count)
        self._pipes.add(pipe)
        pipe.when_lost = self._pipes.discard
        for way, held in self._held.items():
            if held:
                pipe.lines[way].hold()
        client.resume_reading()

    def _count(self, way: str, size: int) -> None:
        if way == "up":
            self.bytes_up += size
        else:
            self.bytes_down += size


class _End(asyncio.Protocol):
    """One TCP connection of a pair."""

    def __init__(self, came: Callable[[_End], None] | None) -> None:
        self._came = came
        self._transport: asyncio.Transport | None = None
        # Set by the pipe.
        self.feed: Callable[[bytes], None] | None = None
        self.jammed: Callable[[bool], None] | None = None
        self.gone: Callable[[bool], None] | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._came is not None:
            self._came(self)

    def data_received(self, data: bytes) -> None:
        if self.feed is not None:
            self.feed(data)

    def eof_received(self) -> bool:
        if self.feed is not None:
            self.feed(b"")
        return True  # the other direction may still be in use

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        if self.gone is not None:
            self.gone(exc is not None)

    def pause_writing(self) -> None:
        if self.jammed is not None:
            self.jammed(True)

    def resume_writing(self) -> None:
        if self.jammed is not None:
            self.jammed(False)

    def deliver(self, data: bytes) -> None:
        """Write what came through the line; an empty piece is the end of the stream."""
        if self._transport is None or self._transport.is_closing():
            return
        if data:
            self._transport.write(data)
        elif self._transport.can_write_eof():
            # The peer may have reset the connection in this very turn: then there is nobody to tell of the end.
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Send RST: a linger time of zero makes the kernel do it."""
        if self._transport is not None and not self.lost.is_set():
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


class _Way:
    """One direction of a pipe: what is read at `source` goes through a line to `sink`."""

    def __init__(
        self, source: _End, sink: _End, options: LineOptions, rng: Random, count: Callable[[int], None]
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
        source.feed, sink.jammed = self._feed, self._jammed

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


class _Pipe:
    """A client's connection and the server's, joined in both directions."""

    def __init__(
        self,
        client: _End,
        server: _End,
        options: dict[str, LineOptions],
        rng: Random,
        count: Callable[[str, int], None],
    ) -> None:
        self._ends = (client, server)
        self.when_lost: Callable[[_Pipe], None] | None = None
        up = _Way(client, server, options["up"], rng, partial(count, "up"))
        down = _Way(server, client, options["down"], rng, partial(count, "down"))
        self._ways = (up, down)
        self.lines = {"up": up.line, "down": down.line}
        for way in self._ways:
            way.when_ended = self._end_came_through
        client.gone = partial(self._gone, up, server)
        server.gone = partial(self._gone, down, client)

    def _end_came_through(self) -> None:
        if all(way.has_ended for way in self._ways):
            for end in self._ends:
                end.close()

    def _gone(self, way: _Way, other: _End, broken: bool) -> None:
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


def _ways(direction: Direction) -> tuple[str, ...]:
    return ("up", "down") if direction == "both" else (direction,)


def _bound(port: int) -> socket.socket:
    """Return a socket that has a port of the loopback; whoever connects to it is refused until it listens."""
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound
