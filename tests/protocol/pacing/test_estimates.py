from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falrt.protocol.pacing.estimates import ServerEstimate, SourceEstimate

# --- the source


def capture(source: SourceEstimate, instants: Iterable[float]) -> None:
    for now in instants:
        source.offered(now)


def test_the_period_is_known_after_a_few_captures_that_were_passed_over() -> None:
    source = SourceEstimate()
    capture(source, [0.0, 0.033, 0.066])
    assert source.period is None
    capture(source, [0.1, 0.133])
    assert source.period == pytest.approx(0.033, abs=0.001)


def test_a_source_that_is_asked_for_each_frame_has_no_period() -> None:
    source = SourceEstimate()
    for step in range(50):
        source.offered(step / 10)
        source.sent(step / 10)
    assert source.period is None


def test_captures_on_both_sides_of_one_that_was_passed_over_are_counted_once() -> None:
    source = SourceEstimate()
    now = 0.0
    for _ in range(6):
        for _ in range(3):  # one sent, two passed over
            source.offered(now)
            now += 0.03
        source.sent(now)
    assert source.period == pytest.approx(0.03)
    assert source.jitter == pytest.approx(0.0)


def test_a_frame_captured_while_the_last_one_was_encoded_still_waits() -> None:
    source = SourceEstimate()
    for step in range(10):
        source.offered(step * 0.04)
        source.sent(step * 0.04 - 0.01)
    assert source.period == pytest.approx(0.04)


def test_a_pause_of_the_source_does_not_change_its_period() -> None:
    source = SourceEstimate()
    capture(source, [step * 0.04 for step in range(10)])
    capture(source, [60.0 + step * 0.04 for step in range(3)])
    assert source.period == pytest.approx(0.04)


def test_the_jitter_of_a_source_is_how_much_longer_an_interval_may_be() -> None:
    source = SourceEstimate()
    capture(source, [step * 0.04 + (0.01 if step % 4 == 0 else 0.0) for step in range(30)])
    assert source.jitter == pytest.approx(0.01)


# --- the server


class Line:
    """A server and a network with known figures; answers inputs sent at given offsets from its being free."""

    def __init__(self, delay: float, service: float, seed: int = 1) -> None:
        self.delay, self.service = delay, service
        self.random = random.Random(seed)
        self.estimate = ServerEstimate()
        self.previous_at: float | None = None
        self.now = 100.0

    def answer(self, offset: float, *, jitter: float = 0.0, timed: bool = False, late: float = 0.0) -> bool:
        """Answer an input that came this long after the server was free (negative: it waited)."""
        free_at = self.now
        inference = self.service * (1 + self.random.uniform(-jitter, jitter))
        sent_at = free_at + offset - self.delay
        answered_at = max(free_at, free_at + offset) + inference + late
        changed = self.estimate.answered(answered_at, sent_at, self.previous_at)
        if timed:
            self.estimate.timed(inference)
        self.previous_at = self.now = answered_at
        return changed

    def run(self, count: int, low: float = -0.03, high: float = 0.03, **how: float) -> int:
        """Answer many; return how often the estimate noticed a change."""
        return sum(self.answer(self.random.uniform(low, high), **how) for _ in range(count))


def figures(line: Line) -> tuple[float, float]:
    return line.estimate.delay, line.estimate.service


def test_nothing_is_known_after_the_first_answer_which_may_be_a_cold_start() -> None:
    estimate = ServerEstimate()
    estimate.answered(9.0, 1.0, None)
    assert not estimate.known
    estimate.answered(9.2, 9.0, 9.0)
    assert estimate.known
    assert not estimate.settled
    assert estimate.delay + estimate.service == pytest.approx(0.2)


@pytest.mark.parametrize(("delay", "service"), [(0.06, 0.1), (0.0, 0.3), (0.15, 0.04), (0.06, 2.0)])
def test_delay_and_service_are_found_from_answers_that_missed_on_both_sides(
    delay: float, service: float
) -> None:
    line = Line(delay, service)
    line.run(30, -0.3 * service, 0.3 * service)
    assert figures(line) == pytest.approx((delay, service), rel=0.02, abs=0.002)
    assert line.estimate.spread < 0.001


def test_a_model_that_varies_by_a_fifth_leaves_the_delay_within_a_tenth_of_the_service_time() -> None:
    for seed in range(10):
        line = Line(0.06, 0.1, seed)
        line.run(200, jitter=0.2)
        assert figures(line) == pytest.approx((0.06, 0.1), abs=0.01)
        assert line.estimate.spread == pytest.approx(0.015, abs=0.005)


