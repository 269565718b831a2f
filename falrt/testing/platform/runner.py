"""The other side of the wire: what a fal runner does with inputs.

Theory of operation. A runner serves one socket with one app function. Its *reader* takes frames from the
socket, its *worker* calls the app, its *emitter* sends what the app gave. The three only meet in short
queues, and what a client can observe (silent drops, batches, the idle end, lost answers) follows from how
these queues meet. `Runner` is those queues without the tasks: a shell tells it what happened and when, and
carries out what it answers.

Shell, in every mode::

    runner.received(message, now)       for each frame of one read; then, once per read:
    batch = runner.take(now)            the worker (or the app's input iterator) wants an input
    runner.produced(output)             for each output of the app
    runner.finished(now)                the app function returned
    runner.failed(reason)               an input could not be read, or the app raised
    runner.disconnected()               the client left
    runner.wake(now)                    next_deadline() has come
    for item in runner.take_outgoing()  once per turn of the loop: what must leave now, in this order

Reading and working meet differently with and without `session_timeout`. With it, the reader passes each
frame on through a timer, and an idle worker has taken the first input before the second is read. Without
it, the reader empties the socket before the worker wakes, so that even the first input of a burst may be
dropped.

Source: fal 1.83 `realtime.py`, and what it was seen to do: wire facts W20 to W23, W30 to W33 and W36.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from falrt.testing.allowed import check_fields

if TYPE_CHECKING:
    from falrt.typing import ModeName

__all__ = [
    "END_OF_INPUT",
    "TEXT_FRAME_REASON",
    "Answer",
    "Close",
    "Control",
    "Outgoing",
    "Phase",
    "Runner",
    "RunnerOptions",
    "RunnerStats",
    "error_text",
    "timings_text",
]

TEXT_FRAME_REASON: Final = "'bytes'"
"""Why a session ends at a text frame: the runner asks for bytes and shows the name of the missing key."""

IDLE_REASON: Final = "no inputs, reconnect when needed!"


class Phase(Enum):
    """How far a session is."""

    READING = "reading"
    """Inputs are read."""

    ENDING = "ending"
    """Idle: nothing more is read; what waits is still worked off, for one more `session_timeout`."""

    CLOSED = "closed"
    """Everything that will be sent is in `take_outgoing()`. Final."""


class _EndOfInput(Enum):
    """The type of `END_OF_INPUT`, so that it can be told apart from any input."""

    END = "end of input"


END_OF_INPUT: Final = _EndOfInput.END
"""What `Runner.take` answers to a streaming app when no more input will come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerOptions:
    """How an app is declared; the arguments of fal's `@fal.realtime` and one of its route signature.

    Attributes:
        mode: What the app function takes and gives (wire fact W30).
        buffering: Inputs that may wait; a further one pushes out the oldest. None: no limit.
        session_timeout: Seconds without an input after which the session ends. None: never.
        max_batch_size: Waiting inputs that are worked on together and become one output; where the first has a
            method ``can_batch(next, size)``, it decides who joins.
        emit_timings: Whether a `timings` message follows each output (unary) or the last (server_streaming).

    Raises:
        ConfigurationError: A value makes no sense; the text names it.
    """

    mode: ModeName = "unary"
    buffering: int | None = None
    session_timeout: float | None = None
    max_batch_size: int = 1
    emit_timings: bool = False

    def __post_init__(self) -> None:
        """Check each value."""
        check_fields(self)


@dataclass(frozen=True, slots=True)
class Answer:
    """An output of the app, still to be encoded."""

    output: Any


@dataclass(frozen=True, slots=True)
class Control:
    """A control message: JSON, to be sent as a text frame whatever the app's codec."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """The end of the socket. A runner always closes with 1000 and no reason, after errors too."""

    code: int = 1000
    reason: str = ""


Outgoing: TypeAlias = Answer | Control | Close


@dataclass(frozen=True, slots=True)
class RunnerStats:
    """What became of the inputs of one session.

    Attributes:
        received: Inputs read from the socket.
        dropped: Pushed out by newer ones, or by the end of the session, before the app saw them.
        taken: Given to the app.
        answered: Outputs of the app (a batch has one).
    """

    received: int
    dropped: int
    taken: int
    answered: int


def timings_text(seconds: float) -> str:
    """Return the `timings` message, compact JSON as fal's SDK writes it (wire fact W20)."""
    message = {"type": "x-fal-message", "action": "timings", "timing": seconds}
    return json.dumps(message, separators=(",", ":"))


