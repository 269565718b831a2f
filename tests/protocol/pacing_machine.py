"""A send queue around any pacer, driven by hypothesis: what every policy must keep, whatever happens."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from falrt.protocol.pacing.policies import Pacer, Pacing

STEPS = st.floats(0.0, 2.0, allow_nan=False) | st.sampled_from([0.0, 0.001, 0.033, 0.1, 1.0])
TIMES = st.floats(0.0, 1.0, allow_nan=False)


class PacingMachine(RuleBasedStateMachine):
    """Offers, answers, losses and timers in any order; subclasses choose the policy and add their claims."""

    policy: Pacing

    def __init__(self) -> None:
        super().__init__()
        self.pacer: Pacer = self.policy.start()
        self.now = 1000.0
        self.offered = self.dropped = self.lost_count = self.answered_count = self.dropped_count = 0
        # An answer came since the newest input left.
        self.answered_since = False
        self.waiting: list[int] = []
        self.unanswered: list[tuple[int, float]] = []
        self.sent: list[tuple[int, float]] = []

    def due_at(self) -> float | None:
        due_at = self.pacer.due_at(self.now, len(self.unanswered))
        assert due_at == self.pacer.due_at(self.now, len(self.unanswered)), "asking changed the answer"
        return due_at

    def write_off(self) -> None:
        overdue_at = self.pacer.overdue_at() if self.unanswered and self.answered_since else None
        if overdue_at is not None and overdue_at <= self.now:
            self.dropped_count += len(self.unanswered)
            self.unanswered.clear()
            self.pacer.dropped(self.now)
            self.pacer.lost(self.now)

    def pump(self) -> None:
        self.write_off()
        while self.waiting and (due_at := self.due_at()) is not None and due_at <= self.now:
            self.before_send()
            number = self.waiting.pop(0)
            self.pacer.sent(self.now, len(self.unanswered), 60_000)
            self.unanswered.append((number, self.now))
            self.answered_since = False
            self.sent.append((number, self.now))

    def before_send(self) -> None:
        """A hook for claims about a send."""

    @rule(wait=STEPS)
    def offer(self, wait: float) -> None:
        self.now += wait
        self.pacer.offered(self.now)
        if self.pacer.keeps_newest:
            self.dropped += len(self.waiting)
            self.waiting.clear()
        self.waiting.append(self.offered)
        self.offered += 1
        self.pump()

    @rule(wait=STEPS)
    def advance(self, wait: float) -> None:
        self.now += wait
        self.pump()

    @precondition(lambda self: self.waiting)
    @rule()
    def jump_to_deadline(self) -> None:
        due_at = self.due_at()
        if due_at is not None:
            self.now = max(self.now, due_at)
            self.pump()

    @precondition(lambda self: self.waiting)
    @rule(share=st.floats(0.0, 0.999))
    def timer_fires_early(self, share: float) -> None:
        due_at = self.due_at()
        if due_at is not None and due_at > self.now:
            self.now += (due_at - self.now) * share
            self.pump()

    @precondition(lambda self: self.unanswered)
    @rule(wait=STEPS, inference_time=st.none() | TIMES)
    def answer(self, wait: float, inference_time: float | None) -> None:
        self.now += wait
        self.write_off()
        if not self.unanswered:
            return
        _, sent_at = self.unanswered.pop(0)
        self.answered_count += 1
        self.answered_since = True
        self.pacer.answered(self.now, sent_at)
        if inference_time is not None:
            self.pacer.timed(self.now, inference_time)
        self.pump()

    @rule()
    def lose(self) -> None:
        self.lost_count += len(self.unanswered)
        self.unanswered.clear()
        self.pacer.lost(self.now)
        self.pump()

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        assert self.offered == len(self.sent) + len(self.waiting) + self.dropped
        settled = self.answered_count + self.lost_count + self.dropped_count
        assert len(self.sent) == settled + len(self.unanswered)

    @invariant()
    def order_is_kept(self) -> None:
        numbers = [number for number, _ in self.sent] + self.waiting
        assert numbers == sorted(set(numbers))

    @invariant()
    def at_most_one_waits_where_only_the_newest_counts(self) -> None:
        assert not self.pacer.keeps_newest or len(self.waiting) <= 1

    def teardown(self) -> None:
        """The newest input leaves, given answers and time."""
        for _ in range(20):
            if not self.waiting:
                break
            due_at = self.due_at()
            if due_at is None:
                assert self.unanswered, "an input waits and nothing will ever let it go"
                self.answer(0.05, None)
            else:
                self.now = max(self.now, due_at)
                self.pump()
        assert not self.waiting
        if self.offered:
            assert self.sent[-1][0] == self.offered - 1
