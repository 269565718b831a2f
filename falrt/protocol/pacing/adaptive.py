"""Adaptive pacing: send the newest frame so that it arrives just as the model becomes free.

Theory of operation. With one input in flight the model idles for a whole network round trip per picture; with two,
every frame waits in the model's queue for one inference. Between them lies the right instant: the moment at which
the answers due so far leave the model free, less the time that the next input travels. Three machines find it:

* ``ServerEstimate`` (``estimates.py``) fits delay N and service time W to the answers. What is unanswered is
  expected in turn, ``expected = max(expected, sent + N) + W``, and the server is free for an input that leaves at
  ``free = expected - N``. (Delay and service are seen from here: the answer's way back is part of N.)
* ``SourceEstimate`` knows when the next capture comes, so that a frame is not sent if a better one is near.
* ``Advance`` (``advance.py``) decides how much earlier than ``free`` a frame may leave, and when to probe.

Pairing. A fal runner with a small buffer drops silently, and its answers name no input (wire facts W31 to W35). What
keeps the pairing right, in this order:

* An input leaves no earlier than when the one before it is surely in work: at most one waits at the server, which
  every buffer holds. The distance kept for jitter doubles after each drop that was found out.
* An answer that is late by more than half a service time may be the sign of a drop: nothing leaves until all
  inputs are answered. If they are, nothing was dropped; what was seen meanwhile is learnt only then, and not at all
  where the network or the app just stalled.
* If some are not, ``overdue_at`` tells when they are to be taken for dropped, and a new socket follows, on which
  pairing is right again.
* Where one input at a time costs next to nothing (N no more than a fiftieth of W), no second one is sent at all.

Whatever happens, an input that waits leaves at the latest when all before it should long have been answered.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from falrt.protocol.numbers import COUNT, check_number
from falrt.protocol.pacing.advance import Advance, Probe
from falrt.protocol.pacing.estimates import SAME_FRAME, ServerEstimate, SourceEstimate

__all__ = ["Adaptive"]

LOCAL_SHARE: Final = 0.02
"""Delay, as a share of the service time, below which waiting for each answer is as fast and always certain."""

LATE_SHARE: Final = 0.6
"""How late an answer must be to suggest a drop, in service times: a drop makes it late by one …"""

LATE_SPREADS: Final = 3.0
"""… unless such delays are usual: then as many spreads, as long as that is less than a service time."""

STALL_SHARE: Final = 1.5
"""How late an answer must be, in service times, to tell of a stall rather than of a drop."""

SURPRISE_SHARE: Final = 0.15
"""How far an answer must be from its expected instant to be worth a probe, in service times."""

SLOW_SOURCE: Final = 1.5
"""From this period on, in service times, no other frame comes near enough to be waited for."""

GRACE: Final = 0.05
"""Seconds added to what an overdue answer is waited for: schedulers and garbage collectors pause too."""

CARE_MOST: Final = 4.0
"""How much more distance may be kept between inputs after repeated drops."""


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Learn the send rate from the answers: keep the model busy and its queue short.

    Use it for live streams. The age of the picture stays near its minimum (network and one inference) whatever the
    network's delay, and only the newest frame waits. Nothing needs tuning; apps need not send timings.

    Args:
        max_in_flight: The most inputs that may be unanswered; None: as many as the network's delay requires
            (two for most, more if the round trip is longer than the inference).
        vouched: How many unanswered inputs you know the server to keep and answer one by one, as a runner with
            ``buffering`` of that size does. With up to that many unanswered, replies are certain.

    Raises:
        ConfigurationError: A value is no whole number above zero.
    """

    max_in_flight: int | None = None
    vouched: int = 1

    def __post_init__(self) -> None:
        check_number("Adaptive.max_in_flight", self.max_in_flight, COUNT, optional=True)
        check_number("Adaptive.vouched", self.vouched, COUNT)

    def start(self) -> AdaptivePacer:
        """Return the pacer of one lane."""
        return AdaptivePacer(self.max_in_flight, self.vouched)


@dataclass(slots=True)
class _Sent:
    """An unanswered input."""

    sent_at: float
    # It could have been an earlier one: an older capture gave way to it, or frames can be had at any time.
    chosen: bool


@dataclass(slots=True)
class _Lesson:
    """An answer that is to be learnt from."""

    answered_at: float
    sent: _Sent
    # When the answer before it came; None where that says nothing (the first, or after a guess).
    previous_at: float | None


