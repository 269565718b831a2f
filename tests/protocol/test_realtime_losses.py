"""Losses: who is blamed, what is asked again, when the next socket comes, and what everybody is told at the end."""

from __future__ import annotations

from typing import Any

import pytest

from falrt.exceptions import (
    ConnectError,
    ConnectionClosedError,
    ConnectionClosedOK,
    FalrtError,
    RequestTimeout,
    ServerError,
    UnauthorizedError,
)
from falrt.protocol.events import Failed, Lost, Problem, State
from falrt.protocol.inputs import Kind, Outcome
from falrt.protocol.loss import Cause
from falrt.protocol.pacing.policies import Debounce, Immediate, Latest, Throttle
from falrt.protocol.reconnect.backoff import FIRST_OPENING_SECONDS, Backoff
from falrt.protocol.reconnect.lifecycle import NO_APP_TRIES
from falrt.protocol.reconnect.liveness import Keepalive
from tests.protocol.line import TIMEOUT, UNAUTHORIZED, Line, fault

SILENT = Keepalive(None, None)

# --- what is asked again


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012, 1013])
def test_a_request_is_sent_again_after_a_loss_within_100_ms(code: int) -> None:
    line = Line().open(0.0)
    line.request("a", 1.0)
    line.leave(1.0)
    line.lose(2.0, code=code)
    assert line.protocol.state is State.WAITING
    assert line.next == 2.05
    assert line.open(2.05).leave(2.05) == ["a"]
    assert line.result(3.0) == [("a", True)]


def test_the_newest_send_is_sent_again_and_stands_for_the_older() -> None:
    line = Line().open(0.0)
    older, newest = line.send("a", 1.0), line.send("b", 1.0)
    line.leave(1.0)
    line.lose(2.0)
    assert (older.outcome, newest.outcome) == (Outcome.SUPERSEDED, None)
    assert line.open(2.1).leave(2.1) == ["b"]
    assert line.protocol.stats(3.0).dropped == 1


def test_a_send_that_waits_stands_for_those_that_left() -> None:
    line = Line(pacing=Throttle(1.0)).open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.send("b", 1.5)
    line.lose(1.6)
    assert line.open(1.7).leave(1.7) == []
    assert line.leave(2.0) == ["b"]


def test_a_send_cancelled_after_it_left_is_still_the_newest() -> None:
    line = Line().open(0.0)
    line.send("a", 1.0)
    newest = line.send("b", 1.0)
    line.leave(1.0)
    line.protocol.abandon(newest)
    line.lose(2.0)
    assert line.open(2.1).leave(2.1) == ["b"]


def test_a_request_that_was_given_up_is_not_sent_again() -> None:
    line = Line().open(0.0)
    request = line.request("a", 1.0)
    line.leave(1.0)
    line.protocol.abandon(request)
    line.lose(2.0)
    assert line.open(2.1).leave(2.1) == []


def test_a_stream_sends_its_newest_frame_again_and_learns_nothing_from_the_outage() -> None:
    line = Line().open(0.0)
    lane = line.protocol.add_lane(Latest(2), keeps_all=False)
    line.frame(lane, "a", 1.0, taken_at=1.0)
    newest = line.frame(lane, "b", 1.0, taken_at=1.0)
    line.leave(1.0)
    line.lose(2.0)
    assert (newest.sent_at, newest.taken_at) == (None, None)
    assert line.open(50.0).leave(50.0) == ["b"]
    line.result(50.5)
    assert line.protocol.stats(51.0).latency.last == 0.5


def test_a_stream_that_skips_nothing_sends_all_again_in_order() -> None:
    line = Line().open(0.0)
    lane = line.protocol.add_lane(Latest(2), keeps_all=True)
    for name in "ab":
        line.frame(lane, name, 1.0)
    line.leave(1.0)
    line.lose(2.0)
    assert line.open(2.1).leave(2.1) == ["a", "b"]


def test_answers_while_a_socket_is_given_up_do_not_count() -> None:
    line = Line().open(0.0)
    line.request("a", 1.0)
    line.leave(1.0)
    line.protocol.received(TIMEOUT, 2.0)
    line.protocol.received({"seed": 1}, 2.0)
    line.lose(2.0, code=1000)
    assert line.events() == []


# --- pauses and budgets


