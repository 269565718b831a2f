"""Where a stream's frames come from: one small class for each way of being asked.

A source says whether a frame may be had (``ready``), gives it (``take``), and lets go of what it holds (``close``),
so that a camera is released when its stream ends and not some time later.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from falrt.exceptions import ConfigurationError, FalrtError
from falrt.tasks import INTERRUPTS, begin
from falrt.threads import Worker

__all__ = ["Asked", "Live", "Pulled", "PulledAsync", "PulledInThread", "Source", "source_of"]

# How long the end of a stream waits for a generator that is busy in its thread; it is closed when it gets there.
CLOSE_PATIENCE: Final = 1.0
# Seconds for which a source may hold up the event loop in all, counted in steps that a person could notice.
BLOCKED_MAX: Final = 0.1
BLOCKED_STEP: Final = 0.01
_END: Final = object()

logger = logging.getLogger("falrt.connection")


class Source:
    """What a stream needs of its frames; as it stands, of a source that is only asked, and has a frame whenever it is.

    Attributes:
        skips: Whether frames may be left out for newer ones.
        dropped: How many were left out.
        ready: Whether a frame may be had.
    """

    skips = False
    dropped = 0
    ready = True

    @property
    def ended(self) -> bool:
        """Whether it is known that no frame will come any more, without asking."""
        return False

    def start(self) -> asyncio.Task[None] | None:
        """Begin; return what drains the source beside the stream, where something does."""
        return None

    async def take(self) -> tuple[Any, bool]:
        """Return the next frame, and whether there was one; without one the source is at its end.

        Raises:
            Exception: What the source raised.
        """
        raise NotImplementedError

    async def peek(self) -> tuple[Any, bool]:
        """Return what :meth:`take` would return, and leave it there; asked where inputs may be left out."""
        return None, True

    async def close(self) -> None:
        """Let go of the source.

        Raises:
            Exception: What its own clean-up raised.
        """


def source_of(inputs: Any, *, every: bool, ring: Callable[[], None], offered: Callable[[], None]) -> Source:
    """Return the source that inputs are.

    Args:
        inputs: As given to ``stream()``.
        every: Skip nothing, though the inputs are live.
        ring: Called when a live source has something new.
        offered: Called when a live source gave a frame.

    Raises:
        ConfigurationError: They are none.
    """
    if isinstance(inputs, AsyncIterable):
        return PulledAsync(inputs) if every else Live(inputs, ring, offered)
    if isinstance(inputs, list | tuple):
        return Pulled(inputs)
    # A single input is a mapping or a pydantic model, which can be iterated over too.
    single = isinstance(inputs, str | bytes | Mapping) or hasattr(type(inputs), "model_fields")
    if isinstance(inputs, Iterable) and not single:
        return PulledInThread(inputs)
    if callable(inputs) and not isinstance(inputs, type):
        return Asked(inputs)
    raise ConfigurationError(
        f"inputs must be an async iterable, an iterable or a function of no arguments, got {type(inputs).__name__}"
    )


class Live(Source):
    """Produces by itself: drained as it does, into a slot of one."""

    skips = True

    def __init__(
        self, inputs: AsyncIterable[Any], ring: Callable[[], None], offered: Callable[[], None]
    ) -> None:
        self.dropped = 0
        self._inputs = inputs
        self._ring, self._offered = ring, offered
        self._frame: Any = None
        self.ready = False
        self._task: asyncio.Task[None] | None = None
        # What the source raised, until it is told.
        self._error: BaseException | None = None
        self._watch = BlockingWatch(inputs)

    @property
    def ended(self) -> bool:
        """Whether the last frame was taken."""
        return not self.ready and self._task is not None and self._task.done()

    def start(self) -> asyncio.Task[None] | None:
        """Begin to drain."""
        self._task = begin(self._drain(), name="falrt stream source")
        self._task.add_done_callback(lambda task: self._ring())
        return self._task

    async def take(self) -> tuple[Any, bool]:
        """Return the newest frame."""
        self._raise()
        frame, more = self._frame, self.ready
        self._frame, self.ready = None, False
        if not more and self._task is not None and self._task.cancelled():
            raise source_cancelled(self._inputs)
        return frame, more

    async def peek(self) -> tuple[Any, bool]:
        """Return the newest frame, and leave it there."""
        return self._frame, self.ready

    async def close(self) -> None:
        """Stop draining."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def _drain(self) -> None:
        try:
            iterator = aiter(self._inputs)
            try:
                while (frame := await self._watch.turn(anext(iterator, _END))) is not _END:
                    self.dropped += self.ready
                    self._frame, self.ready = frame, True
                    self._offered()
                    self._ring()
                    await self._watch.breathe()
            finally:
                await _close_async(iterator, self._inputs)
        except (asyncio.CancelledError, *INTERRUPTS):
            raise
        except BaseException as exc:
            self._error = exc