class _Stall(Enum):
    """Whether what comes in was held up by something that passes."""

    NONE = "none"
    NOW = "now"
    JUST = "just"
    """The last lessons were: the next ones count, whatever they are."""


class AdaptivePacer:
    """The state of one lane; see the module's theory of operation."""

    keeps_newest = True
    overlaps = True
    paces_requests = True

    def __init__(self, max_in_flight: int | None, vouched: int) -> None:
        self.vouched = vouched
        self._max_in_flight = max_in_flight
        self._server = ServerEstimate()
        self._source = SourceEstimate()
        self._advance = Advance()
        self._unanswered: deque[_Sent] = deque()
        # When the last answer came; None where the next one's interval would say nothing.
        self._answered_at: float | None = None
        # When the newest waiting input was captured; None: none was offered since the last send.
        self._offered_at: float | None = None
        # It replaced an older one that waited.
        self._passed_over = False
        # Answers that came since something suggested a drop; empty otherwise.
        self._lessons: list[_Lesson] = []
        # Two inputs were unanswered together since the count was last known to be right: one may be dropped.
        self._overlapped = False
        # An answer was late: nothing leaves until all are answered.
        self._draining = False
        # Answers came later than anything but a stall of the network or the app explains, and when that was over the
        # last time: a stall passes and teaches nothing, but two in a row are how the world is now.
        self._stall = _Stall.NONE
        # How much more distance than usual is kept between inputs; grows with drops, fades with answers.
        self._care = 1.0

    # --- limits

    @property
    def in_flight_limit(self) -> int | None:
        """The most unanswered inputs at this moment."""
        server = self._server
        if not server.known or (self._local and self._advance.probe is not Probe.EARLY):
            limit = 1
        elif not server.settled:
            limit = 2  # one in work, one waiting: safe, however wrong the first figures are
        else:
            on_the_way = (server.delay + self._advance.advance(self._source.period)) / server.service
            limit = 2 + int(on_the_way)
        return limit if self._max_in_flight is None else min(limit, self._max_in_flight)

    @property
    def _local(self) -> bool:
        return self._server.delay <= LOCAL_SHARE * self._server.service

    @property
    def _guard(self) -> float:
        """Distance to the instant at which the input before begins to be worked on."""
        server = self._server
        share = min(0.3 * self._care, 0.6)
        return min(share * server.service, self._care * (server.spread + 0.002))

    @property
    def _patience(self) -> float:
        """How long after its expected instant an answer is still waited for."""
        server = self._server
        return server.delay + server.service + 4 * server.spread + GRACE

    # --- the decision

    def due_at(self, now: float, unanswered: int) -> float | None:
        """Return the instant at which a waiting input may leave; see ``Pacer.due_at``."""
        self._reconcile(unanswered)
        if not self._server.known:
            return None if unanswered else now
        others = unanswered > len(self._unanswered)  # another lane's inputs, of which nothing is known here
        latest_at = self._latest_at
        if others or (self._draining and unanswered) or unanswered >= (self.in_flight_limit or 1):
            return latest_at
        free_at = self._expected(now) - self._server.delay
        earliest = free_at - self._server.service + self._guard
        leaves_at = max(earliest, self._right_at(now, free_at))
        if latest_at is not None:
            leaves_at = min(leaves_at, latest_at)
        return leaves_at

    def _right_at(self, now: float, free_at: float) -> float:
        """When a frame should leave, given when the server is free for it; later where a better one is near."""
        period = self._source.period
        advance = self._advance.for_next(period, self._server)
        right_at, captured_at = free_at - advance, self._offered_at
        if captured_at is None or period is None or period > SLOW_SOURCE * self._server.service:
            return right_at
        if captured_at >= right_at and now - captured_at <= max(advance, self._advance.advance(period)):
            return right_at
        # The next capture will do better; should it not come, this one leaves.
        return max(right_at, captured_at + 1.25 * period + 2 * self._source.jitter)

    def _expected(self, now: float) -> float:
        """When the last unanswered input should be answered, if the oldest is not before ``now``."""
        server = self._server
        expected = -math.inf if self._answered_at is None else self._answered_at
        for sent in self._unanswered:
            expected = max(expected, sent.sent_at + server.delay) + server.service
            expected, now = max(expected, now), -math.inf
        return expected

    @property
    def _latest_at(self) -> float | None:
        """When an input leaves although something forbids it: whatever that waits for did not come."""
        limit = self._max_in_flight
        if not self._unanswered or (limit is not None and len(self._unanswered) >= limit):
            return None
        return self._expected(-math.inf) + self._patience

    # --- what happened

    def offered(self, now: float) -> None:
        """An input was captured."""
        self._source.offered(now)
        self._passed_over = self._passed_over or self._offered_at is not None
        self._offered_at = now

    def sent(self, now: float, unanswered: int, size_bytes: int = 0) -> None:
        """An input left."""
        self._reconcile(unanswered)
        if unanswered:
            self._advance.sent(now)
            self._overlapped = True
        self._unanswered.append(_Sent(now, self._passed_over or self._source.period is None))
        self._source.sent(now)
        self._passed_over = False
        if self._offered_at is not None and self._offered_at <= now + SAME_FRAME:
            self._offered_at = None  # else a newer one was captured while this one was encoded

    def answered(self, now: float, sent_at: float) -> None:
        """An answer came; with it, all older inputs are settled."""
        server = self._server
        sent = _Sent(sent_at, False)
        while self._unanswered and self._unanswered[0].sent_at <= sent_at:
            sent = self._unanswered.popleft()
        previous_at, self._answered_at = self._answered_at, now
        if server.known and previous_at is not None:
            expected = max(previous_at, sent_at + server.delay) + server.service
            self._judge(now - expected)
        if not self._unanswered:
            self._overlapped = self._draining = False
        self._lessons.append(_Lesson(now, sent, previous_at))
        if not self._draining:
            if self._stall is not _Stall.NOW:
                for lesson in self._lessons:
                    self._learn(lesson)
            self._lessons.clear()
            self._stall = _Stall.JUST if self._stall is _Stall.NOW else _Stall.NONE
        self._care = max(1.0, 0.999 * self._care)

    def timed(self, now: float, inference_time: float) -> None:
        """The app said how long the model worked on the last answer."""
        self._server.timed(inference_time)

    def lost(self, now: float) -> None:
        """The socket has gone; what is known of network and model stays, for they mostly stay as well."""
        self._unanswered.clear()
        self._answered_at = None
        self._lessons.clear()
        self._advance.lost()
        self._overlapped = self._draining = False

    def overdue_at(self) -> float | None:
        """Return when what is unanswered is to be taken as dropped; None where nothing can have been."""
        if not self._unanswered or not self._overlapped or not self._server.known:
            return None
        came_at = -math.inf if self._answered_at is None else self._answered_at
        expected = max(came_at, self._unanswered[0].sent_at + self._server.delay) + self._server.service
        return expected + self._patience

    def dropped(self, now: float) -> None:
        """Something unanswered is taken for dropped: keep more distance."""
        self._care = min(CARE_MOST, 2 * self._care)

    # --- bookkeeping

    def _reconcile(self, unanswered: int) -> None:
        """Forget what the queue no longer counts: inputs abandoned or settled by their ids."""
        while len(self._unanswered) > unanswered:
            self._unanswered.popleft()

    def _judge(self, late: float) -> None:
        """Draw conclusions from how late an answer came, in seconds; negative: early."""
        server = self._server
        if abs(late) > max(SURPRISE_SHARE * server.service, 4 * server.spread):
            self._advance.surprised(Probe.EARLY if late > 0 else Probe.LATE)
        usual = min(0.9 * server.service, LATE_SPREADS * server.spread)
        if self._overlapped and late > max(LATE_SHARE * server.service, usual):
            self._draining = True
            if server.settled and late > STALL_SHARE * server.service and self._stall is _Stall.NONE:
                self._stall = _Stall.NOW

    def _learn(self, lesson: _Lesson) -> None:
        server, source, sent_at = self._server, self._source, lesson.sent.sent_at
        if server.answered(lesson.answered_at, sent_at, lesson.previous_at):
            self._advance.surprised(Probe.EARLY)
        if lesson.previous_at is None or not server.known:
            return
        self._advance.learn(
            lesson.answered_at,
            sent_at,
            sent_at - lesson.previous_at + server.delay,
            chosen=lesson.sent.chosen,
            period=source.period,
            server=server,
            ceiling=min((source.period or 0.0) + 2 * server.spread, server.service - self._guard),
        )