def test_pauses_grow_until_a_good_answer_makes_the_budget_whole() -> None:
    line = Line(backoff=Backoff(initial=1.0, maximum=4.0)).open(0.0)
    line.request("a", 0.0, timeout_at=1000.0)
    now, pauses = 0.0, []
    for _ in range(5):
        line.leave(now)
        line.lose(now)
        assert line.next is not None
        pauses.append(round(line.next - now, 3))
        now = line.next
        line.open(now)
    assert pauses == [0.05, 0.5, 1.0, 2.0, 2.0]
    line.leave(now)
    line.result(now)
    line.lose(now)
    assert line.next == now + 0.05


def test_an_upgrade_does_not_restore_the_budget() -> None:
    line = Line(backoff=Backoff(attempts=2)).open(0.0)
    request = line.request("a", 0.0)
    for now in (1.0, 2.0):
        line.lose(now)
        line.open(now + 0.5)
    line.lose(3.0)
    assert line.protocol.state is State.CLOSED
    assert line.failures() == [("a", line.protocol.ending)]
    assert request.outcome is Outcome.UNSENT


def test_the_server_says_how_long_to_wait() -> None:
    line = Line().open(0.0)
    line.lose(1.0, retry_after=7.0)
    assert line.next == 8.0


def test_what_never_opened_gives_up_after_a_few_quick_tries() -> None:
    line, now = Line(), 0.0
    refused = ConnectError("refused")
    for _ in range(4):
        line.protocol.connecting(now)
        line.lose(now, Cause.NETWORK, error=refused)
        assert line.protocol.state is State.WAITING
        now = line.next or 0.0
    line.protocol.connecting(now)
    line.lose(now, Cause.NETWORK, error=refused)
    assert line.protocol.ending is refused
    assert now < 2.0


def test_what_never_opened_gives_up_after_one_try_that_hangs() -> None:
    line = Line()
    line.protocol.connecting(0.0)
    line.lose(FIRST_OPENING_SECONDS, Cause.TIMEOUT, error=ConnectError("no handshake within 90 s"))
    assert line.protocol.state is State.CLOSED


def test_a_lazy_first_opening_that_nobody_waits_for_is_not_held_against_the_next() -> None:
    line = Line(lazy=True)
    request = line.request("a", 0.0)
    line.protocol.connecting(0.0)
    line.protocol.abandon(request)
    line.lose(60.0, Cause.TIMEOUT)
    assert line.protocol.state is State.IDLE
    line.request("b", 100.0)
    line.protocol.connecting(100.0)
    line.lose(101.0, Cause.NETWORK)
    assert line.protocol.state is State.WAITING


# --- the end


@pytest.mark.parametrize("code", [1008, 1003, 4000])
def test_a_final_code_reaches_every_waiter_at_once(code: int) -> None:
    line = Line().open(0.0)
    sent, waiting = line.request("a", 1.0), line.request("b", 1.0)
    line.leave(1.0)
    line.lose(2.0, code=code)
    error = line.protocol.ending
    assert isinstance(error, ConnectionClosedError)
    assert (error.code, error.unsent) == (code, ("b",))
    assert [value for value, _ in line.failures()] == ["a", "b"]
    assert (sent.outcome, waiting.outcome) == (Outcome.FAILED, Outcome.UNSENT)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        ({"cause": Cause.CLOSED, "code": 1000}, ConnectionClosedOK),
        ({"cause": Cause.IDLE, "code": 1000}, ConnectionClosedOK),
        ({"cause": Cause.CLOSED, "code": 1006}, ConnectionClosedError),
        ({"cause": Cause.NETWORK, "error": ConnectError("refused")}, ConnectError),
        ({"cause": Cause.NETWORK, "error": OSError("reset")}, ConnectionClosedError),
        ({"cause": Cause.SERVER_FAULT, "error": ServerError("X")}, ServerError),
    ],
)
def test_a_bare_socket_ends_with_its_first_loss(loss: dict[str, Any], kind: type[FalrtError]) -> None:
    line = Line(backoff=None).open(0.0)
    line.request("a", 1.0)
    line.leave(1.0)
    line.lose(2.0, **loss)
    assert line.protocol.state is State.CLOSED
    assert type(line.protocol.ending) is kind
    assert [value for value, _ in line.failures()] == ["a"]


