"""What a realtime connection reports: its states, its figures, and events in the order in which they happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from falrt.protocol.inputs import Input
from falrt.protocol.loss import Loss
from falrt.protocol.wire.messages import Notice

__all__ = [
    "TRANSITIONS",
    "Answered",
    "Change",
    "Dropped",
    "Ended",
    "Event",
    "Failed",
    "Latency",
    "Lost",
    "Noticed",
    "Opened",
    "Problem",
    "Pushed",
    "State",
    "Stats",
]


class State(StrEnum):
    """Where a connection stands."""

    IDLE = "idle"
    """No socket, and none is needed until the next input."""
    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"
    """Lost; the next try comes after a pause."""
    WARMING = "warming"
    """The model is starting: sockets open, inputs are swallowed, and the newest is sent again."""
    CLOSED = "closed"
    """Final."""


# As the members of ``Kind`` have: asked for with each message.
OPEN, CLOSED = State.OPEN, State.CLOSED


class Change(StrEnum):
    """What takes a connection from one state to the next."""

    INPUT = "input"
    PAUSE_OVER = "pause over"
    OPENED = "opened"
    LOST = "lost, passing"
    LOST_IDLE = "lost, nothing to send"
    OVER = "close, or lost for good"


# What may follow what. The life cycle looks up each of its steps here, and the diagram in
# docs/explanation/life-cycle.md is made from it. WARMING is not in it: it is how CONNECTING, OPEN and WAITING show
# themselves while a cold model has not answered yet.
TRANSITIONS: Final = {
    (State.IDLE, Change.INPUT): State.WAITING,
    (State.WAITING, Change.PAUSE_OVER): State.CONNECTING,
    (State.CONNECTING, Change.OPENED): State.OPEN,
    (State.CONNECTING, Change.LOST): State.WAITING,
    (State.CONNECTING, Change.LOST_IDLE): State.IDLE,
    (State.OPEN, Change.LOST): State.WAITING,
    (State.OPEN, Change.LOST_IDLE): State.IDLE,
    (State.IDLE, Change.OVER): State.CLOSED,
    (State.CONNECTING, Change.OVER): State.CLOSED,
    (State.OPEN, Change.OVER): State.CLOSED,
    (State.WAITING, Change.OVER): State.CLOSED,
}


@dataclass(frozen=True, slots=True)
class Latency:
    """Send to receive, in seconds, over the last 256 answers; None before the first.

    Attributes:
        p50: Median.
        p95: 95th percentile.
        last: The newest.
    """

    p50: float | None = None
    p95: float | None = None
    last: float | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of a connection's figures.

    Attributes:
        sent: Inputs that left, repeats after a loss included.
        received: Results that came in.
        dropped: Inputs superseded by newer ones, dropped by the server as its answers or its silence tell, or given
            up: at most 128 sends count as unanswered, for a runner's buffer keeps 60. An app without a buffer
            answers those that were given up too; such results are received like any other.
        in_flight: Inputs that left and are unanswered.
        reconnects: Sockets opened beyond the first.
        bytes_sent: Payload bytes of the frames sent.
        bytes_received: Payload bytes of the frames received, control frames included.
        latency: Send to receive.
        fps: Answers per second over the last five seconds.
        inference_time: Seconds, of the newest answer that told it; else None.
        open_seconds: How long sockets have been open in all; what fal bills.
    """

    sent: int = 0
    received: int = 0
    dropped: int = 0
    in_flight: int = 0
    reconnects: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    latency: Latency = Latency()
    fps: float = 0.0
    inference_time: float | None = None
    open_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered:
    """An input got its answer.

    Attributes:
        input: ``input.value`` is what the user gave, ``input.number`` counts the connection's inputs from 1, and
            ``input.kind`` is ``"send"``, ``"request"`` or ``"stream"``.
        message: The result, decoded but not yet in the model's output type.
        certain: The pairing is proven, not inferred.
        latency: Seconds from send to receive.
    """

    input: Input
    message: Any
    certain: bool
    latency: float


@dataclass(frozen=True, slots=True)
class Failed:
    """An input will get no answer; its caller gets an error.

    Attributes:
        input: As in :class:`Answered`.
        error: What is raised to its caller.
    """

    input: Input
    error: Exception


@dataclass(frozen=True, slots=True)
class Dropped:
    """The server dropped an input: it answered a later one first. A request is sent again.

    Attributes:
        input: As in :class:`Answered`; ``input.drops`` says how often.
    """

    input: Input


@dataclass(frozen=True, slots=True)
class Pushed:
    """A result that answers no particular input: the outputs of streaming modes.

    Attributes:
        message: The result, decoded but not yet in the model's output type.
    """

    message: Any


@dataclass(frozen=True, slots=True)
class Problem:
    """An error that was not raised to a waiting caller; it goes to ``recv()`` or ``on_error``.

    Attributes:
        error: Such as a :class:`falrt.ServerError`.
    """

    error: Exception


@dataclass(frozen=True, slots=True)
class Ended:
    """A session of a streaming mode has ended.

    Attributes:
        error: How: a :class:`falrt.ConnectionClosedOK` where it ended as it should.
    """

    error: Exception


@dataclass(frozen=True, slots=True)
class Noticed:
    """A control message whose action falrt does not know.

    Attributes:
        notice: Its ``action`` and its ``payload``.
    """

    notice: Notice


@dataclass(frozen=True, slots=True)
class Opened:
    """A socket opened; that proves nothing about the app."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A socket was lost, or none could be opened.

    Attributes:
        loss: How: ``loss.cause``, ``loss.code`` (the WebSocket's close code), ``loss.status`` (the HTTP status of a
            refusal), ``loss.reason`` and ``loss.error``.
        opened: Whether it had opened; False where none could be.
        tries: How often the way back was tried since the last good answer.
    """

    loss: Loss
    opened: bool = True
    tries: int = 0


Event = Answered | Failed | Dropped | Pushed | Problem | Ended | Noticed | Opened | Lost