def error_text(error: str, reason: str) -> str:
    """Return an `x-fal-error` message, compact JSON as fal's SDK writes it (wire facts W22 and W23)."""
    message = {"type": "x-fal-error", "error": error, "reason": reason}
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def end_of_session() -> list[Outgoing]:
    """Return how a session ends that did not fail: idle, or with a streaming app's return (wire fact W30)."""
    return [Control(error_text("TIMEOUT", IDLE_REASON)), Close()]


class Runner:
    """One session of one app.

    Args:
        options: How the app is declared.
        now: When the socket opened, monotonic seconds; the idle timer starts here.
    """

    def __init__(self, options: RunnerOptions, now: float) -> None:
        self.options = options
        self.phase = Phase.READING
        # Inputs read and not yet taken. The end of input is a None among them, as on the wire: an app's own
        # nil ends a unary session in the same way, and an end mark pushes out an input like any other
        # newcomer.
        self._waiting: deque[Any] = deque(maxlen=options.buffering if options.mode == "unary" else None)
        # The input that an idle worker took while it was being received; only with a session_timeout.
        self._claimed: list[Any] = []
        # True from take() to finished(), or from the claim. A server-streaming session works once.
        self._working = False
        # True once a streaming app will get no further input.
        self._input_ended = False
        # When the app's current call began, for its timings.
        self._started_at = now
        # When the session becomes idle, or, in ENDING, when the runner stops waiting for the app.
        self._deadline = self._after(now) if options.mode in ("unary", "server_streaming") else None
        # Two lanes of outgoing items: the emitter's queue, and what overtakes it because it is full.
        self._queue: list[Outgoing] = []
        self._overtaking: list[Outgoing] = []
        self._last_words: list[Outgoing] = []
        # The emitter's queue holds twice the buffering: each answer may have its timings (1 where there is
        # no limit).
        self._queue_size = 2 * (options.buffering or 1)
        self._received = self._dropped = self._taken = self._answered = 0

    # What happened.

    def received(self, message: Any, now: float) -> None:
        """One input was read from the socket.

        Args:
            message: The input. Unary apps get it decoded; a streaming app decodes when it asks, so there the
                undecoded frame may be passed.
            now: Monotonic seconds.
        """
        if self.phase is not Phase.READING:
            return  # the reader has ended: the frame stays in the socket, unread
        self._received += 1
        if self.options.mode == "unary":
            self._deadline = self._after(now)
            if self._deadline is not None and not self._working and not self._waiting and message is not None:
                self._claimed = [message]
                self._working = True
                return
        if self.options.mode == "server_streaming" and (self._working or self._waiting):
            self._dropped += 1  # nobody will ever ask for a second one
        else:
            self._wait(message)

    def disconnected(self) -> None:
        """The client left. Nothing more can be sent; a unary app's work is abandoned.

        A streaming app's input ends here; what it still gives goes nowhere.
        """
        self._close([])
        self.take_outgoing()

    def take(self, now: float) -> tuple[Any, ...] | _EndOfInput | None:
        """The worker, or a streaming app's input iterator, wants the next input.

        Args:
            now: Monotonic seconds.

        Returns:
            The inputs of one call (one, or a batch of up to `max_batch_size`); `END_OF_INPUT` where a
            streaming app's iterator must end; None where nothing waits yet: ask again after the next
            `received` or `wake`. A unary worker that is busy gets None too.
        """
        if self.options.mode in ("client_streaming", "bidi"):
            return self._next_of_stream(now)
        if self._claimed:
            batch, self._claimed = self._claimed, []
        elif self._working or self.phase is Phase.CLOSED or not self._waiting:
            return None
        elif self._waiting[0] is None:
            self._close(end_of_session())
            return None
        else:
            batch = self._batch()
        self._working = True
        self._started_at = now
        self._taken += sum(message is not None for message in batch)
        if self.options.mode == "server_streaming":
            self._deadline = None  # one input is all that such a session reads
        return tuple(batch)

    def produced(self, output: Any) -> None:
        """The app gave an output: what a unary or client-streaming one returns, what the others yield."""
        if self.phase is Phase.CLOSED:
            return
        self._answered += 1
        self._emit(Answer(output))

    def finished(self, now: float) -> None:
        """The app function returned: a unary worker is free again, a streaming session is over.

        Args:
            now: Monotonic seconds; the `timings` message gives the time since `take`.
        """
        if self.phase is Phase.CLOSED:
            return
        if self.options.emit_timings and self.options.mode in ("unary", "server_streaming"):
            self._emit(Control(timings_text(now - self._started_at)))
        if self.options.mode == "unary":
            self._working = False
        else:
            self._close(end_of_session())

    def failed(self, reason: str) -> None:
        """An input could not be read or the app raised: the session ends with INTERNAL_ERROR at once.

        Answers that were given before still leave; every input that waits or is being worked on is lost.

        Args:
            reason: ``str()`` of the exception; for a text frame `TEXT_FRAME_REASON`.
        """
        self._close([Control(error_text("INTERNAL_ERROR", reason)), Close()])

    # What to do.

    def next_deadline(self) -> float | None:
        """When `wake` must be called, monotonic seconds; None where nothing is timed."""
        return None if self.phase is Phase.CLOSED else self._deadline

    def wake(self, now: float) -> None:
        """Let time pass. Calling it too early changes nothing."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return
        self._deadline = None
        if self.options.mode == "server_streaming":
            self._close(end_of_session())
        elif self.options.mode != "unary":
            self._input_ended = True
        elif self.phase is Phase.READING:
            self.phase = Phase.ENDING
            self._deadline = self._after(now)
            self._wait(None)
        else:
            # The app took longer than one more session_timeout; a TimeoutError has no text.
            self.failed("")

    def take_outgoing(self) -> list[Outgoing]:
        """Return what must leave now, in sending order, and forget it.

        To be called once per turn of the event loop: what an app gives within one turn beyond the room of the
        emitter's queue overtakes the queue (twelve yields at once arrive as 2 to 11, 0, 1).
        """
        outgoing = self._overtaking + self._queue + self._last_words
        self._overtaking, self._queue, self._last_words = [], [], []
        return outgoing

    @property
    def stats(self) -> RunnerStats:
        """What became of the inputs so far."""
        return RunnerStats(self._received, self._dropped, self._taken, self._answered)

    # Inside.

    def _after(self, now: float) -> float | None:
        timeout = self.options.session_timeout
        return None if timeout is None else now + timeout

    def _wait(self, message: Any) -> None:
        """Put an input or the end mark (None) in the queue; a full queue silently loses its oldest."""
        if len(self._waiting) == self._waiting.maxlen and self._waiting[0] is not None:
            self._dropped += 1
        self._waiting.append(message)

    def _batch(self) -> list[Any]:
        batch = [self._waiting.popleft()]
        if self.options.mode != "unary":
            return batch
        can_batch = getattr(batch[0], "can_batch", lambda following, size: True)
        # An end mark is not looked for here: fal's loop hands it to the app like an input.
        while self._waiting and len(batch) < self.options.max_batch_size:
            if not can_batch(self._waiting[0], len(batch)):
                break
            batch.append(self._waiting.popleft())
        return batch

    def _next_of_stream(self, now: float) -> tuple[Any, ...] | _EndOfInput | None:
        if self._input_ended or self.phase is Phase.CLOSED:
            return END_OF_INPUT
        if self._waiting:
            self._deadline = None
            self._taken += 1
            return (self._waiting.popleft(),)
        if self._deadline is None:
            # Unlike a unary session's, this timer runs only while the app asks.
            self._deadline = self._after(now)
        return None

    def _emit(self, item: Outgoing) -> None:
        lane = self._queue if len(self._queue) < self._queue_size else self._overtaking
        lane.append(item)

    def _close(self, last_words: list[Outgoing]) -> None:
        if self.phase is Phase.CLOSED:
            return
        self.phase = Phase.CLOSED
        self._dropped += sum(message is not None for message in self._waiting) + len(self._claimed)
        self._waiting.clear()
        self._claimed.clear()
        self._last_words += last_words