def test_timings_take_the_variation_of_the_model_out_of_the_delay() -> None:
    for seed in range(10):
        line = Line(0.06, 0.1, seed)
        line.run(200, jitter=0.2, timed=True)
        assert line.estimate.delay == pytest.approx(0.06, abs=0.002)
        assert line.estimate.spread == pytest.approx(0.015, abs=0.005)


def test_timings_tell_delay_from_service_where_all_inputs_came_late() -> None:
    line = Line(0.06, 0.1)
    line.run(12, 0.08, 0.08, timed=True)
    assert figures(line) == pytest.approx((0.06, 0.1), abs=0.003)


def test_timings_are_left_out_where_something_else_is_the_bottleneck() -> None:
    line = Line(0.06, 0.1)
    for _ in range(40):
        line.answer(line.random.uniform(-0.03, 0.03))
        line.estimate.timed(0.04)  # the uplink takes 100 ms a frame, the model 40
    assert figures(line) == pytest.approx((0.06, 0.1), abs=0.002)


def test_timings_of_zero_and_second_timings_are_left_out() -> None:
    estimate = ServerEstimate()
    estimate.timed(0.1)  # right after connecting: there is no answer yet
    line = Line(0.06, 0.1)
    for _ in range(30):
        line.answer(line.random.uniform(-0.03, 0.03), timed=True)
        line.estimate.timed(0.5)
        line.estimate.timed(0.0)
    assert line.estimate.service == pytest.approx(0.1, abs=0.002)


def test_one_stalled_answer_changes_nothing() -> None:
    line = Line(0.06, 0.1)
    line.run(30)
    before = figures(line)
    assert not line.answer(0.0, late=1.5)
    line.run(5)
    assert figures(line) == pytest.approx(before, abs=0.003)


@pytest.mark.parametrize(("delay", "service"), [(0.06, 0.2), (0.06, 0.05), (0.12, 0.1), (0.02, 0.1)])
def test_a_change_is_noticed_within_a_dozen_answers(delay: float, service: float) -> None:
    line = Line(0.06, 0.1)
    line.run(60)
    line.delay, line.service = delay, service
    assert line.run(12) >= 1
    line.run(12)
    assert figures(line) == pytest.approx((delay, service), abs=0.006)


def test_noise_is_not_taken_for_a_change() -> None:
    line = Line(0.06, 0.1)
    assert line.run(300, jitter=0.2) == 0


def test_a_slow_drift_is_followed() -> None:
    line = Line(0.06, 0.1)
    for _ in range(400):
        line.service += 0.0001
        line.run(1)
    assert line.estimate.service == pytest.approx(0.14, abs=0.006)


def test_a_delay_stays_where_no_answer_can_tell() -> None:
    line = Line(0.06, 0.1)
    line.run(40)
    line.run(200, -0.05, -0.02)  # always too early: only the service time shows
    assert figures(line) == pytest.approx((0.06, 0.1), abs=0.003)


def test_a_delay_never_exceeds_the_latency() -> None:
    line = Line(0.06, 0.1)
    line.run(40)
    line.delay = 0.01
    line.run(100, -0.02, -0.01)
    assert line.estimate.delay < 0.13


def test_what_a_slow_model_did_long_ago_is_forgotten() -> None:
    line = Line(0.06, 2.0)
    line.run(40, -0.3, 0.3)
    line.service = 2.02
    line.run(14, -0.3, 0.3)
    assert line.estimate.service == pytest.approx(2.02, abs=0.01)


answers = st.lists(
    st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 10.0), st.booleans(), st.none() | st.floats(0.0, 5.0)),
    max_size=60,
)


@given(answers)
def test_whatever_the_answers_the_figures_stay_sane(
    answers: list[tuple[float, float, bool, float | None]],
) -> None:
    estimate, now = ServerEstimate(), 0.0
    previous_at: float | None = None
    for interval, latency, follows, inference_time in answers:
        now += interval
        estimate.answered(now, now - latency, previous_at if follows else None)
        previous_at = now
        if inference_time is not None:
            estimate.timed(inference_time)
        assert 0.0 <= estimate.delay <= 10.0
        assert 0.0 <= estimate.service <= 20.0
        assert estimate.spread >= 0.0
