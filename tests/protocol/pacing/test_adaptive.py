from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from benchmarks.freshness import JITTER, POLICIES, USUAL, main
from benchmarks.stream_world import Outcome, Setting, World, best_ratio, measure, simulate
from falrt.exceptions import ConfigurationError
from falrt.protocol.pacing.adaptive import Adaptive, AdaptivePacer
from tests.protocol.pacing_machine import PacingMachine

# --- a lane by hand


class Lane:
    """A pacer whose answers are written by the test; the server takes 100 ms, the network 60."""

    def __init__(self, policy: Adaptive | None = None) -> None:
        self.pacer: AdaptivePacer = (policy or Adaptive()).start()
        self.unanswered: list[float] = []
        self.now = 0.0

    def due_at(self, now: float) -> float | None:
        return self.pacer.due_at(now, len(self.unanswered))

    def send(self, now: float) -> None:
        self.now = now
        self.pacer.sent(now, len(self.unanswered), 60_000)
        self.unanswered.append(now)

    def answer(self, now: float) -> None:
        self.now = now
        self.pacer.answered(now, self.unanswered.pop(0))

    def known(self, pairs: int = 12) -> Lane:
        """Make network and model known: pairs of inputs, the second 30 ms too early, then a pause."""
        for _ in range(pairs):
            start = self.now + 0.2
            self.send(start)
            self.send(start + 0.07)
            self.answer(start + 0.16)
            self.answer(start + 0.26)
        return self


def test_the_first_input_leaves_at_once_and_the_second_waits_for_an_answer() -> None:
    lane = Lane()
    assert lane.due_at(1.0) == 1.0
    assert lane.pacer.in_flight_limit == 1
    lane.send(1.0)
    assert lane.due_at(1.1) is None
    lane.answer(5.0)
    assert lane.due_at(5.0) == 5.0


def test_until_the_figures_have_settled_at_most_one_input_waits_at_the_server() -> None:
    lane = Lane().known(pairs=2)
    assert lane.pacer.in_flight_limit == 2


def test_the_second_input_leaves_so_that_it_comes_when_the_server_is_free() -> None:
    lane = Lane().known()
    start = lane.now + 1.0
    lane.send(start)
    due_at = lane.due_at(start)
    assert due_at == pytest.approx(start + 0.1, abs=0.005)
    assert lane.due_at(start + 0.05) == due_at


def test_as_many_inputs_are_on_their_way_as_the_network_is_long() -> None:
    lane = Lane().known()
    assert lane.pacer.in_flight_limit == 2
    lane.pacer._server.delay = 0.35
    assert lane.pacer.in_flight_limit == 5


def test_a_limit_of_the_caller_is_never_exceeded() -> None:
    lane = Lane(Adaptive(max_in_flight=1)).known()
    assert lane.pacer.in_flight_limit == 1
    lane.send(lane.now + 1.0)
    assert lane.due_at(lane.now + 100.0) is None


def test_on_a_local_network_each_answer_is_waited_for() -> None:
    lane = Lane().known()
    lane.pacer._server.delay = 0.001
    assert lane.pacer.in_flight_limit == 1


def test_while_an_answer_is_late_nothing_piles_up_behind_it() -> None:
    lane = Lane().known()
    start = lane.now + 1.0
    lane.send(start)
    lane.send(start + 0.1)
    due_at = lane.due_at(start + 0.2)
    assert due_at is not None
    assert due_at > start + 0.2


def test_inputs_of_other_lanes_are_waited_for() -> None:
    lane = Lane().known()
    assert lane.pacer.due_at(lane.now + 1.0, 1) is None


def test_inputs_that_the_queue_no_longer_counts_are_forgotten() -> None:
    lane = Lane().known()
    lane.send(lane.now + 1.0)
    lane.unanswered.clear()
    due_at = lane.due_at(lane.now)
    assert due_at is not None
    assert due_at <= lane.now + 0.1


def test_what_is_known_outlives_a_socket_but_not_what_is_unanswered() -> None:
    lane = Lane().known()
    lane.send(lane.now + 1.0)
    lane.unanswered.clear()
    lane.pacer.lost(lane.now)
    assert lane.pacer.overdue_at() is None
    due_at = lane.due_at(lane.now)
    assert due_at is not None
    assert due_at <= lane.now
    assert lane.pacer.in_flight_limit == 2


