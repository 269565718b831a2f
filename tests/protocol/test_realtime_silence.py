"""What silence means on a socket that lives: drops that are found out, apps that hang, answers that come late."""

from __future__ import annotations

from typing import Any

from falrt.exceptions import DecodeError
from falrt.protocol.events import Pushed, State
from falrt.protocol.inputs import Input, Lane, Outcome
from falrt.protocol.loss import Cause
from falrt.protocol.pacing.policies import Immediate, Latest, Pacer
from falrt.protocol.reconnect.liveness import Keepalive
from tests.protocol.line import TIMEOUT, Line

SILENT = Keepalive(None, None)


class Guessing:
    """A policy that takes a frame for dropped half a second after it left."""

    def start(self) -> Pacer:
        return _GuessingPacer()


class _GuessingPacer(type(Immediate().start())):  # type: ignore[misc]  # the least code for a pacer that guesses
    keeps_newest = overlaps = True
    in_flight_limit = 8

    def __init__(self) -> None:
        self.left: list[float] = []
        self.guesses = 0

    def sent(self, now: float, unanswered: int, size_bytes: int = 0) -> None:
        self.left.append(now)

    def overdue_at(self) -> float | None:
        return self.left[0] + 0.5 if self.left else None

    def answered(self, now: float, sent_at: float) -> None:
        self.left.pop(0)

    def dropped(self, now: float) -> None:
        self.guesses += 1

    def lost(self, now: float) -> None:
        self.left.clear()


def streaming(*, keeps_all: bool = False) -> tuple[Line, Lane]:
    line = Line(keepalive=SILENT).open(0.0)
    return line, line.protocol.add_lane(Guessing(), keeps_all=keeps_all)


def frames(line: Line, lane: Lane, names: str, now: float, request_id: str | None = None) -> list[Input]:
    """Let frames leave, one after the other."""
    left = []
    for name in names:
        left.append(line.frame(lane, name, now, request_id=request_id))
        assert line.leave(now) == [name]
    return left


def warm(line: Line) -> Line:
    """An answer has come within 0.1 s: the patience is one second, the least."""
    line.send("w", 0.0)
    line.leave(0.0)
    line.result(0.1)
    return line


# --- sends that the server dropped


def test_sends_that_the_server_dropped_are_settled_after_a_silence() -> None:
    line = warm(Line(keepalive=SILENT).open(0.0))
    inputs = [line.send(name, 1.0) for name in "abc"]
    line.leave(1.0)
    line.result(1.1)
    assert line.protocol.pending()
    assert line.next == 2.1
    line.at(2.1)
    assert not line.protocol.pending()
    assert line.protocol.socket.leaving is None
    assert [input.outcome for input in inputs] == [Outcome.ANSWERED, Outcome.SUPERSEDED, None]


def test_garbage_may_have_been_the_newest_ones_answer() -> None:
    line = warm(Line(request_timeout=None, keepalive=SILENT).open(0.0))
    for name in "abc":
        line.send(name, 1.0)
    line.leave(1.0)
    for _ in range(2):
        line.protocol.received(DecodeError("garbage"), 1.1)
    assert line.next == 2.1
    line.at(2.1)
    assert not line.protocol.pending()


def test_what_was_settled_wrongly_is_received_all_the_same() -> None:
    line = warm(Line(keepalive=SILENT).open(0.0))
    for name in "ab":
        line.send(name, 1.0)
    line.leave(1.0)
    line.result(1.1)
    line.at(2.1)
    line.protocol.received({"seed": 1}, 9.0)
    assert line.events() == [Pushed({"seed": 1})]


def test_a_request_behind_sends_that_were_settled_gets_a_new_socket_at_once() -> None:
    line, newest = settled()
    line.request("c", 10.0)
    assert line.leave(10.0) == []
    assert line.next == 1.1
    line.at(10.0)
    line.lose(10.0, code=line.given_up().code)
    assert line.open(10.0).leave(10.0) == ["b"], "the newest send may have been dropped"
    assert line.result(10.1) == [("b", True)]
    assert line.leave(10.1) == ["c"]
    assert newest.outcome is Outcome.ANSWERED


def test_a_newest_send_without_any_answer_behind_it_is_waited_for() -> None:
    line = warm(Line(keepalive=SILENT).open(0.0))
    for name in "ab":
        line.send(name, 1.0)
    line.leave(1.0)
    assert line.next == 121.0


