"""What becomes of the unanswered inputs of a lost socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falrt.exceptions import ServerError
from falrt.protocol.inputs import Input, Kind, Lane, Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pacing.policies import Immediate, Latest
from falrt.protocol.pairing.facts import AppFacts
from falrt.protocol.pairing.replay import Blame, blame, may_replay, sort_out, still_owed
from falrt.protocol.pairing.unanswered import Unanswered
from falrt.protocol.wire.modes import MODES, Mode, Replay
from tests.protocol.line import a_lane

UNARY = MODES["unary"]
CUT = Loss(Cause.CLOSED)


@pytest.fixture
def lane() -> Lane:
    return a_lane(Immediate())


def one(lane: Lane, kind: Kind = Kind.SEND) -> Input:
    return Input(b"frame", kind, lane, 0.0)


# Blame.


def blamed(loss: Loss, *inputs: Input, answered_here: bool = False) -> Blame:
    unanswered = Unanswered(AppFacts())
    for input in inputs:
        unanswered.sent(input, 1)
    return blame(unanswered, loss, UNARY, used=bool(inputs), answered_here=answered_here)


def a_loss(cause: Cause, reason: str = "") -> Loss:
    return Loss(cause, reason=reason, error=ServerError("INTERNAL_ERROR", reason))


@pytest.mark.parametrize("cause", [Cause.SERVER_FAULT, Cause.BAD_FRAME])
def test_the_only_unanswered_input_is_to_blame_for_a_fault(lane: Lane, cause: Cause) -> None:
    input = one(lane)
    assert blamed(a_loss(cause), input) == Blame(input, settled=True, tell=True)


def test_nobody_is_blamed_on_suspicion(lane: Lane) -> None:
    first, second = one(lane, Kind.REQUEST), one(lane, Kind.REQUEST)
    assert blamed(a_loss(Cause.SERVER_FAULT), first, second) == Blame(suspects=(first, second))
    assert blamed(a_loss(Cause.SERVER_FAULT)) == Blame(tell=True)


def test_an_app_whose_inference_outlasted_its_idle_timeout_blames_nobody() -> None:
    assert blamed(a_loss(Cause.SERVER_FAULT), answered_here=True) == Blame(settled=True)
    assert blamed(a_loss(Cause.SERVER_FAULT, "why"), answered_here=True) == Blame(tell=True)


@pytest.mark.parametrize(
    "cause", [cause for cause in Cause if cause not in (Cause.SERVER_FAULT, Cause.BAD_FRAME)]
)
def test_trouble_on_the_way_is_no_inputs_fault(lane: Lane, cause: Cause) -> None:
    assert blamed(a_loss(cause), one(lane)) == Blame()


# What is asked again.


@pytest.mark.wire("W36")
def test_requests_and_the_newest_send_are_asked_again(lane: Lane) -> None:
    old, first, new, second = one(lane), one(lane, Kind.REQUEST), one(lane), one(lane, Kind.REQUEST)
    assert sort_out([old, first, new, second], CUT, UNARY, spoke=True)
    assert lane.waiting == [first, new, second]
    assert old.outcome is Outcome.SUPERSEDED


def test_a_newer_send_that_waits_stands_for_those_that_left(lane: Lane) -> None:
    left, request = one(lane), one(lane, Kind.REQUEST)
    lane.put(newer := one(lane))
    assert sort_out([left, request], CUT, UNARY, spoke=True)
    assert lane.waiting == [request, newer]


def test_a_waiting_request_stands_for_nothing_else(lane: Lane) -> None:
    left = one(lane)
    lane.put(request := one(lane, Kind.REQUEST))
    assert sort_out([left], CUT, UNARY, spoke=True)
    assert lane.waiting == [left, request]


def test_a_stream_that_skips_nothing_sends_everything_again() -> None:
    lane = a_lane(Latest(2), streams=True, keeps_all=True)
    first, second = one(lane, Kind.STREAM), one(lane, Kind.STREAM)
    assert sort_out([first, second], CUT, UNARY, spoke=True)
    assert lane.waiting == [first, second]


def test_each_lane_has_a_newest_input_of_its_own(lane: Lane) -> None:
    stream = a_lane(Latest(2), streams=True)
    frame, newer, send = one(stream, Kind.STREAM), one(stream, Kind.STREAM), one(lane)
    assert sort_out([frame, send, newer], CUT, UNARY, spoke=True)
    assert (stream.waiting, lane.waiting) == ([newer], [send])


@pytest.mark.parametrize(
    ("mode", "spoke", "replayed"),
    [
        ("unary", True, True),
        ("server_streaming", False, True),
        ("server_streaming", True, False),
        ("client_streaming", False, False),
        ("bidi", False, False),
    ],
)
def test_half_a_session_is_never_repeated(mode: str, spoke: bool, replayed: bool) -> None:
    assert may_replay(MODES[mode], spoke=spoke) is replayed


@given(
    kinds=st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 2)), max_size=12),
    waiting=st.lists(st.integers(0, 2), max_size=3),
    mode=st.sampled_from(list(MODES.values())),
)
def test_every_input_is_sorted_once_and_order_is_kept(
    kinds: list[tuple[Kind, int]], waiting: list[int], mode: Mode
) -> None:
    lanes = [
        a_lane(Immediate()),
        a_lane(Latest(), streams=True),
        a_lane(Immediate(), streams=True, keeps_all=True),
    ]
    for index in waiting:
        lanes[index].waiting.append(one(lanes[index], Kind.STREAM if index else Kind.SEND))
    inputs = [one(lanes[index], kind) for kind, index in kinds]
    waited = [[*lane.waiting] for lane in lanes]
    again = still_owed(inputs, alone=mode.ends)
    assert again == [input for input in inputs if input in again]
    spoke = mode.replay is Replay.NEVER
    assert sort_out(inputs, CUT, mode, spoke=False) is (bool(again) and not spoke)
    for lane, before in zip(lanes, waited, strict=True):
        assert lane.waiting == [input for input in again if input.lane is lane and not spoke] + before
    assert all((input.outcome is None) == (input in again and not spoke) for input in inputs)
    assert {input for input in inputs if input.kind is Kind.REQUEST} <= set(again)
    for lane, before in zip(lanes, waited, strict=True):
        loose = [input for input in inputs if input.lane is lane and input.kind is not Kind.REQUEST]
        assert not loose or before or loose[-1] in again


# What is owed although the socket lives.


def test_the_newest_send_that_a_request_overtook_is_owed(lane: Lane) -> None:
    old, newest = one(lane), one(lane)
    assert still_owed([old, newest], [one(lane, Kind.REQUEST)]) == [newest]


def test_a_send_that_a_newer_one_stands_for_is_not_owed(lane: Lane) -> None:
    assert still_owed([one(lane)], [one(lane)]) == []
    lane.put(one(lane))
    assert still_owed([one(lane)], [one(lane, Kind.REQUEST)]) == []


def test_a_request_that_was_overtaken_is_owed(lane: Lane) -> None:
    request = one(lane, Kind.REQUEST)
    assert still_owed([request], [one(lane)]) == [request]


def test_what_has_ended_is_not_owed(lane: Lane) -> None:
    ended = one(lane)
    ended.end(Outcome.ABANDONED)
    assert still_owed([ended], []) == []


def test_where_nothing_may_be_skipped_every_frame_is_owed() -> None:
    every = a_lane(Latest(), streams=True, keeps_all=True)
    frames = [one(every, Kind.STREAM), one(every, Kind.STREAM)]
    assert still_owed(frames, [one(every, Kind.STREAM)]) == frames