# --- a lane with a camera


def filmed(lane: Lane, count: int = 8) -> float:
    """Let a camera of 30 fps run until its period is known; return the next capture."""
    start = lane.now + 1.0
    for step in range(count):
        lane.pacer.offered(start + step / 30)
    return start + count / 30


def test_a_frame_waits_for_a_better_one_that_is_near() -> None:
    lane = Lane().known()
    capture = filmed(lane)
    lane.send(capture)
    lane.pacer.offered(capture + 1 / 30)
    due_at = lane.due_at(capture + 1 / 30)
    assert due_at is not None
    assert due_at > capture + 2 / 30


def test_a_frame_that_no_better_one_follows_leaves_all_the_same() -> None:
    lane = Lane().known()
    capture = filmed(lane)
    lane.send(capture)
    lane.pacer.offered(capture + 1 / 30)
    due_at = lane.due_at(capture + 0.5)
    assert due_at is not None
    assert due_at <= capture + 0.5


def test_a_frame_captured_near_the_right_instant_leaves_at_once() -> None:
    lane = Lane().known()
    capture = filmed(lane)
    lane.send(capture)
    lane.pacer.offered(capture + 0.1)
    due_at = lane.due_at(capture + 0.1)
    assert due_at is not None
    assert due_at <= capture + 0.1


def test_a_frame_captured_while_another_was_encoded_goes_on_waiting() -> None:
    lane = Lane().known()
    capture = filmed(lane)
    lane.pacer.offered(capture + 0.005)
    lane.send(capture)  # taken before that capture, encoded until after it
    due_at = lane.due_at(capture + 0.01)
    assert due_at is not None
    assert due_at > capture + 1 / 30


def test_a_source_that_is_asked_for_frames_is_no_camera_though_it_tells_of_them_late() -> None:
    lane = Lane().known()
    for _ in range(20):
        start = lane.now + 0.2
        lane.pacer.offered(start + 0.0001)
        lane.send(start)
        lane.answer(start + 0.16)
    due_at = lane.due_at(lane.now)
    assert due_at is not None
    assert due_at <= lane.now


def test_a_frame_of_a_slow_source_does_not_wait_for_the_next() -> None:
    lane = Lane().known()
    start = lane.now + 1.0
    for step in range(8):
        lane.pacer.offered(start + step * 0.5)
    lane.send(start + 3.5)
    lane.pacer.offered(start + 3.501 + 0.01)
    due_at = lane.due_at(start + 3.52)
    assert due_at is not None
    assert due_at <= start + 3.7


# --- drops


def test_nothing_is_overdue_while_one_input_at_a_time_was_unanswered() -> None:
    lane = Lane().known()
    lane.send(lane.now + 1.0)
    assert lane.pacer.overdue_at() is None


def test_a_late_answer_stops_sending_until_all_are_answered() -> None:
    lane = Lane().known()
    start = lane.now + 1.0
    lane.send(start)
    lane.send(start + 0.1)
    lane.answer(start + 0.16)
    lane.send(start + 0.2)
    lane.answer(start + 0.36)  # 100 ms late: the second may have been dropped
    due_at = lane.due_at(start + 0.4)
    overdue_at = lane.pacer.overdue_at()
    assert due_at is not None
    assert overdue_at is not None
    assert due_at >= overdue_at > start + 0.5
    lane.answer(start + 0.46)  # but it was not
    due_at = lane.due_at(start + 0.46)
    assert due_at is not None
    assert due_at <= start + 0.46


def drop(lane: Lane, now: float) -> None:
    """Something is taken for dropped, and a new socket opens."""
    lane.unanswered.clear()
    lane.pacer.dropped(now)
    lane.pacer.lost(now)


def test_after_a_drop_the_new_socket_starts_with_what_is_known() -> None:
    lane = Lane().known()
    start = lane.now + 1.0
    lane.send(start)
    lane.send(start + 0.1)
    lane.answer(start + 0.16)
    overdue_at = lane.pacer.overdue_at()
    assert overdue_at is not None
    drop(lane, overdue_at)
    assert lane.pacer.overdue_at() is None
    due_at = lane.due_at(overdue_at)
    assert due_at is not None
    assert due_at <= overdue_at
    assert lane.pacer.in_flight_limit == 2


