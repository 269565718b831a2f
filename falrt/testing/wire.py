"""One TCP connection of the fake server: HTTP, the upgrade, WebSocket frames, and full control of bytes.

`WireSocket` knows the protocols and nothing else: whoever owns it decides what to answer. Framing is
websockets' sans-I/O `ServerProtocol`; the bytes are ours, so that a frame can be cut, the connection reset,
or the peer ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import State
from websockets.server import ServerProtocol

from falrt import tasks
from falrt.testing.allowed import check_fields
from falrt.testing.http11 import HTTPExchange
from falrt.testing.link import Line, LineOptions
from falrt.testing.peer import Peer
from falrt.testing.platform.port import Refused, Request, Response

__all__ = ["SocketOptions", "SocketOwner", "WireSocket"]

_log = logging.getLogger("falrt.testing")

# websockets would show the token of the request line at DEBUG.
SILENCE = logging.Logger("falrt.testing.wire", level=logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """How each connection behaves below the app.

    Attributes:
        incoming: The path from the client to us.
        outgoing: The path from us to the client.
        max_size: Largest message taken, in bytes; a larger one ends the connection with 1009 (wire fact W18).
        ping_interval: Seconds between our pings, or None for none (wire fact W16).
        ping_timeout: Seconds that a pong may take before the connection ends with 1011, or None for ever.
        close_timeout: Seconds that the client may take to answer our close frame.
        scheme: ``"http"``, or ``"https"`` behind TLS.
    """

    incoming: LineOptions = field(default_factory=LineOptions)
    outgoing: LineOptions = field(default_factory=LineOptions)
    max_size: int | None = 16 * 1024 * 1024
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    close_timeout: float = 5.0
    scheme: str = "http"

    def __post_init__(self) -> None:
        """Check each value."""
        check_fields(self)


class SocketOwner(Protocol):
    """Who decides what a `WireSocket` does. Each method is called on the event loop."""

    def connected(self, socket: WireSocket) -> None:
        """A TCP connection came in; nothing has been read yet."""
        ...

    async def answer(self, request: Request) -> Response:
        """A plain request; cancelled where the client leaves."""
        ...

    def upgrade_request(self, socket: WireSocket, request: Request) -> None:
        """A WebSocket handshake: answer with `WireSocket.accept` or `WireSocket.refuse`, now or later."""
        ...

    def frames_received(self, socket: WireSocket, frames: list[bytes | str]) -> None:
        """Messages, all that one read brought."""
        ...

    def disconnected(self, socket: WireSocket) -> None:
        """The connection is gone; called once."""
        ...


class WireSocket(Peer):
    """One TCP connection; see the module's docstring.

    Attributes:
        close_code: The WebSocket close code as the client left it, or 1006; None while it is open.
        close_reason: The reason beside it.
    """

    def __init__(self, owner: SocketOwner, options: SocketOptions, rng: Random) -> None:
        super().__init__()
        self._owner = owner
        self._options = options
        self._inbound = Line(self._arrived, options.incoming, rng)
        self._outbound = Line(self._transmit, options.outgoing, rng)
        self._http = HTTPExchange(options.scheme)  # unused after an upgrade
        # Answers the HTTP request.
        self._answering: asyncio.Task[None] | None = None
        # From the upgrade request on.
        self._protocol: ServerProtocol | None = None
        # The handshake that waits for accept() or refuse(), as the owner and as the WebSocket protocol see it.
        self._upgrading: Request | None = None
        self._handshake: Handshake | None = None
        self._fragments: list[bytes] = []
        self._fragments_are_text = False
        # True after silence(): nothing is answered any more, the TCP connection stays.
        self._silent = False
        # Set while the transport can take more.
        self._writable = asyncio.Event()
        self._writable.set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up."""
        super().connection_made(transport)
        self._owner.connected(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came from the network."""
        if not self._silent:
            self._inbound.send(data)

    def eof_received(self) -> bool:
        """The client sent its end of stream."""
        self._inbound.send(b"")
        return self._options.scheme == "http"  # we close when the end has passed the line; TLS ends at once

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is down, for whatever reason."""
        super().connection_lost(exc)
        self._cancel_timers()
        self._inbound.clear()
        self._outbound.clear()
        if self._protocol is not None and not self._silent:
            with contextlib.suppress(EOFError):  # the end of the stream may already have been read
                self._protocol.receive_eof()
        self._writable.set()
        if self._answering is not None:
            self._answering.cancel()
        self._owner.disconnected(self)

    def pause_writing(self) -> None:
        """The kernel takes no more."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The kernel takes bytes again."""
        self._writable.set()

    # For the owner.

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._protocol is not None and self._protocol.state is State.OPEN and not self.lost.is_set()

    @property
    def close_code(self) -> int | None:
        """The close code, once the WebSocket has ended."""
        if self._protocol is None or not (self.lost.is_set() or self._protocol.state is State.CLOSED):
            return None
        return self._protocol.close_code or 1006

    @property
    def close_reason(self) -> str:
        """The reason of the close frame."""
        return (self._protocol.close_reason or "") if self._protocol is not None else ""

    def accept(self) -> None:
        """Answer the handshake with 101 (or what a faulty request deserves)."""
        if self._protocol is None or self._handshake is None or self.lost.is_set():
            return
        self._protocol.send_response(self._protocol.accept(self._handshake))
        self._handshake = None
        self._flush()
        self._schedule("ping", self._options.ping_interval, self._ping)

    def refuse(self, response: Response) -> None:
        """Answer the handshake with another status than 101, and hang up."""
        if self._handshake is None or self.lost.is_set():
            return
        self._handshake = None
        self.send_bytes(self._http.whole(response))
        self.hang_up()

    def send(self, frame: bytes | str) -> None:
        """Send one message: bytes in a binary frame, str in a text one. Ignored unless the socket is open."""
        if self._protocol is None or not self.is_open:
            return
        if isinstance(frame, str):
            self._protocol.send_text(frame.encode())
        else:
            self._protocol.send_binary(frame)
        self._flush()

    def send_bytes(self, data: bytes) -> None:
        """Send raw bytes, past the WebSocket protocol."""
        if data and not self._silent:  # none would stand for the end of the stream
            self._outbound.send(data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close politely: a close frame, then the end of the stream when the client has answered.

        Args:
            code: Any code, also 1005 (a close frame without one) and 1006 (no close frame at all).
            reason: At most 123 bytes of UTF-8.
        """
        if self._protocol is None or not self.is_open:
            return
        if code == 1006:
            self._outbound.send(b"")
            return
        with contextlib.suppress(InvalidState):  # the client was faster
            self._protocol.send_close(*(() if code == 1005 else (code, reason)))
        self._flush()
        self._schedule("close", self._options.close_timeout, self.abort)

    def hang_up(self) -> None:
        """End the stream without a close frame."""
        self._outbound.send(b"")

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after a while, at once where that is none; never once the connection is gone."""
        if seconds:
            self._schedule("later", seconds, act)
        else:
            act()

    def silence(self) -> None:
        """Answer nothing any more, pings included, while TCP stays up: a half-open connection."""
        self._silent = True
        self._outbound.clear()
        self._cancel_timers()

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent."""
        await self._writable.wait()

    async def shut(self) -> None:
        """Go away (1001) without waiting for the client's answer; returns when TCP is down."""
        if self._answering is not None:
            self._answering.cancel()
            await tasks.settle([self._answering])
        if self.is_open:
            self.close(1001)
        if self.transport is not None and not self.lost.is_set():
            self.transport.close()
            try:
                async with asyncio.timeout(0.2):
                    await self.lost.wait()
            except TimeoutError:  # the client does not read what we still have to write
                self.abort()
                await self.lost.wait()

    # Inside.

    def _arrived(self, data: bytes) -> None:
        if self._silent or self.lost.is_set():
            return
        if self._protocol is not None:
            self._feed(self._protocol, data)
            return
        self._http.receive(data)
        if data:
            self._read_http()
        else:  # the client has left; one that only ends its own half is not waited for
            self._transmit(b"")

    def _read_http(self) -> None:
        try:
            request = self._http.next_request()
        except Refused as exc:
            self.send_bytes(self._http.whole(exc.response))
            self.hang_up()
            return
        if self._http.upgrade is not None:
            self._protocol = ServerProtocol(max_size=self._options.max_size, logger=SILENCE)
            self._upgrading = request
            self._feed(self._protocol, self._http.upgrade)
        elif request is not None:
            self._answering = tasks.begin(self._answer(request), name="falrt fake answer")

    async def _answer(self, request: Request) -> None:
        """Answer an HTTP request, and go on with the next one, or hang up where there can be none.

        What a streamed body raises cuts the connection, as a server does that fails halfway.
        """
        response = await self._owner.answer(request)
        body = response.body
        self._outbound.send(self._http.begin(response))
        if isinstance(body, bytes):
            self.send_bytes(self._http.chunk(body))
        else:
            try:
                async with contextlib.aclosing(body):
                    async for chunk in body:
                        self.send_bytes(self._http.chunk(chunk))
                        await self.drain()
            except Exception as exc:  # a route that fails halfway: no client can be told any more
                _log.warning("a response was cut off, because its body failed: %r", exc)
                self.abort()
                return
        self.send_bytes(self._http.end())
        if self._http.is_over:
            self.hang_up()
        else:
            self._read_http()

    def _feed(self, protocol: ServerProtocol, data: bytes) -> None:
        try:
            if data:
                protocol.receive_data(data)
            else:
                protocol.receive_eof()
        except EOFError:
            return  # bytes after the end of the stream
        frames: list[bytes | str] = []
        for event in protocol.events_received():
            if isinstance(event, Handshake) and self._upgrading is not None:
                self._handshake = event
                self._owner.upgrade_request(self, self._upgrading)
            elif isinstance(event, Frame):
                self._read_frame(event, frames)
        if frames:
            self._owner.frames_received(self, frames)
        self._flush()
        if not data:
            self._transmit(b"")

    def _read_frame(self, frame: Frame, frames: list[bytes | str]) -> None:
        if frame.opcode is Opcode.PONG:
            self._schedule("pong", None, self.abort)
            self._schedule("ping", self._options.ping_interval, self._ping)
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._fragments_are_text = frame.opcode is Opcode.TEXT
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            data = b"".join(self._fragments)
            self._fragments.clear()
            frames.append(data.decode(errors="replace") if self._fragments_are_text else data)

    def _flush(self) -> None:
        for data in [] if self._protocol is None else self._protocol.data_to_send():
            if not self._silent:
                self._outbound.send(data)

    def _transmit(self, data: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if data:
            self.transport.write(data)
        else:
            self.transport.close()

    def _ping(self) -> None:
        if self._protocol is not None and self.is_open:
            self._protocol.send_ping(b"falrt")
            self._flush()
            self._schedule("pong", self._options.ping_timeout, self._miss_pong)

    def _miss_pong(self) -> None:
        if self._protocol is not None and self.is_open:
            self._protocol.fail(1011, "keepalive ping timeout")
            self._flush()

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _schedule(self, name: str, delay: float | None, callback: Callable[[], None]) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        if delay is not None and not self.lost.is_set():
            self._timers[name] = asyncio.get_running_loop().call_later(delay, callback)
