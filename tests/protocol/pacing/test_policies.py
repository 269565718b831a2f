from __future__ import annotations

import math

import pytest
from hypothesis import settings

from falrt.exceptions import ConfigurationError
from falrt.protocol.pacing.policies import Adaptive, Debounce, Immediate, Latest, Pacer, Pacing, Throttle
from tests.protocol.pacing_machine import PacingMachine

ALL: list[Pacing] = [Immediate(), Throttle(0.1), Debounce(0.1), Latest(), Adaptive()]


def names(policy: Pacing) -> str:
    return type(policy).__name__


# --- every policy


@pytest.mark.parametrize("policy", ALL, ids=names)
def test_a_policy_is_shareable_and_its_pacers_are_independent(policy: Pacing) -> None:
    assert isinstance(policy, Pacing)
    one, other = policy.start(), policy.start()
    one.offered(1.0)
    one.sent(1.0, 0)
    other.offered(1.0)
    assert other.due_at(2.0, 0) == 2.0


@pytest.mark.parametrize("policy", ALL, ids=names)
def test_a_policy_cannot_be_changed_once_built(policy: Pacing) -> None:
    with pytest.raises((AttributeError, TypeError)):
        policy.interval = 5  # type: ignore[attr-defined]
    assert hash(policy) == hash(policy)


@pytest.mark.parametrize("policy", ALL[:4], ids=names)
def test_simple_policies_learn_nothing_from_answers_and_never_guess(policy: Pacing) -> None:
    pacer = policy.start()
    pacer.sent(1.0, 0, 100)
    before = pacer.due_at(1.5, 0)
    pacer.timed(1.2, 0.1)
    pacer.answered(1.2, 1.0)
    pacer.dropped(1.3)
    pacer.lost(1.4)
    assert pacer.overdue_at() is None
    assert pacer.due_at(1.5, 0) == before


# --- Immediate


def test_immediate_lets_every_input_go_at_once_and_replaces_none() -> None:
    pacer = Immediate().start()
    pacer.offered(1.0)
    assert pacer.due_at(1.0, 1000) == 1.0
    assert not pacer.keeps_newest
    assert pacer.in_flight_limit is None
    assert pacer.vouched == 1


# --- Throttle


def sent_first(pacer: Pacer, now: float) -> Pacer:
    pacer.offered(now)
    assert pacer.due_at(now, 0) == now
    pacer.sent(now, 0)
    return pacer


def test_throttle_sends_the_first_input_at_once() -> None:
    assert sent_first(Throttle(0.128).start(), 1.0).keeps_newest


def test_throttle_lets_the_last_input_go_one_interval_after_the_first() -> None:
    pacer = sent_first(Throttle(0.128).start(), 1.0)
    pacer.offered(1.05)
    pacer.offered(1.1)
    assert pacer.due_at(1.1, 1) == pytest.approx(1.128)


def test_throttle_is_not_misled_by_a_timer_that_fires_early() -> None:
    pacer = sent_first(Throttle(0.128).start(), 1.0)
    pacer.offered(1.05)
    due_at = pacer.due_at(1.127, 1)
    assert due_at == pytest.approx(1.128)
    assert pacer.due_at(math.nextafter(due_at, 0.0), 1) == due_at
    assert pacer.due_at(due_at, 1) == due_at


def test_throttle_counts_the_interval_from_the_send_not_from_the_plan() -> None:
    pacer = sent_first(Throttle(0.1).start(), 1.0)
    pacer.offered(1.01)
    pacer.sent(1.15, 1)
    pacer.offered(1.16)
    assert pacer.due_at(1.16, 1) == pytest.approx(1.25)


def test_throttle_sends_at_once_after_a_pause() -> None:
    pacer = sent_first(Throttle(0.128).start(), 1.0)
    pacer.offered(2.0)
    assert pacer.due_at(2.0, 0) == 2.0


def test_throttle_without_leading_waits_one_interval_first() -> None:
    pacer = Throttle(0.1, leading=False).start()
    pacer.offered(1.0)
    pacer.offered(1.05)
    assert pacer.due_at(1.05, 0) == pytest.approx(1.1)


def test_throttle_without_leading_keeps_its_rhythm_within_a_burst() -> None:
    pacer = Throttle(0.1, leading=False).start()
    pacer.offered(1.0)
    pacer.sent(1.1, 0)
    pacer.offered(1.13)
    assert pacer.due_at(1.13, 1) == pytest.approx(1.2)


def test_throttle_without_leading_waits_again_after_a_pause() -> None:
    pacer = Throttle(0.1, leading=False).start()
    pacer.offered(1.0)
    pacer.sent(1.1, 0)
    pacer.offered(5.0)
    assert pacer.due_at(5.0, 0) == pytest.approx(5.1)


def test_throttle_does_not_send_faster_after_a_reconnect() -> None:
    pacer = sent_first(Throttle(1.0).start(), 1.0)
    pacer.lost(1.1)
    pacer.offered(1.2)
    assert pacer.due_at(1.2, 0) == 2.0