def test_a_stall_teaches_nothing_but_a_second_one_does() -> None:
    lane = Lane().known()
    server = lane.pacer._server

    def stall() -> tuple[float, float]:
        start = lane.now + 1.0
        lane.send(start)
        lane.send(start + 0.07)
        lane.answer(start + 1.0)  # both were held up by the network, and come together
        lane.answer(start + 1.0)
        return server.delay, server.service

    counted = server._counted
    before = server.delay, server.service
    assert stall() == before
    assert server._counted == counted
    stall()
    assert server._counted == counted + 2, "two in a row are how the world is now"


def test_an_input_leaves_at_the_latest_when_all_before_it_should_long_be_answered() -> None:
    lane = Lane().known()
    start = lane.now + 1.0
    lane.send(start)
    lane.send(start + 0.1)
    due_at = lane.due_at(start + 0.1)
    assert due_at is not None
    assert due_at < start + 1.0


# --- arguments


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
@pytest.mark.parametrize("field", ["max_in_flight", "vouched"])
def test_a_wrong_count_is_refused_and_named(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"Adaptive\.{field} must be a whole number from 1"):
        Adaptive(**{field: value})  # type: ignore[arg-type]


def test_the_caller_may_vouch_for_a_server_that_keeps_more() -> None:
    assert Adaptive(vouched=3).start().vouched == 3


# --- whatever happens


class AdaptiveMachine(PacingMachine):
    policy = Adaptive()

    @precondition(lambda self: self.unanswered)
    @rule(inference=st.sampled_from([0.02, 0.1, 0.3]), wait=st.floats(0.0, 0.01))
    def answer_in_rhythm(self, inference: float, wait: float) -> None:
        last = self.unanswered[0][1] if self.unanswered else self.now
        self.answer(max(0.0, last + inference + 0.06 - self.now) + wait, None)

    @invariant()
    def an_input_that_waits_has_something_to_wait_for(self) -> None:
        if self.waiting and self.due_at() is None:
            assert self.unanswered


class LimitedMachine(AdaptiveMachine):
    policy = Adaptive(max_in_flight=2, vouched=2)

    def before_send(self) -> None:
        assert len(self.unanswered) < 2


for machine in (AdaptiveMachine, LimitedMachine):
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestAdaptive = AdaptiveMachine.TestCase
TestLimited = LimitedMachine.TestCase


# --- goals, in virtual time, on seeds and settings that nothing was tuned on

SEEDS = (101, 202)


def mean_of(setting: Setting, seeds: tuple[int, ...] = SEEDS) -> tuple[float, float, float]:
    """Adaptive's mean age / floor, its share of the attainable rate, and of uploads wasted."""
    outcomes = [simulate(replace(setting, seed=seed), Adaptive()) for seed in seeds]
    return (
        fmean(outcome.age_ratio for outcome in outcomes),
        fmean(outcome.rate_share for outcome in outcomes),
        fmean(outcome.wasted for outcome in outcomes),
    )


@pytest.mark.parametrize("timings", [False, True], ids=["answers only", "with timings"])
@pytest.mark.parametrize("fps", [30.0, 60.0])
@pytest.mark.parametrize(
    ("setting", "goal"),
    [
        pytest.param(Setting(), 1.04, id="100 ms"),
        pytest.param(Setting(inference=0.3), 1.03, id="300 ms"),
        pytest.param(Setting(uplink_bits_per_second=8e6), 1.04, id="8 Mbit/s"),
        pytest.param(Setting(round_trip=0.0), 1.04, id="no network"),
        pytest.param(Setting(inference=0.103, round_trip=0.047, **USUAL), 1.06, id="103 ms, 23 each way"),
        pytest.param(Setting(inference=0.27, round_trip=0.11, **USUAL), 1.04, id="270 ms, 55 each way"),
    ],
)
def test_the_picture_is_fresh_and_the_model_busy(
    setting: Setting, goal: float, fps: float, timings: bool
) -> None:
    ratio, rate, wasted = mean_of(replace(setting, fps=fps, timings=timings))
    assert ratio <= goal
    assert rate >= 0.97
    assert wasted < 0.03


