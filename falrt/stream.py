"""A live stream over one connection: frames in at the model's own pace, the freshest answers out.

One task (:meth:`Stream._drive`) asks the protocol when a frame can leave, takes the newest one from the source at
that very moment, encodes it and submits it. A live source is drained beside it into a slot of one, so that nothing
piles up; any other source is only asked when its frame can leave.

Answers wait in a slot of one as well where inputs may be skipped: a consumer that is slower than the model sees the
newest picture too. Where nothing may be skipped, the stream waits for its consumer.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias

from falrt.exceptions import ConfigurationError, ConnectionClosedOK, DecodeError, ServerError
from falrt.protocol.events import Answered, State
from falrt.protocol.in_flight import Input, Kind
from falrt.protocol.pacing import Adaptive, Immediate, Pacing
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.connection import RealtimeConnection
    from falrt.link import Link

__all__ = ["Inputs", "Reply", "Stream", "reply_to"]

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


@dataclass(frozen=True, slots=True)
class Reply(Generic[InputT, OutputT]):
    """An answer and what belongs to it.

    Attributes:
        input: As it was given to the stream.
        output: The result, in the model's output type.
        request_id: The id that the answer carried, or None.
        latency: Seconds from send to receive.
        inference_time: Seconds the model took, where the server told; else None.
        dropped: Inputs skipped since the last reply.
        certain: The pairing is proven, not inferred.
    """

    input: InputT
    output: OutputT
    request_id: str | None
    latency: float
    inference_time: float | None
    dropped: int
    certain: bool


def reply_to(link: Link[InputT, OutputT], answered: Answered, dropped: int) -> Reply[InputT, OutputT]:
    """Build the reply of an answered input.

    Raises:
        ResponseValidationError: The result does not fit the output type.
    """
    message, item = answered.message, answered.input
    request_id = message.get("request_id") if type(message) is dict else None
    return Reply(
        input=item.value,
        output=link.load(message),
        request_id=request_id or None,
        latency=answered.latency,
        inference_time=item.inference_time,
        dropped=dropped,
        certain=answered.certain,
    )


class Stream(Generic[InputT, OutputT]):
    """One run of ``RealtimeConnection.stream``."""

    def __init__(
        self,
        connection: RealtimeConnection[InputT, OutputT],
        inputs: Inputs[InputT],
        pacing: Pacing | None,
        *,
        every: bool,
        gate: Callable[[Any, Any], bool] | None,
    ) -> None:
        own = connection._protocol_settings.pacing
        if pacing is None:
            pacing = Adaptive() if own == Immediate() else own
        source: object = inputs
        self._live = isinstance(source, AsyncIterable) and not every
        self._pulled = not self._live and not callable(source)
        if isinstance(source, str | bytes | dict) or not (
            isinstance(source, AsyncIterable | Iterable) or callable(source)
        ):
            raise ConfigurationError(
                f"inputs must be an async iterable, an iterable or a function of no arguments, "
                f"got {type(inputs).__name__}"
            )
        self._connection = connection
        self._inputs: Any = inputs
        self._gate = gate
        self._keeps_all = self._pulled
        self._pacing = pacing
        # What the connection's protocol knows of us; made when the stream begins.
        self._lane: Any = None
        # The newest frame of a live source, and whether there is one.
        self._frame: Any = None
        self._has_frame = False
        self._source_done = False
        # What the gate compares with: the newest frame that was sent.
        self._last_sent: Any = None
        self._ever_sent = False
        # A frame that the gate held back; it is sent when the source pauses or ends, if it differs at all.
        self._replies: list[Answered] = []
        self._skipped = 0
        self._skipped_seen = 0
        self._faults = 0
        # Why the stream ends; raised behind the replies that are there already.
        self._error: BaseException | None = None
        self._ended = False
        self._news = asyncio.Event()
        self._bell: asyncio.Future[None] | None = None
        self.tasks: list[asyncio.Task[None]] = []

    # --- the consumer's side

    async def replies(self) -> AsyncGenerator[Reply[InputT, OutputT], None]:
        """Run the stream and yield its replies."""
        connection = self._connection
        protocol, loop = connection._protocol, asyncio.get_running_loop()
        self._lane = protocol.add_lane(self._pacing, keeps_all=self._keeps_all)
        connection._stream = self
        try:
            if self._live:
                self.tasks.append(loop.create_task(self._drain(), name="falrt stream source"))
            self.tasks.append(loop.create_task(self._drive(), name="falrt stream"))
            while True:
                while self._replies:
                    answered = self._replies.pop(0)
                    self._ring()
                    yield reply_to(connection._link, answered, self._dropped_since())
                if self._error is not None:
                    if isinstance(self._error, ConnectionClosedOK):
                        return
                    raise self._error
                if self._ended:
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            connection._stream = None
            protocol.remove_lane(self._lane)
            await self.aclose()
            connection._react()

    async def aclose(self) -> None:
        """Stop the stream's tasks; its consumer, if it still waits, sees the end."""
        self._ended = True
        self._news.set()
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _dropped_since(self) -> int:
        total: int = self._skipped + self._lane.dropped
        dropped, self._skipped_seen = total - self._skipped_seen, total
        return dropped

    # --- the connection's side

    def wake(self) -> None:
        """Something happened on the connection: a slot may be free, or it may be over."""
        if self._connection._protocol.state is State.CLOSED and self._error is None:
            self._fail(self._connection._protocol.closed_error())
        self._ring()

    def answered(self, event: Answered) -> None:
        """An input of this stream was answered."""
        self._faults = 0
        if self._replies and not self._keeps_all:
            self._skipped += len(self._replies)
            self._replies.clear()
        self._replies.append(event)
        self._connection._newest = event
        self._news.set()

    def failed(self, error: Exception) -> None:
        """An input of this stream will get no answer."""
        if isinstance(error, ServerError | DecodeError):
            self._faults += 1
            if self._faults < FAULTS_IN_A_ROW_MAX and not self._keeps_all:
                self._skipped += 1
                self._connection._report(error)
                self._ring()
                return
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        self._news.set()

    def _ring(self) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    # --- the source's side

    async def _drain(self) -> None:
        """Take everything a live source produces; only the newest waits."""
        pacer, loop = self._lane.pacer, asyncio.get_running_loop()
        try:
            async for frame in self._inputs:
                if self._has_frame:
                    self._skipped += 1
                self._frame, self._has_frame = frame, True
                pacer.offered(loop.time())
                self._ring()
        except Exception as exc:
            self._fail(exc)
        finally:
            self._source_done = True
            self._ring()
            await _close_source(self._inputs)

    async def _drive(self) -> None:
        """Send a frame whenever one can leave; end when the source has ended and its last frame is answered."""
        try:
            take = self._live_frame if self._live else self._asker()
            while self._error is None:
                await self._until_slot()
                frame, more = await take()
                if not more:
                    break
                if frame is not _NOTHING:
                    await self._submit(frame)
            await self._until_quiet()
        except Exception as exc:
            self._fail(exc)
        finally:
            if not self._live:
                await _close_source(self._inputs)
            self._ended = True
            self._news.set()

    async def _submit(self, frame: Any) -> None:
        loop = asyncio.get_running_loop()
        taken_at = loop.time()
        if not self._live:
            self._lane.pacer.offered(taken_at)
        item: Input = await self._connection._prepare(frame, Kind.STREAM)
        item.lane, item.tag, item.taken_at = self._lane, self, taken_at
        self._last_sent, self._ever_sent = frame, True
        self._connection._submit(item)

    async def _until_slot(self) -> None:
        """Return when a frame can leave: there is one, the model can take it, and the consumer keeps up."""
        connection, loop = self._connection, asyncio.get_running_loop()
        probe = "" if connection._link.echoes else None
        while True:
            now = loop.time()
            at: float | None = None
            if self._error is not None or (self._live and self._source_done and not self._has_frame):
                return
            if not (self._live and not self._has_frame) and not (
                self._keeps_all and len(self._replies) >= UNREAD_MAX
            ):
                at = connection._protocol.slot_at(self._lane, now, probe)
                if at is not None and at <= now:
                    return
                if connection._protocol.wanted(now):
                    connection._react()
            await self._wait_until(at)

    async def _wait_until(self, at: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._bell = bell = loop.create_future()
        timer = None if at is None else loop.call_at(at, self._ring)
        try:
            await bell
        finally:
            self._bell = None
            if timer is not None:
                timer.cancel()

    async def _until_quiet(self) -> None:
        """Wait until nothing of this stream is unanswered any more."""
        protocol, lane = self._connection._protocol, self._lane
        while self._error is None and (
            lane.waiting or any(i.lane is lane and i.outcome is None for i in protocol.in_flight.inputs)
        ):
            await self._wait_until(None)

    async def _live_frame(self) -> tuple[Any, bool]:
        if not self._has_frame:
            return None, False
        frame = self._frame
        self._frame, self._has_frame = None, False
        if self._gate is not None and self._ever_sent and not self._gate(self._last_sent, frame):
            self._skipped += 1
            return _NOTHING, True
        return frame, True

    def _asker(self) -> Callable[[], Awaitable[tuple[Any, bool]]]:
        """Return how to get the next frame of a source that is asked."""
        source = self._inputs
        if isinstance(source, AsyncIterable):
            iterator = aiter(source)
            return lambda: _next_async(iterator)
        if not callable(source):
            plain = iter(source)
            return lambda: _next_plain(plain, threaded=not isinstance(source, list | tuple))
        return lambda: _asked(source)


_NOTHING: Final = object()
_END: Final = object()


async def _next_async(iterator: Any) -> tuple[Any, bool]:
    try:
        return await anext(iterator), True
    except StopAsyncIteration:
        return None, False


async def _next_plain(iterator: Iterator[Any], *, threaded: bool) -> tuple[Any, bool]:
    """Pull from an iterator; reading a video file may take a while, so not on the event loop."""
    if threaded:
        from anyio.to_thread import run_sync

        frame = await run_sync(next, iterator, _END)
    else:
        frame = next(iterator, _END)
    return (None, False) if frame is _END else (frame, True)


async def _asked(source: Callable[[], Any]) -> tuple[Any, bool]:
    frame = source()
    if inspect.isawaitable(frame):
        frame = await frame
    return frame, frame is not None


async def _close_source(source: Any) -> None:
    """Let a generator run its ``finally``: a camera is released when the stream ends, not some time later."""
    if isinstance(source, AsyncGenerator):
        await source.aclose()