class Asked(Source):
    """A function of no arguments, sync or async; None, ``StopIteration`` or ``StopAsyncIteration`` is the end."""

    skips = True

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._watch = BlockingWatch(function)
        # What it gave when it was asked ahead, and whether that was the end.
        self._ahead: Any = None
        self._over = False

    async def take(self) -> tuple[Any, bool]:
        """Ask the function, on the event loop."""
        frame, more = await self.peek()
        self._ahead = None
        return frame, more

    async def peek(self) -> tuple[Any, bool]:
        """Ask the function ahead."""
        if self._ahead is None and not self._over:
            self._ahead = await self._watch.turn(self._ask())
            self._over = self._ahead is None
        return self._ahead, not self._over

    async def _ask(self) -> Any:
        try:
            frame = self._function()
            return await frame if inspect.isawaitable(frame) else frame
        except (StopIteration, StopAsyncIteration):
            return None


class Pulled(Source):
    """A list or tuple: pulled on the event loop, and nothing is skipped."""

    def __init__(self, inputs: Iterable[Any]) -> None:
        self._iterator = iter(inputs)

    async def take(self) -> tuple[Any, bool]:
        """Return the next item."""
        frame = next(self._iterator, _END)
        return (None, False) if frame is _END else (frame, True)


class PulledAsync(Source):
    """An async iterable of which nothing may be skipped."""

    def __init__(self, inputs: AsyncIterable[Any]) -> None:
        self._inputs, self._iterator = inputs, aiter(inputs)
        self._watch = BlockingWatch(inputs)

    async def take(self) -> tuple[Any, bool]:
        """Wait for the next item."""
        frame = await self._watch.turn(anext(self._iterator, _END))
        return (None, False) if frame is _END else (frame, True)

    async def close(self) -> None:
        """Close a generator."""
        await _close_async(self._iterator, self._inputs)


class PulledInThread(Source):
    """Any other iterable: reading a video file may take a while, so it is pulled in a thread."""

    def __init__(self, inputs: Iterable[Any]) -> None:
        self._inputs = inputs
        self._iterator: Iterator[Any] | None = None
        self._worker = Worker()

    async def take(self) -> tuple[Any, bool]:
        """Pull the next item."""
        frame = await self._worker.run(self._pull)
        return (None, False) if frame is _END else (frame, True)

    def _pull(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._inputs)
        return next(self._iterator, _END)

    async def close(self) -> None:
        """Close a generator, in its own thread: it may be at work there."""
        try:
            async with asyncio.timeout(CLOSE_PATIENCE):
                await self._worker.run(self._close_iterator)
        except TimeoutError:
            pass  # it is busy, such as with a camera that gives nothing; the thread closes it when it comes back
        finally:
            self._worker.close()

    def _close_iterator(self) -> None:
        if inspect.isgenerator(self._iterator) or self._iterator is not self._inputs:
            close = getattr(self._iterator, "close", None)
            if callable(close):
                close()


class BlockingWatch:
    """Sees to it that a source which does not wait leaves the event loop its turns, and warns, once, where it is slow.

    The usual first camera is such a one: ``while True: yield cap.read()`` in an async generator never waits.
    """

    __slots__ = ("_blocked", "_source", "_turned", "_warned")

    def __init__(self, source: object) -> None:
        self._source = source
        self._blocked = 0.0
        self._warned = False
        # Whether the loop has had a turn since the source was asked.
        self._turned = False

    async def turn(self, step: Awaitable[Any]) -> Any:
        """Wait for one step of the source, and note whether the loop was held up meanwhile."""
        self._turned = False
        turning = asyncio.get_running_loop().call_soon(self._turn)
        began = time.perf_counter()
        try:
            return await step
        finally:
            turning.cancel()
            if not self._turned:
                self._note(time.perf_counter() - began)

    async def breathe(self) -> None:
        """Give the loop a turn, unless it has just had one."""
        if not self._turned:
            await asyncio.sleep(0)

    def _turn(self) -> None:
        self._turned = True

    def _note(self, seconds: float) -> None:
        if seconds >= BLOCKED_STEP:
            self._blocked += seconds
        if self._blocked >= BLOCKED_MAX and not self._warned:
            self._warned = True
            logger.warning(
                "%s blocks the event loop, for %.0f ms at the last input: read the camera or file in a thread, "
                "such as frame = await asyncio.to_thread(read)",
                name_of(self._source),
                seconds * 1000,
            )


def name_of(source: object) -> str:
    """Return what a source is called where it was written."""
    return str(getattr(source, "__qualname__", type(source).__qualname__))


def source_cancelled(source: object) -> FalrtError:
    """Return the error of a source that a cancellation ended which was not the stream's."""
    return FalrtError(f"the source {name_of(source)} was cancelled: it gave no last input")


async def _close_async(iterator: AsyncIterator[Any], inputs: object) -> None:
    """Close a generator, or an iterator that was made for us; an object of the user's own stays theirs."""
    if inspect.isasyncgen(iterator) or iterator is not inputs:
        close = getattr(iterator, "aclose", None)
        if callable(close):
            closing = close()
            if inspect.isawaitable(closing):
                await closing
