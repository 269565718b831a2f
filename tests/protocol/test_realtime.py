"""The verbs of one connection on a socket that lives: what leaves, whose answers are whose, what time demands."""

from __future__ import annotations

import pytest

from falrt.exceptions import (
    ConcurrencyError,
    ConnectionClosedError,
    ConnectionClosedOK,
    DecodeError,
    QueueFullError,
    RequestTimeout,
)
from falrt.protocol.events import Answered, Failed, Noticed, Problem, Pushed, State
from falrt.protocol.inputs import Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pacing.policies import Debounce, Immediate, Latest, Pacing, Throttle
from falrt.protocol.pairing.facts import WINDOW_FIRST
from falrt.protocol.pairing.unanswered import UNANSWERED_SENDS_MAX
from falrt.protocol.reconnect.liveness import Keepalive
from falrt.protocol.wire.messages import Notice, Timings
from tests.protocol.line import Line, Overlapping

# --- opening


def test_an_eager_connection_wants_its_socket_at_once() -> None:
    line = Line(start=5.0)
    assert line.protocol.state is State.WAITING
    assert line.next == 5.0
    assert line.protocol.connecting(5.0)
    assert not line.protocol.connecting(5.0), "it is being opened"


def test_a_lazy_connection_wants_its_socket_at_the_first_input() -> None:
    line = Line(lazy=True)
    assert line.protocol.state is State.IDLE
    assert not line.protocol.connecting(9.0)
    assert line.next is None
    line.send("a", 9.0)
    assert line.open(9.0).leave(9.0) == ["a"]


def test_nothing_leaves_before_the_socket_is_open() -> None:
    line = Line()
    line.send("a", 0.0)
    assert line.leave(0.0) == []
    line.protocol.connecting(0.1)
    assert line.protocol.state is State.CONNECTING
    assert line.leave(0.2) == []
    line.protocol.opened(0.3)
    assert line.leave(0.3) == ["a"]


# --- sends


def test_sends_leave_at_once_in_order_and_their_results_come_in_order() -> None:
    line = Line().open(0.0)
    line.send("a", 1.0)
    line.send("b", 1.0)
    assert line.leave(1.0) == ["a", "b"]
    assert line.result(1.5) == [("a", False)]
    assert line.result(1.6) == [("b", False)]
    assert not line.protocol.pending()


def test_a_send_that_is_alone_is_paired_for_certain() -> None:
    line = Line().open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    assert line.result(1.25) == [("a", True)]
    stats = line.protocol.stats(2.0)
    assert (stats.sent, stats.received, stats.in_flight) == (1, 1, 0)
    assert (stats.bytes_sent, stats.latency.last, stats.open_seconds) == (1, 0.25, 2.0)


def test_an_answer_frees_the_frame_it_answers() -> None:
    line = Line().open(0.0)
    input = line.send("a", 1.0)
    line.leave(1.0)
    line.result(1.25)
    assert (input.frame, input.value) == (b"", "a")


def test_a_throttle_holds_the_newest_back_and_counts_the_rest() -> None:
    line = Line(pacing=Throttle(0.5)).open(0.0)
    line.send("a", 1.0)
    assert line.leave(1.0) == ["a"]
    line.send("b", 1.1)
    line.send("c", 1.2)
    assert line.leave(1.3) == []
    assert line.protocol.next_deadline(1.3) == 1.5
    assert line.leave(1.5) == ["c"]
    assert line.protocol.stats(1.5).dropped == 1


def test_flush_lets_what_waits_leave_without_the_clock() -> None:
    line = Line(pacing=Debounce(10.0)).open(0.0)
    line.send("a", 1.0)
    assert line.leave(1.0) == []
    assert [input.value for input in line.protocol.flush(1.0)] == ["a"]
    assert line.leave(1.0) == ["a"]
    assert line.protocol.flush(1.0) == []


def test_what_waits_for_an_answer_is_no_deadline() -> None:
    line = Line(pacing=Latest(1), request_timeout=None, keepalive=Keepalive(None, None)).open(0.0)
    for name in "ab":
        line.send(name, 1.0)
        line.leave(1.0)
    assert line.protocol.main.waiting
    assert line.next is None


