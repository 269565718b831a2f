"""The one loop behind ``demo`` and ``stream``: frames into a connection, answers to the screen and the sinks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from falrt.cli.frames import Source, captured_at, live_frames, waiting_frames
from falrt.cli.record import Record, Shot
from falrt.cli.screen import Screen
from falrt.cli.shared import plain_console
from falrt.cli.targets import writing
from falrt.tasks import completed

if TYPE_CHECKING:
    from PIL.Image import Image

    from falrt.cli.choices import Choice
    from falrt.cli.sinks import Sink
    from falrt.cli.window import Window
    from falrt.connection.connection import RealtimeConnection
    from falrt.connection.stream import Reply

__all__ = ["Show"]

_SILENCE_SECONDS = 1.5
_LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """What to stream, and until when.

    Attributes:
        source: Frames.
        choice: The model.
        prompt: Asked for each frame; gets the seconds since the beginning.
        frames: Stop after so many answers; None: no limit.
        seconds: Stop this long after the beginning, or, where the model took longer than that to start, after the
            first answer; None: no limit.
        gate: Send only frames that changed by this share, 0 to 1; None: all.
        record: Filled as answers come; holds what there was, however this ends.
        sinks: Where pictures go.
        screen: Where progress goes.
        window: Also shows every picture; closing it ends the stream.
        options: For ``falrt.connect``.
    """

    source: Source
    choice: Choice
    prompt: Callable[[float], str]
    frames: int | None = None
    seconds: float | None = None
    gate: float | None = None
    record: Record = field(default_factory=Record)
    sinks: Sequence[Sink] = ()
    screen: Screen = field(default_factory=lambda: Screen(plain_console(quiet=True)))
    window: Window | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    async def run(self) -> None:
        """Stream until the source ends, a limit is reached or the task is cancelled; then close the sinks.

        Raises:
            FalrtError: The connection failed for good, or a sink cannot write.
        """
        import falrt

        self.record.began_at = time.monotonic()
        try:
            self.screen.waiting("connecting ...")

            def problem(error: Exception) -> None:
                # What ends the connection is raised as well, and told where that is caught.
                if connection.state is not falrt.State.CLOSED:
                    self.screen.problem(error)

            connection = falrt.connect(self.choice.model, on_error=problem, **self.options)
            async with connection:
                changed = None if self.gate is None else falrt.media.Changed(self.gate)
                stream = connection.stream(self._inputs(), gate=changed)
                limit = asyncio.timeout(None)
                try:
                    async with contextlib.aclosing(stream), limit:
                        watcher = asyncio.create_task(self._watch(connection, limit))
                        try:
                            await self._consume(connection, stream, limit)
                        finally:
                            watcher.cancel()
                            self._read_stats(connection)
                except TimeoutError:
                    # The time is up. Any other timeout, such as one of the source, is a failure.
                    if not limit.expired():
                        raise
        finally:
            async with contextlib.AsyncExitStack() as closing:
                # Every one of them, though another fails.
                for sink in reversed(self.sinks):
                    closing.push_async_callback(_close, sink)

    async def _consume(
        self,
        connection: RealtimeConnection[Any, Any],
        stream: AsyncIterator[Reply[Any, Any]],
        limit: asyncio.Timeout,
    ) -> None:
        async for reply in stream:
            shot = self._shot(reply)
            self.record.add(shot)
            if self.seconds is not None and limit.when() is None:
                # By the clock, as a gate may let nothing through for long. A model that takes longer than that to
                # start has its time all the same.
                left = self.seconds - shot.at if shot.at < self.seconds else self.seconds
                limit.reschedule(asyncio.get_running_loop().time() + left)
            self._read_stats(connection)
            # The thread goes on when this task is cancelled, and sinks must not be closed under it.
            keeping = asyncio.create_task(asyncio.to_thread(self._keep, shot))
            await completed(keeping, lambda: None)
            self.screen.update(self.record, shot)
            if self.window is not None:
                self.window.show(shot)
            if self._is_over(shot):
                return

    def _is_over(self, shot: Shot) -> bool:
        return (self.frames is not None and shot.number >= self.frames) or (
            self.window is not None and self.window.is_closed
        )

    async def _watch(self, connection: RealtimeConnection[Any, Any], limit: asyncio.Timeout) -> None:
        """Note reconnects, see to the window, and say what is waited for when no picture has come for a while."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._read_stats(connection)
            newest_at = self.record.at[-1] if self.record.count else 0.0
            if self.record.seconds - newest_at > _SILENCE_SECONDS:
                self.screen.waiting(f"{connection.app}: {connection.state}, no picture for a while")
            if self.window is not None:
                self.window.refresh()
                if self.window.is_closed and not limit.expired():
                    limit.reschedule(0)  # at once
                    return

    def _inputs(self) -> Any:
        if self.source.live:
            return self._live_inputs()
        return (self._input(frame) for frame in waiting_frames(self.source))

    async def _live_inputs(self) -> AsyncGenerator[Any, None]:
        async with contextlib.aclosing(live_frames(self.source)) as frames:
            async for frame in frames:
                yield self._input(frame)

    def _input(self, frame: Image) -> Any:
        self.screen.once(self.choice.done_to(frame))
        return self.choice.build(frame, self.prompt(self.record.seconds))

    def _shot(self, reply: Reply[Any, Any]) -> Shot:
        now = time.monotonic()
        frame = self.choice.frame_of(reply.input)
        return Shot(
            number=self.record.count + 1,
            at=now - self.record.began_at,
            age=now - captured_at(frame),
            latency=reply.latency,
            inference_time=reply.inference_time
            or (getattr(reply.output, "timings", None) or {}).get("inference"),
            dropped=reply.dropped,
            prompt=reply.input.prompt,
            frame=frame,
            pictures=tuple(image.bytes() for image in reply.output.images),
        )

    def _read_stats(self, connection: RealtimeConnection[Any, Any]) -> None:
        stats, record = connection.stats, self.record
        record.open_seconds = stats.open_seconds
        record.bytes_sent, record.bytes_received = stats.bytes_sent, stats.bytes_received
        while len(record.reconnects) < stats.reconnects:
            record.reconnects.append(record.seconds)

    def _keep(self, shot: Shot) -> None:
        for sink in self.sinks:
            with writing(sink.path):
                sink.add(shot)


async def _close(sink: Sink) -> None:
    with writing(sink.path):
        await asyncio.shield(asyncio.to_thread(sink.close))
