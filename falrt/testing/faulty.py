"""The fake server's side of a session: what is written down of it, and the faults that strike during it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from websockets.frames import Frame, Opcode

from falrt.testing.plan import FaultPlan
from falrt.testing.platform.app import App, picture_answer
from falrt.testing.platform.runner import RunnerStats
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

__all__ = ["FaultyPort"]


class FaultyPort:
    """A `SessionPort` that records everything on a `ServerConnection` and plays the faults of a plan.

    Args:
        app: For its codec.
        connection: The socket's public face, where everything is written down.
        plan: The faults.
        changed: Called whenever something observable happened.
    """

    def __init__(
        self, app: App, connection: ServerConnection, plan: FaultPlan, changed: Callable[[], None]
    ) -> None:
        self._codec = app.new_codec()
        self._connection = connection
        self._socket = connection.socket
        self._plan = plan
        self._changed = changed

    def opened(self) -> None:
        """The session has begun: faults of the first moment strike."""
        self._strike(self._plan.at_moment(self._connection.number, "answer", 0))

    def received(self, frame: bytes | str, message: Any, problem: Exception | None) -> bool:
        """Write an input down, and lose it where a fault says so."""
        connection = self._connection
        number = len(connection.frames)
        connection.frames.append(frame)
        if problem is None:
            connection.inputs.append(message)
        swallow = self._plan.draw(Swallow, connection.number, lambda fault: fault.input in (None, number))
        # The session takes the input in before it comes back to the loop and anything can answer it.
        self._strike(self._plan.at_moment(connection.number, "input", number + 1))
        return swallow is None

    def changed(self, stats: RunnerStats) -> None:
        """Keep the figures, and wake whoever waits for them."""
        self._connection.stats = stats
        self._changed()

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent."""
        await self._socket.drain()

    async def send(self, frame: bytes | str) -> None:
        """Send a control message."""
        await self.drain()
        self._socket.send(frame)
        self._connection.controls.append(json.loads(frame))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket."""
        await self.drain()
        self._socket.close(code, reason)

    async def send_answer(self, output: Any, frame: bytes | str) -> None:
        """Send an answer, late or spoiled where a fault says so."""
        await self.drain()
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
                    socket.later(fault.seconds, socket.resume_reading)
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