def settled(**options: Any) -> tuple[Line, Input]:
    """Two sends, one answer, and then nothing for a while: the newest was answered, or is it slow?"""
    line = warm(Line(keepalive=SILENT, **options).open(0.0))
    line.send("a", 1.0)
    newest = line.send("b", 1.0)
    line.leave(1.0)
    line.result(1.1)
    line.at(2.1)
    assert not line.protocol.pending()
    return line, newest


def test_a_settled_send_that_is_the_newest_leaves_again_after_a_loss() -> None:
    line, newest = settled()
    line.lose(3.0)
    assert newest.outcome is None
    assert line.open(3.1).leave(3.1) == ["b"]


def test_a_settled_send_is_gone_after_an_idle_end() -> None:
    line, newest = settled()
    line.say(TIMEOUT, 31.0)
    assert newest.outcome is Outcome.SUPERSEDED
    assert line.protocol.stats(31.0).dropped == 1
    assert line.protocol.state is State.IDLE


def test_a_settled_send_is_gone_after_we_closed_an_idle_socket() -> None:
    line, newest = settled(idle_close=5.0)
    line.at(6.1)
    line.lose(6.1)
    assert newest.outcome is Outcome.SUPERSEDED
    assert line.protocol.state is State.IDLE


def test_a_settled_send_is_gone_once_a_newer_one_has_left() -> None:
    line, newest = settled()
    line.send("c", 2.5)
    line.leave(2.5)
    line.lose(3.0)
    assert newest.outcome is Outcome.SUPERSEDED
    assert line.open(3.1).leave(3.1) == ["c"]


def test_an_idle_socket_is_closed_although_sends_were_dropped() -> None:
    line = warm(Line(idle_close=5.0, keepalive=SILENT).open(0.0))
    for name in "ab":
        line.send(name, 1.0)
    line.leave(1.0)
    line.result(1.1)
    line.at(2.1)
    line.at(6.1)
    assert line.given_up().reason == "idle_close"


# --- requests behind answers that never come


def test_a_request_behind_dropped_sends_gets_a_new_socket() -> None:
    line = warm(Line(keepalive=SILENT).open(0.0))
    for name in "abc":
        line.send(name, 1.0)
    line.leave(1.0)
    line.request("r", 1.0)
    assert line.leave(1.0) == []
    assert line.next == 2.0
    line.at(2.0)
    assert line.given_up().cause is Cause.RECYCLED
    line.lose(2.0)
    assert line.open(2.0).leave(2.0) == ["c"]
    line.result(2.1)
    assert line.leave(2.1) == ["r"]
    assert line.result(2.2) == [("r", True)]


def test_before_the_first_answer_a_request_grants_two_seconds() -> None:
    line = Line(keepalive=SILENT).open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.request("r", 1.0)
    assert line.next == 3.0


def test_a_request_after_settled_sends_gets_a_new_socket_at_once() -> None:
    line = warm(Line(keepalive=SILENT).open(0.0))
    for name in "ab":
        line.send(name, 1.0)
    line.leave(1.0)
    line.result(1.1)
    line.at(2.1)
    line.request("r", 7.0)
    assert line.leave(7.0) == []
    line.at(7.0)
    line.lose(7.0)
    assert line.open(7.0).leave(7.0) == ["b"], "for it may only have been slow"
    line.result(7.1)
    assert line.leave(7.1) == ["r"]


def test_a_socket_recycled_in_vain_grants_the_next_twice_the_time() -> None:
    line = warm(Line(keepalive=SILENT, request_timeout=None).open(0.0))
    now, waits = 1.0, []
    line.request("given up", now, timeout_at=now)
    line.leave(now)
    line.at(now)
    for _ in range(3):
        line.request("r", now, timeout_at=now + 0.5)
        at = line.next
        assert at == now + 0.5
        line.at(at)
        line.request("next", at)
        assert line.next is not None
        waits.append(line.next - now)
        now = line.next
        line.at(now)
        line.lose(now)
        line.open(now)
        line.leave(now)
        line.at(now)
        line.protocol.abandon(line.protocol.socket.unanswered.inputs[0])
    assert waits == [1.0, 2.0, 4.0]


def test_a_request_that_went_into_anothers_output_is_asked_again() -> None:
    line = Line(request_timeout=None, keepalive=SILENT).open(0.0)
    line.request("w", 0.0, request_id="w")
    line.leave(0.0)
    line.result(0.1, "w")
    for name in "ab":
        line.request(name, 1.0, request_id=name)
    assert line.leave(1.0) == ["a", "b"]
    assert line.result(1.1, "a") == [("a", True)]
    assert line.next == 2.1
    line.at(2.1)
    line.lose(2.1)
    assert line.open(2.1).leave(2.1) == ["b"]
    assert line.next is None, "alone it is surely kept"