def test_what_a_full_socket_holds_up_is_no_deadline() -> None:
    line = Line(keepalive=Keepalive(None, None)).open(0.0)
    line.send("a", 1.0)
    assert line.protocol.next_deadline(1.0) == 1.0
    assert line.protocol.next_deadline(1.0, writable=False) is None


def test_a_full_queue_refuses_and_leaves_the_pacing_alone() -> None:
    line = Line()
    for number in range(256):
        line.send(str(number), 0.0)
    with pytest.raises(QueueFullError):
        line.send("more", 0.0)


def test_a_result_that_nobody_asked_for_is_handed_on() -> None:
    line = Line().open(0.0)
    line.protocol.received({"hello": 1}, 0.5)
    assert line.events() == [Pushed({"hello": 1})]


@pytest.mark.parametrize("echoes", [True, False])
def test_results_of_sends_that_were_forgotten_still_come(echoes: bool) -> None:
    line = Line().open(0.0)
    for number in range(UNANSWERED_SENDS_MAX + 3):
        line.send(str(number), 1.0, request_id=str(number) if echoes else None)
        line.leave(1.0)
        if not number:
            line.result(1.5, "0" if echoes else None)
    for number in range(3, UNANSWERED_SENDS_MAX + 3):
        line.result(2.0, str(number) if echoes else None)
    for request_id in "12":
        message = {"request_id": request_id} if echoes else {"late": 1}
        line.protocol.received(message, 2.0)
        assert line.events() == [Pushed(message)]


def test_cancelling_a_send_takes_it_back_only_while_it_waits() -> None:
    line = Line(pacing=Throttle(1.0)).open(0.0)
    left = line.send("a", 1.0)
    line.leave(1.0)
    waiting = line.send("b", 1.1)
    for input in (left, waiting):
        line.protocol.abandon(input)
    assert (left.outcome, waiting.outcome) == (None, Outcome.ABANDONED)
    assert line.leave(3.0) == []
    assert line.result(3.0) == [("a", True)]


# --- requests


def test_requests_take_turns_and_get_their_own_answers() -> None:
    line = Line().open(0.0)
    line.request("a", 1.0)
    line.request("b", 1.0)
    assert line.leave(1.0) == ["a"]
    assert line.result(1.5) == [("a", True)]
    assert line.leave(1.5) == ["b"]
    assert line.result(2.0) == [("b", True)]


def test_a_request_waits_for_the_answers_of_sends_and_sends_for_its_own() -> None:
    line = Line().open(0.0)
    line.send("a", 1.0)
    line.request("b", 1.0)
    line.send("c", 1.0)
    assert line.leave(1.0) == ["a"]
    line.result(1.5)
    assert line.leave(1.5) == ["b"]
    assert line.result(2.0) == [("b", True)]
    assert line.leave(2.0) == ["c"]


def test_vouched_requests_go_out_together() -> None:
    line = Line(pacing=Latest(2)).open(0.0)
    for name in "abc":
        line.request(name, 1.0)
    assert line.leave(1.0) == ["a", "b"]
    assert line.result(1.5) == [("a", True)]
    assert line.leave(1.5) == ["c"]


def test_echoed_ids_let_requests_out_together_and_tell_which_was_dropped() -> None:
    line = Line().open(0.0)
    line.request("a", 1.0, request_id="a")
    line.leave(1.0)
    line.result(1.5, "a")
    for name in "bcd":
        line.request(name, 2.0, request_id=name)
    assert line.leave(2.0) == ["b", "c"]
    assert line.result(2.5, "c") == [("c", True)]
    assert line.protocol.pending()
    assert line.leave(2.5) == ["b"], "it was dropped: again, ahead of newer ones"
    assert line.result(2.6, "b") == [("b", True)]
    assert line.leave(2.6) == ["d"]


