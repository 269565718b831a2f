"""Reader: what one socket receives, decoded and told to the protocol. Made with the socket and thrown away with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final, Protocol

from falrt.exceptions import DecodeError
from falrt.protocol.loss import Loss
from falrt.protocol.realtime import RealtimeProtocol
from falrt.protocol.wire.messages import control_in
from falrt.typing import Frame

if TYPE_CHECKING:
    from falrt.connection.framing import Received
    from falrt.connection.translation import Translation
    from falrt.connection.transport import Socket

__all__ = ["Reader"]

# Messages that wait to be decoded before the server is held up.
UNREAD_MAX: Final = 16


class Owner(Protocol):
    """Who had the socket opened."""

    def deliver(self, size_bytes: int) -> None:
        """Tell what a message meant; called after each."""

    def react(self) -> None:
        """Do what follows; called after all that came together."""

    def look(self) -> None:
        """The socket has gone: let those look again who wait, in :meth:`has_room` too."""

    async def has_room(self) -> None:
        """Wait until a result that comes next can be kept, where the server can be held up for that."""


class Reader:
    """Reads one socket until it is lost or given up.

    Messages are processed in the turn of the loop in which they come. Only where a decoder may wait, or a slow
    consumer is to hold the server up, they are processed one after the other, in :meth:`turn`.
    """

    __slots__ = (
        "_at_once", "_bell", "_broken", "_loop", "_owner", "_protocol", "_socket", "_told", "_translation",
        "_unread", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        socket: Socket,
        protocol: RealtimeProtocol,
        translation: Translation[Any, Any],
        owner: Owner,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket, self._protocol, self._translation = socket, protocol, translation
        self._owner = owner
        # Messages were told to the protocol, and what follows was not done yet.
        self._told = False
        self._at_once = protocol.settings.mode.pairs and not translation.has_decoder
        # Messages that wait, made with the first, and the bell that wakes the one who processes them.
        self._unread: list[tuple[Frame, int]] | None = None
        self._bell: asyncio.Future[None] | None = None
        # What ends the waiting for a decoder or a consumer, when the socket is given up.
        self._waiting: asyncio.Timeout | None = None
        # A mistake of ours, met where nobody could be told.
        self._broken: Exception | None = None

    def start(self) -> None:
        """Begin to read."""
        self._socket.listen(self._arrived, self._changed, self._settle)

    def loss(self) -> Loss | None:
        """Return how the socket was lost, or why the protocol gives it up; None while it lives.

        Raises:
            Exception: A mistake of ours, or of a codec that breaks its promises.
        """
        if self._protocol.socket.leaving is not None or self._unread:
            return self._protocol.socket.leaving
        if self._broken is not None:
            raise self._broken
        return self._socket.loss() if self._socket.gone else None

    def turn(self) -> Awaitable[None]:
        """Return what to wait for before :meth:`loss` is asked again: a future where nothing is to be done meanwhile.

        Not a coroutine that waits for it: an idle connection would keep its frame.
        """
        if self._unread:
            return self._process(self._unread)
        self._bell = self._loop.create_future()
        return self._bell

    def fail(self, exc: Exception) -> None:
        """End the reading by an error that was met elsewhere."""
        self._broken = exc
        self.ring()

    def ring(self) -> None:
        """Look again; where a decoder or a consumer holds it up, only the end of the socket does."""
        if self._waiting is not None and self._protocol.socket.leaving is not None:
            self._waiting.reschedule(self._loop.time())
            self._waiting = None  # once: it may be expiring already
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def _changed(self) -> None:
        """The socket has room for more, or has gone."""
        if self._socket.gone:
            self.ring()
            self._owner.look()
        else:
            self._owner.react()

    def _arrived(self, frame: Received, size: int) -> None:
        if self._at_once:
            try:
                self._tell(self._decoded(frame), self._socket.read_at, size)
            except Exception as exc:  # the transport would swallow it
                self.fail(exc)
            return
        if self._unread is None:
            self._unread = []
        self._unread.append((frame if isinstance(frame, str) else bytes(frame), size))
        if len(self._unread) > UNREAD_MAX:
            self._socket.pause_reading(True)
        self.ring()

    async def _process(self, unread: list[tuple[Frame, int]]) -> None:
        """Process the oldest message that waits, unless the socket is given up meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as self._waiting:
                await self._decode(*unread.pop(0))
        self._waiting = None
        self._socket.pause_reading(len(unread) > UNREAD_MAX)

    async def _decode(self, frame: Frame, size: int) -> None:
        if self._translation.has_decoder and control_in(frame) is None:
            try:
                message = await self._translation.decode_by_hook(frame)
            except DecodeError as exc:
                message = exc
        else:
            message = self._decoded(frame)
        self._tell(message, self._loop.time(), size)
        self._told = False
        self._owner.react()
        if not self._protocol.settings.mode.pairs:
            await self._owner.has_room()

    def _decoded(self, frame: Received) -> Any:
        """Return a frame's message, or the error that says why it has none."""
        try:
            control = control_in(frame)
            return self._translation.decode(frame) if control is None else control
        except DecodeError as exc:
            return exc

    def _tell(self, message: Any, now: float, size: int) -> None:
        self._protocol.received(message, now, size)
        if self._protocol.events:
            self._owner.deliver(size)
        self._told = True

    def _settle(self) -> None:
        """Do what follows from all that came in one read."""
        if self._told:
            self._told = False
            try:
                self._owner.react()
            except Exception as exc:  # the transport would swallow it
                self.fail(exc)
