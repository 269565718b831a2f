from __future__ import annotations

import random

import pytest

from falrt.protocol.pacing.advance import IDLE_SHARE, PROBE_ANSWERS, PROBE_TIME, PROBE_TRIES, Advance, Probe
from falrt.protocol.pacing.estimates import ServerEstimate

PERIOD = 0.03
CEILING = 0.04


def server(service: float = 0.1, spread: float = 0.0, answers: int = 20) -> ServerEstimate:
    """A server of which enough is known."""
    estimate, now = ServerEstimate(), 0.0
    for _ in range(answers):
        now += 0.1
        estimate.answered(now, now - 0.16, now - 0.1)
    estimate.delay, estimate.service, estimate.spread = 0.06, service, spread
    return estimate


class Lane:
    """An aim that is taught one answer after the other, a tenth of a second apart."""

    def __init__(self, period: float | None = PERIOD, known: ServerEstimate | None = None) -> None:
        self.aim, self.period, self.server = Advance(), period, known or server()
        self.now = 10.0

    def learn(self, offset: float, *, chosen: bool = True, sent_at: float | None = None) -> Probe | None:
        self.now += 0.1
        self.aim.learn(
            self.now,
            self.now - 0.16 if sent_at is None else sent_at,
            offset,
            chosen=chosen,
            period=self.period,
            server=self.server,
            ceiling=CEILING,
        )
        return self.aim.probe

    @property
    def advance(self) -> float:
        return self.aim.advance(self.period)

    def until_probe(self, offset: float, most: int = 400) -> int:
        """Teach the same offset until a probe is due; return how many answers that took."""
        return next(count for count in range(1, most) if self.learn(offset) is not None)


# --- the advance


def test_the_advance_begins_at_half_the_period_of_the_camera() -> None:
    assert Advance().advance(0.03) == 0.015
    assert Advance().advance(None) == 0.0


def test_idling_by_choice_makes_the_next_inputs_leave_earlier() -> None:
    lane = Lane()
    lane.learn(0.02)
    assert lane.advance > 0.015


def test_never_idling_makes_them_leave_later_down_to_a_sixth_of_the_period() -> None:
    lane = Lane()
    for _ in range(400):
        lane.learn(-0.005)
    assert lane.advance == pytest.approx(PERIOD / 6)


def test_without_a_camera_a_millisecond_is_kept_for_timers() -> None:
    lane = Lane(period=None)
    for _ in range(50):
        lane.learn(-0.005)
    assert lane.advance == 0.001


def test_a_source_that_is_too_slow_teaches_nothing() -> None:
    lane = Lane()
    for _ in range(50):
        lane.learn(0.05, chosen=False)
    assert lane.advance == 0.015


def test_a_server_that_is_hardly_known_teaches_nothing() -> None:
    lane = Lane(known=server(answers=3))
    lane.learn(0.02)
    assert lane.advance == 0.015


def test_a_plainly_wrong_advance_is_mended_within_a_few_dozen_answers() -> None:
    lane = Lane()
    for _ in range(40):
        lane.learn(0.03)
    assert lane.advance == CEILING


def test_the_ceiling_never_undercuts_the_least_advance() -> None:
    lane = Lane(period=0.6)
    lane.learn(-0.001)
    assert lane.advance == pytest.approx(0.1)


def test_a_stall_does_not_throw_the_advance_off() -> None:
    lane = Lane()
    before = lane.advance
    lane.learn(5.0)
    assert lane.advance < before + 0.002


def test_the_server_idles_for_the_share_that_was_set() -> None:
    lane, luck, idle = Lane(), random.Random(7), 0.0
    for count in range(3000):
        # The camera's phase is random: the first capture after the earliest instant is anywhere in a period.
        offset = -lane.advance + luck.uniform(0, PERIOD)
        idle += max(0.0, offset) if count >= 500 else 0.0
        lane.learn(offset)
    assert idle / 2500 / 0.1 == pytest.approx(IDLE_SHARE, rel=0.1)


def test_without_a_probe_the_advance_is_what_is_aimed_at() -> None:
    assert Advance().for_next(PERIOD, server()) == 0.015


# --- probes


def test_an_early_probe_is_due_after_some_answers_and_some_time_without_an_early_miss() -> None:
    lane = Lane()
    lane.learn(-0.02)
    taken = lane.until_probe(0.02)
    assert taken == pytest.approx(max(PROBE_ANSWERS, PROBE_TIME / 0.1), abs=1)
    assert lane.aim.probe is Probe.EARLY


def test_a_late_probe_is_due_less_often_for_it_leaves_the_server_idle() -> None:
    lane = Lane()
    lane.learn(0.02)
    taken = lane.until_probe(-0.02)
    assert taken == pytest.approx(PERIOD / 0.01 / 0.1, abs=1)
    assert lane.aim.probe is Probe.LATE


def test_no_probe_is_due_while_inputs_miss_both_ways() -> None:
    lane = Lane()
    for count in range(300):
        assert lane.learn(0.02 if count % 2 else -0.02) is None


@pytest.mark.parametrize(("way", "sign"), [(Probe.EARLY, 1), (Probe.LATE, -1)])
def test_a_probe_misses_by_one_period_of_the_camera(way: Probe, sign: int) -> None:
    lane = Lane()
    lane.aim.probe = way
    assert lane.aim.for_next(PERIOD, lane.server) == pytest.approx(0.015 + sign * PERIOD)


def test_without_a_camera_a_probe_misses_by_a_tenth_of_the_service_or_by_more_than_the_noise() -> None:
    aim = Advance()
    aim.probe = Probe.EARLY
    assert aim.for_next(None, server(0.1)) == pytest.approx(0.01)
    assert aim.for_next(None, server(0.1, spread=0.02)) == pytest.approx(0.06)


def test_only_one_probe_is_under_way() -> None:
    lane = Lane()
    lane.aim.surprised(Probe.EARLY)
    assert lane.learn(0.0) is Probe.EARLY
    lane.aim.sent(lane.now)
    assert lane.aim.probe is None
    lane.aim.surprised(Probe.LATE)
    assert lane.learn(0.0, sent_at=lane.now - 1.0) is None


def test_an_input_that_probes_nothing_leaves_no_trace() -> None:
    lane = Lane()
    lane.aim.sent(lane.now)
    assert lane.learn(0.0) is None


def test_a_surprise_makes_the_next_input_a_probe_and_a_clear_miss_ends_it() -> None:
    lane = Lane()
    lane.aim.surprised(Probe.LATE)
    lane.aim.surprised(Probe.EARLY)
    assert lane.learn(0.0) is Probe.LATE
    assert lane.learn(0.02) is None


def test_a_probe_that_did_not_miss_is_repeated_but_not_for_ever() -> None:
    lane = Lane()
    lane.aim.surprised(Probe.EARLY)
    tries = 0
    while lane.learn(0.0, sent_at=lane.now) is Probe.EARLY:
        lane.aim.sent(lane.now)
        tries += 1
    assert tries == PROBE_TRIES


def test_a_probe_that_missed_is_enough() -> None:
    lane = Lane()
    lane.aim.surprised(Probe.EARLY)
    lane.learn(0.0)
    lane.aim.sent(lane.now)
    assert lane.learn(-0.02, sent_at=lane.now) is None


def test_a_probe_is_forgotten_with_its_socket() -> None:
    lane = Lane()
    lane.aim.surprised(Probe.EARLY)
    lane.learn(0.0)
    lane.aim.sent(lane.now)
    lane.aim.lost()
    assert lane.learn(0.0) is Probe.EARLY