def test_an_app_that_stops_echoing_costs_the_socket_and_no_request() -> None:
    line = Line().open(0.0)
    line.request("a", 1.0, request_id="a")
    line.leave(1.0)
    line.result(1.5, "a")
    for name in "bc":
        line.request(name, 2.0, request_id=name)
    line.leave(2.0)
    assert line.result(2.5) == []
    assert line.given_up() == Loss(Cause.RECYCLED, 1000, reason="an answer could be that of several inputs")
    line.lose(2.5)
    assert line.open(2.5).leave(2.5) == ["b"]
    assert line.result(2.6, "something else") == [("b", True)]
    assert line.leave(2.6) == ["c"]


def test_what_is_alone_behind_a_named_answer_is_certain_without_its_name() -> None:
    line = Line().open(0.0)
    for name in "ab":
        line.send(name, 1.0, request_id=name)
    line.leave(1.0)
    line.result(1.5, "a")
    line.request("r", 1.6, request_id="r")
    assert line.leave(1.6) == ["r"]
    assert line.result(1.7, "b") == [("b", True)]
    assert line.result(1.8) == [("r", True)]


def test_an_unnamed_answer_is_the_oldest_ones_where_the_caller_vouched() -> None:
    line = Line(pacing=Latest(2)).open(0.0)
    line.request("w", 0.5, request_id="w")
    line.leave(0.5)
    line.result(0.6, "w")
    line.request("a", 1.0, request_id="a")
    line.request("b", 1.0)
    assert line.leave(1.0) == ["a", "b"]
    assert line.result(1.5) == [("a", True)]
    assert line.result(1.6) == [("b", True)]


def test_an_unnamed_answer_in_doubt_is_that_of_a_send_without_an_id() -> None:
    line = Line().open(0.0)
    line.send("w", 0.5, request_id="w")
    line.leave(0.5)
    line.result(0.6, "w")
    line.send("a", 1.0, request_id="a")
    line.send("b", 1.0)
    line.leave(1.0)
    assert line.result(1.5) == [("b", False)]


def test_an_unnamed_answer_in_doubt_is_nobodys() -> None:
    line = Line(pacing=Latest(1)).open(0.0)
    lane = line.protocol.add_lane(Overlapping(), keeps_all=False)
    line.frame(lane, "w", 0.5, request_id="w")
    line.leave(0.5)
    line.result(0.6, "w")
    for name in "abc":
        line.frame(lane, name, 1.0, request_id="same")
        line.leave(1.0)
    for certain in (False, False):
        assert line.result(1.5, "same")[0][1] is certain
    assert line.result(1.6) == []
    assert line.given_up().cause is Cause.RECYCLED


def test_an_unknown_id_of_an_app_that_echoes_is_ignored() -> None:
    line = Line().open(0.0)
    line.request("a", 1.0, request_id="a")
    line.leave(1.0)
    line.result(1.5, "a")
    line.protocol.received({"request_id": "z"}, 1.6)
    assert line.events() == []


@pytest.mark.parametrize("left", [True, False])
def test_a_request_runs_out_of_time_sent_or_not(left: bool) -> None:
    line = Line()
    line.request("a", 1.0, timeout_at=3.0)
    assert line.next == 0.0
    if left:
        line.open(0.5).leave(1.0)
    else:
        line.protocol.connecting(0.5)
    assert line.next == 3.0
    assert line.at(2.9) == []
    (failed,) = line.at(3.0)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, RequestTimeout)
    assert ("was not answered" in str(failed.error)) is left
    assert "within 2 s" in str(failed.error)
    assert line.at(4.0) == []
    assert not line.protocol.pending()


def test_a_request_without_a_deadline_has_the_connections() -> None:
    line = Line(request_timeout=10.0, keepalive=Keepalive(None, None)).open(0.0)
    line.request("a", 1.0)
    line.leave(1.0)
    assert line.next == 11.0
    assert line.at(11.0) != []


def test_a_request_may_wait_for_ever_where_nobody_says_otherwise() -> None:
    line = Line(request_timeout=None, keepalive=Keepalive(None, None)).open(0.0)
    line.request("a", 1.0)
    line.leave(1.0)
    assert line.next is None


