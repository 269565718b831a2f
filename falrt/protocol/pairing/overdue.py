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

from falrt.protocol.inputs import REQUEST, STREAM, Input, Lane
from falrt.protocol.numbers import NEVER
from falrt.protocol.pairing import admission
from falrt.protocol.pairing.facts import ECHOED, AppFacts
from falrt.protocol.pairing.unanswered import BROKEN, Unanswered
from falrt.protocol.settings import Settings

__all__ = ["Overdue"]

DOUBLINGS_MAX: Final = 6
# How long an answer may be awaited in vain: several latencies, within bounds, seconds.
PATIENCE_MIN: Final = 1.0
PATIENCE_MAX: Final = 10.0
PATIENCE_UNKNOWN: Final = 2.0
PATIENCE_LATENCIES: Final = 4.0


class Overdue:
    """How long one socket has been silent, and when something has to be done about it."""

    __slots__ = (
        "_answered_since", "_came_at", "_facts", "_hang_after", "_pairs", "_recycles", "_unanswered", "last_at",
    )  # fmt: skip

    def __init__(self, facts: AppFacts, unanswered: Unanswered, settings: Settings, now: float) -> None:
        self._facts, self._unanswered = facts, unanswered
        # The outputs of a session come as the app likes: a pause between them says nothing.
        self._pairs = settings.mode.pairs
        # A bare socket is not replaced by another.
        self._recycles = self._pairs and settings.backoff is not None
        # Seconds after which an app that gives nothing hangs; None for never.
        self._hang_after = settings.request_timeout
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

    def settles_at(self) -> float:
        """Return when all that is unanswered, plain sends, is to be taken for dropped."""
        unanswered = self._unanswered
        if not (self._pairs and unanswered.inputs and self._answered_since) or unanswered.strict:
            return NEVER
        return self._patient_until

    def recycles_at(self, lanes: Sequence[Lane]) -> float:
        """Return when the socket is to be replaced by one without stale answers."""
        unanswered, facts = self._unanswered, self._facts
        if not self._recycles:
            return NEVER
        if not unanswered.inputs:
            # Nothing is unanswered as far as we know, but a late answer may come: no strict input may meet it.
            blocked = unanswered.order is BROKEN and admission.held_up(unanswered, facts, lanes)
            return self.last_at if blocked else NEVER
        oldest = unanswered.inputs[0]
        if oldest.kind is REQUEST and oldest.outcome is None and not self._answered_since:
            return NEVER  # the usual case: its caller has a timeout
        if admission.held_up(unanswered, facts, lanes):
            return self._patient_until
        if self._answered_since and unanswered.strict and unanswered.awaited:
            return self._overdue_at(oldest)
        return self._hangs_at(oldest)

    def _overdue_at(self, oldest: Input) -> float:
        """Return when a silence that follows an answer tells of a drop."""
        # Where ids are echoed the next answer tells it; what nothing newer can stand for is worth the wait.
        if oldest.kind is STREAM and self._facts.ids is not ECHOED and not self._unanswered.owes:
            overdue_at = oldest.lane.pacer.overdue_at()
            if overdue_at is not None:
                return min(self._patient_until, overdue_at)
        return self._patient_until

    def _hangs_at(self, oldest: Input) -> float:
        """Return when an app that gives nothing for its oldest input hangs; a request has a clock of its own."""
        if oldest.kind is REQUEST or self._hang_after is None:
            return NEVER
        # Inputs that go on leaving are no sign of life.
        since = self._came_at if oldest.sent_at is None else max(self._came_at, oldest.sent_at)
        return since + self._hang_after * self._factor
