"""A source of frames, and the two ways of reading one: at its own pace, or when a frame is asked for.

A source is a plain iterator of frames, read in a thread, and how it wants to be read: *live* sources go on
whether anybody looks or not, so the stream keeps their newest frame; the others wait, and the stream uses
every frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from falrt.threads import Worker

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Source", "captured_at", "live_frames", "waiting_frames"]

_CAPTURED_AT = "falrt_captured_at"
_PATIENCE = 1.0
"""Seconds that the end of a stream waits for a frame being made; a camera that gives none is left behind."""


@dataclass(frozen=True, slots=True)
class Source:
    """Frames to be had.

    Attributes:
        title: For people, such as ``"holiday.mp4"``.
        frames: Opens the source; the iterator is closed when the stream ends.
        fps: Frames per second at which a live reading goes on; 0 where the source itself sets the pace (a
            camera).
        live: It goes on by itself.
    """

    title: str
    frames: Callable[[], Iterator[Image]]
    fps: float
    live: bool

    def looped(self) -> Source:
        """Return the source going round for ever."""
        return replace(self, frames=lambda: _loop(self.frames))


def captured_at(frame: Image) -> float:
    """Return the `time.monotonic` at which a frame was taken."""
    stamp = frame.info[_CAPTURED_AT]
    assert isinstance(stamp, float)  # noqa: S101 - we wrote it; for the type checker
    return stamp


def waiting_frames(source: Source) -> Iterator[Image]:
    """Yield every frame, each stamped when it is asked for."""
    for frame in source.frames():
        yield _stamped(frame)


async def live_frames(source: Source) -> AsyncGenerator[Image, None]:
    """Yield frames at the source's own pace, each stamped when it was taken; read in a thread."""
    loop = asyncio.get_running_loop()
    frames = source.frames()
    worker = Worker()
    due = loop.time()
    try:
        while (frame := await worker.run(functools.partial(next, frames, None))) is not None:
            yield _stamped(frame)
            if source.fps:
                # Behind by more than a frame, a beat is left out rather than caught up with.
                due = max(due + 1 / source.fps, loop.time() - 1 / source.fps)
                await asyncio.sleep(due - loop.time())
    finally:
        try:
            # Closed in the thread that runs it, after the frame that it may be making.
            if isinstance(frames, Generator):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(worker.run(frames.close), _PATIENCE)
        finally:
            worker.close()  # also where the wait is cancelled


def _loop(frames: Callable[[], Iterator[Image]]) -> Iterator[Image]:
    while True:
        empty = True
        for frame in frames():
            empty = False
            yield frame
        if empty:
            return


def _stamped(frame: Image) -> Image:
    """Note the time in a frame; one that is shown again gets a copy, or both would have the later time."""
    if _CAPTURED_AT in frame.info:
        frame = frame.copy()
    frame.info[_CAPTURED_AT] = time.monotonic()
    return frame
