"""What becomes of what comes in on a socket: results find their inputs, times their answers, garbage its victim.

Nothing here decides about the socket itself; where pairing has become impossible, the loss to leave it for is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from falrt.exceptions import FalrtError
from falrt.protocol.events import Answered, Event, Problem, Pushed
from falrt.protocol.inputs import Input, Kind, Outcome, supersede
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pairing import replay as aftermath
from falrt.protocol.pairing.in_flight import InFlight, Match
from falrt.protocol.pairing.marks import marks_in
from falrt.protocol.pairing.overdue import Silence
from falrt.protocol.pairing.timeouts import Timeouts
from falrt.protocol.stats import Counters
from falrt.protocol.wire.modes import Mode

__all__ = ["Answers"]


class Answers:
    """Gives each result to the input that it answers, and tells of it."""

    __slots__ = ("_counters", "_in_flight", "_last", "_pairs", "_silence", "_tell", "_timeouts", "here")

    def __init__(
        self,
        in_flight: InFlight,
        figures: Counters,
        silence: Silence,
        timeouts: Timeouts,
        mode: Mode,
        tell: Callable[[Event], None],
    ) -> None:
        self._in_flight, self._counters = in_flight, figures
        self._silence, self._timeouts = silence, timeouts
        # One output for each processed input; otherwise results answer no input in particular.
        self._pairs = mode.pairs
        self._tell = tell
        # Results that came on the present or last socket.
        self.here = 0
        # Whose inference time the next timings frame tells.
        self._last: Input | None = None

    def begin(self) -> None:
        """Another socket: nothing has come on it yet."""
        self.here, self._last = 0, None

    def result(self, message: Any, now: float) -> Loss | None:
        """A result came; return why the socket is to be left, where pairing has become impossible."""
        self._counters.received += 1
        self.here += 1
        self._silence.came(now)
        if not self._pairs:
            self._tell(Pushed(message))
            return None
        request_id, inference_time = marks_in(message)
        in_flight = self._in_flight
        # Where ids are echoed, an unknown one is that of an input that has ended, unless inputs were forgotten.
        stranger = request_id is None or not in_flight.ids_trusted or in_flight.forgot
        match = in_flight.match(request_id)
        if match.overtaken:
            self._overtaken(match.overtaken, match.input, now)
        if match.ambiguous:
            return Loss(Cause.RECYCLED, 1000, reason="an answer could be that of several inputs")
        if match.input is not None:
            self._answered(match.input, match, message, now)
            if inference_time is not None:
                self.timed(inference_time, now)
        elif stranger:
            self._tell(Pushed(message))
        return None

    def _answered(self, input: Input, match: Match, message: Any, now: float) -> None:
        sent_at = now if input.sent_at is None else input.sent_at
        if not match.late:
            # A stream's frame was taken before it was encoded; the pacing counts from there.
            input.lane.pacer.answered(now, sent_at if input.taken_at is None else input.taken_at)
        latency = now - sent_at
        self._counters.answered(now, latency)
        self._silence.took(latency)
        self._last = input
        # It will not leave again: a picture need not stay in memory until the next one is answered.
        input.frame = b""
        if input.outcome is None:
            input.outcome = Outcome.ANSWERED
            self._tell(Answered(input, message, match.certain, latency))

    def _overtaken(self, inputs: Sequence[Input], by: Input | None, now: float) -> None:
        """The server dropped these: what nothing newer stands for is sent again, the rest is over.

        A request is granted a little time, for its caller would lose an answer that was only overtaken.
        """
        younger = [*self._in_flight.inputs] if by is None else [by, *self._in_flight.inputs]
        owed = aftermath.still_owed(inputs, younger)
        for input in reversed(owed):
            input.lane.put_back([input])
        for input in inputs:
            if input.outcome is not None or input in owed:
                continue
            if input.kind is Kind.REQUEST:
                until = now + self._silence.grace
                self._in_flight.overtook(input, until)
                self._timeouts.hurry(until)
            else:
                supersede(input)

    def timed(self, inference_time: float, now: float) -> None:
        """Note an inference time; one that follows no answer, as after connecting, says nothing."""
        last, self._last = self._last, None
        if last is not None:
            last.inference_time = inference_time
            last.lane.pacer.timed(now, inference_time)
        if last is not None or not self._pairs:
            self._counters.inference_time = inference_time

    def garbled(self, error: FalrtError, now: float) -> Loss | None:
        """A frame came that cannot be read; it may have been an answer.

        Where pairing matters the socket is to be left, for the next result could not be trusted to belong to the
        next input; otherwise the error is told.
        """
        if self._pairs and self._in_flight.strict:
            return Loss(Cause.BAD_FRAME, reason=str(error), error=error)
        self._silence.spoiled(now)
        if self._pairs and (spoiled := self._in_flight.spoiled()) is not None:
            spoiled.outcome = Outcome.FAILED
        self._tell(Problem(error))
        return None