# --- orderly ends


def test_an_idle_end_rests_until_the_next_input() -> None:
    line = Line().open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.result(1.5)
    line.say(TIMEOUT, 31.0)
    assert line.protocol.state is State.IDLE
    assert line.events() == []
    assert line.next is None
    line.send("b", 60.0)
    assert line.open(60.0).leave(60.0) == ["b"]


def test_an_idle_end_with_something_unanswered_opens_at_once() -> None:
    line = Line().open(0.0)
    for name in "ab":
        line.send(name, 1.0)
    line.leave(1.0)
    line.result(1.5)
    line.say(TIMEOUT, 2.0)
    assert line.next == 2.0
    assert line.open(2.0).leave(2.0) == ["b"]


# --- faults


def test_an_input_that_was_alone_is_at_fault_and_the_connection_comes_back() -> None:
    line = Line().open(0.0)
    line.request("a", 1.0)
    line.request("b", 1.0)
    line.leave(1.0)
    line.say(fault(), 1.5)
    ((value, error),) = line.failures()
    assert value == "a"
    assert isinstance(error, ServerError)
    assert (error.error, error.reason) == ("INTERNAL_ERROR", "bad input")
    assert line.next == 1.5
    assert line.open(1.5).leave(1.5) == ["b"]


def test_a_send_at_fault_is_told_to_whoever_receives() -> None:
    line = Line().open(0.0)
    send = line.send("a", 1.0)
    line.leave(1.0)
    line.say(fault(), 1.5)
    (problem,) = line.events()
    assert isinstance(problem, Problem)
    assert send.outcome is Outcome.FAILED
    assert line.protocol.state is State.IDLE


def test_several_suspects_go_out_one_at_a_time_until_the_one_at_fault_shows() -> None:
    line = Line(pacing=Latest(2)).open(0.0)
    for name in "abc":
        line.request(name, 1.0)
    assert line.leave(1.0) == ["a", "b"]
    line.say(fault(), 1.5)
    assert line.events() == []
    assert line.open(1.6).leave(1.6) == ["a"]
    assert line.result(2.0) == [("a", True)]
    assert line.leave(2.0) == ["b"]
    line.say(fault(), 2.5)
    assert [value for value, _ in line.failures()] == ["b"]
    assert line.open(2.5).leave(2.5) == ["c"]


def test_a_suspect_sends_others_as_well_once_all_have_ended() -> None:
    line = Line(pacing=Latest(2)).open(0.0)
    for name in "ab":
        line.request(name, 1.0)
    line.leave(1.0)
    line.say(fault(), 1.5)
    line.open(1.6)
    for name in "ab":
        assert line.leave(1.7) == [name]
        line.result(1.8)
    for name in "cd":
        line.request(name, 2.0)
    assert line.leave(2.0) == ["c", "d"]


def test_an_input_is_not_blamed_for_one_that_was_given_up() -> None:
    line = Line(pacing=Latest(2)).open(0.0)
    given_up, other = line.request("a", 1.0), line.request("b", 1.0)
    line.leave(1.0)
    line.protocol.abandon(given_up)
    line.say(fault(), 1.5)
    assert line.events() == []
    assert other.outcome is None
    assert line.open(1.6).leave(1.6) == ["b"]


def test_a_fault_of_one_that_was_given_up_is_nobody_elses() -> None:
    line = Line().open(0.0)
    request = line.request("a", 1.0)
    line.leave(1.0)
    line.protocol.abandon(request)
    line.request("b", 1.2)
    line.say(fault(), 1.5)
    assert line.events() == []
    assert line.open(1.5).leave(1.5) == ["b"]


def test_a_fault_without_an_input_is_told() -> None:
    line = Line().open(0.0)
    line.say(fault("out of memory"), 1.0)
    (problem,) = line.events()
    assert isinstance(problem, Problem)
    assert str(problem.error) == "INTERNAL_ERROR: out of memory"


def test_an_app_that_idles_out_while_busy_is_no_error() -> None:
    line = Line().open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.result(1.5)
    line.say(fault(""), 60.0)
    assert line.events() == []
    assert line.protocol.state is State.IDLE


