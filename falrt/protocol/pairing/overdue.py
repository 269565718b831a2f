"""What it means that no answer comes although the socket lives.

A fal runner drops silently, and an app may hang while its server still answers pings. Five things follow from
silence, each after its own time:

* an answer came since the newest input left, then nothing for a while: the rest is *settled* as dropped, for the
  newest is never dropped. Nobody waits for it any more
* where that rest is a stream's, its pacing may know sooner that it is *overdue*. While nothing has come since the
  newest left, nothing is overdue: the network stalls, or the model is slow
* where requests, or frames of a stream that may skip none, are among that rest, the socket is replaced instead, and
  they are asked again: the server dropped them, or made one output of several
* an input is held up by answers that nobody waits for or can tell apart: the socket is *recycled*, for a new one
  has no stale answers
* a send or a stream's frame is unanswered for as long as a request may be: the app *hangs*, and the socket is recycled

A socket that is recycled in vain may belong to a model that is slow: each one is granted twice the time of the last.

Source:
    Silent drops: wire facts W32 and W33, docs/reference/wire.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from falrt.protocol.inputs import Input, Kind, Lane
from falrt.protocol.pairing import admission
from falrt.protocol.pairing.in_flight import InFlight

__all__ = ["Silence"]

DOUBLINGS_MAX: Final = 6


class Silence:
    """How long a socket has been silent, and what is to be done about it."""

    __slots__ = ("_answered_since", "_came_at", "_latency", "_recycled", "hang_after", "last_at")

    def __init__(self, hang_after: float | None, now: float) -> None:
        # Seconds after which an app that gives nothing hangs; None for never.
        self.hang_after = hang_after
        # When the last input left or the last result came; at first, when the socket opened.
        self.last_at = now
        # When the last result came; at first, when the socket opened.
        self._came_at = now
        # A result came since the newest input left.
        self._answered_since = False
        # Sockets recycled since the last answer.
        self._recycled = 0
        # A slow answer's latency: the greatest of late, forgotten slowly. None before the first.
        self._latency: float | None = None

    def opened(self, now: float) -> None:
        """A new socket opened."""
        self.last_at = self._came_at = now
        self._answered_since = False

    def sent(self, now: float) -> None:
        """An input left."""
        self.last_at = now
        self._answered_since = False

    def came(self, now: float) -> None:
        """A result came."""
        self.spoiled(now)
        self._recycled = 0

    def spoiled(self, now: float) -> None:
        """Something came that cannot be read, and may have been a result."""
        self.last_at = self._came_at = now
        self._answered_since = True

    def took(self, latency: float) -> None:
        """An input was answered after so many seconds."""
        slow = self._latency
        self._latency = latency if slow is None or latency >= slow else slow + (latency - slow) / 64

    @property
    def grace(self) -> float:
        """How long the answer of a request is waited for that a later one has overtaken, in seconds."""
        return self._patience / 4

    def recycled(self) -> None:
        """The socket is given up for its silence."""
        self._recycled += 1

    @property
    def _factor(self) -> float:
        return 2.0 ** min(self._recycled, DOUBLINGS_MAX)

    @property
    def _patience(self) -> float:
        return admission.patience(self._latency) * self._factor

    def is_patient(self, in_flight: InFlight, until: float) -> bool:
        """Whether silence tells nothing before an instant, where no stream runs and nothing waits."""
        oldest = in_flight.oldest
        if oldest is None:
            return True
        hangs_at = self._hangs_at(oldest)
        return not self._answered_since and (hangs_at is None or hangs_at >= until)

    def dropped_at(self, in_flight: InFlight) -> float | None:
        """Return when everything unanswered is to be taken for dropped; None for never."""
        oldest = in_flight.oldest
        if oldest is None or not self._answered_since or in_flight.owes:
            return None
        settles_at = self.last_at + self._patience
        if oldest.kind is Kind.STREAM and not in_flight.tells(oldest):
            overdue_at = oldest.lane.pacer.overdue_at()
            if overdue_at is not None:
                return min(settles_at, overdue_at)
        return settles_at

    def recycles_at(self, in_flight: InFlight, lanes: Sequence[Lane]) -> float | None:
        """Return when the socket is to be replaced by one without stale answers; None for never."""
        oldest = in_flight.oldest
        if oldest is None:
            # Nothing is unanswered as far as we know, but a late answer may come: no request may meet it.
            head = lanes[0].head
            blocked = head is not None and not admission.may_join(
                in_flight, head.kind, lanes[0], head.request_id
            )
            return self.last_at if blocked or in_flight.hopeless else None
        if admission.held_up(in_flight, lanes):
            return self.last_at + self._patience
        if self._answered_since and in_flight.owes and in_flight.awaited:
            return self.last_at + self._patience
        return self._hangs_at(oldest)

    def _hangs_at(self, oldest: Input) -> float | None:
        """Return when an app that gives nothing for its oldest input hangs; a request has a clock of its own."""
        if oldest.kind is Kind.REQUEST or self.hang_after is None:
            return None
        # Inputs that go on leaving are no sign of life.
        since = self._came_at if oldest.sent_at is None else max(self._came_at, oldest.sent_at)
        return since + self.hang_after * self._factor
