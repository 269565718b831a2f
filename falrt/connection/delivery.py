"""Delivery: results and errors find the caller, the stream, the callback or the queue that waits for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from falrt.connection.callbacks import Callbacks, blame
from falrt.connection.inbox import Inbox
from falrt.exceptions import ConcurrencyError, FalrtError
from falrt.protocol.events import (
    CLOSED,
    Answered,
    Dropped,
    Ended,
    Event,
    Failed,
    Lost,
    Noticed,
    Opened,
    Problem,
    Pushed,
)
from falrt.protocol.inputs import REQUEST, SEND
from falrt.protocol.loss import Loss
from falrt.protocol.realtime import RealtimeProtocol
from falrt.tasks import INTERRUPTS

if TYPE_CHECKING:
    from falrt.connection.translation import Translation
    from falrt.options import ConnectionSettings

__all__ = ["Delivery", "bytes_in_words"]

logger = logging.getLogger("falrt.connection")

# Tries without an answer at which a person should hear of it.
WORRYING_TRIES: Final = 5


class Delivery:
    """Hands over what a protocol tells of one connection.

    Attributes:
        callbacks: Where ``on_result`` or ``on_error`` was given.
        inbox: What ``recv()`` takes.
        newest: The newest answer to a send or in a stream.
    """

    __slots__ = ("_protocol", "_receiving", "_settings", "_translation", "callbacks", "inbox", "newest")

    def __init__(
        self, translation: Translation[Any, Any], settings: ConnectionSettings, protocol: RealtimeProtocol
    ) -> None:
        self._translation, self._settings, self._protocol = translation, settings, protocol
        self._receiving = False
        self.callbacks: Callbacks | None = None
        self.inbox = Inbox()
        self.newest: Answered | None = None

    def start(self, returned: Callable[[], None]) -> None:
        """Begin to call the user's functions, if there are any.

        Args:
            returned: Called whenever one of them has returned.
        """
        settings = self._settings
        if settings.on_result is not None or settings.on_error is not None:
            self.callbacks = Callbacks(self._translation, settings, self.final_error, returned)

    # --- what happened

    def tell(self, event: Event, frame_size: int) -> None:
        """Hand over one event; a result counts with the size of its frame, in bytes."""
        if type(event) is Answered:
            input = event.input
            if input.kind is not REQUEST:
                self.newest = event
            if input.waiter is not None:
                input.waiter(event)
            elif input.kind is SEND:
                self._put(event.message, frame_size)
        else:
            self._tell_of(event, frame_size)
        if logger.isEnabledFor(logging.DEBUG):
            self._log(event, frame_size)
        on_event = self._settings.on_event
        if on_event is not None:
            try:
                on_event(event)
            except INTERRUPTS:
                raise
            except BaseException as exc:
                blame(on_event, exc)

    def _tell_of(self, event: Event, frame_size: int) -> None:
        match event:
            case Failed(input):
                if input.waiter is not None:
                    input.waiter(event)
            case Pushed(message):
                self._put(message, frame_size)
            case Problem(error) | Ended(error):
                self._put(error, 0)
            case Lost(loss, _, tries):
                self._log_loss(loss, worrying=tries == WORRYING_TRIES)

    def _log_loss(self, loss: Loss, *, worrying: bool) -> None:
        """Log a loss: louder where one followed the other without an answer in between."""
        level = logging.WARNING if worrying else logging.INFO
        more = f"; nothing was answered on the last {WORRYING_TRIES} sockets" if worrying else ""
        said = loss.error or loss.reason
        logger.log(
            level, "%s: %s (code %d) %s%s", self._translation.app, loss.cause.value, loss.code, said, more
        )

    def _log(self, event: Event, frame_size: int) -> None:
        """Log what happened, in kinds and sizes: what is in it is nobody's business but the user's."""
        match event:
            case Answered(input, _, certain, latency):
                sure = "" if certain else ", pairing inferred"
                text = (
                    f"< #{input.number} result {bytes_in_words(frame_size)} in {latency * 1000:.0f} ms{sure}"
                )
            case Pushed():
                text = f"< result {bytes_in_words(frame_size)}"
            case Failed(input, error):
                text = f"#{input.number} failed: {type(error).__name__}"
            case Dropped(input):
                text = f"#{input.number} dropped by the server"
            case Problem(error) | Ended(error):
                text = f"< {type(error).__name__}"
            case Noticed(notice):
                text = f"< notice {notice.action!r}"
            case Opened():
                text = "open"
            case Lost():
                return  # logged already, and louder
        logger.debug("%s: %s", self._translation.app, text)

    def report(self, error: Exception) -> None:
        """Tell of an error that a stream lived through."""
        if self.callbacks is not None and self._settings.on_error is not None:
            self.callbacks.inbox.put(error)
        else:
            logger.warning(
                "%s: the stream goes on after %s: %s", self._translation.app, type(error).__name__, error
            )

    def _put(self, item: Any, size_bytes: int) -> None:
        """Give a result or an error to the callbacks where there is one for it, else to recv()."""
        callbacks = self.callbacks
        inbox = self.inbox if callbacks is None or not callbacks.takes(item) else callbacks.inbox
        if inbox.full and self._protocol.settings.mode.pairs:
            # Waiting here would hold up the answers to requests: better to lose the oldest, and say so.
            inbox.discard_oldest()
        inbox.put(item, size_bytes)

    # --- whoever takes it

    async def next(self) -> Any:
        """Wait for the next thing to hand out.

        Raises:
            FalrtError: What every further call raises too: nothing more comes.
            ConcurrencyError: Another task waits here.
        """
        if self._receiving:
            raise ConcurrencyError("another task is waiting in recv() already: let one task receive")
        inbox = self.inbox
        self._receiving = True
        try:
            while not inbox:
                over = self._protocol.ending
                if over is not None:
                    raise over.with_traceback(None)  # told at every call: its traceback must not grow
                await inbox.wait()
        finally:
            self._receiving = False
        return inbox.next()

    def has_room(self) -> bool:
        """Whether what comes next can be kept until somebody takes it."""
        return not (self.inbox.full or (self.callbacks is not None and self.callbacks.inbox.full))

    def wake(self) -> None:
        """The connection has ended: whoever waits for a result is to hear of it."""
        self.inbox.wake()
        if self.callbacks is not None:
            self.callbacks.inbox.wake()

    def final_error(self) -> FalrtError | None:
        """Return why nothing more comes, or None while the connection lives."""
        return self._protocol.ending if self._protocol.state is CLOSED else None


def bytes_in_words(count: int) -> str:
    """Return a size as people read it, such as ``64 kB``."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
