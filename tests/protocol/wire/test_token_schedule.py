from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from falrt.protocol.wire.token_schedule import (
    TokenClaims,
    TokenSchedule,
    looks_like_jwt,
    read_claims,
    token_lifetime,
)

WALL = 1_800_000_000.0


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def jwt(claims: Any) -> str:
    return f"{part(b'{}')}.{part(json.dumps(claims).encode())}.{part(b'signature')}"


# Reading a token.


@pytest.mark.wire("W48")
def test_expiry_and_issue_times_are_read_without_the_key() -> None:
    assert read_claims(jwt({"exp": 1120, "iat": 1000.5})) == TokenClaims(1120.0, 1000.5)


def test_base64url_characters_and_any_padding_are_understood() -> None:
    for text in ("ÿ>?", "ÿ>??", "ÿ>???", "ÿ>????"):
        assert read_claims(jwt({"exp": 7, "note": text})).expires_at == 7


@pytest.mark.parametrize(
    "value", [None, "soon", True, [], float("nan"), float("inf"), 10**400], ids=lambda value: str(value)[:8]
)
def test_an_expiry_that_is_no_time_is_ignored(value: Any) -> None:
    assert read_claims(jwt({"exp": value})) == TokenClaims()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "opaque",
        "a.b",
        "a..c",
        "a.b.c.d",
        "a.b c.d",
        "a.b+c.d",
        "x.a.x",
        f"x.{part(b'not json')}.x",
        f"x.{part(b'[1]')}.x",
        f"x.{part(bytes([0xFF, 0xFE, 0xFD]))}.x",
        f"x.{part(b'[' * 100_000)}.x",
    ],
    ids=lambda token: token[:12],
)
def test_a_token_that_is_no_readable_jwt_has_no_claims(token: str) -> None:
    assert read_claims(token) == TokenClaims()


def test_three_base64url_parts_look_like_a_jwt() -> None:
    assert looks_like_jwt("abc.d-f.g_i")
    assert not looks_like_jwt("Field required. Try again. Or not.")


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert isinstance(read_claims(text), TokenClaims)


@given(st.binary())
def test_any_middle_part_can_be_read(content: bytes) -> None:
    assert isinstance(read_claims(f"x.{part(content) or 'x'}.x"), TokenClaims)


# Its lifetime.


def test_a_jwt_lives_until_its_own_expiry() -> None:
    assert token_lifetime(jwt({"exp": WALL + 90}), wall_now=WALL, configured=120) == 90


def test_a_token_that_does_not_tell_lives_as_long_as_configured() -> None:
    assert token_lifetime("opaque", wall_now=WALL, configured=60) == 60
    assert token_lifetime("opaque", wall_now=WALL, configured=None) is None


def test_a_clock_that_is_behind_does_not_make_a_token_live_longer_than_it_was_made_for() -> None:
    token = jwt({"exp": WALL + 3720, "iat": WALL + 3600})
    assert token_lifetime(token, wall_now=WALL, configured=None) == 120


def test_an_older_token_from_a_cache_lives_only_for_its_rest() -> None:
    token = jwt({"exp": WALL + 30, "iat": WALL - 90})
    assert token_lifetime(token, wall_now=WALL, configured=None) == 30


def test_a_clock_that_is_ahead_does_not_make_fresh_tokens_useless() -> None:
    token = jwt({"exp": WALL - 3480, "iat": WALL - 3600})
    assert token_lifetime(token, wall_now=WALL, configured=60) == 120
    assert token_lifetime(jwt({"exp": WALL - 3480}), wall_now=WALL, configured=60) == 60
    backwards = jwt({"exp": WALL - 3480, "iat": WALL})
    assert token_lifetime(backwards, wall_now=WALL, configured=60) == 60


def test_an_issue_time_after_the_expiry_is_ignored() -> None:
    assert token_lifetime(jwt({"exp": WALL + 50, "iat": WALL + 99}), wall_now=WALL, configured=1) == 50


# The time-table.


def fresh(lifetime: float | None, now: float = 0.0) -> TokenSchedule:
    schedule = TokenSchedule()
    schedule.fetched(lifetime, now, WALL + now)
    return schedule


def usable(schedule: TokenSchedule, now: float) -> bool:
    return schedule.usable(now, WALL + now)


def test_without_a_token_nothing_is_usable_and_nothing_is_due() -> None:
    schedule = TokenSchedule()
    assert not usable(schedule, 0.0)
    assert schedule.next_deadline() is None
    assert schedule.expires_at is None


def test_a_token_is_renewed_at_nine_tenths_of_its_life() -> None:
    schedule = fresh(120, now=1000.0)
    assert schedule.next_deadline() == 1108.0
    assert schedule.expires_at == 1120.0


@pytest.mark.wire("W49")
@pytest.mark.parametrize(("lifetime", "last_moment"), [(120, 114.0), (30, 28.0), (10, 9.0), (1, 0.9)])
def test_a_token_about_to_expire_is_not_shown_to_the_gateway(lifetime: float, last_moment: float) -> None:
    schedule = fresh(lifetime)
    assert usable(schedule, last_moment - 0.001)
    assert not usable(schedule, last_moment + 0.001)