def test_a_fault_among_sends_is_told_and_the_newest_goes_again() -> None:
    line = Line().open(0.0)
    for name in "ab":
        line.send(name, 1.0)
    line.leave(1.0)
    line.say(fault(), 1.5)
    (problem,) = line.events()
    assert isinstance(problem, Problem)
    assert line.open(1.6).leave(1.6) == ["b"]


# --- refusals


def test_a_refused_token_is_renewed_once_and_the_request_goes_on() -> None:
    line = Line().open(0.0)
    line.request("a", 0.0)
    line.leave(0.0)
    line.say(UNAUTHORIZED, 0.1)
    assert line.next == 0.1
    assert line.open(0.1).leave(0.1) == ["a"]
    line.say(UNAUTHORIZED, 0.2)
    ((value, error),) = line.failures()
    assert value == "a"
    assert isinstance(error, UnauthorizedError)
    assert line.protocol.ending is error


def test_a_refusal_after_a_good_answer_earns_another_token() -> None:
    line = Line().open(0.0)
    line.request("a", 0.0)
    line.say(UNAUTHORIZED, 0.1)
    line.open(0.1).leave(0.1)
    line.result(0.5)
    line.request("b", 1.0)
    line.leave(1.0)
    line.say(UNAUTHORIZED, 1.5)
    assert line.protocol.state is State.WAITING


def test_a_socket_that_lived_was_not_refused_at_the_door() -> None:
    line = Line().open(0.0)
    line.send("a", 0.0)
    line.say(UNAUTHORIZED, 0.1)
    line.open(0.1)
    line.say(UNAUTHORIZED, 9.0)
    assert line.protocol.state is State.WAITING


def test_a_key_cannot_be_renewed() -> None:
    line = Line(renewable=False)
    line.protocol.connecting(0.0)
    refused = UnauthorizedError("refused", status=401)
    line.lose(0.1, Cause.UNAUTHORIZED, error=refused)
    assert line.protocol.ending is refused


def test_a_lazy_connection_that_is_refused_rests_where_nobody_waits() -> None:
    line = Line(lazy=True)
    request = line.request("a", 0.0)
    line.open(0.0)
    line.protocol.abandon(request)
    line.say(UNAUTHORIZED, 0.1)
    assert line.protocol.state is State.IDLE


# --- a model that is starting


def test_a_cold_model_gets_the_newest_input_again_with_growing_pauses() -> None:
    line = Line(keepalive=SILENT).open(0.0)
    line.send("a", 0.0)
    now, pauses = 0.0, []
    for _ in range(6):
        assert line.leave(now) == ["a"]
        line.lose(now + 30.0, code=1000)
        assert line.protocol.state is State.WARMING
        assert line.next is not None
        pauses.append(round(line.next - now - 30.0, 3))
        now = line.next
        line.open(now)
    assert pauses == [0.1, 0.5, 1.0, 2.0, 4.0, 8.0]
    line.leave(now)
    assert line.result(now + 1.0) == [("a", True)]
    assert line.protocol.state is State.OPEN


def test_a_model_that_stays_cold_ends_the_connection_within_the_time() -> None:
    line = Line(warmup_timeout=40.0, keepalive=SILENT).open(0.0)
    line.request("a", 0.0)
    line.leave(0.0)
    line.lose(30.0, code=1000)
    line.open(30.1).leave(30.1)
    assert line.next == 40.0
    (failed,) = line.at(40.0)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, RequestTimeout)
    assert "fal-ai/flux-2/klein/realtime" in str(failed.error)
    assert line.protocol.state is State.CLOSED


def test_there_is_no_pause_beyond_the_warm_up_time() -> None:
    line = Line(warmup_timeout=30.0, keepalive=SILENT).open(0.0)
    line.send("a", 0.0)
    line.leave(0.0)
    line.lose(29.95, code=1000)
    assert line.protocol.state is State.CLOSED
    assert isinstance(line.protocol.ending, RequestTimeout)


def test_the_default_time_out_of_a_request_begins_when_the_model_is_warm() -> None:
    line = Line(request_timeout=20.0, keepalive=SILENT).open(0.0)
    line.request("a", 0.0, timeout_at=1000.0)
    line.leave(0.0)
    line.lose(15.0, code=1000)
    line.request("b", 15.0)
    line.open(15.1).leave(15.1)
    assert line.at(100.0) == []
    line.result(100.0)
    line.leave(100.0)
    assert line.next == 120.0


