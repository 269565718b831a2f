"""Which losses are passing, and when the next try is due."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from falrt.exceptions import ConfigurationError
from falrt.protocol.loss import Cause, Loss, Verdict, verdict_on
from falrt.protocol.reconnect.backoff import (
    FIRST_DELAY_MAX,
    FIRST_OPENING_ATTEMPTS,
    FIRST_OPENING_SECONDS,
    Backoff,
    RetrySchedule,
)

# Verdicts.


@pytest.mark.wire("W10")
@pytest.mark.parametrize("code", [1000, 1005])
def test_an_ordinary_close_is_a_rest(code: int) -> None:
    assert verdict_on(Loss(Cause.CLOSED, code)) is Verdict.REST


@pytest.mark.wire("W11")
@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012, 1013, 1014, 1015])
def test_a_restart_of_the_runner_is_passing(code: int) -> None:
    assert verdict_on(Loss(Cause.CLOSED, code)) is Verdict.RETRY


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1009, 1010, 3001])
def test_a_close_that_complains_of_us_is_final(code: int) -> None:
    assert verdict_on(Loss(Cause.CLOSED, code)) is Verdict.FINAL


@pytest.mark.parametrize("code", [1008, 3000, 3003, 4000, 4401, 4999])
def test_a_close_that_may_mean_an_expired_token_asks_for_a_new_one(code: int) -> None:
    assert verdict_on(Loss(Cause.CLOSED, code)) is Verdict.RENEW


@pytest.mark.parametrize("cause", [Cause.IDLE, Cause.RECYCLED, Cause.SERVER_FAULT])
def test_a_socket_that_is_done_with_is_a_rest(cause: Cause) -> None:
    assert verdict_on(Loss(cause)) is Verdict.REST


@pytest.mark.parametrize("cause", [Cause.NETWORK, Cause.TIMEOUT, Cause.SILENCE, Cause.BAD_FRAME])
def test_trouble_on_the_way_is_passing(cause: Cause) -> None:
    assert verdict_on(Loss(cause)) is Verdict.RETRY


@pytest.mark.wire("W12")
def test_a_refused_credential_asks_for_a_new_one() -> None:
    assert verdict_on(Loss(Cause.UNAUTHORIZED, status=401)) is Verdict.RENEW
    assert verdict_on(Loss(Cause.UNAUTHORIZED)) is Verdict.RENEW


@pytest.mark.wire("W13")
@pytest.mark.parametrize("status", [None, 408, 425, 429, 500, 502, 503, 504])
def test_a_handshake_that_an_overloaded_gateway_refuses_is_passing(status: int | None) -> None:
    assert verdict_on(Loss(Cause.HANDSHAKE, status=status)) is Verdict.RETRY


@pytest.mark.wire("W13")
@pytest.mark.parametrize("status", [200, 301, 400, 402, 404, 410, 422, 426, 501])
def test_any_other_refused_handshake_is_final(status: int) -> None:
    assert verdict_on(Loss(Cause.HANDSHAKE, status=status)) is Verdict.FINAL


def test_a_missing_token_is_final_unless_its_failure_may_pass() -> None:
    assert verdict_on(Loss(Cause.TOKEN, status=403)) is Verdict.FINAL
    assert verdict_on(Loss(Cause.TOKEN, status=503, passing=True)) is Verdict.RETRY


def test_a_wrong_setting_is_final() -> None:
    assert verdict_on(Loss(Cause.SETUP)) is Verdict.FINAL


@given(st.sampled_from(Cause), st.integers(1000, 4999), st.none() | st.integers(100, 599), st.booleans())
def test_every_loss_has_one_verdict(cause: Cause, code: int, status: int | None, passing: bool) -> None:
    assert verdict_on(Loss(cause, code, status, passing=passing)) in Verdict


# Options.


def test_pauses_grow_to_a_limit_and_the_first_is_short() -> None:
    backoff = Backoff(initial=0.25, maximum=3.0, factor=2.0)
    assert [backoff.ceiling(tries) for tries in range(7)] == [0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_first_pause_is_no_longer_than_asked_for() -> None:
    assert Backoff(initial=0.02).ceiling(0) == 0.02


def test_years_of_tries_overflow_nothing() -> None:
    assert Backoff(maximum=3e7, factor=1000).ceiling(10**9) <= 3e7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"initial": 0}, "Backoff.initial must be a positive number of seconds, got 0"),
        ({"initial": -1.0}, "Backoff.initial must be a positive number of seconds, got -1.0"),
        ({"initial": "1"}, "Backoff.initial must be a positive number of seconds, got '1'"),
        ({"initial": True}, "Backoff.initial must be a positive number of seconds, got True"),
        ({"initial": math.nan}, "Backoff.initial must be a positive number of seconds, got nan"),
        ({"initial": math.inf}, "Backoff.initial must be a positive number of seconds, got inf"),
        ({"maximum": 0.1}, "Backoff.maximum (0.1) is shorter than initial (0.25): raise it"),
        ({"maximum": None}, "Backoff.maximum must be a positive number of seconds, got None"),
        ({"maximum": math.inf}, "Backoff.maximum must be a positive number of seconds, got inf"),
        ({"factor": 0.9}, "Backoff.factor must be a number from 1 to 1000, got 0.9"),
        ({"factor": 1e5}, "Backoff.factor must be a number from 1 to 1000, got 100000.0"),
        ({"factor": "2"}, "Backoff.factor must be a number from 1 to 1000, got '2'"),
        ({"attempts": 0}, "Backoff.attempts must be a whole number from 1 or None, got 0"),
        ({"attempts": 2.5}, "Backoff.attempts must be a whole number from 1 or None, got 2.5"),
        ({"attempts": True}, "Backoff.attempts must be a whole number from 1 or None, got True"),
        ({"give_up_after": 0}, "Backoff.give_up_after must be a positive number of seconds or None, got 0"),
        (
            {"give_up_after": "1h"},
            "Backoff.give_up_after must be a positive number of seconds or None, got '1h'",
        ),
    ],
)
def test_a_wrong_value_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Backoff(**options)
    assert str(refused.value) == said


# The schedule.


def opened(backoff: Backoff, random: float = 0.999) -> RetrySchedule:
    schedule = RetrySchedule(backoff, lambda: random)
    schedule.opened()
    return schedule


def test_the_first_try_comes_within_a_tenth_of_a_second() -> None:
    assert opened(Backoff(), 0.999).delay_after(10.0) == pytest.approx(0.0999)
    assert opened(Backoff(), 0.0).delay_after(10.0) == 0.0


def test_later_pauses_are_a_random_part_of_a_growing_ceiling() -> None:
    schedule = opened(Backoff(initial=0.25, maximum=1.0), 0.5)
    assert [schedule.delay_after(10.0) for _ in range(5)] == [0.05, 0.125, 0.25, 0.5, 0.5]


@pytest.mark.wire("W14")
def test_only_a_good_answer_restores_the_budget() -> None:
    schedule = opened(Backoff(attempts=2), 0.0)
    assert schedule.delay_after(1.0) == 0.0
    schedule.opened()
    assert schedule.delay_after(2.0) == 0.0
    assert schedule.delay_after(3.0) is None
    schedule.restored()
    assert schedule.delay_after(4.0) == 0.0


def test_it_gives_up_when_nothing_good_came_for_long_enough() -> None:
    schedule = opened(Backoff(give_up_after=60.0))
    assert schedule.delay_after(100.0) is not None
    assert schedule.delay_after(159.9) is not None
    assert schedule.delay_after(160.0) is None
    schedule.restored()
    assert schedule.delay_after(1000.0) is not None


def test_without_limits_it_never_gives_up() -> None:
    schedule = opened(Backoff(give_up_after=None))
    assert all(schedule.delay_after(now * 1e6) is not None for now in range(200))


def test_a_connection_that_never_opened_makes_a_few_quick_tries() -> None:
    schedule = RetrySchedule(Backoff(), lambda: 0.999)
    delays = [schedule.delay_after(0.0) for _ in range(FIRST_OPENING_ATTEMPTS)]
    assert delays[-1] is None
    assert sum(delay for delay in delays[:-1] if delay is not None) < 3.0


def test_a_first_opening_that_hangs_is_given_up_after_some_seconds() -> None:
    schedule = RetrySchedule(Backoff(), lambda: 0.0)
    schedule.connecting(10.0)
    schedule.connecting(15.0)
    assert schedule.delay_after(10.0 + FIRST_OPENING_SECONDS - 0.1) == 0.0
    assert schedule.delay_after(10.0 + FIRST_OPENING_SECONDS) is None


def test_a_first_opening_that_nobody_wants_any_more_has_not_failed() -> None:
    schedule = RetrySchedule(Backoff(), lambda: 0.0)
    schedule.connecting(10.0)
    schedule.rested()
    schedule.connecting(100.0)
    assert schedule.delay_after(101.0) == 0.0


def test_later_openings_may_hang_as_long_as_the_budget_lasts() -> None:
    schedule = opened(Backoff(), 0.0)
    schedule.connecting(10.0)
    assert schedule.delay_after(10.0 + 2 * FIRST_OPENING_SECONDS) == 0.0


def test_the_server_may_ask_for_a_longer_pause_within_bounds() -> None:
    schedule = opened(Backoff(maximum=15.0))
    assert schedule.delay_after(0.0, retry_after=7.0) == 7.0
    assert schedule.delay_after(0.0, retry_after=3600.0) == 15.0
    assert opened(Backoff(), 0.9).delay_after(0.0, retry_after=0.0) == pytest.approx(0.09)


class Schedule(RuleBasedStateMachine):
    """Whatever happens: pauses keep their bounds, and the budget is spent exactly when the options say so."""

    @initialize(
        initial=st.floats(0.001, 5),
        growth=st.floats(1, 100),
        factor=st.floats(1, 1000),
        attempts=st.none() | st.integers(1, 12),
        give_up_after=st.none() | st.floats(0.1, 500),
        luck=st.floats(0, 0.999999),
    )
    def start(
        self,
        initial: float,
        growth: float,
        factor: float,
        attempts: int | None,
        give_up_after: float | None,
        luck: float,
    ) -> None:
        self.backoff = Backoff(initial, initial * growth, factor, attempts, give_up_after)
        self.luck = luck
        self.schedule = RetrySchedule(self.backoff, lambda: self.luck)
        self.now = 0.0
        self.tries = 0
        self.failing_since: float | None = None
        self.ever_opened = False

    @rule(luck=st.floats(0, 0.999999))
    def chance(self, luck: float) -> None:
        self.luck = luck

    @rule(seconds=st.floats(0, 200))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def open(self) -> None:
        self.schedule.opened()
        self.ever_opened = True

    @precondition(lambda self: self.ever_opened)
    @rule()
    def answer(self) -> None:
        self.schedule.restored()
        self.tries, self.failing_since = 0, None

    @rule(retry_after=st.none() | st.floats(0, 1000))
    def lose(self, retry_after: float | None) -> None:
        self.failing_since = self.now if self.failing_since is None else self.failing_since
        delay = self.schedule.delay_after(self.now, retry_after)
        assert (delay is None) == self.spent
        if delay is None:
            return
        asked = min(retry_after or 0.0, self.backoff.maximum)
        assert asked <= delay <= max(asked, self.backoff.maximum)
        if self.tries == 0 and not asked:
            assert delay < FIRST_DELAY_MAX
        assert delay <= max(asked, self.backoff.initial * self.backoff.factor**self.tries)
        self.tries += 1

    @property
    def spent(self) -> bool:
        options, since = self.backoff, self.failing_since
        return (
            (not self.ever_opened and self.tries >= FIRST_OPENING_ATTEMPTS - 1)
            or (options.attempts is not None and self.tries >= options.attempts)
            or (
                options.give_up_after is not None
                and since is not None
                and self.now - since >= options.give_up_after
            )
        )

    @invariant()
    def the_count_is_of_tries_since_the_last_good_answer(self) -> None:
        assert self.schedule.tries == self.tries


TestSchedule = Schedule.TestCase
TestSchedule.settings = settings(max_examples=60, stateful_step_count=30)
