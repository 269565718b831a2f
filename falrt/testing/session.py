"""One session of a fake app: the asyncio shell around the pure `Runner`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from websockets.frames import Frame, Opcode

from falrt.testing.app import App, as_map, each, picture_answer, settled
from falrt.testing.plan import FaultPlan
from falrt.testing.runner import (
    END_OF_INPUT,
    TEXT_FRAME_REASON,
    Answer,
    Close,
    Phase,
    Runner,
)
from falrt.testing.script import (
    AnswerFault,
    CloseWith,
    CutFrame,
    Fault,
    Garbage,
    GatewayError,
    HalfOpen,
    HangUp,
    Huge,
    LateAnswer,
    MomentFault,
    Reset,
    StopReading,
    Swallow,
    Truncated,
)

if TYPE_CHECKING:
    from falrt.testing.connection import ServerConnection

__all__ = ["Session"]


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
        connection: The socket's public face, where everything is written down.
        plan: The faults.
        changed: Called whenever something observable happened.
    """

    def __init__(
        self,
        app: App,
        connection: ServerConnection,
        plan: FaultPlan,
        changed: Callable[[], None],
    ) -> None:
        self._app = app
        # A function: `Apps` has made it one.
        self._handler: Callable[..., Any] = cast("Any", app.handler)
        self._connection = connection
        self._socket = connection.socket
        self._plan = plan
        self._changed = changed
        self._codec = app.new_codec()
        self._loop = asyncio.get_running_loop()
        self.runner = Runner(app.runner_options(), self._loop.time())
        # Set when the worker or an app's iterator should ask for input again.
        self._input = asyncio.Event()
        # Set when the emitter may have something to send.
        self._output = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        # True after disconnected().
        self._is_cut_off = False

    def start(self) -> None:
        """Begin: the socket is open."""
        self._tasks = [
            self._loop.create_task(self._work(), name="falrt fake worker"),
            self._loop.create_task(self._emit(), name="falrt fake emitter"),
        ]
        self._strike(self._plan.at_moment(self._connection.number, "answer", 0))
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
        for task in self._tasks:
            task.cancel()

    @property
    def has_ended(self) -> bool:
        """Whether no task is left."""
        return all(task.done() for task in self._tasks)

    async def wait_ended(self) -> None:
        """Wait until no task is left, at most until each has handled its cancellation."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Reader.

    def _receive(self, frame: bytes | str, now: float) -> None:
        connection = self._connection
        number = len(connection.frames)
        connection.frames.append(frame)
        unary = self._app.mode == "unary"
        message, problem = self._decode(frame)
        if problem is None:
            connection.inputs.append(message)
        swallow = self._plan.draw(Swallow, connection.number, lambda fault: fault.input in (None, number))
        if swallow is None:
            if unary and problem is not None:
                self.runner.failed(str(problem))
            else:
                # A streaming app decodes when it asks; that is when a bad frame hurts it.
                self.runner.received(message if unary else (message, problem), now)
        self._strike(self._plan.at_moment(connection.number, "input", number + 1))
        self._changed()

    def _decode(self, frame: bytes | str) -> tuple[Any, Exception | None]:
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
        await self._socket.drain()

    def _produce(self, output: Any) -> None:
        """Encode an output where it is made: one that cannot be encoded is the app's failure."""
        if isinstance(output, Fault):  # a script's own fault, in place of an answer
            self.runner.produced((output, self._codec.encode(picture_answer())))
        else:
            self.runner.produced((output, self._codec.encode(as_map(output))))

    # Emitter.

    async def _emit(self) -> None:
        while True:
            await self._output.wait()
            self._output.clear()
            for item in self.runner.take_outgoing():
                await self._socket.drain()
                if isinstance(item, Answer):
                    await self._send_answer(*item.output)
                elif isinstance(item, Close):
                    self._socket.close(item.code, item.reason)
                    return
                else:
                    self._socket.send(item.text)
                    self._connection.controls.append(json.loads(item.text))
                self._changed()

    async def _send_answer(self, output: Any, frame: Any) -> None:
        connection = self._connection
        seconds, replaced_by = self._plan.at_answer(connection.number, connection.answered)
        if isinstance(output, LateAnswer):  # a script's own: the default answer, late
            seconds, output = seconds + output.seconds, picture_answer()
        if seconds:
            await asyncio.sleep(seconds)
        fault = output if isinstance(output, Fault) else replaced_by
        if fault is None:
            self._socket.send(frame)
            connection.answers.append(output)
        else:
            self._strike(fault, frame)
        connection.answered += 1
        self._strike(self._plan.at_moment(connection.number, "answer", connection.answered))

    # Faults.

    def _strike(self, fault: Fault | None, frame: bytes | str = b"") -> None:
        if fault is None:
            return
        self._connection.faults.append(fault)
        if isinstance(fault, AnswerFault):
            self._spoil(fault, frame)
        elif isinstance(fault, MomentFault):
            self._interfere(fault)
        self._changed()

    def _interfere(self, fault: MomentFault) -> None:
        socket = self._socket
        match fault:
            case CloseWith():
                socket.close(fault.code, fault.reason)
            case Reset():
                socket.reset()
            case HangUp():
                socket.hang_up()
            case HalfOpen():
                socket.silence()
            case StopReading():
                socket.pause_reading()
                if fault.seconds is not None:
                    self._loop.call_later(fault.seconds, socket.resume_reading)
            case GatewayError():
                socket.send(json.dumps({"status": "error", "error": fault.error}))
                if fault.close:
                    socket.close()

    def _spoil(self, fault: AnswerFault, frame: bytes | str) -> None:
        socket = self._socket
        match fault:
            case Garbage():
                socket.send(fault.data)
            case Truncated():
                socket.send(frame[: len(frame) // 2 if fault.keep is None else fault.keep])
            case Huge():
                socket.send(self._codec.encode({**picture_answer(), "padding": bytes(fault.size)}))
            case CutFrame():
                data = frame.encode() if isinstance(frame, str) else frame
                opcode = Opcode.TEXT if isinstance(frame, str) else Opcode.BINARY
                whole = Frame(opcode, data).serialize(mask=False)
                socket.send_bytes(whole[: len(whole) // 2])
                if fault.how == "reset":
                    socket.reset()
                else:
                    socket.hang_up()

    # Clock.

    def _wake(self) -> None:
        self._input.set()
        self._output.set()
        self._connection.stats = self.runner.stats
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