def test_the_late_answer_of_a_request_is_not_given_to_the_next() -> None:
    line = Line().open(0.0)
    line.request("a", 1.0, timeout_at=2.0)
    line.leave(1.0)
    line.at(2.0)
    line.request("b", 2.0)
    assert line.leave(2.0) == []
    assert line.result(2.5) == []
    assert line.leave(2.5) == ["b"]
    assert line.result(3.0) == [("b", True)]


def test_a_cancelled_request_that_waits_is_taken_back() -> None:
    line = Line()
    request = line.request("a", 0.0)
    line.protocol.abandon(request)
    assert request.outcome is Outcome.ABANDONED
    line.protocol.abandon(request)
    assert line.open(0.0).leave(0.0) == []
    assert line.failures() == []


# --- streams


def test_a_stream_is_asked_for_a_frame_when_one_can_leave() -> None:
    line = Line().open(0.0)
    lane = line.protocol.add_lane(Latest(1), keeps_all=False)
    assert line.protocol.want_slot(lane, None, 1.0) == 1.0
    line.frame(lane, "a", 1.0, taken_at=0.9)
    assert line.protocol.want_slot(lane, None, 1.0) is None
    assert line.leave(1.0) == ["a"]
    assert line.protocol.want_slot(lane, None, 1.1) is None
    assert line.result(1.5) == [("a", True)]
    assert line.protocol.want_slot(lane, None, 1.5) == 1.5


def test_a_stream_yields_to_a_request_that_could_leave() -> None:
    line = Line().open(0.0)
    lane = line.protocol.add_lane(Latest(1), keeps_all=False)
    line.frame(lane, "a", 1.0)
    line.leave(1.0)
    line.request("b", 1.1)
    line.result(1.5)
    assert line.protocol.want_slot(lane, None, 1.5) is None
    assert line.leave(1.5) == ["b"]


def test_a_stream_does_not_wait_for_a_send_whose_time_has_not_come() -> None:
    line = Line(pacing=Throttle(10.0)).open(0.0)
    lane = line.protocol.add_lane(Latest(1), keeps_all=False)
    line.send("a", 1.0)
    line.leave(1.0)
    line.result(1.5)
    line.send("b", 1.5)
    assert line.protocol.want_slot(lane, None, 1.6) == 1.6


def test_the_next_deadline_is_that_of_whichever_lane_waits() -> None:
    line = Line(pacing=Throttle(0.5)).open(0.0)
    lane = line.protocol.add_lane(Latest(1), keeps_all=False)
    line.send("a", 1.0)
    line.leave(1.0)
    line.result(1.1)
    line.send("b", 1.2)
    assert line.protocol.next_deadline(1.2) == 1.5
    line.frame(lane, "c", 1.2)
    assert line.protocol.next_deadline(1.2) == 1.2


@pytest.mark.parametrize("pacing", [Immediate(), Throttle(0.0), Latest()], ids=str)
def test_a_stream_whose_pacing_does_not_time_its_frames_has_one_unanswered(pacing: Pacing) -> None:
    line = Line().open(0.0)
    lane = line.protocol.add_lane(pacing, keeps_all=False)
    line.frame(lane, "a", 1.0)
    assert line.leave(1.0) == ["a"]
    assert line.protocol.want_slot(lane, None, 5.0) is None
    assert line.result(5.0) == [("a", True)]
    assert line.protocol.want_slot(lane, None, 5.0) == 5.0


def test_frames_beyond_what_is_surely_kept_are_not_certain() -> None:
    line = Line().open(0.0)
    lane = line.protocol.add_lane(Overlapping(), keeps_all=False)
    for name in "ab":
        line.frame(lane, name, 1.0)
        line.leave(1.0)
    assert line.result(1.5) == [("a", False)]
    assert line.result(1.6) == [("b", False)]
    line.frame(lane, "c", 2.0)
    line.leave(2.0)
    assert line.result(2.5) == [("c", True)]