def test_a_fast_model_sees_a_60_fps_camera_as_fresh_as_it_should() -> None:
    ratio, rate, _ = mean_of(Setting(inference=0.04, fps=60))
    assert ratio <= 1.08
    assert rate >= 0.97


def test_a_fast_model_sees_a_30_fps_camera_nearly_as_fresh_as_any_policy_could_make_it() -> None:
    setting = Setting(inference=0.04)
    ratio, rate, _ = mean_of(setting)
    assert best_ratio(setting) > 1.08
    assert ratio <= best_ratio(setting) + 0.01
    assert rate >= 0.97


@pytest.mark.parametrize(
    ("changes", "goal"), [({"fps": 30}, 1.075), ({"fps": 60}, 1.065), ({"source": "on demand"}, 1.06)]
)
def test_jitter_of_model_and_network_costs_little(changes: dict[str, object], goal: float) -> None:
    ratio, rate, _ = mean_of(replace(Setting(**JITTER), **changes), seeds=(101, 202, 303, 404))
    assert ratio <= goal
    assert rate >= 0.96


@pytest.mark.parametrize("buffer", [1, 2, None])
@pytest.mark.parametrize(
    ("inference", "round_trip"), [(0.04, 0.15), (0.1, 0.0), (0.1, 0.06), (0.25, 0.03), (0.3, 0.15)]
)
def test_no_other_policy_shows_a_fresher_picture(
    inference: float, round_trip: float, buffer: int | None
) -> None:
    cell = Setting(inference=inference, round_trip=round_trip, buffer=buffer, seconds=30, seed=77, **USUAL)
    ages = {name: simulate(cell, make()).age_ratio for name, make in POLICIES.items()}
    assert min(ages, key=lambda name: ages[name]) == "Adaptive()"


def after_change(setting: Setting) -> Outcome:
    """What Adaptive shows from three seconds after a change at 15 s."""
    return measure(World(replace(setting, seconds=30, seed=88), Adaptive()).run(), 18.0, 30.0)


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param(Setting(inference_steps=((15, 0.15),), **USUAL), id="model slower"),
        pytest.param(Setting(inference_steps=((15, 0.08),), **USUAL), id="model faster"),
        pytest.param(Setting(inference=0.3, inference_steps=((15, 0.1),), **USUAL), id="model much faster"),
        pytest.param(Setting(round_trip_steps=((15, 0.12),), **USUAL), id="network slower"),
        pytest.param(Setting(round_trip=0.12, round_trip_steps=((15, 0.04),), **USUAL), id="network faster"),
        pytest.param(Setting(swallowed_at=(15,), **USUAL), id="an input dropped"),
        pytest.param(Setting(stalls=((15, 1.0),), **USUAL), id="network stalled"),
        pytest.param(Setting(fps=29.97, **USUAL), id="drifting camera"),
    ],
)
@pytest.mark.parametrize("timings", [False, True], ids=["answers only", "with timings"])
def test_three_seconds_after_a_change_the_picture_is_fresh_again(setting: Setting, timings: bool) -> None:
    outcome = after_change(replace(setting, timings=timings))
    assert outcome.age_ratio <= 1.08
    assert outcome.rate_share >= 0.93


@pytest.mark.parametrize("buffer", [1, 2])
def test_a_small_buffer_drops_next_to_nothing(buffer: int) -> None:
    outcome = simulate(Setting(buffer=buffer, seed=66, **USUAL), Adaptive())
    assert outcome.wasted == 0.0
    assert outcome.mispaired == 0.0


def test_wrong_pairings_are_rare_and_never_called_certain() -> None:
    for seed in SEEDS:
        outcome = simulate(Setting(buffer=1, inference=0.04, seed=seed, **JITTER), Adaptive())
        assert outcome.wasted < 0.01
        assert outcome.mispaired < 0.05
        assert outcome.mispaired_certain == 0.0


def test_the_benchmark_prints_its_tables(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--json", f"{tmp_path}/freshness.json"]) == 0
    assert "freshest picture in 4 of 4 cells" in capsys.readouterr().out
