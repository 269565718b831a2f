"""Everything that is known of one socket: made anew for each, and thrown away with it.

What comes in finds its place here: results their inputs, times their answers, garbage its victim. Where the server
announces the end, pairing has become impossible or nothing comes any more, ``leaving`` says why it is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from falrt.exceptions import FalrtError
from falrt.protocol import endings
from falrt.protocol.events import Answered, Dropped, Event, Failed, Noticed, Problem, Pushed
from falrt.protocol.inputs import REQUEST, SEND, Input, Lane, Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pairing import replay
from falrt.protocol.pairing.facts import ECHOED, AppFacts
from falrt.protocol.pairing.overdue import Overdue
from falrt.protocol.pairing.unanswered import Match, Unanswered
from falrt.protocol.reconnect.liveness import Liveness, Pulse
from falrt.protocol.settings import Settings
from falrt.protocol.stats import Counters
from falrt.protocol.wire.messages import Control, Notice, Timings, classify, id_and_time_in

__all__ = ["SocketState"]


class SocketState:
    """One socket, from the wish for it to its loss.

    Attributes:
        opened_at: When the upgrade succeeded.
        leaving: Why it is being given up; from then on nothing leaves and nothing counts on it.
        sent: Inputs that left on it.
        results: Results that came.
        unanswered: Which inputs are, and whose the next answer is.
        overdue: What it means that no answer comes.
        liveness: Whether the peer is there at all.
    """

    __slots__ = (
        "_counters", "_facts", "_last", "_settings", "_tell", "leaving", "liveness", "opened_at", "overdue", "results",
        "sent", "unanswered",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        facts: AppFacts,
        counters: Counters,
        tell: Callable[[Event], None],
        now: float,
    ) -> None:
        self._settings, self._facts, self._counters, self._tell = settings, facts, counters, tell
        self.opened_at = now
        self.leaving: Loss | None = None
        self.sent = self.results = 0
        self.unanswered = Unanswered(facts)
        self.overdue = Overdue(facts, self.unanswered, settings, now)
        self.liveness = Liveness(settings.keepalive, now)
        # Whose inference time the next timings frame tells.
        self._last: Input | None = None

    # --- what comes in

    def received(self, message: Any, now: float) -> None:
        """Something came, as in ``RealtimeProtocol.received``."""
        if isinstance(message, FalrtError):
            self._garbled(message, now)
            return
        control = message if type(message) is not dict and isinstance(message, Control) else classify(message)
        if control is None:
            self._result(message, now)
        elif isinstance(control, Timings):
            self._timed(control.inference_time, now)
        elif isinstance(control, Notice):
            self._tell(Noticed(control))
        else:
            self.leaving = endings.leaving_for(control, self._settings.app)

    def _result(self, message: Any, now: float) -> None:
        self._counters.received += 1
        self.results += 1
        self.overdue.came(now)
        if not self._settings.mode.pairs:
            self._tell(Pushed(message))
            return
        request_id, inference_time = id_and_time_in(message)
        match = self.unanswered.match(request_id)
        if match.ambiguous:
            self.leaving = Loss(Cause.RECYCLED, 1000, reason="an answer could be that of several inputs")
            return
        if match.overtaken:
            self._overtaken(match)
        if match.input is not None:
            self._answered(match.input, match.certain, message, now)
            if inference_time is not None:
                self._timed(inference_time, now)
        else:
            self._unclaimed(request_id, message, now)

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
        late = self.unanswered.was_sent_by(request_id)
        if late is None:
            return  # its input has ended: where ids are echoed, nothing else has one that we do not know
        if late.kind is SEND and late.outcome is not Outcome.ANSWERED:
            self._tell(Pushed(message))
        elif late in late.lane.waiting:  # its answer was only overtaken: it need not leave again
            late.lane.end(late, Outcome.ANSWERED, Answered(late, message, True, now - late.submitted_at))

    def _overtaken(self, match: Match) -> None:
        """The server dropped these: what nothing newer stands for is sent again, the rest is over."""
        younger = [*self.unanswered.inputs]
        owed = replay.still_owed(match.overtaken, younger if match.input is None else [match.input, *younger])
        again: list[Input] = []
        for input in match.overtaken:
            input.drops += 1
            self.unanswered.spend(input)
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
        if last is not None or not self._settings.mode.pairs:
            self._counters.inference_time = inference_time

    def _garbled(self, error: FalrtError, now: float) -> None:
        """A frame came that cannot be read; it may have been an answer.

        Where pairing matters the socket is to be left, for the next result could not be trusted to belong to the
        next input; otherwise the error is told.
        """
        pairs = self._settings.mode.pairs
        if pairs and self.unanswered.strict:
            self.leaving = Loss(Cause.BAD_FRAME, reason=str(error), error=error)
            return
        self.overdue.came(now, readable=False)
        if pairs:
            self.unanswered.fail_oldest()
        self._tell(Problem(error))

    # --- what does not

    def judge_silence(self, now: float, lanes: Sequence[Lane]) -> bool:
        """Do what follows when nothing comes; return whether a ping is to be sent."""
        if now >= self.overdue.settles_at():
            self.unanswered.settle()
        if now >= self.overdue.recycles_at(lanes):
            self._facts.recycled += 1
            for lane in lanes:
                overdue_at = lane.pacer.overdue_at()
                if overdue_at is not None and now >= overdue_at:
                    lane.pacer.dropped(now)
            self.leaving = Loss(Cause.RECYCLED, 1000, reason="unanswered inputs made pairing unsafe")
            return False
        pulse = self.liveness.check(now)
        if pulse is Pulse.DEAD:
            self.leaving = Loss(Cause.SILENCE, reason=self.liveness.verdict(now))
        return pulse is Pulse.PING
