"""What instants tell: how fast a source captures, how long the network takes and how long the server works.

Theory of operation, server. An input sent at ``s`` is answered at ``d``; the answer before came at ``d'``. Between
them lie a *delay* N (up and down the network, and whatever else an input does not wait in line for) and a *service*
time W, during which the server (or a slow uplink: whatever is the bottleneck) takes no other input. N and W cannot
be seen; two differences can:

    interval  D = d - d'        gap  G = s - d'

If the input found the server busy, the answers are one service apart: D = W. If the server was idle, the input's
own delay counts: d = s + N + W, so D = W + (G + N). Both together are one bent line::

    D = W + max(0, G + N)            D |          /
                                       |         /
    level: the service time          W |________/
    bend:  the delay                   |________|_______ G
                                               -N

and fitting it to the recent answers gives both, from answers alone. Points on both sides of the bend are needed;
a pacer that always sends at the right moment sees only the bend itself, so it must now and then send too early on
purpose (a *probe*). Where the app tells the inference time, its variation is taken out of D first, and the level is
drawn to it.

The fit minimises a Huber loss (a stalled answer weighs little) plus a small price for moving the bend, which keeps
it in place while all points lie on one side. It searches near the last fit, in shrinking steps: a few dozen passes
over at most ``WINDOW`` points. When the latest points all lie on one side of the line, the world has changed and
older points are forgotten.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

__all__ = ["ServerEstimate", "SourceEstimate"]

INTERVALS: Final = 15
"""Capture intervals remembered: half a second of a usual camera."""

SAME_FRAME: Final = 0.001
"""Seconds by which the capture of a frame may be told after the instant at which it was taken for sending."""

WINDOW: Final = 128
"""Answers remembered. With a model that varies by 20 %, fewer leave the bend uncertain by more than 3 % of W."""

WINDOW_TIME: Final = 25.0
"""Seconds after which an answer is forgotten, so that a slow model's drift is followed."""

RECENT: Final = 64
"""Answers that the level is taken from, once the bend is known: it moves faster than the network does."""

MOVE_PRICE: Final = 0.3
"""What it costs to move the bend, in answers that lie off the line by as much …"""

MOVE_MOST: Final = 0.03
"""… and at most, as a share of the latency: a large jump must stay possible."""

RECALL: Final = 8
"""Latest answers that are looked at for a change …"""

CHANGE: Final = 3
"""… and how many of them must lie off the line: one stalled answer is no change."""


