"""Half-open connections are found, and the innocent are not accused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from falrt.exceptions import ConfigurationError
from falrt.protocol.numbers import NEVER
from falrt.protocol.reconnect.liveness import STALL, Keepalive, Liveness, Pulse


def watched(interval: float | None = 20.0, timeout: float | None = 20.0, now: float = 100.0) -> Liveness:
    return Liveness(Keepalive(interval, timeout), now)


@pytest.mark.wire("W16")
def test_a_ping_is_due_after_an_interval_of_silence() -> None:
    liveness = watched(20.0)
    assert liveness.check_at == 120.0
    assert liveness.check(119.9) is Pulse.FINE
    assert liveness.check(120.0) is Pulse.PING


def test_a_ping_is_asked_for_once_a_silence() -> None:
    liveness = watched(20.0, 20.0)
    assert liveness.check(120.0) is Pulse.PING
    assert liveness.check(120.1) is Pulse.FINE
    assert liveness.check_at == 140.0


def test_silence_after_a_ping_means_that_the_peer_is_dead() -> None:
    liveness = watched(20.0, 5.0)
    assert liveness.check(120.0) is Pulse.PING
    assert liveness.check(124.9) is Pulse.FINE
    assert liveness.check(125.0) is Pulse.DEAD


def test_traffic_counts_as_life() -> None:
    liveness = watched(20.0)
    liveness.heard(119.0)
    assert liveness.check(120.0) is Pulse.FINE
    assert liveness.check_at == 139.0


def test_any_byte_answers_a_ping() -> None:
    liveness = watched(20.0, 20.0)
    assert liveness.check(120.0) is Pulse.PING
    liveness.heard(121.0)
    assert liveness.check_at == 141.0
    assert liveness.check(140.0) is Pulse.FINE


def test_an_older_sign_of_life_changes_nothing() -> None:
    liveness = watched(20.0, 20.0)
    liveness.heard(110.0)
    liveness.heard(105.0)
    assert liveness.check_at == 130.0


def test_a_stalled_event_loop_is_not_mistaken_for_a_dead_peer() -> None:
    liveness = watched(20.0, 5.0)
    assert liveness.check(120.0) is Pulse.PING
    assert liveness.check(200.0) is Pulse.PING
    assert liveness.check_at == 205.0
    assert liveness.check(205.0) is Pulse.DEAD


def test_a_timer_that_is_a_little_late_is_no_stall() -> None:
    liveness = watched(20.0, 5.0)
    assert liveness.check(120.5) is Pulse.PING
    assert liveness.check(125.5 + STALL) is Pulse.DEAD


def test_the_verdict_says_which_side_stood_still() -> None:
    liveness = watched(20.0, 5.0)
    liveness.check(120.0)
    said = liveness.verdict(125.0)
    assert said == "the server stopped answering: nothing came in for 25.0 s, pings included"
    liveness.check(150.0)
    liveness.check(160.0)
    assert liveness.verdict(165.0).endswith("our own event loop stood still for 25.0 s")


def test_a_sign_of_life_clears_our_own_standstill() -> None:
    liveness = watched(20.0, 5.0)
    liveness.check(120.0)
    liveness.check(150.0)
    assert liveness.stalled_for == 25.0
    liveness.heard(151.0)
    assert liveness.stalled_for == 0.0


def test_without_an_interval_nothing_is_checked() -> None:
    liveness = watched(None)
    assert liveness.check_at == NEVER
    assert liveness.check(1e9) is Pulse.FINE


def test_without_a_timeout_it_pings_once_and_never_gives_up() -> None:
    liveness = watched(20.0, None)
    assert liveness.check(120.0) is Pulse.PING
    assert liveness.check_at == NEVER
    assert liveness.check(1e9) is Pulse.FINE
    liveness.heard(2e9)
    assert liveness.check_at == 2e9 + 20.0


@pytest.mark.parametrize("value", [0, -1, "20", True, math.nan, math.inf, []])
def test_a_wrong_time_is_refused_by_the_name_of_its_option(value: Any) -> None:
    with pytest.raises(
        ConfigurationError, match="ping_interval must be a positive number of seconds or None, got"
    ):
        Keepalive(interval=value)
    with pytest.raises(
        ConfigurationError, match="ping_timeout must be a positive number of seconds or None, got"
    ):
        Keepalive(timeout=value)


class Watch(RuleBasedStateMachine):
    """A dead peer is found in time; one that speaks in time is never called dead, however our own loop behaves."""

    @initialize(interval=st.floats(0.1, 60), timeout=st.none() | st.floats(0.1, 60))
    def start(self, interval: float, timeout: float | None) -> None:
        self.interval, self.timeout = interval, timeout
        self.now = 0.0
        self.liveness = Liveness(Keepalive(interval, timeout), self.now)
        self.heard_at = 0.0
        # When we last looked, on time or not: between two looks our loop may have stood still.
        self.pinged_at: float | None = None
        self.dead = False

    @precondition(lambda self: not self.dead)
    @rule(seconds=st.floats(0, 100), back=st.floats(0, 1))
    def hear(self, seconds: float, back: float) -> None:
        """Bytes are told of some time after they came."""
        at = self.now + seconds * back
        self.now += seconds
        self.liveness.heard(at)
        if at > self.heard_at:
            self.heard_at, self.pinged_at = at, None

    @precondition(lambda self: not self.dead)
    @rule(late=st.floats(0, 300))
    def look(self, late: float) -> None:
        due_at = self.liveness.check_at
        if due_at == NEVER:
            assert self.timeout is None
            return
        self.now = max(self.now, due_at) + late
        pulse = self.liveness.check(self.now)
        assert pulse is not Pulse.FINE
        if pulse is Pulse.PING:
            assert self.now - self.heard_at >= self.interval - 1e-6
            self.pinged_at = self.now
        else:
            assert self.pinged_at is not None
            assert self.timeout is not None
            assert self.now >= self.pinged_at + self.timeout
            assert self.now - self.heard_at >= self.interval + self.timeout - 1e-6
            self.dead = True

    @precondition(lambda self: not self.dead)
    @rule()
    def look_too_early(self) -> None:
        due_at = self.liveness.check_at
        if due_at > self.now:
            assert self.liveness.check(self.now) is Pulse.FINE

    @precondition(lambda self: not self.dead and self.timeout is not None)
    @rule()
    def look_on_time_until_something_is_found(self) -> None:
        """A silent peer is found within one interval and two timeouts of looking on time."""
        assert self.timeout is not None
        for _ in range(3):
            due_at = self.liveness.check_at
            self.now = max(self.now, due_at)
            if self.liveness.check(self.now) is Pulse.DEAD:
                self.dead = True
                return
        raise AssertionError("a silent peer was not found")

    @precondition(lambda self: self.dead)
    @rule()
    def open_another(self) -> None:
        self.liveness = Liveness(Keepalive(self.interval, self.timeout), self.now)
        self.heard_at, self.pinged_at, self.dead = self.now, None, False

    @invariant()
    def there_is_always_a_next_look(self) -> None:
        due_at = self.liveness.check_at
        if self.timeout is not None and not self.dead:
            assert due_at <= self.now + self.interval + self.timeout


TestWatch = Watch.TestCase
TestWatch.settings = settings(max_examples=60, stateful_step_count=30)