def test_there_is_one_stream_at_a_time_and_none_after_the_end() -> None:
    line = Line().open(0.0)
    lane = line.protocol.add_lane(Latest(1), keeps_all=False)
    with pytest.raises(ConcurrencyError, match="a stream is already running"):
        line.protocol.add_lane(Latest(1), keeps_all=False)
    line.protocol.remove_lane(lane)
    line.protocol.add_lane(Latest(1), keeps_all=False)
    line.protocol.close(1.0)
    with pytest.raises(ConnectionClosedOK):
        line.protocol.add_lane(Latest(1), keeps_all=False)


def test_what_a_stream_leaves_behind_is_given_up() -> None:
    line = Line()
    lane = line.protocol.add_lane(Latest(1), keeps_all=False)
    first = line.frame(lane, "a", 0.0)
    second = line.frame(lane, "b", 0.0)
    line.open(0.0).leave(0.0)
    third = line.frame(lane, "c", 0.0)
    line.protocol.remove_lane(lane)
    assert first.outcome is Outcome.SUPERSEDED
    assert (second.outcome, third.outcome) == (Outcome.ABANDONED, Outcome.ABANDONED)
    assert line.protocol.stats(0.0).dropped == 1
    assert line.result(1.0) == []


def test_a_stream_that_wants_a_frame_ends_the_rest() -> None:
    line = Line(lazy=True)
    lane = line.protocol.add_lane(Latest(1), keeps_all=False)
    assert not line.protocol.connecting(1.0)
    assert line.protocol.want_slot(lane, None, 1.0) is None
    assert line.protocol.connecting(1.0)


# --- what the server says


def test_timings_tell_the_inference_time_of_the_answer_before_them() -> None:
    line = Line().open(0.0)
    line.protocol.received(Timings(0.0), 0.1)
    assert line.protocol.stats(0.1).inference_time is None
    input = line.send("a", 1.0)
    line.leave(1.0)
    line.result(1.5)
    line.protocol.received(Timings(0.3), 1.5)
    line.protocol.received(Timings(9.0), 1.6)
    assert (input.inference_time, line.protocol.stats(2.0).inference_time) == (0.3, 0.3)


def test_a_result_may_carry_its_inference_time() -> None:
    line = Line().open(0.0)
    input = line.send("a", 1.0)
    line.leave(1.0)
    line.result(1.5, timings={"inference": 0.25})
    assert input.inference_time == 0.25


@pytest.mark.parametrize("odd", [10**400, float("nan"), -1, True, "1", None])
def test_an_inference_time_that_makes_no_sense_is_none(odd: object) -> None:
    line = Line().open(0.0)
    input = line.send("a", 1.0)
    line.leave(1.0)
    assert line.result(1.5, timings={"inference": odd}) == [("a", True)]
    assert input.inference_time is None


def test_a_result_need_not_be_a_map() -> None:
    line = Line().open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.protocol.received(["a", "list"], 1.5)
    (event,) = line.events()
    assert isinstance(event, Answered)


def test_unknown_notices_are_shown() -> None:
    line = Line().open(0.0)
    notice = {"type": "x-fal-message", "action": "news"}
    line.protocol.received(notice, 1.0)
    assert line.events() == [Noticed(Notice("news", notice))]


def test_garbage_among_sends_is_told_and_the_connection_goes_on() -> None:
    line = Line().open(0.0)
    first = line.send("a", 1.0)
    line.send("b", 1.0)
    line.leave(1.0)
    garbage = DecodeError("garbage")
    line.protocol.received(garbage, 1.5, 7)
    assert line.events() == [Problem(garbage)]
    assert first.outcome is Outcome.FAILED
    assert line.protocol.socket.leaving is None
    assert line.result(1.6) == [("b", False)]
    line.protocol.received(garbage, 1.7)
    assert line.events() == [Problem(garbage)]
    assert line.protocol.stats(2.0).bytes_received == 7


def test_garbage_that_may_be_a_requests_answer_costs_the_socket() -> None:
    line = Line().open(0.0)
    line.request("a", 1.0)
    line.leave(1.0)
    garbage = DecodeError("garbage")
    line.protocol.received(garbage, 1.5)
    assert line.given_up().cause is Cause.BAD_FRAME
    line.protocol.received(garbage, 1.5)
    line.protocol.received({"seed": 1}, 1.5)
    assert line.leave(1.5) == []
    assert line.events() == []
    line.lose(1.5)
    assert line.failures() == [("a", garbage)]


