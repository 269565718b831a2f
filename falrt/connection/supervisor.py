"""Supervisor: the life of one logical connection's sockets, and everything that happens in its time.

One task (:meth:`Supervisor._run`) opens a socket, reads it until it is lost, and begins again; it alone declares a
socket lost. One timer serves every deadline. Writing never waits: a frame is handed to the transport by whoever made
it due, and a full transport calls back when it has emptied. All decisions are the protocol's; what happens next is
always :meth:`Supervisor.react`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Any

from falrt.connection.delivery import Delivery, bytes_in_words
from falrt.connection.reader import Reader
from falrt.protocol.events import CLOSED
from falrt.protocol.inputs import Input
from falrt.protocol.loss import Cause, Loss, Verdict, verdict_on
from falrt.protocol.realtime import RealtimeProtocol
from falrt.tasks import INTERRUPTS, begin, settle

if TYPE_CHECKING:
    from falrt.connection.opening import Opening
    from falrt.connection.translation import Translation
    from falrt.connection.transport import Socket

__all__ = ["Supervisor"]

logger = logging.getLogger("falrt.connection")


class Supervisor:
    """Does for a protocol what it cannot do itself: sockets, waiting and the clock. Belongs to one event loop.

    The delivery is told every event, in order, and the bytes of the frame that brought it.

    Attributes:
        loop: The event loop.
        on_turn: Called after anything happened, for a stream that waits for its slot.
        socket: The present one.
        task: What supervises.
    """

    __slots__ = (
        "_alarm", "_alive_at", "_delivery", "_farewells", "_hurried", "_opening", "_queueing", "_reader",
        "_timer", "_timer_at", "_translation", "_unwritten", "_watchers", "loop", "on_turn", "protocol", "socket",
        "task",
    )  # fmt: skip

    def __init__(
        self,
        translation: Translation[Any, Any],
        opening: Opening,
        protocol: RealtimeProtocol,
        delivery: Delivery,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.protocol = protocol
        self._translation, self._opening, self._delivery = translation, opening, delivery
        self.on_turn: Callable[[], None] | None = None
        self.socket: Socket | None = None
        self._reader: Reader | None = None
        # Bytes that the transport still had to send when the timer last looked, and when it last saw that the line
        # lives although nothing came.
        self._unwritten, self._alive_at = 0, 0.0
        # The timer, and the instant for which it is set, which uvloop's handles do not always tell.
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0
        # The alarm clock of the task, while it has no socket.
        self._alarm: asyncio.Future[None] | None = None
        # Those who wait for some state of the connection: open, room, quiet, flushed.
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        # Whose turn it is to be queued; made with the first that has to wait.
        self._queueing: asyncio.Lock | None = None
        # A closer was cancelled: lines are cut instead of closed.
        self._hurried = False
        # What is about to end: polite closings of sockets that are no longer used, tasks of streams that were left.
        # Made with the first.
        self._farewells: dict[asyncio.Task[None], Socket | None] | None = None
        self.task = begin(self._run(), name=f"falrt {opening.app}")

    # --- what others ask for

    def submit(self, input: Input, now: float) -> None:
        """Offer an input, at this instant; it leaves at once if it may.

        Raises:
            FalrtError: As :meth:`RealtimeProtocol.submit`.
        """
        self.protocol.submit(input, now)
        self._pump(now)
        if input.sent_at is None or self._watchers or self.on_turn is not None:
            self.react(now)
        else:  # it has left, and nobody else was waiting for anything
            self.arm(now)

    def abandon(self, input: Input) -> None:
        """The input's caller does not wait any more."""
        self.protocol.abandon(input)
        self.react()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds that only a turn of the protocol can bring about."""
        if condition():
            return
        future: asyncio.Future[None] = self.loop.create_future()
        entry = (condition, future)
        self._watchers.append(entry)
        try:
            await future
        finally:
            if entry in self._watchers:
                self._watchers.remove(entry)

    async def room_for(self, input: Input) -> None:
        """Wait until an input may be queued, behind those that came before."""
        lane, size, protocol = input.lane, len(input.frame), self.protocol
        # One at a time: where each of a thousand that wait looked at every answer, they would look a million times.
        self._queueing = queueing = self._queueing or asyncio.Lock()
        async with queueing:
            await self.until(lambda: lane.has_room_for(size) or protocol.state is CLOSED)

    def look(self) -> None:
        """Let those look again who wait for a condition."""
        for entry in [entry for entry in self._watchers if entry[0]()]:
            self._watchers.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)

    def see_off(self, task: asyncio.Task[None], socket: Socket | None = None) -> None:
        """Remember a task that is about to end: closing waits for it."""
        if not task.done():
            self._farewells = self._farewells or {}
            self._farewells[task] = socket
            task.add_done_callback(self._farewells.pop)

    def close(self) -> None:
        """End the connection on the user's wish; whoever waits hears of it."""
        self.protocol.close(self.loop.time())
        self.react()

    async def settled(self, apart: Set[asyncio.Task[None]]) -> None:
        """Wait until nothing runs any more, some tasks apart; the task itself has ended before."""
        await settle(set(self._farewells or ()) - apart)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def cut(self) -> None:
        """There is no time for politeness any more: drop the lines."""
        if self._hurried:
            return
        self._hurried = True
        if self.socket is not None:
            self.socket.cut()
        for farewell, socket in (self._farewells or {}).items():
            if socket is not None:
                socket.cut()  # the farewell itself may not have begun
            farewell.cancel()

    # --- the life of the sockets

    async def _run(self) -> None:
        """Open a socket, read it until it is lost, begin again; until the protocol says that it is over."""
        protocol = self.protocol
        self._opening.begin()
        try:
            while protocol.state is not CLOSED:
                if not protocol.connecting(self.loop.time()):
                    await self._sleep()
                    continue
                loss = await self._live()
                if verdict_on(loss) is Verdict.RENEW:
                    self._opening.refused()
                self._lost(loss)
        except (asyncio.CancelledError, *INTERRUPTS):
            # By close(), after the end; else the loop is ending, or somebody cancels all tasks: nobody must wait on.
            if protocol.state is not CLOSED:
                self._lost(Loss(Cause.SETUP, reason="the task of the connection was cancelled"))
                await asyncio.sleep(0)  # in which the transport closes its socket
            raise
        except BaseException as exc:
            # A mistake of ours, or a panic in a function of the user's: whoever waits must hear of it.
            logger.exception("%s: the connection ends by an unexpected error", self._opening.app)
            error = exc if isinstance(exc, Exception) else None
            self._lost(Loss(Cause.SETUP, reason=f"unexpected {type(exc).__name__}", error=error))
        finally:
            self._opening.end()

    def _lost(self, loss: Loss) -> None:
        self.protocol.lost(loss, self.loop.time())
        self.react()

    async def _sleep(self) -> None:
        self.arm(self.loop.time())
        self._alarm = self.loop.create_future()
        try:
            await self._alarm
        finally:
            self._alarm = None

    async def _live(self) -> Loss:
        """The life of one socket, from its opening to its loss."""
        protocol, opening = self.protocol, self._opening
        self.react()
        try:
            socket = await opening.open()
        except Exception as exc:
            return opening.loss_of_opening(exc)
        self.socket = socket
        self._reader = reader = Reader(socket, protocol, self._translation, self)
        protocol.opened(self.loop.time())
        self.deliver()
        polite = False
        try:
            self.react()
            reader.start()
            while (loss := reader.loss()) is None:
                await reader.turn()
            polite = loss.cause is not Cause.SILENCE
            return loss
        finally:
            self.socket = self._reader = None
            socket.ignore()
            # Cancelled by anybody but close(), the loop is ending and waits for no farewell.
            if (polite or protocol.state is CLOSED) and not self._hurried:
                farewell = begin(socket.close_politely(), name=f"falrt closing {opening.app}")
                self.see_off(farewell, socket)
            else:
                socket.cut()

    async def has_room(self) -> None:
        """Wait until a result that comes next can be kept, or until there is nobody to hold up."""
        if not self._delivery.has_room():
            await self.until(lambda: self._delivery.has_room() or self.socket is None or self.socket.gone)

    # --- after anything happened

    def deliver(self, size_bytes: int = 0) -> None:
        """Tell what happened; ``size_bytes`` are those of the frame that has come, if one has."""
        events = self.protocol.events
        while events:
            self._delivery.tell(events.pop(0), size_bytes)

    def react(self, now: float | None = None) -> None:
        """Do what follows from the protocol's new state: send what is due, tell people, set the timer.

        Args:
            now: The instant; read if not given.
        """
        protocol = self.protocol
        now = self.loop.time() if now is None else now
        self._pump(now)
        if protocol.events:
            self.deliver()
        if self._watchers:
            self.look()
        if self.on_turn is not None:
            self.on_turn()
        if protocol.socket.leaving is not None and self._reader is not None:
            self._reader.ring()
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)
        if protocol.ending is not None and protocol.state is CLOSED:
            self._delivery.wake()
        self.arm(now)

    def _pump(self, now: float) -> None:
        """Write everything that may leave, as long as the transport takes it."""
        socket, protocol = self.socket, self.protocol
        if socket is None:
            return
        while socket.writable and (item := protocol.take_due(now)) is not None:
            socket.write(item.frame)
            if logger.isEnabledFor(logging.DEBUG):
                size = bytes_in_words(len(item.frame)) + (" again" if item.sends > 1 else "")
                logger.debug("%s: > #%d input %s", self._opening.app, item.number, size)

    def arm(self, now: float) -> None:
        """Set the one timer to the next deadline; an earlier timer is left alone, for it will set itself anew."""
        socket, timer = self.socket, self._timer
        # What a full socket holds up waits for room, not for time: it will say so, and a timer would spin.
        writable = socket is None or socket.writable
        deadline = self.protocol.next_deadline(now, writable=writable)
        if timer is not None:
            if deadline is not None and self._timer_at <= deadline:
                return
            timer.cancel()
            self._timer = None
        if deadline is not None and self.protocol.state is not CLOSED:
            self._timer_at = deadline
            self._timer = self.loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        try:
            self._tick()
        except Exception as exc:  # the loop would only log it, and no deadline would ever come again
            if self._reader is not None:
                self._reader.fail(exc)
            elif self._alarm is not None and not self._alarm.done():
                self._alarm.set_exception(exc)
            else:
                raise

    def _tick(self) -> None:
        # The loop's clock may be a hair behind the instant that was asked for: that must not read as "not yet".
        now = max(self._timer_at, self.loop.time())
        socket, heard_at = self.socket, -math.inf
        if socket is not None:
            # Where we ourselves have stopped reading, or are still sending what goes before a ping, silence says
            # nothing about the peer.
            unwritten, self._unwritten = self._unwritten, socket.unwritten
            if self._unwritten < unwritten or (socket.reading_paused and not socket.gone):
                self._alive_at = now
            heard_at = max(self._alive_at, socket.heard_at)
        if self.protocol.tick(now, heard_at) and socket is not None:
            socket.probe()
        self.react(now)
