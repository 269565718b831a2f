"""Everything that is known of one socket: made anew for each, and thrown away with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from falrt.protocol.events import Event
from falrt.protocol.inputs import Lane
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pairing.answers import Answers
from falrt.protocol.pairing.facts import AppFacts
from falrt.protocol.pairing.overdue import Overdue
from falrt.protocol.pairing.unanswered import Unanswered
from falrt.protocol.reconnect.liveness import Liveness, Pulse
from falrt.protocol.settings import Settings
from falrt.protocol.stats import Counters

__all__ = ["SocketState"]


class SocketState:
    """One socket, from the wish for it to its loss.

    Attributes:
        opened_at: When the upgrade succeeded.
        leaving: Why it is being given up; from then on nothing leaves and nothing counts on it.
        sent: Inputs that left on it.
        unanswered: Which of them are, and whose the next answer is.
        answers: What becomes of what comes in.
        overdue: What it means that nothing does.
        liveness: Whether the peer is there at all.
    """

    __slots__ = (
        "_facts", "answers", "leaving", "liveness", "opened_at", "overdue", "sent", "unanswered",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        facts: AppFacts,
        counters: Counters,
        tell: Callable[[Event], None],
        now: float,
    ) -> None:
        self.opened_at = now
        self.leaving: Loss | None = None
        self.sent = 0
        self.unanswered = Unanswered(facts)
        self.overdue = Overdue(facts, self.unanswered, settings, now)
        self.answers = Answers(self.unanswered, self.overdue, facts, counters, settings, tell)
        self.liveness = Liveness(settings.keepalive, now)
        self._facts = facts

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
