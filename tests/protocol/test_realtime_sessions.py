"""The modes in which an app ends the session: what is one session's, and how its end is told."""

from __future__ import annotations

import pytest

from falrt.exceptions import ConnectionClosedError, ConnectionClosedOK, DecodeError, ServerError
from falrt.protocol.endings import with_unsent
from falrt.protocol.events import Ended, Problem, Pushed, State
from falrt.protocol.inputs import Outcome
from falrt.protocol.loss import Cause
from falrt.protocol.pacing.policies import Debounce, Throttle
from falrt.protocol.wire.messages import Timings
from tests.protocol.line import TIMEOUT, UNAUTHORIZED, Line, fault

ENDING = ["server_streaming", "client_streaming", "bidi"]


def ended(line: Line) -> list[type[Exception]]:
    return [type(event.error) for event in line.events() if isinstance(event, Ended)]


@pytest.mark.parametrize("mode", ENDING)
def test_the_end_of_a_session_is_told_and_the_next_input_begins_another(mode: str) -> None:
    line = Line(mode).open(0.0)
    input = line.send("a", 1.0)
    assert line.leave(1.0) == ["a"]
    line.protocol.received({"seed": 1}, 1.5)
    assert line.events() == [Pushed({"seed": 1})]
    assert line.protocol.pending() == (mode == "server_streaming"), "where inputs go on, all were sent"
    line.say(TIMEOUT, 2.0)
    assert ended(line) == [ConnectionClosedOK]
    assert line.protocol.state is State.IDLE
    assert isinstance(line.protocol.ending, ConnectionClosedOK)
    assert input.outcome is Outcome.DELIVERED
    assert not line.protocol.pending()
    line.send("b", 9.0)
    assert line.protocol.ending is None
    assert line.open(9.0).leave(9.0) == ["b"]


@pytest.mark.parametrize("mode", ENDING)
def test_a_session_without_any_output_may_end_as_well(mode: str) -> None:
    line = Line(mode).open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.say(TIMEOUT, 2.0)
    assert ended(line) == [ConnectionClosedOK]
    assert line.protocol.state is State.IDLE


@pytest.mark.parametrize("mode", ["client_streaming", "bidi"])
def test_half_a_session_is_not_repeated_and_the_rest_is_handed_back(mode: str) -> None:
    line = Line(mode, pacing=Throttle(1.0)).open(0.0)
    first = line.send("a", 1.0)
    line.leave(1.0)
    rest = line.send("b", 1.1)
    line.lose(1.5)
    (event,) = line.events()
    assert isinstance(event, Ended)
    assert isinstance(event.error, ConnectionClosedError)
    assert event.error.unsent == ("b",)
    assert (first.outcome, rest.outcome) == (Outcome.FAILED, Outcome.UNSENT)
    assert line.protocol.state is State.IDLE
    assert line.protocol.ending is event.error
    again = with_unsent(line.protocol.ending, ("b",))
    assert isinstance(again, ConnectionClosedError)
    assert again.__cause__ is event.error
    line.send("c", 3.0)
    assert isinstance(with_unsent(line.protocol.ending, ("b",)), ConnectionClosedOK), "that was in order"


@pytest.mark.parametrize("mode", ["client_streaming", "bidi"])
def test_what_had_not_left_when_its_session_ended_is_handed_back(mode: str) -> None:
    line = Line(mode, pacing=Throttle(1.0)).open(0.0)
    first = line.send("a", 1.0)
    line.leave(1.0)
    rest = line.send("b", 1.1)
    line.say(TIMEOUT, 1.5)
    (event,) = line.events()
    assert isinstance(event, Ended)
    assert isinstance(event.error, ConnectionClosedOK)
    assert event.error.unsent == ("b",)
    assert (first.outcome, rest.outcome) == (Outcome.DELIVERED, Outcome.UNSENT)
    line.send("c", 2.0)
    assert line.open(2.0).leave(2.0) == ["c"], "nothing of one session slips into the next"


def test_of_sessions_of_one_input_the_next_in_line_begins_by_itself() -> None:
    line = Line("server_streaming").open(0.0)
    line.send("a", 1.0)
    line.send("b", 1.0)
    assert line.leave(1.0) == ["a"]
    assert line.next == 20.0
    line.protocol.received({"seed": 1}, 1.5)
    line.say(TIMEOUT, 2.0)
    assert line.protocol.ending is None, "recv() waits for the next session"
    assert line.open(2.0).leave(2.0) == ["b"]


def test_a_session_that_broke_off_is_not_given_up_for_the_next_in_line() -> None:
    line = Line("server_streaming").open(0.0)
    for name in "ab":
        line.send(name, 1.0)
    line.leave(1.0)
    line.lose(1.5)
    assert line.open(2.0).leave(2.0) == ["a"]
    line.say(TIMEOUT, 3.0)
    assert line.open(3.0).leave(3.0) == ["b"]


def test_server_streaming_is_repeated_only_before_the_first_output() -> None:
    line = Line("server_streaming").open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.lose(1.5)
    assert ended(line) == []
    assert line.open(2.0).leave(2.0) == ["a"]
    line.protocol.received({"seed": 1}, 2.5)
    line.lose(3.0)
    assert ended(line) == [ConnectionClosedError]
    assert line.protocol.state is State.IDLE