def test_a_cold_model_that_nobody_waits_for_is_forgotten() -> None:
    line = Line(keepalive=SILENT).open(0.0)
    request = line.request("a", 0.0)
    line.leave(0.0)
    line.lose(30.0, code=1000)
    line.protocol.abandon(request)
    line.open(30.1)
    assert line.at(300.0) == []
    assert line.protocol.state is State.OPEN
    line.lose(301.0, code=1000)
    assert line.protocol.state is State.IDLE


def test_a_loss_while_a_model_starts_costs_no_budget() -> None:
    line = Line(backoff=Backoff(attempts=1)).open(0.0)
    line.send("a", 0.0)
    line.leave(0.0)
    line.lose(30.0, code=1000)
    for now in (31.0, 33.0, 36.0):
        line.open(now).leave(now)
        line.lose(now + 0.1)
    assert line.protocol.state is State.WARMING


def test_a_debounced_input_outlives_a_loss() -> None:
    line = Line(pacing=Debounce(5.0)).open(0.0)
    line.send("a", 1.0)
    line.lose(2.0)
    assert line.open(2.05).leave(3.0) == []
    assert line.leave(6.0) == ["a"]


def test_immediate_sends_that_waited_out_an_outage_keep_their_order() -> None:
    line = Line(pacing=Immediate())
    for name in "abc":
        line.send(name, 0.0)
    assert line.open(5.0).leave(5.0) == ["a", "b", "c"]


def test_an_idle_connection_counts_no_hours_between_its_losses() -> None:
    line = Line().open(0.0)
    for hour in range(1, 30):
        line.lose(hour * 3600.0, code=1001)
        assert line.protocol.state is State.WAITING
        line.open(hour * 3600.0 + 1.0)


def test_after_a_rest_the_budget_is_whole_again() -> None:
    line = Line(backoff=Backoff(attempts=2)).open(0.0)
    line.lose(1.0, code=1006)
    line.open(2.0).say(TIMEOUT, 3.0)
    assert line.protocol.state is State.IDLE
    line.request("r", 9000.0)
    line.protocol.connecting(9000.0)
    line.lose(9000.1, Cause.NETWORK)
    assert line.protocol.state is State.WAITING


def test_an_error_of_the_gateway_is_told_also_where_nothing_is_unanswered() -> None:
    line = Line().open(0.0)
    line.request("a", 1.0)
    line.leave(1.0)
    line.result(1.5)
    line.say({"status": "error", "error": "Rate limit exceeded"}, 2.0)
    (event,) = line.events()
    assert isinstance(event, Problem)
    assert "Rate limit exceeded" in str(event.error)


def test_results_that_nobody_asked_for_restore_no_budget() -> None:
    line = Line(backoff=Backoff(attempts=3)).open(0.0)
    now = 0.0
    for _ in range(3):
        line.protocol.received({"seed": 1}, now)
        line.lose(now + 0.1, code=1011)
        now += 1.0
        line.open(now)
    line.lose(now + 0.1, code=1011)
    assert line.protocol.state is State.CLOSED


def test_the_tries_since_the_last_answer_and_the_last_failure_can_be_told() -> None:
    line = Line().open(0.0)
    line.lose(1.0, code=1011, reason="no such app")
    line.open(1.2).lose(1.3, code=1011, reason="no such app")
    assert [event.tries for event in line.all_events() if isinstance(event, Lost)] == [0, 1]
    line.request("r", 1.4, timeout_at=1.5)
    (event,) = line.at(1.5)
    assert isinstance(event, Failed)
    assert "the last socket: no such app (code 1011)" in str(event.error)
    line.open(9.0).say(TIMEOUT, 40.0)
    assert "the last socket" not in str(line.protocol.timeout_error(40.0, 41.0))


def test_frames_that_a_stream_skipped_before_they_were_offered_are_counted() -> None:
    line = Line().open(0.0)
    line.protocol.remove_lane(line.protocol.add_lane(Latest(1), keeps_all=False), skipped=3)
    assert line.protocol.stats(1.0).dropped == 3


# --- an app that is not there


