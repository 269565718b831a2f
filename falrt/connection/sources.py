"""Where a stream's frames come from: one small class for each way of being asked.

A source says whether a frame may be had (``ready``), gives it (``take``), and lets go of what it holds (``close``),
so that a camera is released when its stream ends and not some time later.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from falrt.exceptions import ConfigurationError
from falrt.tasks import begin
from falrt.threads import Worker

__all__ = ["Asked", "Live", "Pulled", "PulledAsync", "PulledInThread", "Source", "source_of"]

# How long the end of a stream waits for a generator that is busy in its thread; it is closed when it gets there.
CLOSE_PATIENCE: Final = 1.0
_END: Final = object()


class Source(Protocol):
    """What a stream needs of its frames."""

    @property
    def skips(self) -> bool:
        """Whether frames may be left out for newer ones."""
        ...

    @property
    def dropped(self) -> int:
        """How many were left out."""
        ...

    @property
    def ready(self) -> bool:
        """Whether a frame may be had."""
        ...

    @property
    def ended(self) -> bool:
        """Whether it is known that no frame will come any more, without asking."""
        ...

    def start(self) -> asyncio.Task[None] | None:
        """Begin; return what drains the source beside the stream, where something does."""
        ...

    async def take(self) -> tuple[Any, bool]:
        """Return the next frame, and whether there was one; without one the source is at its end.

        Raises:
            Exception: What the source raised.
        """
        ...

    async def close(self) -> None:
        """Let go of the source.

        Raises:
            Exception: What its own clean-up raised.
        """
        ...


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


class Live:
    """Produces by itself: drained as it does, into a slot of one."""

    skips = True

    def __init__(
        self, inputs: AsyncIterable[Any], ring: Callable[[], None], offered: Callable[[], None]
    ) -> None:
        self.dropped = 0
        self._inputs = inputs
        self._ring, self._offered = ring, offered
        self._frame: Any = None
        self._has_frame = False
        self._task: asyncio.Task[None] | None = None
        # What the source raised, until it is told.
        self._error: Exception | None = None

    @property
    def ready(self) -> bool:
        """Whether there is a frame."""
        return self._has_frame

    @property
    def ended(self) -> bool:
        """Whether the last frame was taken."""
        return not self._has_frame and self._task is not None and self._task.done()

    def start(self) -> asyncio.Task[None] | None:
        """Begin to drain."""
        self._task = begin(self._drain(), name="falrt stream source")
        self._task.add_done_callback(lambda task: self._ring())
        return self._task

    async def take(self) -> tuple[Any, bool]:
        """Return the newest frame."""
        self._raise()
        frame, more = self._frame, self._has_frame
        self._frame, self._has_frame = None, False
        return frame, more

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
                async for frame in iterator:
                    if self._has_frame:
                        self.dropped += 1
                    self._frame, self._has_frame = frame, True
                    self._offered()
                    self._ring()
            finally:
                await _close_async(iterator)
        except Exception as exc:
            self._error = exc


class _OnDemand:
    """What is asked has a frame whenever it is asked, and nothing runs beside the stream."""

    dropped = 0
    ready = True
    ended = False

    def start(self) -> None:
        """Nothing to begin."""

    async def close(self) -> None:
        """Nothing to let go of."""


class Asked(_OnDemand):
    """A function of no arguments, sync or async; None, or ``StopIteration``, is the end."""

    skips = True

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    async def take(self) -> tuple[Any, bool]:
        """Ask the function, on the event loop."""
        try:
            frame = self._function()
        except StopIteration:
            return None, False
        if inspect.isawaitable(frame):
            frame = await frame
        return frame, frame is not None


class Pulled(_OnDemand):
    """A list or tuple: pulled on the event loop, and nothing is skipped."""

    skips = False

    def __init__(self, inputs: Iterable[Any]) -> None:
        self._iterator = iter(inputs)

    async def take(self) -> tuple[Any, bool]:
        """Return the next item."""
        frame = next(self._iterator, _END)
        return (None, False) if frame is _END else (frame, True)


class PulledAsync(_OnDemand):
    """An async iterable of which nothing may be skipped."""

    skips = False

    def __init__(self, inputs: AsyncIterable[Any]) -> None:
        self._iterator = aiter(inputs)

    async def take(self) -> tuple[Any, bool]:
        """Wait for the next item."""
        try:
            return await anext(self._iterator), True
        except StopAsyncIteration:
            return None, False

    async def close(self) -> None:
        """Close a generator."""
        await _close_async(self._iterator)


class PulledInThread(_OnDemand):
    """Any other iterable: reading a video file may take a while, so it is pulled in a thread."""

    skips = False

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
        if inspect.isgenerator(self._iterator):
            self._iterator.close()


async def _close_async(iterator: AsyncIterator[Any]) -> None:
    """Let a generator run its ``finally``."""
    if inspect.isasyncgen(iterator):
        await iterator.aclose()