def test_throttle_of_zero_drops_nothing() -> None:
    pacer = sent_first(Throttle(0).start(), 1.0)
    assert pacer.due_at(1.0, 1) == 1.0
    assert not pacer.keeps_newest


# --- Debounce


def test_debounce_sends_the_last_input_once_inputs_pause() -> None:
    pacer = Debounce(0.2).start()
    pacer.offered(1.0)
    pacer.offered(1.15)
    assert pacer.due_at(1.15, 0) == pytest.approx(1.35)
    assert pacer.due_at(1.4, 0) == 1.4
    assert pacer.keeps_newest


def test_debounce_loses_patience_after_max_wait() -> None:
    pacer = Debounce(0.2, max_wait=0.5).start()
    for step in range(6):
        pacer.offered(1.0 + step / 10)
    assert pacer.due_at(1.5, 0) == pytest.approx(1.5)


def test_debounce_begins_a_new_burst_after_a_send() -> None:
    pacer = Debounce(0.2, max_wait=0.3).start()
    pacer.offered(1.0)
    pacer.sent(1.2, 0)
    pacer.offered(2.0)
    assert pacer.due_at(2.0, 0) == pytest.approx(2.2)


def test_debounce_lets_go_at_once_what_was_never_offered() -> None:
    pacer = Debounce(5.0).start()
    assert pacer.due_at(1.0, 0) == 1.0


def test_debounce_replays_at_once_after_a_loss() -> None:
    pacer = Debounce(0.2).start()
    pacer.offered(1.0)
    pacer.sent(1.2, 0)
    pacer.lost(1.3)
    assert pacer.due_at(1.3, 0) == 1.3


# --- Latest


def test_latest_waits_for_an_answer_and_keeps_the_newest() -> None:
    pacer = Latest().start()
    assert pacer.keeps_newest
    assert pacer.in_flight_limit == 1
    assert pacer.due_at(1.0, 0) == 1.0
    assert pacer.due_at(1.0, 1) is None


def test_latest_vouches_for_as_many_as_may_be_in_flight() -> None:
    pacer = Latest(in_flight=3).start()
    assert (pacer.vouched, pacer.in_flight_limit) == (3, 3)
    assert pacer.due_at(1.0, 2) == 1.0
    assert pacer.due_at(1.0, 3) is None


# --- arguments


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, True, "0.1", None])
def test_a_wrong_interval_is_refused_and_named(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Throttle.interval must be a number of seconds.*0\.128"):
        Throttle(value)  # type: ignore[arg-type]


def test_a_wrong_wait_is_refused_and_named() -> None:
    with pytest.raises(ConfigurationError, match=r"Debounce\.wait must be a number of seconds"):
        Debounce(-1)
    with pytest.raises(ConfigurationError, match=r"Debounce\.max_wait must be a number of seconds"):
        Debounce(1, max_wait=math.nan)


def test_a_max_wait_shorter_than_the_wait_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"max_wait \(0\.5\) is shorter than wait \(1\): raise max_wait"
    ):
        Debounce(1, max_wait=0.5)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None])
def test_a_wrong_in_flight_is_refused_and_named(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"Latest\.in_flight must be a whole number from 1"):
        Latest(value)  # type: ignore[arg-type]


# --- whatever happens


class ImmediateMachine(PacingMachine):
    policy = Immediate()

    def teardown(self) -> None:
        assert not self.waiting
        super().teardown()


class ThrottleMachine(PacingMachine):
    policy: Pacing = Throttle(0.128)
    interval = 0.128

    def before_send(self) -> None:
        if self.sent:
            assert self.now >= self.sent[-1][1] + self.interval, "faster than the interval"


class TrailingThrottleMachine(ThrottleMachine):
    policy = Throttle(0.5, leading=False)
    interval = 0.5


class DebounceMachine(PacingMachine):
    policy: Pacing = Debounce(0.2)


class ImpatientDebounceMachine(PacingMachine):
    policy = Debounce(0.2, max_wait=0.7)


class LatestMachine(PacingMachine):
    policy: Pacing = Latest()
    limit = 1

    def before_send(self) -> None:
        assert len(self.unanswered) < self.limit


class LatestThreeMachine(LatestMachine):
    policy = Latest(3)
    limit = 3


MACHINES = (
    ImmediateMachine,
    ThrottleMachine,
    TrailingThrottleMachine,
    DebounceMachine,
    ImpatientDebounceMachine,
    LatestMachine,
    LatestThreeMachine,
)
for machine in MACHINES:
    machine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestImmediate = ImmediateMachine.TestCase
TestThrottle = ThrottleMachine.TestCase
TestTrailingThrottle = TrailingThrottleMachine.TestCase
TestDebounce = DebounceMachine.TestCase
TestImpatientDebounce = ImpatientDebounceMachine.TestCase
TestLatest = LatestMachine.TestCase
TestLatestThree = LatestThreeMachine.TestCase