def test_an_app_that_never_answered_and_closes_each_socket_at_the_door_does_not_exist() -> None:
    line, now = Line(), 0.0
    line.request("a", 0.0)
    for _ in range(NO_APP_TRIES):
        assert line.protocol.state is not State.CLOSED
        line.open(now).leave(now)
        line.lose(now + 0.1, code=1011, reason="Error while forwarding the request")
        now = line.next or now
    assert now < 10.0
    (failed,) = line.events()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ConnectError)
    assert "no such realtime app? check the id 'acme/app' and its path" in str(failed.error)
    assert "1011 'Error while forwarding the request'" in str(failed.error)
    assert line.protocol.ending is failed.error


@pytest.mark.parametrize(("lived", "code"), [(30.0, 1011), (0.1, 1006), (0.1, 1012)])
def test_sockets_that_stay_open_or_are_cut_say_nothing_about_the_app(lived: float, code: int) -> None:
    line, now = Line(), 0.0
    line.request("a", 0.0, timeout_at=1e9)
    for _ in range(2 * NO_APP_TRIES):
        line.open(now)
        line.lose(now + lived, code=code)
        assert line.next is not None
        now = line.next
    assert line.protocol.state is not State.CLOSED


def test_an_app_that_answered_once_exists() -> None:
    line, now = Line(), 1.0
    line.request("a", 0.0)
    line.open(0.0).leave(0.0)
    line.result(0.5)
    line.lose(1.0)
    for _ in range(2 * NO_APP_TRIES):
        now = line.next or now
        line.open(now)
        line.lose(now + 0.1, code=1011)
    assert line.protocol.state is State.WAITING


# --- a token that expired


def test_a_close_that_may_mean_an_expired_token_is_followed_by_one_new_token_if_the_old_one_was_good() -> (
    None
):
    line = Line().open(0.0)
    line.send("a", 0.0)
    line.lose(60.0, code=1008)
    line.open(60.0)
    line.lose(60.1, code=1008)
    assert line.protocol.state is State.CLOSED


def test_with_a_key_such_a_close_is_final() -> None:
    line = Line(renewable=False).open(0.0)
    line.lose(60.0, code=4401)
    assert line.protocol.state is State.CLOSED


# --- what a timeout blames


def test_a_timeout_blames_the_present_fault_only() -> None:
    line = Line(keepalive=Keepalive(None, None)).open(0.0)
    line.lose(1.0, code=1011, reason="restarting")
    line.request("a", 1.0, timeout_at=2.0)
    (early,) = line.at(2.0)
    assert isinstance(early, Failed)
    assert "restarting" in str(early.error)
    line.open(2.0)
    line.request("b", 2.0, timeout_at=30.0)
    line.leave(2.0)
    (late,) = line.at(30.0)
    assert isinstance(late, Failed)
    assert "restarting" not in str(late.error)


# --- a bare socket


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.STREAM])
def test_a_bare_socket_that_closes_before_the_answer_is_an_error_for_who_waits(kind: Kind) -> None:
    line = Line(backoff=None).open(0.0)
    lane = line.protocol.add_lane(Latest(1), keeps_all=False) if kind is Kind.STREAM else line.protocol.main
    line.offer(kind, "a", 1.0, lane=lane)
    line.leave(1.0)
    line.lose(2.0, code=1000)
    (failed,) = line.events()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ConnectionClosedError)
    assert isinstance(line.protocol.ending, ConnectionClosedOK)


# --- how long a request may take


def test_a_request_ends_at_its_callers_deadline_or_after_the_default() -> None:
    line = Line(keepalive=SILENT, request_timeout=120.0).open(0.0)
    line.request("a", 5.0)
    line.leave(5.0)
    assert line.next == 125.0
    line.request("b", 5.0, timeout_at=6.0)
    assert line.next == 6.0
    assert [name for name, _ in _failed(line.at(6.0))] == ["b"]
    assert line.next == 125.0
    assert [name for name, _ in _failed(line.at(125.0))] == ["a"]


def test_without_a_default_only_callers_deadlines_count() -> None:
    line = Line(keepalive=SILENT, request_timeout=None).open(0.0)
    line.request("a", 5.0)
    line.leave(5.0)
    assert line.next is None


def _failed(events: list[Any]) -> list[tuple[str, Exception]]:
    return [(event.input.value, event.error) for event in events if isinstance(event, Failed)]