def test_nobody_asks_again_for_one_that_was_given_up() -> None:
    line = Line(pacing=Latest(2), request_timeout=None, keepalive=SILENT).open(0.0)
    for name in "ab":
        request = line.request(name, 1.0)
    line.leave(1.0)
    line.result(1.1)
    line.protocol.abandon(request)
    assert line.next is None


def test_a_request_whose_socket_is_bare_waits_for_its_own_time_out() -> None:
    line = Line(backoff=None, keepalive=SILENT).open(0.0)
    line.request("a", 1.0, timeout_at=2.0)
    line.leave(1.0)
    line.at(2.0)
    line.request("b", 2.0, timeout_at=90.0)
    assert line.next == 90.0


# --- streams


def test_what_is_overdue_behind_the_last_answer_gets_a_new_socket_on_which_all_is_certain() -> None:
    line, lane = streaming()
    _, second, third = frames(line, lane, "abc", 1.0)
    assert line.result(1.2) == [("a", False)]
    assert line.next == 1.5
    line.at(1.5)
    assert line.given_up().cause is Cause.RECYCLED
    assert lane.pacer.guesses == 1  # type: ignore[attr-defined]
    line.lose(1.5)
    assert line.open(1.6).leave(1.6) == ["c"]
    assert (second.outcome, third.outcome) == (Outcome.SUPERSEDED, None)
    assert line.result(1.7) == [("c", True)]


def test_while_nothing_has_come_since_the_newest_left_nothing_is_written_off() -> None:
    line, lane = streaming()
    frames(line, lane, "abc", 1.0)
    line.at(9.0)
    assert [line.result(9.0 + n) for n in (0.1, 0.2, 0.3)] == [
        [("a", False)],
        [("b", False)],
        [("c", False)],
    ]
    frames(line, lane, "d", 10.0)
    assert line.result(10.1) == [("d", True)], "the count came back to zero: nothing was dropped"


def test_a_frame_whose_answer_will_name_it_is_never_guessed_at() -> None:
    line, lane = streaming()
    line.frame(lane, "x", 0.5, request_id="x")
    line.leave(0.5)
    line.result(0.6, "x")
    for name in "ab":
        line.frame(lane, name, 1.0, request_id=name)
        line.leave(1.0)
    line.at(30.0)
    assert len(line.protocol.socket.unanswered.inputs) == 2


def test_an_app_that_hangs_costs_the_socket_after_the_time_of_a_request() -> None:
    line = Line(request_timeout=30.0, keepalive=SILENT).open(0.0)
    lane = line.protocol.add_lane(Latest(1), keeps_all=False)
    line.frame(lane, "a", 1.0)
    line.leave(1.0)
    assert line.next == 31.0
    line.at(31.0)
    line.lose(31.0)
    assert line.open(31.0).leave(31.0) == ["a"]
    assert line.next == 91.0


def test_a_send_that_an_app_swallowed_is_sent_again_after_the_time_of_a_request() -> None:
    line = Line(pacing=Latest(1), request_timeout=30.0, keepalive=SILENT).open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.send("b", 2.0)
    assert line.leave(2.0) == []
    assert line.next == 31.0
    line.at(31.0)
    line.lose(31.0)
    assert line.open(31.0).leave(31.0) == ["b"]


def test_a_request_behind_a_send_that_waits_for_the_pacing_gets_a_new_socket() -> None:
    line = warm(Line(pacing=Latest(1), keepalive=SILENT).open(0.0))
    line.send("a", 1.0)
    line.leave(1.0)
    line.send("b", 1.0)
    line.request("r", 1.0)
    assert line.next == 2.0


def test_a_send_behind_a_request_that_was_given_up_gets_a_new_socket() -> None:
    line = warm(Line(keepalive=SILENT).open(0.0))
    line.protocol.abandon(line.request("r", 1.0))
    request = line.request("q", 1.0)
    line.leave(1.0)
    line.protocol.abandon(request)
    line.send("a", 1.5)
    assert line.leave(1.5) == []
    assert line.next == 2.0
    line.at(2.0)
    line.lose(2.0)
    assert line.open(2.0).leave(2.0) == ["a"]


def test_an_app_may_hang_for_ever_where_requests_may() -> None:
    line = Line(request_timeout=None, keepalive=SILENT).open(0.0)
    lane = line.protocol.add_lane(Latest(1), keeps_all=False)
    line.frame(lane, "a", 1.0)
    line.leave(1.0)
    assert line.next is None


