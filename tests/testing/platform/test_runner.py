"""The runner's queues, against what fal's own server code was seen to do (wire facts W20 to W23 and W30 to W36)."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from falrt.exceptions import ConfigurationError
from falrt.testing.platform.runner import (
    END_OF_INPUT,
    Answer,
    Close,
    Control,
    Outgoing,
    Phase,
    Runner,
    RunnerOptions,
    RunnerStats,
    error_text,
    timings_text,
)

TIMEOUT = Control('{"type":"x-fal-error","error":"TIMEOUT","reason":"no inputs, reconnect when needed!"}')


def internal_error(reason: str) -> Control:
    return Control(error_text("INTERNAL_ERROR", reason))


def new(now: float = 0.0, **options: Any) -> Runner:
    return Runner(RunnerOptions(**options), now)


def work_off(runner: Runner, now: float = 1.0) -> list[tuple[Any, ...]]:
    """Let the app answer everything it can get, and return what it was given."""
    batches = []
    while isinstance(batch := runner.take(now), tuple):
        batches.append(batch)
        runner.produced(batch)
        runner.finished(now)
    return batches


@pytest.mark.wire("W31")
@pytest.mark.parametrize(
    ("buffering", "session_timeout", "sent", "answered"),
    [
        (1, 9.0, 2, [0, 1]),
        (1, 9.0, 3, [0, 2]),
        (2, 9.0, 10, [0, 8, 9]),
        (1, None, 2, [1]),
        (1, None, 3, [2]),
        (2, None, 2, [0, 1]),
        (2, None, 10, [8, 9]),
        (None, 9.0, 10, list(range(10))),
        (None, None, 10, list(range(10))),
    ],
)
def test_a_burst_to_an_idle_runner_loses_what_the_table_says(
    buffering: int | None, session_timeout: float | None, sent: int, answered: list[int]
) -> None:
    runner = new(buffering=buffering, session_timeout=session_timeout)
    for number in range(sent):
        runner.received(number, 0.0)

    assert work_off(runner) == [(number,) for number in answered]
    assert runner.stats == RunnerStats(sent, sent - len(answered), len(answered), len(answered))


@pytest.mark.wire("W32")
def test_a_busy_worker_leaves_only_the_newest_waiting() -> None:
    runner = new(buffering=1)
    runner.received("a", 0.0)
    assert runner.take(0.0) == ("a",)
    runner.received("b", 0.1)
    runner.received("c", 0.2)

    assert runner.take(0.3) is None
    runner.finished(0.4)
    assert runner.take(0.4) == ("c",)
    assert runner.stats.dropped == 1


@pytest.mark.wire("W33")
def test_waiting_inputs_become_one_batch() -> None:
    runner = new(max_batch_size=4, session_timeout=9.0)
    for number in range(6):
        runner.received(number, 0.0)

    assert work_off(runner) == [(0,), (1, 2, 3, 4), (5,)]


def test_an_input_that_cannot_join_a_batch_begins_the_next() -> None:
    class Word(str):
        def can_batch(self, following: str, size: int) -> bool:
            return self[0] == following[0] and size < 3

    runner = new(max_batch_size=4)
    for message in ["a1", "a2", "b1", "b2", "b3", "b4"]:
        runner.received(Word(message), 0.0)

    assert work_off(runner) == [("a1", "a2"), ("b1", "b2", "b3"), ("b4",)]


@pytest.mark.wire("W20")
def test_timings_follow_the_answer_they_belong_to() -> None:
    runner = new(emit_timings=True)
    runner.received("a", 1.0)
    runner.take(1.0)
    runner.produced({"answer": "a"})
    runner.finished(1.25)

    assert runner.take_outgoing() == [Answer({"answer": "a"}), Control(timings_text(0.25))]
    assert runner.take_outgoing() == []


def test_timings_are_compact_json_with_seconds() -> None:
    assert timings_text(0.05) == '{"type":"x-fal-message","action":"timings","timing":0.05}'


@pytest.mark.wire("W10")
def test_an_idle_session_ends_with_a_timeout_message_and_close_1000() -> None:
    runner = new(now=10.0, session_timeout=2.0)
    assert runner.next_deadline() == 12.0
    runner.wake(11.9)
    assert runner.phase is Phase.READING

    runner.wake(12.0)
    assert runner.take(12.0) is None
    assert runner.phase is Phase.CLOSED
    assert runner.next_deadline() is None
    assert runner.take_outgoing() == [TIMEOUT, Close(1000, "")]


@pytest.mark.wire("W22")
def test_every_input_restarts_the_idle_timer_and_inference_does_not() -> None:
    runner = new(session_timeout=2.0)
    runner.received("a", 1.0)
    runner.take(1.0)
    assert runner.next_deadline() == 3.0
    runner.produced("A")
    runner.finished(2.9)
    assert runner.next_deadline() == 3.0


def test_inference_that_runs_at_the_idle_end_is_still_answered() -> None:
    runner = new(session_timeout=2.0)
    runner.received("a", 0.0)
    runner.take(0.0)
    runner.wake(2.0)
    assert runner.phase is Phase.ENDING
    assert runner.next_deadline() == 4.0
    runner.received("too late", 2.5)
    runner.produced("A")
    runner.finished(3.0)

    assert runner.take(3.0) is None
    assert runner.take_outgoing() == [Answer("A"), TIMEOUT, Close()]
    assert runner.stats.received == 1


@pytest.mark.wire("W23")
def test_inference_over_two_session_timeouts_is_an_internal_error_without_a_reason() -> None:
    runner = new(session_timeout=2.0)
    runner.received("a", 0.0)
    runner.take(0.0)
    runner.wake(2.0)
    runner.wake(4.0)

    assert runner.take_outgoing() == [internal_error(""), Close()]
    runner.produced("A")
    runner.finished(5.0)
    assert runner.take_outgoing() == []


@pytest.mark.wire("W36")
@pytest.mark.parametrize(("buffering", "answered"), [(1, []), (2, [("b",)])])
def test_the_end_mark_takes_a_place_in_the_buffer(buffering: int, answered: list[Any]) -> None:
    runner = new(session_timeout=2.0, buffering=buffering)
    runner.received("a", 0.0)
    runner.take(0.0)
    runner.received("b", 1.0)
    runner.wake(3.0)
    runner.finished(3.5)

    assert work_off(runner, 3.5) == answered
    assert runner.phase is Phase.CLOSED
    assert runner.stats.dropped == 1 - len(answered)


def test_a_nil_input_ends_a_unary_session() -> None:
    runner = new()
    runner.received(1, 0.0)
    runner.received(None, 0.0)
    runner.received(2, 0.0)

    assert work_off(runner) == [(1,)]
    assert runner.take_outgoing()[-2:] == [TIMEOUT, Close()]
    assert runner.stats.dropped == 1


def test_a_bad_input_ends_the_session_and_loses_all_that_waits() -> None:
    runner = new(session_timeout=9.0)
    runner.received("a", 0.0)
    runner.received("b", 0.0)
    runner.failed("1 validation error for Input\nprompt\n  Field required")

    outgoing = runner.take_outgoing()
    assert outgoing == [internal_error("1 validation error for Input\nprompt\n  Field required"), Close()]
    assert isinstance(outgoing[0], Control)
    assert json.loads(outgoing[0].text)["reason"].startswith("1 validation error")
    assert runner.take(0.1) is None
    assert runner.stats == RunnerStats(received=2, dropped=2, taken=0, answered=0)


def test_answers_given_before_a_failure_still_leave() -> None:
    runner = new(mode="server_streaming")
    runner.received("a", 0.0)
    runner.take(0.0)
    for number in range(3):
        runner.produced(number)
    runner.failed("boom")

    assert runner.take_outgoing() == [Answer(2), Answer(0), Answer(1), internal_error("boom"), Close()]


def test_only_the_first_end_counts() -> None:
    runner = new()
    runner.failed("first")
    runner.failed("second")
    runner.disconnected()
    assert runner.take_outgoing() == []
    runner.finished(1.0)
    runner.wake(1.0)
    assert runner.take_outgoing() == []


def test_nothing_is_sent_after_the_client_left() -> None:
    runner = new()
    runner.received("a", 0.0)
    runner.take(0.0)
    runner.produced("A")
    runner.disconnected()
    runner.finished(1.0)

    assert runner.take_outgoing() == []
    assert runner.take(1.0) is None


def test_server_streaming_answers_one_input_and_then_says_timeout() -> None:
    runner = new(mode="server_streaming", emit_timings=True, session_timeout=5.0)
    runner.received("first", 1.0)
    runner.received("ignored", 1.0)
    assert runner.take(1.0) == ("first",)
    runner.received("ignored too", 1.5)
    assert runner.next_deadline() is None
    runner.produced(1)
    assert runner.take_outgoing() == [Answer(1)]
    runner.produced(2)
    runner.finished(3.0)

    assert runner.take_outgoing() == [Answer(2), Control(timings_text(2.0)), TIMEOUT, Close()]
    assert runner.stats.dropped == 2


def test_server_streaming_without_an_input_ends_idle() -> None:
    runner = new(mode="server_streaming", session_timeout=5.0)
    runner.wake(5.0)
    assert runner.take_outgoing() == [TIMEOUT, Close()]


def test_a_burst_overtakes_the_full_emitter_queue() -> None:
    runner = new(mode="server_streaming")
    runner.received("go", 0.0)
    runner.take(0.0)
    for number in range(12):
        runner.produced(number)

    assert runner.take_outgoing() == [Answer(number) for number in [*range(2, 12), 0, 1]]


@pytest.mark.parametrize("mode", ["client_streaming", "bidi"])
def test_a_streaming_apps_input_ends_when_it_has_asked_for_too_long(mode: Any) -> None:
    runner = new(mode=mode, session_timeout=2.0)
    assert runner.next_deadline() is None
    runner.received("a", 5.0)
    assert runner.take(6.0) == ("a",)
    assert runner.next_deadline() is None
    assert runner.take(10.0) is None
    assert runner.take(10.5) is None
    assert runner.next_deadline() == 12.0
    runner.wake(12.0)
    runner.received("too late", 12.0)

    assert runner.take(12.0) is END_OF_INPUT
    runner.produced("sum")
    runner.finished(13.0)
    assert runner.take_outgoing() == [Answer("sum"), TIMEOUT, Close()]


def test_an_input_in_time_stops_a_streaming_apps_timer() -> None:
    runner = new(mode="bidi", session_timeout=2.0)
    assert runner.take(0.0) is None
    runner.received("a", 1.0)
    assert runner.take(1.0) == ("a",)
    assert runner.next_deadline() is None


def test_a_streaming_apps_input_ends_when_the_client_leaves() -> None:
    runner = new(mode="bidi")
    runner.received("a", 0.0)
    runner.disconnected()
    assert runner.take(0.0) is END_OF_INPUT


def test_streaming_apps_never_drop_and_send_no_timings() -> None:
    runner = new(mode="bidi", buffering=1, emit_timings=True)
    for number in range(5):
        runner.received(number, 0.0)
    taken = [runner.take(0.0) for _ in range(5)]
    runner.finished(1.0)

    assert taken == [(0,), (1,), (2,), (3,), (4,)]
    assert runner.take_outgoing() == [TIMEOUT, Close()]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"mode": "both"}, "mode"),
        ({"buffering": 0}, "buffering"),
        ({"session_timeout": 0.0}, "session_timeout"),
        ({"max_batch_size": 0}, "max_batch_size"),
    ],
)
def test_senseless_options_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        RunnerOptions(**options)


class UnarySession(RuleBasedStateMachine):
    """Any order of inputs, work, time and failure, against a plain account of what may happen."""

    @initialize(
        buffering=st.none() | st.integers(1, 3),
        session_timeout=st.none() | st.just(4.0),
        max_batch_size=st.integers(1, 3),
        emit_timings=st.booleans(),
    )
    def open(
        self, buffering: int | None, session_timeout: float | None, max_batch_size: int, emit_timings: bool
    ) -> None:
        self.now = 0.0
        self.options = RunnerOptions(
            buffering=buffering,
            session_timeout=session_timeout,
            max_batch_size=max_batch_size,
            emit_timings=emit_timings,
        )
        self.runner = Runner(self.options, 0.0)
        self.next_input = 0
        self.newest_read = -1
        self.taken: list[int] = []
        self.working: tuple[int, ...] | None = None
        self.produced: deque[tuple[int, ...]] = deque()
        self.sent: list[Outgoing] = []
        self.broken = False

    @rule()
    def receive(self) -> None:
        before = self.runner.stats.received
        self.runner.received(self.next_input, self.now)
        if self.runner.stats.received > before:
            self.newest_read = self.next_input
        self.next_input += 1

    @rule()
    def take(self) -> None:
        batch = self.runner.take(self.now)
        if batch is None:
            return
        assert isinstance(batch, tuple)
        assert self.working is None
        inputs = tuple(message for message in batch if message is not None)
        assert inputs
        assert len(batch) <= self.options.max_batch_size
        # Order is kept, and nothing is given twice.
        assert list(inputs) == sorted(set(inputs))
        assert not self.taken or inputs[0] > self.taken[-1]
        self.taken += inputs
        self.working = batch

    @precondition(lambda self: self.working is not None)
    @rule()
    def answer(self) -> None:
        self.runner.produced(self.working)
        self.runner.finished(self.now)
        if self.working is not None and self.runner.phase is not Phase.CLOSED:
            self.produced.append(self.working)
        self.working = None

    @rule(seconds=st.floats(0.0, 6.0))
    def advance(self, seconds: float) -> None:
        self.now += seconds
        deadline = self.runner.next_deadline()
        if deadline is not None and deadline <= self.now:
            self.runner.wake(self.now)

    @precondition(lambda self: self.runner.next_deadline() is not None)
    @rule()
    def jump_to_deadline(self) -> None:
        self.now = max(self.now, self.runner.next_deadline() or 0.0)
        self.runner.wake(self.now)

    @rule()
    def send(self) -> None:
        self.sent += self.runner.take_outgoing()

    @rule(left=st.booleans())
    def end(self, left: bool) -> None:
        self.broken = True
        if left:
            self.runner.disconnected()
        else:
            self.runner.failed("boom")

    @invariant()
    def every_input_is_accounted_for(self) -> None:
        stats = self.runner.stats
        waiting = stats.received - stats.dropped - stats.taken
        assert waiting >= 0
        if self.options.buffering is not None:
            assert waiting <= self.options.buffering + 1
        if self.runner.phase is Phase.CLOSED:
            assert waiting == 0

    @invariant()
    def the_newest_input_is_never_dropped_while_reading(self) -> None:
        if self.runner.phase is Phase.READING and self.working is None and self.newest_read >= 0:
            stats = self.runner.stats
            assert self.newest_read in self.taken or stats.received > stats.dropped + stats.taken

    @invariant()
    def nothing_follows_the_close(self) -> None:
        closes = [index for index, item in enumerate(self.sent) if isinstance(item, Close)]
        assert closes in ([], [len(self.sent) - 1])
        if closes:
            assert self.runner.phase is Phase.CLOSED
            assert isinstance(self.sent[-2], Control)

    @invariant()
    def answers_leave_in_order_and_once(self) -> None:
        answers = [item.output for item in self.sent if isinstance(item, Answer)]
        assert (
            answers == list(self.produced)[: len(answers)] or self.options.buffering is None or self.overtook
        )

    @property
    def overtook(self) -> bool:
        """Whether more was produced in one turn than the emitter's queue holds."""
        return len(self.produced) > (self.options.buffering or 1)


UnarySession.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestUnarySession = UnarySession.TestCase