# --- liveness


def test_a_silent_peer_is_pinged_and_then_given_up() -> None:
    line = Line(keepalive=Keepalive(20.0, 10.0)).open(0.0)
    assert line.next == 20.0
    assert line.protocol.tick(20.0)
    assert not line.protocol.tick(20.0), "one ping in a silence"
    assert line.next == 30.0
    line.at(30.0)
    assert line.given_up().cause is Cause.SILENCE
    assert "the server stopped answering" in line.given_up().reason


def test_a_sign_of_life_puts_the_ping_off() -> None:
    line = Line(keepalive=Keepalive(20.0, 10.0)).open(0.0)
    assert not line.protocol.tick(20.0, heard_at=15.0)
    assert line.next == 35.0


# --- cost


def test_an_idle_socket_is_closed_and_the_next_input_opens_another() -> None:
    line = Line(idle_close=5.0).open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    assert line.at(9.0) == []
    assert line.protocol.socket.leaving is None, "an answer is still awaited"
    line.result(9.0)
    assert line.next == 14.0
    line.at(14.0)
    line.lose(14.0, code=1000)
    assert line.protocol.state is State.IDLE
    assert line.protocol.stats(20.0).open_seconds == 14.0
    line.send("b", 20.0)
    assert line.open(20.0).leave(20.0) == ["b"]
    assert line.protocol.stats(20.0).reconnects == 1


def test_a_request_that_was_given_up_does_not_keep_an_idle_socket_open() -> None:
    line = Line(idle_close=5.0).open(0.0)
    line.request("a", 1.0, timeout_at=2.0)
    line.leave(1.0)
    line.at(2.0)
    line.at(6.0)
    assert line.given_up().reason == "idle_close"


# --- figures


def test_figures_cover_the_last_answers_only() -> None:
    line = Line().open(0.0)
    for number in range(600):
        line.send("a", float(number))
        line.leave(float(number))
        line.result(number + (0.9 if number < 300 else 0.25))
    latency = line.protocol.stats(600.0).latency
    assert (latency.p50, latency.p95, latency.last) == (0.25, 0.25, 0.25)


# --- when to look again


def test_the_deadline_of_a_request_stays_when_it_has_left() -> None:
    line = Line().open(0.0)
    assert line.next == 20.0, "the ping"
    line.request("a", 1.0, timeout_at=10.0)
    assert line.protocol.next_deadline(1.0) == 1.0, "it may leave"
    line.leave(1.0)
    assert line.next == 10.0


def test_a_send_is_looked_after_when_it_may_hang() -> None:
    line = Line(request_timeout=30.0, keepalive=Keepalive(None, None)).open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    assert line.next == 31.0


def test_a_peer_is_to_be_pinged_as_soon_as_its_socket_has_opened() -> None:
    line = Line(lazy=True, request_timeout=60.0, keepalive=Keepalive(1.0, 1.0))
    line.request("a", 0.0)
    assert line.next == 0.0
    line.protocol.connecting(0.0)
    assert line.next == 60.0
    line.protocol.opened(1.0)
    line.leave(1.0)
    assert line.next == 2.0


# --- the end


def test_close_hands_back_what_never_left_and_tells_everybody() -> None:
    line = Line(pacing=Immediate()).open(0.0)
    sent = line.send("a", 1.0)
    line.leave(1.0)
    waiting, unsent = line.request("b", 1.0), line.send("c", 1.0)
    line.protocol.close(2.0)
    assert line.protocol.state is State.CLOSED
    error = line.protocol.ending
    assert isinstance(error, ConnectionClosedOK)
    assert error.unsent == ("b", "c")
    assert not line.protocol.main.waiting
    assert line.failures() == [("b", error)]
    assert (sent.outcome, waiting.outcome, unsent.outcome) == (
        Outcome.FAILED,
        Outcome.UNSENT,
        Outcome.UNSENT,
    )
    assert line.protocol.stats(5.0).open_seconds == 2.0