class SourceEstimate:
    """The capture period of a live source.

    Only a source that captures by itself has one. The sign is a capture that was passed over: a source that is
    asked for each frame never has any, and its intervals say nothing.
    """

    def __init__(self) -> None:
        # Median capture interval in seconds; None: not known, or no live source.
        self.period: float | None = None
        # How much longer than the period an interval may well be.
        self.jitter = 0.0
        self._intervals: deque[float] = deque(maxlen=INTERVALS)
        self._last_at: float | None = None
        # The last capture has not been sent.
        self._waits = False
        # The interval before the last capture, if that has not been counted.
        self._untold: float | None = None

    def offered(self, now: float) -> None:
        """A frame was captured."""
        if self._last_at is not None:
            interval = now - self._last_at
            if self._waits:
                self._count(interval)
            else:
                self._untold = interval
        self._last_at = now
        self._waits = True

    def sent(self, now: float) -> None:
        """The newest frame of that instant was sent; one captured since then waits."""
        self._waits = self._last_at is not None and self._last_at > now + SAME_FRAME

    def _count(self, interval: float) -> None:
        if self._untold is not None:
            self._intervals.append(self._untold)
            self._untold = None
        self._intervals.append(interval)
        if len(self._intervals) >= 4:
            ordered = sorted(self._intervals)
            self.period = ordered[len(ordered) // 2]
            self.jitter = ordered[len(ordered) * 9 // 10] - self.period


@dataclass(slots=True)
class _Answer:
    """One point of the bent line."""

    answered_at: float
    gap: float
    interval: float
    # What the app said, where it says anything.
    inference_time: float | None = None


class ServerEstimate:
    """Delay and service time, fitted to the answers."""

    def __init__(self) -> None:
        # N: seconds of an input's delay that others may share.
        self.delay = 0.0
        # W: seconds between two answers of a server that is never idle.
        self.service = 0.0
        # Half the width of the middle three quarters of what the line does not explain.
        self.spread = 0.0
        self._answers: deque[_Answer] = deque(maxlen=WINDOW)
        # (gap, interval without the known variation of the inference), as of the last fit.
        self._points: list[tuple[float, float]] = []
        # Typical inference time as told by the app; None: it tells nothing, or nothing of use.
        self._typical: float | None = None
        self._counted = 0
        # Answers until the next fit is worth its time.
        self._fit_in = 0

    @property
    def known(self) -> bool:
        """Whether there is anything to go by: the first answer of a cold server is not enough."""
        return self._counted >= 2

    @property
    def settled(self) -> bool:
        """Whether the line rests on enough answers to call one of them late."""
        return self._counted >= RECALL

    def answered(self, now: float, sent_at: float, previous_at: float | None) -> bool:
        """Learn from an answer; return whether the line has moved so far that it should be probed.

        Args:
            now: When it came.
            sent_at: When its input was sent.
            previous_at: When the answer before it came; None where none is comparable (first, or after a loss).
        """
        self._counted += 1
        if self._counted <= 2:
            # Nothing tells the two apart yet; half each makes the second input leave early enough to learn.
            self.delay = self.service = (now - sent_at) / 2
        if previous_at is None:
            return False
        self._answers.append(_Answer(now, sent_at - previous_at, now - previous_at))
        changed = self._forget(now)
        self._fit_in -= 1
        if changed or self._fit_in <= 0:
            self._fit()
            self._fit_in = 1 + len(self._answers) // 16
        return changed

    def timed(self, inference_time: float) -> None:
        """Learn how long the model worked on the last answer.

        Zeroes and second figures for the same answer are left out: gateways send them for billing.
        """
        if inference_time > 0 and self._answers and self._answers[-1].inference_time is None:
            self._answers[-1].inference_time = inference_time

    def _forget(self, now: float) -> bool:
        """Drop what is too old or belongs to another world; return True for the latter."""
        answers = self._answers
        while len(answers) > RECALL and answers[0].answered_at < now - WINDOW_TIME:
            answers.popleft()
        if len(answers) < RECALL:
            return False
        limit = 2.5 * self.spread + 0.002
        off = [
            back
            for back in range(1, RECALL + 1)
            if abs(answers[-back].interval - self.service - max(0.0, answers[-back].gap + self.delay)) > limit
        ]
        if len(off) < CHANGE:
            return False
        while len(answers) > off[-1]:
            answers.popleft()
        return True

    def _fit(self) -> None:
        """Find the bend near the last one, then the level, then what is left over."""
        self._correct()
        # No input can have travelled longer than it took to be answered.
        most = 0.98 * min(x.interval - x.gap for x in self._answers)
        # The bend may have jumped past all points, and nothing between there and here slopes towards it.
        gaps = sorted(x.gap for x in self._answers)
        quarters = (-gaps[(len(gaps) - 1) * quarter // 4] for quarter in range(5))
        starts = {min(max(start, 0.0), most) for start in (self.delay, *quarters)}
        loss, best = min((self._loss(start), start) for start in starts)
        scale = best + self.service
        for step in (scale / 8, scale / 32, scale / 128, scale / 512):
            for signed in (step, -step):
                while 0 <= best + signed <= most:
                    candidate = self._loss(best + signed)
                    if candidate >= loss - 1e-9:
                        break
                    best, loss = best + signed, candidate
        self.delay = best
        self.service = max(0.001, self._level(best, self._points[-RECENT:])[0])
        rests = self._level(best, [(x.gap, x.interval) for x in self._answers])[1]
        n = len(rests)
        self.spread += 0.3 * ((rests[n - 1 - n // 8] - rests[n // 8]) / 2 - self.spread)

    def _correct(self) -> None:
        """Take the told variation of the inference out of the intervals, where inference is what they measure."""
        told = [x.inference_time for x in self._answers if x.inference_time is not None]
        self._typical = _middle(sorted(told)) if 2 * len(told) >= len(self._answers) else None
        if self._typical is not None and self._typical < 0.7 * self.service and self.settled:
            self._typical = None  # something else is the bottleneck: a slow uplink, say
        typical = self._typical
        self._points = [
            (x.gap, x.interval)
            if typical is None or x.inference_time is None
            else (x.gap, x.interval - x.inference_time + typical)
            for x in self._answers
        ]

    def _loss(self, delay: float) -> float:
        """How badly the line with its bend at -delay fits."""
        level, rests = self._level(delay, self._points)
        width = 1.5 * self.spread + 0.001
        loss = min(MOVE_PRICE * abs(delay - self.delay), MOVE_MOST * (self.delay + self.service))
        if self._typical is not None:
            loss += abs(level - self._typical)
        for rest in rests:
            off = abs(rest - level)
            loss += off * off / (2 * width) if off < width else off - width / 2
        return loss

    @staticmethod
    def _level(delay: float, points: list[tuple[float, float]]) -> tuple[float, list[float]]:
        """Return the level that fits best to a bend, and the points without the slope, in order of size."""
        rests = sorted([d - (g + delay if g + delay > 0 else 0.0) for g, d in points])
        return _middle(rests), rests


def _middle(ordered: list[float]) -> float:
    """Mean without the outermost tenths: nearly as sharp as the mean, and deaf to stalls."""
    cut = len(ordered) // 10
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)
