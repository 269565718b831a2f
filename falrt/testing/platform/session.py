"""One session of an app: the asyncio shell around the pure `Runner`, over any socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from falrt import tasks
from falrt.testing.platform.app import App, Instead, as_map, each, picture_answer, settled
from falrt.testing.platform.runner import (
    END_OF_INPUT,
    TEXT_FRAME_REASON,
    Answer,
    Close,
    Phase,
    Runner,
    RunnerStats,
)

if TYPE_CHECKING:
    from falrt.typing import Frame

__all__ = ["Conversation", "Session", "SessionPort"]


class Conversation(Protocol):
    """What goes on over one open WebSocket; a server starts it and tells it what arrives.

    Attributes:
        tasks: What it works with; a handler may take its time to clean up after `disconnected`.
    """

    tasks: list[asyncio.Task[None]]

    def start(self) -> None:
        """Begin: the socket is open."""
        ...

    def frames_received(self, frames: list[bytes | str]) -> None:
        """Take in what one read brought."""
        ...

    def disconnected(self) -> None:
        """The socket is gone: stop everything. May be called twice."""
        ...


class SessionPort(Protocol):
    """What a conversation needs of its socket; faults are played there. Nothing is raised where the client has gone."""

    async def send(self, frame: Frame) -> None:
        """Send one message: bytes in a binary frame, str in a text one; waits while the client takes none."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket."""
        ...

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent; where that is not known, for nothing."""
        return

    async def send_answer(self, output: Any, frame: Frame) -> None:
        """Send an answer.

        Args:
            output: What the handler gave.
            frame: The same, encoded; of a small picture where the output is an `Instead`.
        """
        await self.send(frame)

    def received(self, frame: Frame, message: Any, problem: Exception | None) -> bool:
        """Note an input, and say whether it reaches the app."""
        return True

    def changed(self, stats: RunnerStats) -> None:
        """Something happened."""
        ...


class Inputs:
    """What a streaming app iterates over: an iterator that holds nothing and so needs no closing."""

    def __init__(self, next_input: Callable[[], Awaitable[Any]]) -> None:
        self._next_input = next_input

    def __aiter__(self) -> Inputs:
        return self

    async def __anext__(self) -> Any:
        message = await self._next_input()
        if message is END_OF_INPUT:
            raise StopAsyncIteration
        return message


class Session:
    """Runs an app on one open socket.

    Args:
        app: What answers, and how.
        port: The socket, and whoever watches.
    """

    def __init__(self, app: App, port: SessionPort) -> None:
        self._app = app
        self._handler = app.new_handler()
        self._port = port
        self._codec = app.new_codec()
        self._loop = asyncio.get_running_loop()
        self.runner = Runner(app, self._loop.time())
        # Set when the worker or an app's iterator should ask for input again.
        self._input = asyncio.Event()
        # Set when the emitter may have something to send.
        self._output = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self.tasks: list[asyncio.Task[None]] = []
        # True after disconnected().
        self._is_cut_off = False

    def start(self) -> None:
        """Begin: the socket is open."""
        self.tasks = [
            tasks.begin(self._work(), name="falrt fake worker"),
            tasks.begin(self._emit(), name="falrt fake emitter"),
        ]
        self._wake()

    def frames_received(self, frames: list[bytes | str]) -> None:
        """Take in what one read brought."""
        now = self._loop.time()
        for frame in frames:
            if not self._is_over():
                self._receive(frame, now)
        self._wake()

    def disconnected(self) -> None:
        """The socket is gone: stop everything, but only once, so that a handler can clean up."""
        if self._is_cut_off:
            return
        self._is_cut_off = True
        self.runner.disconnected()
        self._wake()
        for task in self.tasks:
            task.cancel()

    # Reader.

    def _receive(self, frame: Frame, now: float) -> None:
        unary = self._app.mode == "unary"
        message, problem = self._decode(frame)
        if not self._port.received(frame, message, problem):
            return
        if unary and problem is not None:
            self.runner.failed(str(problem))
        else:
            # A streaming app decodes when it asks; that is when a bad frame hurts it.
            self.runner.received(message if unary else (message, problem), now)

    def _decode(self, frame: Frame) -> tuple[Any, Exception | None]:
        if isinstance(frame, str) and not self._app.takes_text:
            return None, ValueError(TEXT_FRAME_REASON)
        try:
            message = self._codec.decode(frame)
            return self._app.parse(message), None
        except Exception as exc:  # whatever a codec or an input type raises is the client's mistake here
            return None, exc

    # Worker.

    async def _work(self) -> None:
        try:
            if self._app.mode == "unary":
                await self._work_unary()
            else:
                await self._work_streaming()
        except Exception as exc:  # a handler may raise anything; the client gets its text
            self.runner.failed(str(exc))
        self._wake()

    async def _work_unary(self) -> None:
        while True:
            batch = self.runner.take(self._loop.time())
            if isinstance(batch, tuple):
                await asyncio.sleep(self._app.seconds(*batch))
                self._produce(await settled(self._handler(*batch)))
                self.runner.finished(self._loop.time())
                self._wake()
            elif self._is_over():
                return
            else:
                await self._wait_for_input()

    async def _work_streaming(self) -> None:
        inputs = Inputs(self._next_input)
        if self._app.mode == "client_streaming":
            await self._produce_paced(await settled(self._handler(inputs)))
        else:
            if self._app.mode == "bidi":
                outputs = each(self._handler(inputs))
            else:
                first = await self._next_input()
                if first is END_OF_INPUT:
                    return  # idle before the first input: the runner has said so
                outputs = each(self._handler(first))
            async with aclosing(outputs):
                async for output in outputs:
                    await self._produce_paced(await settled(output))
        self.runner.finished(self._loop.time())

    async def _next_input(self) -> Any:
        """Return the next input of a streaming app, or `END_OF_INPUT`."""
        while True:
            taken = self.runner.take(self._loop.time())
            if isinstance(taken, tuple):
                message, problem = taken[0]
                if problem is not None:
                    raise problem
                # An untyped app's nil ends the input (wire fact W30).
                return END_OF_INPUT if message is None else message
            if taken is END_OF_INPUT or self._is_over():
                return END_OF_INPUT
            await self._wait_for_input()

    async def _wait_for_input(self) -> None:
        self._output.set()  # the last words may have been said
        self._wake_timer()
        self._input.clear()
        await self._input.wait()

    def _is_over(self) -> bool:
        return self.runner.phase is Phase.CLOSED

    async def _produce_paced(self, output: Any) -> None:
        seconds = self._app.seconds()
        if seconds:  # even a sleep of 0 would let the emitter run, and a burst would keep its order
            await asyncio.sleep(seconds)
        self._produce(output)
        self._output.set()
        await self._port.drain()

    def _produce(self, output: Any) -> None:
        """Encode an output where it is made: one that cannot be encoded is the app's failure."""
        message = picture_answer() if isinstance(output, Instead) else as_map(output)
        self.runner.produced((output, self._codec.encode(message)))

    # Emitter.

    async def _emit(self) -> None:
        while True:
            await self._output.wait()
            self._output.clear()
            for item in self.runner.take_outgoing():
                if isinstance(item, Answer):
                    await self._port.send_answer(*item.output)
                elif isinstance(item, Close):
                    await self._port.close(item.code, item.reason)
                    return
                else:
                    await self._port.send(item.text)
                self._port.changed(self.runner.stats)

    # Clock.

    def _wake(self) -> None:
        self._input.set()
        self._output.set()
        self._port.changed(self.runner.stats)
        self._wake_timer()

    def _wake_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.runner.next_deadline()
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._time_passed, deadline)

    def _time_passed(self, deadline: float) -> None:
        self._timer = None
        # An early timer must not read as "not yet".
        self.runner.wake(max(deadline, self._loop.time()))
        self._wake()