def test_a_request_that_was_given_up_hears_nothing_at_the_end() -> None:
    line = Line().open(0.0)
    request = line.request("a", 1.0)
    line.leave(1.0)
    line.protocol.abandon(request)
    line.protocol.close(2.0)
    assert request.outcome is Outcome.ABANDONED
    assert line.events() == []


def test_the_end_is_final() -> None:
    line = Line().open(0.0)
    line.protocol.close(1.0)
    error = line.protocol.ending
    line.protocol.close(2.0)
    line.protocol.connecting(2.0)
    line.protocol.opened(2.0)
    line.lose(2.0)
    line.protocol.received({"seed": 1}, 2.0)
    assert line.at(900.0) == []
    assert line.protocol.state is State.CLOSED
    assert line.protocol.ending is error
    assert line.next is None
    assert line.leave(3.0) == []
    assert not line.protocol.connecting(3.0)


def test_an_input_after_the_end_comes_back_in_the_error() -> None:
    line = Line()
    line.protocol.close(1.0)
    with pytest.raises(ConnectionClosedOK) as raised:
        line.send("a", 2.0)
    assert raised.value.unsent == ("a",)
    assert line.failures() == []


def test_an_input_after_a_final_error_comes_back_in_a_closed_error() -> None:
    line = Line()
    error = ValueError("no such certificate")
    line.lose(0.5, Cause.SETUP, error=error)
    assert isinstance(line.protocol.ending, ConnectionClosedError)
    with pytest.raises(ConnectionClosedError) as raised:
        line.send("a", 2.0)
    assert raised.value.unsent == ("a",)


# --- what waits


def test_what_waits_for_its_pacing_and_what_is_unanswered_are_both_pending() -> None:
    line = Line(pacing=Debounce(5.0)).open(0.0)
    lane = line.protocol.add_lane(Latest(1), keeps_all=False)
    line.send("a", 1.0)
    assert (line.protocol.pending(), line.protocol.pending(lane)) == (1, 0)
    line.frame(lane, "b", 1.0)
    assert line.protocol.pending(lane)
    assert line.leave(1.0) == ["b"]
    assert (line.protocol.pending(), line.protocol.pending(lane)) == (2, 1)
    line.result(1.5)
    assert (line.protocol.pending(), line.protocol.pending(lane)) == (1, 0)


def test_a_request_does_not_wait_for_a_pause_in_the_sends() -> None:
    line = Line(pacing=Debounce(1.0)).open(0.0)
    line.send("a", 0.0)
    line.request("r", 0.1)
    line.send("b", 0.5)
    assert line.leave(0.5) == ["r"]
    assert line.result(0.6) == [("r", True)]
    assert line.leave(0.6) == [], "the send still waits for its pause"
    assert line.leave(1.5) == ["b"]


def test_a_stream_that_ends_leaves_the_inputs_of_others_alone() -> None:
    line = Line(pacing=Latest(2)).open(0.0)
    lane = line.protocol.add_lane(Latest(2), keeps_all=False)
    send = line.send("s", 1.0)
    line.leave(1.0)
    frame = line.frame(lane, "f", 1.0)
    assert line.leave(1.0) == ["f"]
    line.protocol.remove_lane(lane)
    assert (send.outcome, frame.outcome) == (None, Outcome.ABANDONED)


def test_a_stream_without_a_limit_has_no_more_unanswered_than_the_server_was_seen_to_keep() -> None:
    line = Line().open(0.0)
    lane = line.protocol.add_lane(Immediate(), keeps_all=False)
    line.frame(lane, "w", 0.0, request_id="w")
    line.leave(0.0)
    line.result(0.1, "w")
    left = 0
    while line.protocol.want_slot(lane, "x", 1.0) == 1.0 and left < 100:
        line.frame(lane, "f", 1.0, request_id=str(left))
        line.leave(1.0)
        left += 1
    assert left == WINDOW_FIRST