def test_a_token_of_unknown_lifetime_is_not_used_again() -> None:
    schedule = fresh(None)
    assert not usable(schedule, 0.0)
    assert schedule.next_deadline() is None


def test_a_token_that_claims_no_life_at_all_does_not_cause_a_stream_of_requests() -> None:
    assert fresh(0.001).next_deadline() == 1.0


def test_time_slept_through_by_the_monotonic_clock_counts() -> None:
    schedule = fresh(120)
    assert schedule.usable(10.0, WALL + 10)
    assert not schedule.usable(10.0, WALL + 3600)


def test_a_wall_clock_set_back_does_not_prolong_a_life() -> None:
    assert not fresh(120).usable(119.0, WALL - 3600)


def test_a_failed_renewal_is_repeated_after_a_twentieth_of_the_life() -> None:
    schedule = fresh(120)
    schedule.failed(108.0, passing=True)
    assert schedule.next_deadline() == 114.0


def test_a_failed_renewal_is_repeated_after_one_second_at_least() -> None:
    schedule = fresh(15)
    schedule.failed(13.5, passing=True)
    assert schedule.next_deadline() == 14.5


def test_there_is_always_another_try_before_expiry() -> None:
    schedule = fresh(10)
    schedule.failed(9.2, passing=True)
    assert schedule.next_deadline() == pytest.approx(9.6)


def test_after_expiry_the_pauses_double_up_to_a_minute() -> None:
    schedule = fresh(120)
    pauses, now = [], 120.0
    for _ in range(8):
        schedule.failed(now, passing=True)
        deadline = schedule.next_deadline()
        assert deadline is not None
        pauses.append(deadline - now)
        now = deadline
    assert pauses == [12, 24, 48, 60, 60, 60, 60, 60]


def test_a_new_token_forgets_old_failures() -> None:
    schedule = fresh(10)
    for now in (10.0, 12.0, 16.0):
        schedule.failed(now, passing=True)
    schedule.fetched(10, 24.0, WALL + 24)
    schedule.failed(34.0, passing=True)
    assert schedule.next_deadline() == 36.0


def test_rounding_does_not_put_a_try_at_the_very_end() -> None:
    schedule = TokenSchedule()
    schedule.fetched(1148.5625, 900.0, WALL)
    for _ in range(2):
        deadline = schedule.next_deadline()
        assert deadline is not None
        schedule.failed(deadline, passing=True)
    assert deadline < (schedule.next_deadline() or 0) < 2048.5625


def test_a_final_refusal_stops_the_renewal_but_leaves_the_token() -> None:
    schedule = fresh(120)
    schedule.failed(108.0, passing=False)
    assert schedule.next_deadline() is None
    assert usable(schedule, 109.0)


def test_a_failed_first_fetch_plans_nothing() -> None:
    schedule = TokenSchedule()
    schedule.failed(5.0, passing=True)
    assert schedule.next_deadline() is None


def test_a_dropped_token_is_neither_usable_nor_renewed() -> None:
    schedule = fresh(120)
    schedule.dropped()
    assert not usable(schedule, 1.0)
    assert schedule.next_deadline() is None


class Times(RuleBasedStateMachine):
    """Whatever happens: no stale token is shown, and while a token is wanted there is a plan."""

    @initialize(now=st.floats(0, 1e6))
    def start(self, now: float) -> None:
        self.schedule = TokenSchedule()
        self.now = now
        self.asleep = 0.0  # What the wall clock is ahead by, from suspended time.
        self.ends_at: float | None = None
        self.final = False

    @rule(lifetime=st.one_of(st.none(), st.floats(0.01, 5000)))
    def fetched(self, lifetime: float | None) -> None:
        self.schedule.fetched(lifetime, self.now, self.now + self.asleep)
        self.ends_at = None if lifetime is None else self.now + self.asleep + lifetime
        self.final = False
        if lifetime is not None:
            assert self.schedule.usable(self.now, self.now + self.asleep)

    @rule(passing=st.booleans())
    def failed(self, passing: bool) -> None:
        before = self.schedule.expires_at
        self.schedule.failed(self.now, passing=passing)
        self.final = not passing
        assert self.schedule.expires_at == before
        deadline = self.schedule.next_deadline()
        if passing and before is not None:
            assert deadline is not None
            assert deadline > self.now
            assert deadline <= self.now + max(60.0, 0.05 * 5000)
            if before - self.now > 0.2:
                assert deadline < before

    @rule()
    def dropped(self) -> None:
        self.schedule.dropped()
        self.ends_at = None
        self.final = False

    @rule(seconds=st.floats(0, 300))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.floats(0, 3600))
    def sleep_with_the_lid_closed(self, seconds: float) -> None:
        self.asleep += seconds

    @precondition(lambda self: self.schedule.next_deadline() is not None)
    @rule()
    def jump_to_the_deadline(self) -> None:
        deadline = self.schedule.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)

    @invariant()
    def no_token_is_shown_that_ends_at_once(self) -> None:
        if self.schedule.usable(self.now, self.now + self.asleep):
            assert self.ends_at is not None
            assert self.now + self.asleep < self.ends_at

    @invariant()
    def a_wanted_token_has_a_plan(self) -> None:
        assert (self.schedule.next_deadline() is not None) == (self.ends_at is not None and not self.final)


TestTimes = Times.TestCase
