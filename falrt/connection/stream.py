"""A live stream over one connection: frames in at the model's own pace, the freshest answers out.

One task (:meth:`Stream._drive`) asks the protocol when a frame can leave, takes the newest one from the source at
that very moment, encodes it and submits it. A live source is drained beside it into a slot of one, so that nothing
piles up; any other source is only asked when its frame can leave (``sources.py``).

Answers wait in a slot of one as well where inputs may be skipped: a consumer that is slower than the model sees the
newest picture too. Where nothing may be skipped, the stream waits for its consumer.

The consumer holds a ``Replies``, and the tasks never do: when the consumer drops it, as ``break``
does, the stream stops at that very moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias

from falrt.connection.gate import Gate
from falrt.connection.replies import Reply, reply_to
from falrt.connection.sources import Source, source_cancelled, source_of
from falrt.exceptions import (
    ConfigurationError,
    ConnectionClosedOK,
    DecodeError,
    ServerError,
)
from falrt.options import check_function, check_pacing, refuse_async
from falrt.protocol.events import CLOSED, Answered, Failed, State
from falrt.protocol.inputs import STREAM, Input, Outcome
from falrt.protocol.pacing.policies import Adaptive, Immediate, Pacing
from falrt.tasks import INTERRUPTS, begin, settle
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.connection.core import Core

__all__ = ["Inputs", "Reply", "Stream"]

Inputs: TypeAlias = (
    AsyncIterable[InputT]
    | Iterable[InputT]
    | Callable[[], InputT | None]
    | Callable[[], Awaitable[InputT | None]]
)
"""What a stream takes: live (async iterable), asked for (callable; None ends it) or pulled on demand (iterable)."""

# One bad frame does not end a stream; a model that fails every time does.
FAULTS_IN_A_ROW_MAX: Final = 3
# Answers that a consumer may be behind where nothing is skipped.
UNREAD_MAX: Final = 8
# How soon a function whose frame was held back by the gate is asked again: as often as a fast camera gives one.
ASK_AGAIN_INTERVAL: Final = 1 / 60


class Stream(Generic[InputT, OutputT]):
    """One run of ``RealtimeConnection.stream``."""

    def __init__(
        self,
        core: Core[InputT, OutputT],
        inputs: Inputs[InputT],
        pacing: Pacing | None,
        *,
        every: bool,
        gate: Callable[[Any, Any], bool] | None,
    ) -> None:
        own = core.settings.effective_pacing
        if pacing is None:
            pacing = Adaptive() if own == Immediate() else own
        check_pacing(pacing)
        check_function("gate", gate)
        if gate is not None:
            refuse_async("gate", gate)
        self._core = core
        self._supervisor = core.supervisor()
        self._loop = self._supervisor.loop
        self._inputs = inputs
        self._source: Source = source_of(inputs, every=every, ring=self._ring, offered=self._offered)
        if gate is not None and not self._source.skips:
            raise ConfigurationError(
                "gate skips inputs, but of an iterable, or with every=True, none is skipped: leave out one of the two"
            )
        self._gate = None if gate is None else Gate(gate)
        self._pacing = pacing
        # What the connection's protocol knows of us; made when the stream begins.
        self._lane: Any = None
        self.tasks: list[asyncio.Task[None]] = []
        # Answers that the consumer has not seen; at most one where inputs may be skipped.
        self._replies: list[Answered] = []
        # Inputs skipped by the consumer's slowness and by failures, and how many skipped ones were told.
        self._skipped = 0
        self._skipped_told = 0
        # The newest input submitted, and the newest failure that the stream went on after.
        self._last: Input | None = None
        self._last_fault: Exception | None = None
        self._faults = 0
        # Why the stream ends; raised behind the replies that are there already.
        self._error: BaseException | None = None
        # Nothing more will come.
        self._ended = False
        # The consumer has gone, or has been told the end.
        self._stopped = False
        self._news: asyncio.Future[None] | None = None
        self._bell: asyncio.Future[None] | None = None

    # --- the consumer's side

    async def next_reply(self) -> Reply[InputT, OutputT]:
        """Return the next reply; the first call begins the stream.

        Raises:
            StopAsyncIteration: The source has ended and its last input is answered, or the connection was closed.
        """
        if self._lane is None and not self._stopped:
            self._begin()
        while not self._replies and not self._over:
            self._news = self._loop.create_future()
            await self._news
        if self._replies and not self._stopped:
            answered = self._replies.pop(0)
            if not self._source.skips:  # there is room for another answer
                self._ring()
            return reply_to(self._core.translation, answered, self._dropped_since())
        error, self._error = self._error, None
        await self.aclose()
        if error is not None and not isinstance(error, ConnectionClosedOK):
            raise error
        raise StopAsyncIteration

    def _begin(self) -> None:
        core = self._core
        self._lane = self._supervisor.protocol.add_lane(self._pacing, keeps_all=not self._source.skips)
        core.stream = self
        self._supervisor.on_turn = self.wake
        inside = core.inside.context()
        draining = inside.run(self._source.start)
        if draining is not None:
            self.tasks.append(draining)
        driving = begin(self._drive(), name="falrt stream", context=inside)
        self.tasks.append(driving)

    @property
    def _over(self) -> bool:
        return self._ended or self._stopped or self._error is not None

    def stop(self) -> None:
        """End everything, without waiting for it; the connection waits when it closes."""
        if self._stopped:
            return
        self._stopped = True
        self._tell_news()
        if self._lane is None:
            return
        self._core.stream = self._supervisor.on_turn = None
        self._supervisor.protocol.remove_lane(self._lane, self.skipped)
        for task in self.tasks:
            task.cancel()
            self._supervisor.see_off(task)
        self._supervisor.react()

    async def aclose(self) -> None:
        """End everything and wait for it."""
        self.stop()
        await settle(task for task in self.tasks if task is not asyncio.current_task())

    def forgotten(self) -> None:
        """The consumer let go of the stream, perhaps in the garbage collector and in another thread."""
        if self._stopped or self._lane is None:
            return
        with contextlib.suppress(RuntimeError):  # no loop runs here, or ours has ended
            if asyncio.get_running_loop() is self._loop:
                self.stop()
                return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.stop)

    @property
    def skipped(self) -> int:
        """Inputs skipped beside those that the lane counts: by the source, the gate, the consumer, or a failure."""
        held_back = 0 if self._gate is None else self._gate.held_back
        return self._skipped + self._source.dropped + held_back

    def _dropped_since(self) -> int:
        total: int = self.skipped + self._lane.dropped
        dropped, self._skipped_told = total - self._skipped_told, total
        return dropped

    # --- the connection's side

    def wake(self) -> None:
        """Something happened on the connection: a slot may be free, or it may be over."""
        protocol = self._supervisor.protocol
        if protocol.ending is not None and protocol.state is CLOSED:
            self._fail(protocol.ending)
        self._ring()

    def _heard(self, event: Answered | Failed) -> None:
        """An input of this stream was answered, or will get no answer."""
        if isinstance(event, Failed):
            self._failed(event.error)
            return
        self._faults = 0
        if self._replies and self._source.skips:
            self._skipped += len(self._replies)
            self._replies.clear()
        self._replies.append(event)
        self._tell_news()

    def _failed(self, error: Exception) -> None:
        if isinstance(error, ServerError | DecodeError):
            self._faults += 1
            if self._faults < FAULTS_IN_A_ROW_MAX and self._source.skips:
                self._skipped += 1
                self._last_fault = error
                if self._gate is not None:
                    self._gate.forget()
                self._core.delivery.report(error)
                self._ring()
                return
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        self._tell_news()

    def _tell_news(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _ring(self) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def _offered(self) -> None:
        self._lane.pacer.offered(self._loop.time())

    # --- the source's side

    async def _drive(self) -> None:
        """Send a frame whenever one can leave; end when the source has ended and its last frame is answered."""
        try:
            while await self._until_slot():
                if not await self._send_next():
                    break
                await asyncio.sleep(0)  # nothing else gives the loop a turn, with a source that never waits
            await self._finish()
        except asyncio.CancelledError:
            if not self._stopped:  # by the source: our own cancellations come after the end
                self._fail(source_cancelled(self._inputs))
            raise
        except INTERRUPTS:
            raise
        except BaseException as exc:
            self._fail(exc)
        finally:
            await self._let_go()
            self._ended = True
            self._tell_news()

    async def _let_go(self) -> None:
        try:
            await self._source.close()
        except Exception as exc:
            if self._stopped:  # nobody iterates any more
                context = {"message": "falrt: a stream's source failed in its clean-up", "exception": exc}
                self._loop.call_exception_handler(context)
            else:
                self._fail(exc)

    async def _send_next(self) -> bool:
        """Send the next frame, unless the gate holds it back; False at the end of the source."""
        gate = self._gate
        if not (self._source.ready or self._source.ended):  # the gate's frame has waited long enough
            await self._send_held(gate.settled() if gate is not None else (None, False))
            return True
        frame, more = await self._source.take()
        if not more:
            return False
        now = self._loop.time()
        if gate is None or gate.admits(frame, now):
            await self._submit(frame)
            return True
        settles_at = gate.settles_at()
        if settles_at is not None and settles_at <= now:
            await self._send_held(gate.settled())
        elif not self._is_live:
            await self._wait_until(now + ASK_AGAIN_INTERVAL)
        return True

    async def _send_held(self, held: tuple[Any, bool]) -> None:
        frame, differs = held
        if differs:
            await self._submit(frame)

    async def _finish(self) -> None:
        """The source has ended: send what the gate still holds, and wait for the last answer."""
        if self._gate is not None and self._error is None:
            await self._send_held(self._gate.last())
        while self._error is None:
            if self._supervisor.protocol.pending(self._lane):
                await self._wait_until(None)
                continue
            if (
                self._last_fault is not None
                and self._last is not None
                and self._last.outcome is Outcome.FAILED
            ):
                self._fail(self._last_fault)  # nothing newer stands for it
            return

    @property
    def _is_live(self) -> bool:
        return len(self.tasks) > 1

    async def _submit(self, frame: Any) -> None:
        taken_at = self._loop.time()
        if not self._is_live:
            self._offered()
        core = self._core
        core.usable(frame)
        item = core.encoder.at_once(frame, STREAM, self._lane, taken_at)
        if item is None:
            item = await core.encoder.in_turn(frame, STREAM, self._lane, core.usable)
        item.waiter, item.taken_at = self._heard, taken_at
        self._last = item
        self._supervisor.submit(item, self._loop.time())

    async def _until_slot(self) -> bool:
        """Return when a frame can leave: there is one, the model can take it, and the consumer keeps up.

        Returns:
            False where the stream has failed.
        """
        probe = "" if self._core.translation.echoes else None
        while self._error is None:
            if self._source.ended:
                return True  # it needs no slot to say so
            now = self._loop.time()
            at = self._wants_at(now)
            if at is not None and at <= now:
                protocol = self._supervisor.protocol
                is_idle = protocol.state is State.IDLE
                if is_idle and await self._holds_back():
                    return True
                wanted = self._lane.wants
                at = protocol.want_slot(self._lane, probe, now)
                if at is not None and at <= now:
                    return True
                if is_idle:
                    self._supervisor.react()
                    continue
                if not wanted:
                    self._supervisor.arm(now)
            await self._wait_until(at)
        return False

    async def _holds_back(self) -> bool:
        """Whether the next frame, if there is one, is nothing to open a socket for."""
        if self._gate is None or not self._source.ready:
            return False
        frame, more = await self._source.peek()
        return not (more and self._gate.passes(frame))

    def _wants_at(self, now: float) -> float | None:
        """Return when there will be something to send; None: not before something happens."""
        if self._source.ready:
            behind = not self._source.skips and len(self._replies) >= UNREAD_MAX
            return None if behind else now
        return None if self._gate is None else self._gate.settles_at()

    async def _wait_until(self, at: float | None) -> None:
        self._bell = bell = self._loop.create_future()
        timer = None if at is None else self._loop.call_at(at, self._ring)
        try:
            await bell
        finally:
            self._bell = None
            if timer is not None:
                timer.cancel()
