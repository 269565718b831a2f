"""One WebSocket over TCP or TLS: written to without waiting, read without a copy, and what its end means.

A :class:`Socket` is what the event loop talks to. The WebSocket protocol itself is :mod:`falrt.connection.framing`'s;
where bytes are read into is :mod:`falrt.connection.receiving`'s.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Final, cast

from falrt.connection.framing import Framing, MessageTaker, nobody
from falrt.connection.handshake import (
    Answer,
    NotAnUpgrade,
    Refused,
    body_in,
    is_body_complete,
    read_answer,
)
from falrt.connection.losses import loss_of_end
from falrt.connection.receiving import SHARED_BYTES, SLACK_BYTES, buffers_of
from falrt.protocol.loss import Loss
from falrt.typing import Frame

__all__ = ["Socket"]

# A server that has nothing more to say acknowledges a close within a round trip.
CLOSE_TIMEOUT: Final = 2.0
# An explanation of a refusal that takes longer is done without.
BODY_TIMEOUT: Final = 1.0
# Above it, frames wait in our queues, where a newer one can take their place.
WRITE_BUFFER_BYTES: Final = 32 * 1024
# Pings that a peer may send while it reads nothing of what we have for it.
HELD_PINGS_MAX: Final = 1000


class Socket(asyncio.BufferedProtocol):
    """A client socket that is written to without waiting and tells when messages come in.

    Args:
        framing: The state of its WebSocket, of which nothing was sent yet.

    Attributes:
        read_at: Monotonic instant at which the last bytes came in, or were handed over if nobody listened before:
            traffic of any kind, half a frame included, is life.
        writable: Whether a frame may be written: the socket is open, and the transport has room.
        reading_paused: Whether we ourselves take nothing from the network, because what came is not used up.
        gone: Whether the connection has ended; :meth:`loss` says how.
    """

    __slots__ = (
        "_answer", "_buffers", "_cause", "_closed", "_ending", "_filled", "_framing", "_head", "_listens", "_loop",
        "_on_change", "_on_read", "_opening", "_own", "_transport", "gone",
        "read_at", "reading_paused", "writable",
    )  # fmt: skip

    def __init__(self, framing: Framing) -> None:
        self._loop = asyncio.get_running_loop()
        self._framing, self._buffers = framing, buffers_of(self._loop)
        self._transport: asyncio.Transport | None = None
        # Done when the socket is open, or failed; until somebody has seen it.
        self._opening: asyncio.Future[None] | None = self._loop.create_future()
        # What came of the answer to the upgrade, until it is whole; and that of a refusal whose explanation comes.
        self._head: bytearray | None = bytearray()
        self._answer: Answer | None = None
        self.read_at = 0.0
        # A buffer of our own, and how many bytes are in it, while a frame has come in part.
        self._own: memoryview | None = None
        self._filled = 0
        self.writable = False
        self.reading_paused = False
        # Whether somebody has taken what came, or will.
        self._listens = False
        # Called when the connection has ended, or has room again; and after each read.
        self._on_change: Callable[[], None] | None = None
        self._on_read: Callable[[], None] | None = None
        # Cuts the connection when the closing handshake has begun and the peer does not end it.
        self._ending: asyncio.TimerHandle | None = None
        self.gone = False
        # The network's error, or ours, if the connection ended by one; done when it has ended, for those who wait.
        self._cause: Exception | None = None
        self._closed: asyncio.Future[None] | None = None

    # --- for the connection

    async def opened(self) -> None:
        """Return when the socket is open.

        Raises:
            Exception: :func:`falrt.connection.losses.loss_of_opening` says what it means.
        """
        assert self._opening is not None  # noqa: S101 - asked once
        await self._opening
        self._opening = None

    @property
    def heard_at(self) -> float:
        """Until when the peer surely lived: the last bytes, or the time it has to end a connection that is closing."""
        return self.read_at if self._ending is None else self.read_at + CLOSE_TIMEOUT

    @property
    def unwritten(self) -> int:
        """Bytes on this machine that the peer's has not acknowledged yet."""
        transport = self._transport
        return 0 if transport is None else transport.get_write_buffer_size() + _held_by_the_kernel(transport)

    def listen(
        self,
        on_message: MessageTaker,
        on_change: Callable[[], None],
        on_read: Callable[[], None] | None = None,
    ) -> None:
        """Hand over each message from now on, in the turn of the loop in which its last bytes come.

        Args:
            on_message: Gets those first that came with the handshake.
            on_change: Called when a full write buffer has emptied, and once when the connection has ended.
            on_read: Called when everything that came together has been handed over.
        """
        self._framing.on_message, self._on_change, self._on_read = on_message, on_change, on_read
        self._listens = True
        self.pause_reading(False)
        if self._own is not None:
            self.read_at = self._loop.time()
            self._read(self._own, self._filled)

    def ignore(self) -> None:
        """Hand over nothing any more."""
        self._framing.on_message, self._on_change, self._on_read = nobody, None, None
        self.pause_reading(False)

    def pause_reading(self, pause: bool) -> None:
        """Take nothing from the network for a while, so that the server is slowed down, or go on."""
        if pause is not self.reading_paused:
            self.reading_paused = pause
            self._pause_transport()

    def _pause_transport(self) -> None:
        if self._transport is not None:
            pause = self.reading_paused or self._framing.has_more
            (self._transport.pause_reading if pause else self._transport.resume_reading)()

    def write(self, frame: Frame) -> None:
        """Hand a frame to the transport of a socket that is :attr:`writable`."""
        framing, transport = self._framing, self._transport
        assert transport is not None  # noqa: S101 - it is writable
        framing.send(frame)
        for data in framing.bytes_to_send():
            transport.write(data)

    def probe(self) -> None:
        """Send a ping; whatever comes back counts as life."""
        self._framing.ping()
        self._flush()

    def loss(self) -> Loss:
        """Say what the end of this socket means, once it is :attr:`gone`."""
        return loss_of_end(self._framing.end(self._cause))

    async def close_politely(self) -> None:
        """Close with code 1000, and cut the connection where the peer does not answer."""
        self.writable = False
        self._framing.close()
        self._flush()
        try:
            if not self.gone:
                self._closed = self._loop.create_future()
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self._closed
        except TimeoutError:
            pass  # it is being thrown away; how it ends no longer matters
        finally:
            self.cut()

    def cut(self) -> None:
        """Drop the connection at once: the peer is dead, or there is no time."""
        self.writable = False
        if self._transport is not None:
            self._transport.abort()

    # --- for the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request to upgrade."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class
        self._transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return what the loop may read into."""
        if self._own is None:
            if not self._buffers.in_use:
                return self._buffers.shared
            self._own = self._buffers.take(SHARED_BYTES)
        return self._own[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Use up what the loop has read, all but the beginning of a message."""
        self.read_at = self._loop.time()
        own, buffers = self._own, self._buffers
        if own is not None:
            self._read(own, self._filled + nbytes)
            return
        buffers.in_use = True
        try:
            self._read(buffers.shared, nbytes)
        finally:
            buffers.in_use = False

    def eof_received(self) -> None:
        """The peer sends nothing any more: end our side too."""
        self._use_up()
        self.writable = False
        self._framing.end_of_stream()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits, of what has come first."""
        self._use_up()
        self.gone, self.writable = True, False
        self._cause = self._cause or exc
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        self._framing.end_of_stream()
        self._drop_own()
        self._refuse()
        self._fail_opening(exc or EOFError("it ended the connection before it had answered"))
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
        if self._on_change is not None:
            self._on_change()

    def pause_writing(self) -> None:
        """The transport has enough to send."""
        self.writable, self._framing.holds_pings = False, True

    def resume_writing(self) -> None:
        """Answer the newest ping, then let waiting frames leave."""
        self.writable = self._framing.is_open
        self._framing.answer_pings()
        self._flush()
        if self._on_change is not None:
            self._on_change()

    def _flush(self) -> None:
        """Send what the protocol wants to be sent."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        for data in self._framing.bytes_to_send():
            if data:
                transport.write(data)
            elif transport.can_write_eof():
                transport.write_eof()

    # --- reading

    def _read(self, view: memoryview, end: int) -> None:
        """Use up the first bytes of a buffer, and keep those of a message that is not whole."""
        framing = self._framing
        if self._head is not None:
            self._drop_own()
            self._read_answer(view[:end])
            return
        if not self._listens:  # somebody will, in the next turn of the loop
            self._keep(view, 0, end, end + SLACK_BYTES)
            self.pause_reading(end > SHARED_BYTES)
            return
        had_more = framing.has_more
        at, need = framing.read(view, end)
        if at < end or self._own is not None:
            self._keep(view, at, end, need)
        if framing.has_more or had_more:
            self._pause_transport()
            if framing.has_more:
                self._loop.call_soon(self._read_on)
        if framing.stirred:
            framing.stirred = False
            self._settle()
        if self._on_read is not None:
            self._on_read()

    def _read_on(self) -> None:
        """Use up more of what one read brought."""
        if self._own is not None and self._framing.has_more:
            self._read(self._own, self._filled)

    def _use_up(self) -> None:
        """Use up all that has come: the end is near, and is told behind it."""
        while self._own is not None and self._framing.has_more:
            self._read_on()

    def _settle(self) -> None:
        """See what followed from frames that are no plain messages."""
        framing = self._framing
        self.writable = self.writable and framing.is_open
        self._flush()
        if framing.held_pings > HELD_PINGS_MAX:
            said = f"the server sent {framing.held_pings} pings and read nothing of what was sent"
            self._cause = ConnectionAbortedError(said)
            self.cut()
        # The closing handshake is done, or somebody broke the rules: the peer ends the connection, or we do.
        if framing.is_closing and self._ending is None:
            self._ending = self._loop.call_later(CLOSE_TIMEOUT, self.cut)

    def _keep(self, view: memoryview, at: int, end: int, need: int) -> None:
        """Keep the beginning of a message, where there is room for all of it."""
        left, own = end - at, self._own
        if not left:
            self._drop_own()
        elif own is None or len(own) < need:
            new = self._buffers.take(max(need, left, SLACK_BYTES))
            new[:left] = view[at:end]
            self._drop_own()
            self._own = new
        elif at:
            own[:left] = bytes(view[at:end])
        self._filled = left

    def _drop_own(self) -> None:
        own, self._own, self._filled = self._own, None, 0
        if own is not None:
            self._buffers.give_back(own)

    # --- the handshake

    def _read_answer(self, data: memoryview) -> None:
        head = self._head
        assert head is not None  # noqa: S101 - asked for only before the socket is open
        head += data
        try:
            while self._answer is None:
                answer = read_answer(head)
                if answer is None:
                    return
                del head[: answer.size]
                if answer.status == 101:
                    self._framing.upgrade(answer)
                    self._head, self.writable = None, True
                    if self._opening is not None and not self._opening.done():
                        self._opening.set_result(None)
                    self._read(memoryview(head), len(head))
                    return
                if answer.status >= 200:  # those below announce the real one
                    self._answer = answer
                    self._ending = self._loop.call_later(BODY_TIMEOUT, self._refuse)
        except NotAnUpgrade as exc:
            self._fail_opening(exc)
            return
        if is_body_complete(self._answer, head):
            self._refuse()

    def _refuse(self) -> None:
        """Tell of a refusal, with as much of its explanation as has come."""
        answer, self._answer = self._answer, None
        if answer is not None:
            self._fail_opening(Refused(answer, body_in(answer, self._head or b"")))

    def _fail_opening(self, exc: Exception) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.set_exception(exc)
            self._opening.exception()  # where nobody waits any more, nobody needs to be told so
            self.cut()


def _held_by_the_kernel(transport: asyncio.Transport) -> int:
    """Return how many bytes of a connection the kernel still has to send; 0 where it does not say."""
    try:
        import fcntl
        import termios

        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (ImportError, AttributeError, OSError, ValueError):  # another system, or the connection has ended
        return 0
    return int.from_bytes(answer, sys.byteorder)
