"""A simulated world for pacing policies: camera, send queue, network, fal runner and screen, in virtual time.

Discrete events, seeded, no network and no waiting: the same figures on every machine. ::

    camera -> lane (the send queue around a Pacer) -> uplink -> runner -> downlink -> screen

* The camera captures at a fixed rate with jitter, at a phase unknown to the runner.
* The uplink serialises frames at its bandwidth, then delays them; both directions keep the order, as TCP does.
* The runner has one input in work and ``buffer`` waiting; a full buffer silently drops its oldest (wire fact W31).
* Answers name no input and are paired first in, first out, as in ``falrt.protocol.pairing.unanswered``.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from falrt.protocol.pacing.policies import Pacing

__all__ = ["Outcome", "Setting", "World", "best_ratio", "measure", "simulate"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One world to stream in. Times in seconds, rates in hertz; each way has half of ``round_trip``."""

    inference: float = 0.1
    round_trip: float = 0.06
    fps: float = 30.0
    buffer: int | None = None
    # Uniform: inference times (1 ± jitter), 0 to network_jitter more each way, captures ± camera_jitter.
    inference_jitter: float = 0.0
    network_jitter: float = 0.0
    camera_jitter: float = 0.0
    # How late the caller's timers and wake-ups may be.
    timer_lag: float = 0.0005
    uplink_bits_per_second: float = math.inf
    frame_bytes: int = 60_000
    # The app sends timings frames.
    timings: bool = False
    # "live": a camera; "on demand": a frame can be had at any instant.
    source: str = "live"
    # (instant, inference time) and (instant, round trip): what changes on the way.
    inference_steps: tuple[tuple[float, float], ...] = ()
    round_trip_steps: tuple[tuple[float, float], ...] = ()
    # Instants at which the runner loses the input that it should start next.
    swallowed_at: tuple[float, ...] = ()
    # Instants from which one answer is late, and by how much.
    stalls: tuple[tuple[float, float], ...] = ()
    seconds: float = 60.0
    warm_up: float = 5.0
    seed: int = 1

    @property
    def transmission(self) -> float:
        """Seconds that a frame occupies the uplink."""
        return self.frame_bytes * 8 / self.uplink_bits_per_second

    @property
    def interval(self) -> float:
        """Seconds between two answers of a runner that is never idle."""
        return max(self.inference, self.transmission)

    @property
    def floor(self) -> float:
        """The age that no policy can beat while the runner is never idle."""
        return self.transmission + self.round_trip + self.network_jitter + self.inference + self.interval / 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy made of a setting. Ages in seconds, the others are shares of one."""

    age_mean: float
    age_p50: float
    age_p95: float
    age_ratio: float
    rate_share: float
    wasted: float
    # Answers whose pairing is not proven; paired with another input than theirs; and of those, called certain.
    uncertain: float
    mispaired: float
    mispaired_certain: float
    given_up: int
    sent: int


HANDSHAKE_ROUND_TRIPS = 3


@dataclass(slots=True)
class _Frame:
    captured_at: float
    sent_at: float = 0.0
    socket: int = 0


class World:
    """One run of one policy in one setting."""

    def __init__(self, setting: Setting, policy: Pacing) -> None:
        self.setting = setting
        self.random = random.Random(setting.seed)
        self.pacer = policy.start()
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._order = 0
        # The camera.
        self._phase = self.random.random() / setting.fps
        self._captures = 0
        # The lane: what waits, what is unanswered, the earliest timer that is set.
        self.waiting: deque[_Frame] = deque()
        self.unanswered: deque[_Frame] = deque()
        self._timer_at = math.inf
        # Pairing is inferred: more was unanswered than surely kept, or not.
        self.doubt = False
        self.given_up = 0
        # How many sockets were opened, and when the present one is open.
        self.sockets = 1
        self._opens_at = 0.0
        # An answer came since the newest input left: only then may something be overdue, for the newest is not dropped.
        self._answered_since = False
        # The network: when the last frame is through the uplink, has arrived, and the last answer has.
        self._uplink_free_at = self._last_arrival = self._last_delivery = 0.0
        # The runner.
        self._queue: deque[_Frame] = deque()
        self._working = False
        self._swallows = deque(setting.swallowed_at)
        self._stalls = deque(setting.stalls)
        # (instant, inference time) of every input worked on; (instant, capture of the frame) of every answer.
        self.worked: list[tuple[float, float]] = []
        self.screen: list[tuple[float, float]] = []
        self.sent = self.wasted = self.mispaired = self.mispaired_certain = self.uncertain = 0

    def run(self) -> World:
        """Play from 0 to the end of the setting."""
        if self.setting.source == "live":
            self._at(self._phase, self._capture, None)
        else:
            self._at(0.0, self._wake, None)
        while self._events and self._events[0][0] <= self.setting.seconds:
            self.now, _, happen, what = heapq.heappop(self._events)
            happen(what)
            self._pump()
        return self

    def _at(self, instant: float, happen: Callable[[Any], None], what: Any) -> None:
        self._order += 1
        heapq.heappush(self._events, (instant, self._order, happen, what))

    # --- the app's side

    def _capture(self, _: None) -> None:
        self.pacer.offered(self.now)
        if self.pacer.keeps_newest:
            self.waiting.clear()
        self.waiting.append(_Frame(self.now))
        self._captures += 1
        jitter = self.random.uniform(-1, 1) * self.setting.camera_jitter
        nominal = self._phase + self._captures / self.setting.fps
        self._at(max(self.now, nominal + jitter), self._capture, None)

    def _wake(self, deadline: float | None) -> None:
        if deadline == self._timer_at:
            self._timer_at = math.inf

    def _pump(self) -> None:
        """What the queue and its writer do after every event."""
        deadline = self._give_up()
        on_demand = self.setting.source != "live"
        while self.now >= self._opens_at and (self.waiting or on_demand):
            due_at = self.pacer.due_at(self.now, len(self.unanswered))
            if due_at is None:
                break
            if due_at > self.now:
                deadline = min(deadline, due_at)
                break
            if on_demand:
                self.pacer.offered(self.now)
                self.waiting.append(_Frame(self.now))
            self._send(self.waiting.popleft())
            deadline = self._give_up()
        if deadline < self._timer_at:
            self._timer_at = deadline
            lag = self.random.random() * self.setting.timer_lag
            self._at(deadline + lag, self._wake, deadline)

    def _give_up(self) -> float:
        """Take overdue inputs for dropped and open a new socket; return when to look again."""
        if self.now < self._opens_at:
            return self._opens_at
        overdue_at = self.pacer.overdue_at() if self.unanswered and self._answered_since else None
        if overdue_at is None:
            return math.inf
        if overdue_at > self.now:
            return overdue_at
        self.given_up += len(self.unanswered)
        self.sockets += 1
        self.pacer.dropped(self.now)
        self.pacer.lost(self.now)
        again = self.unanswered.pop()
        self.unanswered.clear()
        if not self.waiting:
            self.waiting.append(again)
        self.doubt = False
        # Opening takes two round trips: TCP and the upgrade; with TLS three, where tickets do not save one.
        self._opens_at = self.now + HANDSHAKE_ROUND_TRIPS * self.setting.round_trip
        return self._opens_at

    def _send(self, frame: _Frame) -> None:
        setting = self.setting
        frame.sent_at = self.now
        if len(self.unanswered) >= self.pacer.vouched:
            self.doubt = True
        self.pacer.sent(self.now, len(self.unanswered), setting.frame_bytes)
        self.unanswered.append(frame)
        self._answered_since = False
        self.sent += 1
        self._uplink_free_at = max(self._uplink_free_at, self.now) + setting.transmission
        arrival = self._uplink_free_at + self._one_way()
        self._last_arrival = max(self._last_arrival, arrival)
        frame.socket = self.sockets
        self._at(self._last_arrival, self._arrive, frame)

    def _one_way(self) -> float:
        round_trip = _at_instant(self.setting.round_trip_steps, self.now, self.setting.round_trip)
        return round_trip / 2 + self.random.random() * self.setting.network_jitter

    # --- the runner's side

    def _arrive(self, frame: _Frame) -> None:
        self._queue.append(frame)
        if not self._working:
            self._start()
        elif self.setting.buffer is not None and len(self._queue) > self.setting.buffer:
            self._queue.popleft()
            self.wasted += 1

    def _start(self) -> None:
        while self._queue and self._swallows and self._swallows[0] <= self.now:
            self._swallows.popleft()
            self._queue.popleft()
            self.wasted += 1
        self._working = bool(self._queue)
        if self._working:
            setting = self.setting
            inference = _at_instant(setting.inference_steps, self.now, setting.inference)
            inference *= 1 + self.random.uniform(-1, 1) * setting.inference_jitter
            self.worked.append((self.now, inference))
            self._at(self.now + inference, self._finish, (self._queue.popleft(), inference))

    def _finish(self, work: tuple[_Frame, float]) -> None:
        delivery = self.now + self._one_way()
        if self._stalls and self._stalls[0][0] <= self.now:
            delivery += self._stalls.popleft()[1]
        self._last_delivery = max(self._last_delivery, delivery)
        self._at(self._last_delivery, self._deliver, work)
        self._start()

    def _deliver(self, work: tuple[_Frame, float]) -> None:
        frame, inference = work
        if frame.socket != self.sockets:
            return  # its socket is gone
        self.screen.append((self.now, frame.captured_at))
        if not self.unanswered:
            return
        self._answered_since = True
        paired = self.unanswered.popleft()
        self.uncertain += self.doubt
        if paired is not frame:
            self.mispaired += 1
            self.mispaired_certain += not self.doubt
        if not self.unanswered:
            self.doubt = False
        self.pacer.answered(self.now, paired.sent_at)
        if self.setting.timings:
            self.pacer.timed(self.now, inference)


def simulate(setting: Setting, policy: Pacing) -> Outcome:
    """Run a policy in a setting and return what was seen after the warm-up."""
    return measure(World(setting, policy).run(), setting.warm_up, setting.seconds)


def measure(world: World, start: float, end: float) -> Outcome:
    """Return what was on the screen from ``start`` to ``end``; the counts are those of the whole run."""
    setting = world.setting
    pieces = list(_pieces(world.screen, start, end))
    length = sum(until - since for since, until, _ in pieces)
    area = sum(((since + until) / 2 - shown) * (until - since) for since, until, shown in pieces)
    ages = sorted(t - shown for since, until, shown in pieces for t in _samples(since, until))
    answers = sum(start < at <= end for at, _ in world.screen)
    # Judge by the inference times that were drawn, not by their mean: a short run may have been slow.
    times = [inference for at, inference in world.worked if start < at <= end]
    present = replace(
        setting,
        inference=sum(times) / len(times) if times else setting.inference,
        round_trip=_at_instant(setting.round_trip_steps, (start + end) / 2, setting.round_trip),
    )
    attainable = 1 / present.interval
    if setting.source == "live":
        attainable = min(attainable, setting.fps)
    mean = area / length if length else math.inf
    count = max(1, len(world.screen))
    return Outcome(
        age_mean=mean,
        age_p50=ages[len(ages) // 2] if ages else math.inf,
        age_p95=ages[len(ages) * 95 // 100] if ages else math.inf,
        age_ratio=mean / present.floor,
        rate_share=answers / ((end - start) * attainable),
        wasted=world.wasted / max(1, world.sent),
        uncertain=world.uncertain / count,
        mispaired=world.mispaired / count,
        mispaired_certain=world.mispaired_certain / count,
        given_up=world.given_up,
        sent=world.sent,
    )


def best_ratio(setting: Setting, share: float = 0.97) -> float:
    """Return the least mean age / floor that any policy can reach, at this share of the attainable rate or more.

    Exact for a camera without jitter, a model without jitter and no timer lag, with W at least one period. Each
    start of work either takes the newest frame, which is then w old, or lets the model idle until the next is
    there (w = 0), after which everything repeats. So every policy is a mixture of cycles "n starts without
    idling, then one after a pause", n = 0, 1, … or never; mean age and rate of a mixture follow from its cycles,
    and with one limit on the rate two kinds of cycle are enough.
    """
    period, service = 1 / setting.fps, setting.interval
    travel = setting.floor - service / 2
    cycles = []
    waited, area, time = 0.0, 0.0, 0.0
    for starts in range(1, 100):
        following = (waited + service) % period
        pause = service + period - following if following > 1e-9 else service
        cycles.append((area + pause * (travel + waited) + pause**2 / 2, time + pause, starts))
        area += service * (travel + waited) + service**2 / 2
        time += service
        waited = following
    ages = [
        _mixed(one, other, share / service)
        for one in cycles
        for other in cycles
        if one[2] / one[1] >= share / service
    ]
    return min(ages) / setting.floor


def _mixed(one: tuple[float, float, int], other: tuple[float, float, int], rate: float) -> float:
    """Mean age of as much of ``other`` in ``one`` as keeps the rate; each is (area, time, answers)."""
    spare, lack = one[2] - rate * one[1], rate * other[1] - other[2]
    part = spare / lack if lack > 0 else 1.0
    mixed = (one[0] + part * other[0]) / (one[1] + part * other[1])
    return min(mixed, one[0] / one[1])


def _pieces(
    screen: list[tuple[float, float]], start: float, end: float
) -> Iterator[tuple[float, float, float]]:
    """Yield (since, until, capture on the screen); a newer frame stays although an older one comes."""
    since, shown = math.inf, -math.inf
    for at, captured_at in [*screen, (end, -math.inf)]:
        if min(at, end) > max(since, start):
            yield max(since, start), min(at, end), shown
        since = at
        shown = max(shown, captured_at)


def _samples(since: float, until: float) -> Iterator[float]:
    """Yield instants five milliseconds apart, for percentiles."""
    for step in range(math.ceil(since / 0.005), math.ceil(until / 0.005)):
        yield step * 0.005


def _at_instant(steps: tuple[tuple[float, float], ...], now: float, value: float) -> float:
    """Return the value in force: the last step that has come, else the first value."""
    for instant, then in steps:
        if now >= instant:
            value = then
    return value
