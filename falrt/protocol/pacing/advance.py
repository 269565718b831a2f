"""How long before the server is free an input should leave, and when to miss on purpose.

Theory of operation. A frame that reaches the server before it is free grows old in its queue; one that comes
after leaves the server idle. A camera offers frames only at its own instants, so one or the other must happen.
The *advance* settles which: the first frame captured later than that long before the right instant is sent. A
large advance means a fuller use of the server and older frames. Waiting for a fresher frame is worth its price
as long as it is cheap, so the advance is steered such that the server idles for a small, fixed share of the
time: each answer tells how its input missed, and the advance moves a little. Jitter of model and network, the
camera's phase and the drift of clocks all act through that share and need no estimate of their own.

What is known of the server comes from inputs that missed (see ``estimates.py``). Where none has missed clearly for
a while, one is mistimed on purpose: a *probe*, one camera frame too early or too late. An early one finds
the server busy and shows its service time, a late one finds it idle and shows the delay. A probe whose input
did not miss clearly is repeated: the world is not as it was thought to be, and each try moves the estimate.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Final

from falrt.protocol.pacing.estimates import ServerEstimate

__all__ = ["Advance", "Probe"]

IDLE_SHARE: Final = 0.021
"""Share of the time that the server may idle for fresher frames; probes take up to a hundredth more."""

GAIN: Final = 0.02
"""How much of a miss the advance moves by: so little that jitter does not shake it."""

HURRY: Final = 32
"""Answers after which an advance that is plainly wrong (always idle, never idle) moves faster."""

LEAST_SHARE: Final = 1 / 6
"""Least advance, as a share of the camera's period: a drifting clock must not make every frame late."""

LEAST_ADVANCE: Final = 0.001
"""Least advance in seconds: what timers and schedulers may cost."""

PROBE_ANSWERS: Final = 16
"""Answers without a clear miss before a probe is due …"""

PROBE_TIME: Final = 3.0
"""… and seconds: a fast model is not probed several times a second."""

PROBE_TRIES: Final = 6
"""Probes in a row that may fail to miss before the pause is kept again."""

LATE_SHARE: Final = 0.01
"""Share of the time that the server may idle for late probes."""

MISS_SHARE: Final = 0.1
"""How far a probe misses where no camera sets the pace, as a share of the service time."""


class Probe(Enum):
    """Which way to miss; the value is the sign of what is added to the advance."""

    EARLY = 1
    LATE = -1


class Advance:
    """The advance of one lane, and its probes."""

    def __init__(self) -> None:
        # The probe that the next input makes.
        self.probe: Probe | None = None
        # In seconds; None until the first lesson: half the camera's period.
        self._advance: float | None = None
        # Idle time per answer, smoothed, to tell a wrong advance from chance.
        self._idle = 0.0
        # Answers since the server last idled.
        self._unspent = 0
        # For each kind: answers since an input missed clearly that way, and when that was.
        self._answers = {Probe.EARLY: 0, Probe.LATE: 0}
        self._seen_at = {Probe.EARLY: -math.inf, Probe.LATE: -math.inf}
        # Something changed: the kind that is to tell what, and how many have tried.
        self._urgent: Probe | None = None
        self._tries = 0
        # The probe that was sent and is not answered, and when it was sent.
        self._under_way: Probe | None = None
        self._under_way_at = 0.0

    def advance(self, period: float | None) -> float:
        """Return the advance without probes, given the camera's period (None: no camera)."""
        return (period or 0.0) / 2 if self._advance is None else self._advance

    def for_next(self, period: float | None, server: ServerEstimate) -> float:
        """Return the advance for the next input, its probe included."""
        advance = self.advance(period)
        if self.probe is not None:
            miss = period or max(MISS_SHARE * server.service, 3 * server.spread)
            advance += self.probe.value * miss
        return advance

    def sent(self, now: float) -> None:
        """An input left while others were unanswered: only then did its instant matter."""
        if self.probe is not None:
            self._under_way, self._under_way_at, self.probe = self.probe, now, None

    def lost(self) -> None:
        """What is on its way will not be answered."""
        self._under_way = None

    def surprised(self, way: Probe) -> None:
        """Answers do not come as expected: find out with the next input."""
        if self._urgent is None:
            self._urgent, self._tries = way, 0

    def learn(
        self,
        now: float,
        sent_at: float,
        offset: float,
        *,
        chosen: bool,
        period: float | None,
        server: ServerEstimate,
        ceiling: float,
    ) -> None:
        """Learn from an answer.

        Args:
            now: When it came.
            sent_at: When its input was sent.
            offset: How long the server had been free when the input came; negative: how long the input waited.
            chosen: An earlier input could have been sent instead: the server idled by choice.
            period: The camera's period; None: no camera.
            server: What is known of the server.
            ceiling: The largest advance that makes sense at present.
        """
        if server.settled and (chosen or offset <= 0):
            # More than that is no choice of ours but a stall.
            most = max(2 * (period or 0.0) + 0.01, 3 * server.spread)
            idle = min(max(0.0, offset), most)
            self._steer(idle, IDLE_SHARE * server.service, LEAST_SHARE * (period or 0.0), ceiling, period)
        clear = max(0.001, (period or 0.0) / 6, server.service / 20)
        self._see(now, sent_at, {Probe.EARLY: offset < -clear, Probe.LATE: offset > clear})
        pause = {Probe.EARLY: PROBE_ANSWERS, Probe.LATE: PROBE_ANSWERS}
        pause[Probe.LATE] = max(PROBE_ANSWERS, int((period or 0.0) / (LATE_SHARE * server.service)))
        self._plan(now, pause)

    def _steer(self, idle: float, target: float, least: float, ceiling: float, period: float | None) -> None:
        self._idle += (idle - self._idle) / HURRY
        self._unspent = 0 if idle else self._unspent + 1
        step = GAIN * (idle - target)
        if step > 0:
            step *= min(8.0, max(1.0, self._idle / (3 * target)))
        else:
            step *= max(1.0, self._unspent / HURRY)
        least = max(LEAST_ADVANCE, least)
        self._advance = min(max(least, ceiling), max(least, self.advance(period) + step))

    def _see(self, now: float, sent_at: float, missed: dict[Probe, bool]) -> None:
        """Note which way an input missed, and what became of the probe."""
        for way, so in missed.items():
            self._answers[way] += 1
            if so:
                self._answers[way], self._seen_at[way] = 0, now
                if self._urgent is way:
                    self._urgent = None
        probed = self._under_way
        if probed is None or sent_at < self._under_way_at:
            return
        self._under_way, self._seen_at[probed] = None, now
        if missed[probed]:
            return
        self._tries += 1
        self._urgent = probed if self._tries < PROBE_TRIES else None

    def _plan(self, now: float, pause: dict[Probe, int]) -> None:
        """Choose the next probe."""
        if self._under_way is not None:
            return
        self.probe = self._urgent
        for way in Probe:
            quiet = self._answers[way] >= pause[way] and now >= self._seen_at[way] + PROBE_TIME
            if self.probe is None and quiet:
                self.probe, self._tries = way, 0
