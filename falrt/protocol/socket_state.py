"""Everything that is known of one socket: made anew for each, and thrown away with it."""

from __future__ import annotations

from collections.abc import Callable

from falrt.protocol.events import Event
from falrt.protocol.loss import Loss
from falrt.protocol.pairing.answers import Answers
from falrt.protocol.pairing.facts import AppFacts
from falrt.protocol.pairing.overdue import Overdue
from falrt.protocol.pairing.unanswered import Unanswered
from falrt.protocol.reconnect.liveness import Liveness
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
        "answers", "leaving", "liveness", "opened_at", "overdue", "sent", "unanswered",
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
        self.answers = Answers(self.unanswered, self.overdue, facts, counters, settings.mode, tell)
        self.liveness = Liveness(settings.keepalive, now)
