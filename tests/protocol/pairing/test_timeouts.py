from __future__ import annotations

import math

from falrt.protocol.inputs import Input, Kind, Outcome
from falrt.protocol.pacing.policies import Immediate
from falrt.protocol.pairing.timeouts import PRUNE_MIN, Timeouts
from tests.protocol.line import a_lane

LANE = a_lane(Immediate())


def request(at: float, timeout_at: float | None = None) -> Input:
    return Input(b"", Kind.REQUEST, LANE, at, timeout_at=timeout_at)


def next_at(timeouts: Timeouts, *, warming: bool = False, warm_at: float = 0.0) -> float | None:
    return timeouts.next_at(warming=warming, warm_at=warm_at)


def test_without_requests_nothing_runs_out() -> None:
    assert next_at(Timeouts(120.0)) is None
    assert Timeouts(120.0).soonest == math.inf


def test_the_default_runs_from_when_a_request_was_offered() -> None:
    timeouts = Timeouts(120.0)
    timeouts.add(request(5.0))
    timeouts.add(request(4.0))
    assert next_at(timeouts) == timeouts.soonest == 124.0


def test_a_callers_own_deadline_wins() -> None:
    timeouts = Timeouts(120.0)
    timeouts.add(request(5.0, timeout_at=6.0))
    assert next_at(timeouts) == timeouts.soonest == 6.0


def test_without_a_default_only_callers_deadlines_count() -> None:
    timeouts = Timeouts(None)
    timeouts.add(request(5.0))
    assert next_at(timeouts) is None
    assert timeouts.soonest == math.inf


def test_while_a_model_starts_the_default_does_not_run() -> None:
    timeouts = Timeouts(120.0)
    timeouts.add(request(5.0))
    assert next_at(timeouts, warming=True) is None
    assert timeouts.soonest == 125.0, "it may be warm at any moment"


def test_once_warm_the_default_begins_anew() -> None:
    timeouts = Timeouts(120.0)
    timeouts.add(request(5.0))
    assert next_at(timeouts, warm_at=50.0) == 170.0


def test_ended_requests_are_forgotten() -> None:
    timeouts = Timeouts(120.0)
    first, second = request(1.0), request(2.0)
    timeouts.add(first)
    timeouts.add(second)
    first.end(Outcome.ANSWERED)
    assert timeouts.soonest == 121.0, "a bound, until somebody looks"
    assert next_at(timeouts) == timeouts.soonest == 122.0
    second.end(Outcome.ANSWERED)
    assert next_at(timeouts) is None
    assert timeouts.soonest == math.inf


def test_a_thousand_answered_requests_leave_nothing_behind_though_nobody_looks() -> None:
    timeouts = Timeouts(120.0)
    for n in range(1000):
        each = request(float(n))
        timeouts.add(each)
        each.end(Outcome.ANSWERED)
    assert len(timeouts._open) <= PRUNE_MIN


def test_waiting_requests_are_kept_however_many_they_are() -> None:
    timeouts = Timeouts(120.0)
    for n in range(1000):
        timeouts.add(request(float(n)))
    assert len(timeouts.expired(1119.0, warming=False, warm_at=0.0)) == 1000


def test_expired_are_those_whose_time_is_up_and_who_still_wait() -> None:
    timeouts = Timeouts(10.0)
    early, late, ended = request(0.0), request(5.0), request(0.0)
    for each in (early, late, ended):
        timeouts.add(each)
    ended.end(Outcome.ABANDONED)
    assert timeouts.expired(10.0, warming=False, warm_at=0.0) == [early]