def test_a_vouched_frame_that_was_dropped_does_not_keep_the_stream_from_ending() -> None:
    line = warm(Line(keepalive=SILENT).open(0.0))
    lane = line.protocol.add_lane(Latest(2), keeps_all=False)
    for name in "ab":
        line.frame(lane, name, 1.0)
        line.leave(1.0)
    line.result(1.1)
    assert line.next == 2.1
    line.at(2.1)
    line.lose(2.1)
    assert line.open(2.1).leave(2.1) == ["b"]


def test_a_stream_that_skips_nothing_gives_up_no_frame_and_sends_it_again() -> None:
    line, lane = streaming(keeps_all=True)
    lane.pacer.vouched = 2  # type: ignore[misc]
    line.frame(lane, "w", 0.5)
    line.leave(0.5)
    line.result(0.6)
    lane.pacer.left.clear()  # type: ignore[attr-defined]
    for name in "ab":
        line.frame(lane, name, 1.0)
    assert line.leave(1.0) == ["a", "b"]
    line.at(1.5)
    assert line.result(1.6) == [("a", True)]
    assert line.next == 4.0
    line.at(4.0)
    line.lose(4.0)
    assert line.open(4.0).leave(4.0) == ["b"]
    assert line.result(4.1) == [("b", True)]


def test_a_stream_held_up_by_dropped_sends_gets_a_new_socket() -> None:
    line = warm(Line(keepalive=SILENT).open(0.0))
    for name in "ab":
        line.send(name, 1.0)
    line.leave(1.0)
    lane = line.protocol.add_lane(Latest(1), keeps_all=False)
    assert line.next == 121.0, "the stream wants nothing yet"
    assert not lane.wants
    assert line.protocol.want_slot(lane, None, 1.5) is None
    assert lane.wants
    assert line.next == 2.0
    line.at(2.0)
    line.lose(2.0)
    line.open(2.0).leave(2.0)
    line.result(2.1)
    assert line.protocol.want_slot(lane, None, 2.1) == 2.1


def test_after_garbage_no_request_is_given_the_answer_that_may_still_come() -> None:
    line = Line(keepalive=SILENT).open(0.0)
    line.send("a", 1.0)
    line.leave(1.0)
    line.protocol.received(DecodeError("hello"), 1.1)
    line.request("r", 1.2)
    assert line.leave(1.2) == []
    line.at(1.2)
    assert line.given_up().cause is Cause.RECYCLED
    line.lose(1.3)
    assert line.open(1.3).leave(1.3) == ["r"]
    assert line.result(1.5) == [("r", True)]


def test_an_app_that_hangs_is_noticed_although_inputs_go_on_leaving() -> None:
    line = Line(request_timeout=30.0, keepalive=SILENT).open(0.0)
    for second in range(1, 31):
        line.send(str(second), float(second))
        line.leave(float(second))
        line.at(float(second))
    assert line.protocol.socket.leaving is None
    line.at(31.0)
    assert line.given_up().cause is Cause.RECYCLED


def test_the_newest_send_and_the_newest_frame_both_survive_a_guess_and_a_loss() -> None:
    line, lane = streaming()
    line.frame(lane, "x", 0.5, request_id="x")
    line.leave(0.5)
    line.result(0.6, "x")
    for name in ("f1", "s", "f2"):
        if name == "s":
            line.send(name, 1.0, request_id=name)
        else:
            line.frame(lane, name, 1.0, request_id=name)
        assert line.leave(1.0) == [name]
    line.result(1.2, line.protocol.socket.unanswered.inputs[0].request_id)
    line.at(9.0)
    line.lose(9.1, code=1011)
    again = line.open(9.2).leave(9.2)
    line.result(9.3, again[0])
    again += line.leave(9.3)
    assert sorted(again) == ["f2", "s"]


def test_a_suspect_that_was_swallowed_and_given_up_holds_up_nobody() -> None:
    line = Line(request_timeout=8.0, keepalive=SILENT).open(0.0)
    line.request("w", 0.0, request_id="w")
    line.leave(0.0)
    line.result(0.1, "w")
    line.request("r", 0.2, request_id="r")
    line.send("s", 0.2, request_id="s")
    assert line.leave(0.2) == ["r", "s"]
    line.lose(0.3, Cause.BAD_FRAME, 1009, error=DecodeError("huge"))
    line.open(0.4)
    assert line.leave(0.4) == ["r"], "several may be at fault: each goes out alone"
    line.at(8.2)
    assert line.leave(8.2) == ["s"]
