"""What becomes of what comes in on a socket: results find their inputs, times their answers, garbage its victim.

Where the server announces the socket's end, or pairing has become impossible, the loss to leave it for is returned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from falrt.exceptions import FalrtError
from falrt.protocol import endings
from falrt.protocol.events import Answered, Dropped, Event, Failed, Noticed, Problem, Pushed
from falrt.protocol.inputs import REQUEST, SEND, Input, Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pairing import replay
from falrt.protocol.pairing.facts import ECHOED, AppFacts
from falrt.protocol.pairing.overdue import Overdue
from falrt.protocol.pairing.unanswered import Match, Unanswered
from falrt.protocol.settings import Settings
from falrt.protocol.stats import Counters
from falrt.protocol.wire.messages import Control, Notice, Timings, classify, id_and_time_in

__all__ = ["Answers"]


class Answers:
    """Gives each result of one socket to the input that it answers, and tells of it."""

    __slots__ = (
        "_app",
        "_counters",
        "_facts",
        "_last",
        "_overdue",
        "_pairs",
        "_tell",
        "_unanswered",
        "count",
    )

    def __init__(
        self,
        unanswered: Unanswered,
        overdue: Overdue,
        facts: AppFacts,
        counters: Counters,
        settings: Settings,
        tell: Callable[[Event], None],
    ) -> None:
        self._unanswered, self._overdue, self._facts = unanswered, overdue, facts
        self._counters, self._tell = counters, tell
        # One output for each processed input; otherwise results answer no input in particular.
        self._pairs = settings.mode.pairs
        # The endpoint id, for messages.
        self._app = settings.app
        # Results that came.
        self.count = 0
        # Whose inference time the next timings frame tells.
        self._last: Input | None = None

    def received(self, message: Any, now: float) -> Loss | None:
        """Something came, as in ``RealtimeProtocol.received``; return why the socket is to be left, if it is."""
        if isinstance(message, FalrtError):
            return self._garbled(message, now)
        control = message if type(message) is not dict and isinstance(message, Control) else classify(message)
        if control is None:
            return self._result(message, now)
        if isinstance(control, Timings):
            self._timed(control.inference_time, now)
        elif isinstance(control, Notice):
            self._tell(Noticed(control))
        else:
            return endings.leaving_for(control, self._app)
        return None

    def _result(self, message: Any, now: float) -> Loss | None:
        self._counters.received += 1
        self.count += 1
        self._overdue.came(now)
        if not self._pairs:
            self._tell(Pushed(message))
            return None
        request_id, inference_time = id_and_time_in(message)
        match = self._unanswered.match(request_id)
        if match.ambiguous:
            return Loss(Cause.RECYCLED, 1000, reason="an answer could be that of several inputs")
        if match.overtaken:
            self._overtaken(match)
        if match.input is not None:
            self._answered(match.input, match.certain, message, now)
            if inference_time is not None:
                self._timed(inference_time, now)
        else:
            self._unclaimed(request_id, message, now)
        return None

    def _answered(self, input: Input, certain: bool, message: Any, now: float) -> None:
        sent_at = now if input.sent_at is None else input.sent_at
        # A stream's frame was taken before it was encoded; the pacing counts from there.
        input.lane.pacer.answered(now, sent_at if input.taken_at is None else input.taken_at)
        latency = now - sent_at
        self._counters.answered(now, latency)
        self._facts.took(latency)
        self._last = input
        input.end(Outcome.ANSWERED, Answered(input, message, certain, latency))

    def _unclaimed(self, request_id: str | None, message: Any, now: float) -> None:
        """No unanswered input claims a result: it is late, or none of ours."""
        if request_id is None or self._facts.ids is not ECHOED:
            self._tell(Pushed(message))
            return
        late = self._unanswered.was_sent_by(request_id)
        if late is None:
            return  # its input has ended: where ids are echoed, nothing else has one that we do not know
        if late.kind is SEND and late.outcome is not Outcome.ANSWERED:
            self._tell(Pushed(message))
        elif late in late.lane.waiting:  # its answer was only overtaken: it need not leave again
            late.lane.remove(late, Outcome.ANSWERED, Answered(late, message, True, now - late.submitted_at))

    def _overtaken(self, match: Match) -> None:
        """The server dropped these: what nothing newer stands for is sent again, the rest is over."""
        younger = [*self._unanswered.inputs]
        owed = replay.still_owed(match.overtaken, younger if match.input is None else [match.input, *younger])
        again: list[Input] = []
        for input in match.overtaken:
            input.drops += 1
            self._unanswered.spend(input)
            if input.outcome is None:
                self._tell(Dropped(input))
                if not (input.kind is SEND or input.lane.pacer.overlaps):
                    self._facts.dropped()  # a pacing that overlaps has a limit of its own
            if input not in owed:
                input.end(Outcome.SUPERSEDED)
            elif input.kind is REQUEST and not input.resend:
                input.end(Outcome.SUPERSEDED, Failed(input, endings.request_dropped()))
            else:
                again.append(input)
        for input in reversed(again):
            input.lane.put_back(input)

    def _timed(self, inference_time: float, now: float) -> None:
        """Note an inference time; one that follows no answer, as after connecting, says nothing."""
        last, self._last = self._last, None
        if last is not None:
            last.inference_time = inference_time
            last.lane.pacer.timed(now, inference_time)
        if last is not None or not self._pairs:
            self._counters.inference_time = inference_time

    def _garbled(self, error: FalrtError, now: float) -> Loss | None:
        """A frame came that cannot be read; it may have been an answer.

        Where pairing matters the socket is to be left, for the next result could not be trusted to belong to the
        next input; otherwise the error is told.
        """
        if self._pairs and self._unanswered.strict:
            return Loss(Cause.BAD_FRAME, reason=str(error), error=error)
        self._overdue.came(now, readable=False)
        if self._pairs:
            self._unanswered.fail_oldest()
        self._tell(Problem(error))
        return None
