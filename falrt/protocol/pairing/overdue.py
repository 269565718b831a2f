"""What it means that no answer comes although the socket lives.

A fal runner drops silently, and an app may hang while its server still answers pings. After an answer that came since
the newest input left, which no server drops, silence tells of drops:

* plain sends are *settled* as dropped: nobody waits for them any more
* where a request or a stream's frame is among them, the socket is *recycled*: what is unanswered goes again on a new
  one, which has no stale answers. A stream's pacing may know sooner that its frame is overdue. While nothing has come
  since the newest left, nothing is overdue: the network stalls, or the model is slow

Two more silences end in a new socket: an input is held up by answers that nobody waits for or can tell apart, and a
send or a stream's frame is unanswered for as long as a request may be, so that the app *hangs*.

A socket that is recycled in vain may belong to a model that is slow: each one is granted twice the time of the last.

Source:
    Silent drops: wire facts W32 and W33, docs/reference/wire.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from falrt.protocol.inputs import Input, Kind, Lane
from falrt.protocol.pairing import admission
from falrt.protocol.pairing.facts import AppFacts, Ids
from falrt.protocol.pairing.unanswered import Unanswered

__all__ = ["Overdue"]

DOUBLINGS_MAX: Final = 6
# How long an answer may be awaited in vain: several latencies, within bounds, seconds.
PATIENCE_MIN: Final = 1.0
PATIENCE_MAX: Final = 10.0
PATIENCE_UNKNOWN: Final = 2.0
PATIENCE_LATENCIES: Final = 4.0


class Overdue:
    """How long one socket has been silent, and when something has to be done about it."""

    __slots__ = ("_answered_since", "_came_at", "_facts", "_unanswered", "hang_after", "last_at")

    def __init__(self, facts: AppFacts, unanswered: Unanswered, hang_after: float | None, now: float) -> None:
        self._facts, self._unanswered = facts, unanswered
        # Seconds after which an app that gives nothing hangs; None for never.
        self.hang_after = hang_after
        # When the last input left or the last result came; at first, when the socket opened.
        self.last_at = now
        # When the last result came; at first, when the socket opened.
        self._came_at = now
        # A result came since the newest input left.
        self._answered_since = False

    def sent(self, now: float) -> None:
        """An input left."""
        self.last_at = now
        self._answered_since = False

    def came(self, now: float, *, readable: bool = True) -> None:
        """A result came, or something unreadable that may have been one."""
        self.last_at = self._came_at = now
        self._answered_since = True
        if readable:
            self._facts.recycled = 0

    @property
    def _factor(self) -> float:
        return 2.0 ** min(self._facts.recycled, DOUBLINGS_MAX)

    @property
    def _patient_until(self) -> float:
        latency = self._facts.slow_latency
        patience = PATIENCE_UNKNOWN
        if latency is not None:
            patience = min(PATIENCE_MAX, max(PATIENCE_MIN, PATIENCE_LATENCIES * latency))
        return self.last_at + patience * self._factor

    def is_patient(self, until: float) -> bool:
        """Whether silence tells nothing before an instant, where no stream runs and nothing waits."""
        oldest = self._unanswered.oldest
        if oldest is None or self._answered_since:
            return oldest is None
        hangs_at = self._hangs_at(oldest)
        return hangs_at is None or hangs_at >= until

    def settles_at(self) -> float | None:
        """Return when all that is unanswered, plain sends, is to be taken for dropped; None for never."""
        unanswered = self._unanswered
        if not len(unanswered) or unanswered.strict or not self._answered_since:
            return None
        return self._patient_until

    def recycles_at(self, lanes: Sequence[Lane]) -> float | None:
        """Return when the socket is to be replaced by one without stale answers; None for never."""
        unanswered, facts = self._unanswered, self._facts
        oldest = unanswered.oldest
        if oldest is None:
            # Nothing is unanswered as far as we know, but a late answer may come: no strict input may meet it.
            free = all(admission.head_may_join(unanswered, facts, lane) for lane in lanes)
            return None if free else self.last_at
        if admission.held_up(unanswered, facts, lanes):
            return self._patient_until
        if self._answered_since and unanswered.strict and unanswered.awaited:
            return self._overdue_at(oldest)
        return self._hangs_at(oldest)

    def _overdue_at(self, oldest: Input) -> float:
        """Return when a silence that follows an answer tells of a drop."""
        # Where ids are echoed the next answer tells it; what nothing newer can stand for is worth the wait.
        if oldest.kind is Kind.STREAM and self._facts.ids is not Ids.ECHOED and not self._unanswered.owes:
            overdue_at = oldest.lane.pacer.overdue_at()
            if overdue_at is not None:
                return min(self._patient_until, overdue_at)
        return self._patient_until

    def _hangs_at(self, oldest: Input) -> float | None:
        """Return when an app that gives nothing for its oldest input hangs; a request has a clock of its own."""
        if oldest.kind is Kind.REQUEST or self.hang_after is None:
            return None
        # Inputs that go on leaving are no sign of life.
        since = self._came_at if oldest.sent_at is None else max(self._came_at, oldest.sent_at)
        return since + self.hang_after * self._factor