@pytest.mark.parametrize("mode", ENDING)
def test_a_fault_ends_the_session_with_the_servers_own_error(mode: str) -> None:
    line = Line(mode).open(0.0)
    input = line.send("a", 1.0)
    line.leave(1.0)
    line.say(fault(), 1.5)
    (event,) = line.events()
    assert isinstance(event, Ended)
    assert isinstance(event.error, ServerError)
    assert line.protocol.ending is event.error
    assert input.outcome is Outcome.FAILED


def test_a_fault_with_inputs_to_hand_back_tells_both() -> None:
    line = Line("bidi", pacing=Throttle(1.0)).open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.send("b", 1.1)
    line.say(fault(), 1.5)
    problem, end = line.events()
    assert isinstance(problem, Problem)
    assert isinstance(problem.error, ServerError)
    assert isinstance(end, Ended)
    assert isinstance(end.error, ConnectionClosedError)
    assert end.error.unsent == ("b",)
    assert end.error.__cause__ is problem.error


def test_a_fault_on_a_socket_without_a_session_is_told_and_ends_none() -> None:
    line = Line("bidi").open(0.0)
    line.say(fault(), 1.5)
    (event,) = line.events()
    assert isinstance(event, Problem)
    assert line.protocol.state is State.IDLE


@pytest.mark.parametrize("mode", ENDING)
def test_a_socket_that_was_not_used_ends_no_session(mode: str) -> None:
    line = Line(mode).open(0.0)
    line.say(TIMEOUT, 30.0)
    assert ended(line) == []
    assert line.protocol.state is State.IDLE


def test_a_session_ends_once_however_often_the_way_back_fails() -> None:
    line = Line("bidi").open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.lose(1.5)
    assert ended(line) == [ConnectionClosedError]
    line.send("b", 2.0)
    line.protocol.connecting(2.0)
    line.lose(2.1, Cause.NETWORK)
    assert ended(line) == []
    assert line.open(2.5).leave(2.5) == ["b"]


def test_only_the_newest_input_of_a_session_counts_as_unanswered() -> None:
    line = Line("bidi").open(0.0)
    inputs = [line.send(name, 1.0) for name in "abc"]
    line.leave(1.0)
    assert [input.outcome for input in inputs] == [Outcome.DELIVERED, Outcome.DELIVERED, None]
    stats = line.protocol.stats(1.0)
    assert (stats.in_flight, stats.dropped) == (1, 0)


def test_a_pause_between_the_outputs_of_one_input_says_nothing() -> None:
    line = Line("server_streaming", idle_close=30.0).open(0.0)
    input = line.send("a", 1.0)
    line.leave(1.0)
    line.protocol.received({"seed": 1}, 1.5)
    line.at(500.0)
    assert input.outcome is None
    assert line.protocol.pending()
    assert line.protocol.socket.leaving is None


@pytest.mark.parametrize("mode", ["client_streaming", "bidi"])
def test_an_idle_session_is_closed_as_the_option_says(mode: str) -> None:
    line = Line(mode, idle_close=30.0).open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.protocol.received({"seed": 1}, 1.5)
    assert line.next == 20.0, "a ping"
    line.events()
    line.at(31.5)
    line.lose(31.5)
    (event,) = line.events()
    assert isinstance(event, Ended)
    assert isinstance(event.error, ConnectionClosedOK)
    assert "idle_close" in str(event.error)
    assert line.protocol.state is State.IDLE


def test_garbage_in_a_session_is_told_and_it_goes_on() -> None:
    line = Line("bidi").open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    garbage = DecodeError("garbage")
    line.protocol.received(garbage, 1.5)
    assert line.events() == [Problem(garbage)]
    assert line.protocol.socket.leaving is None


def test_a_sessions_timings_need_no_answer_of_their_own() -> None:
    line = Line("server_streaming").open(0.0)
    line.protocol.received(Timings(1.5), 1.0)
    assert line.protocol.stats(1.0).inference_time == 1.5


@pytest.mark.parametrize("mode", ENDING)
def test_a_bare_socket_ends_with_its_session(mode: str) -> None:
    line = Line(mode, backoff=None).open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.say(TIMEOUT, 2.0)
    assert line.protocol.state is State.CLOSED
    assert isinstance(line.protocol.ending, ConnectionClosedOK)


def test_a_refused_token_before_any_output_repeats_a_server_stream() -> None:
    line = Line("server_streaming").open(0.0)
    line.send("a", 0.0)
    line.leave(0.0)
    line.say(UNAUTHORIZED, 0.1)
    assert ended(line) == []
    assert line.open(0.1).leave(0.1) == ["a"]


@pytest.mark.parametrize("said", [fault(), TIMEOUT])
def test_an_app_that_ends_every_socket_before_anything_left_is_not_run_at(said: object) -> None:
    line = Line("bidi", pacing=Debounce(1.0)).open(0.0)
    line.send("a", 0.0)
    now, sockets = 0.0, 0
    while now < 0.9:
        line.say(said, now)
        sockets += 1
        at = line.protocol.next_deadline(now)
        assert at is not None
        now = max(now, at)
        if line.protocol.connecting(now):
            line.protocol.opened(now)
    assert sockets < 10
