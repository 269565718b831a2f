"""What becomes of the unanswered inputs of a lost socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falrt.protocol.inputs import Input, Kind, Lane, Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pacing.policies import Immediate, Latest
from falrt.protocol.pairing.replay import guilty, sort_out, still_owed
from falrt.protocol.wire.modes import MODES, Mode

UNARY = MODES["unary"]


@pytest.fixture
def lane() -> Lane:
    return Lane(Immediate().start())


def one(lane: Lane, kind: Kind = Kind.SEND) -> Input:
    return Input(b"frame", kind, lane, 0.0)


# Blame.


@pytest.mark.parametrize("cause", [Cause.SERVER_FAULT, Cause.BAD_FRAME])
def test_the_only_unanswered_input_is_to_blame_for_a_fault(lane: Lane, cause: Cause) -> None:
    input = one(lane)
    assert guilty([input], Loss(cause)) is input


def test_nobody_is_blamed_on_suspicion(lane: Lane) -> None:
    assert guilty([one(lane), one(lane)], Loss(Cause.SERVER_FAULT)) is None
    assert guilty([], Loss(Cause.SERVER_FAULT)) is None


@pytest.mark.parametrize(
    "cause", [cause for cause in Cause if cause not in (Cause.SERVER_FAULT, Cause.BAD_FRAME)]
)
def test_trouble_on_the_way_is_no_inputs_fault(lane: Lane, cause: Cause) -> None:
    assert guilty([one(lane)], Loss(cause)) is None


# What is asked again.


@pytest.mark.wire("W36")
def test_requests_and_the_newest_send_are_asked_again(lane: Lane) -> None:
    old, first, new, second = one(lane), one(lane, Kind.REQUEST), one(lane), one(lane, Kind.REQUEST)
    result = sort_out([old, first, new, second], UNARY, answered_here=True)
    assert result.again == {lane: [first, new, second]}
    assert result.superseded == [old]
    assert result.failed == []
    assert old.outcome is Outcome.SUPERSEDED
    assert [input.outcome for input in (first, new, second)] == [None, None, None]


def test_a_newer_send_that_waits_stands_for_those_that_left(lane: Lane) -> None:
    left, request = one(lane), one(lane, Kind.REQUEST)
    lane.put(one(lane))
    result = sort_out([left, request], UNARY, answered_here=False)
    assert result.again == {lane: [request]}
    assert result.superseded == [left]


def test_a_waiting_request_stands_for_nothing_else(lane: Lane) -> None:
    left = one(lane)
    lane.put(one(lane, Kind.REQUEST))
    assert sort_out([left], UNARY, answered_here=False).again == {lane: [left]}


def test_a_stream_that_skips_nothing_sends_everything_again() -> None:
    lane = Lane(Latest(2).start(), streams=True, keeps_all=True)
    first, second = one(lane, Kind.STREAM), one(lane, Kind.STREAM)
    assert sort_out([first, second], UNARY, answered_here=True).again == {lane: [first, second]}


def test_each_lane_has_a_newest_input_of_its_own(lane: Lane) -> None:
    stream = Lane(Latest(2).start(), streams=True)
    frame, newer, send = one(stream, Kind.STREAM), one(stream, Kind.STREAM), one(lane)
    result = sort_out([frame, send, newer], UNARY, answered_here=True)
    assert result.again == {stream: [newer], lane: [send]}
    assert result.superseded == [frame]


def test_a_lane_of_which_nothing_is_sent_again_is_not_named(lane: Lane) -> None:
    lane.put(one(lane))
    assert sort_out([one(lane)], UNARY, answered_here=True).again == {}


@pytest.mark.parametrize(
    ("mode", "answered_here", "replayed"),
    [
        ("unary", True, True),
        ("server_streaming", False, True),
        ("server_streaming", True, False),
        ("client_streaming", False, False),
        ("bidi", False, False),
    ],
)
def test_half_a_session_is_never_repeated(lane: Lane, mode: str, answered_here: bool, replayed: bool) -> None:
    input = one(lane)
    result = sort_out([input], MODES[mode], answered_here=answered_here)
    assert (result.again, result.failed) == (({lane: [input]}, []) if replayed else ({}, [input]))


@given(
    kinds=st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 2)), max_size=12),
    waiting=st.lists(st.integers(0, 2), max_size=3),
    mode=st.sampled_from(list(MODES.values())),
    answered_here=st.booleans(),
)
def test_every_input_is_sorted_once_and_order_is_kept(
    kinds: list[tuple[Kind, int]], waiting: list[int], mode: Mode, answered_here: bool
) -> None:
    lanes = [
        Lane(Immediate().start()),
        Lane(Latest().start(), streams=True),
        Lane(Immediate().start(), streams=True, keeps_all=True),
    ]
    for index in waiting:
        lanes[index].waiting.append(one(lanes[index], Kind.STREAM if index else Kind.SEND))
    inputs = [one(lanes[index], kind) for kind, index in kinds]
    result = sort_out(inputs, mode, answered_here=answered_here)
    again = [input for lane in result.again for input in result.again[lane]]
    sorted_out = [*again, *result.superseded, *result.failed]
    assert sorted(map(id, sorted_out)) == sorted(map(id, inputs))
    for lane, replayed in result.again.items():
        assert all(input.lane is lane for input in replayed)
        assert replayed == [input for input in inputs if input in replayed]
    if not result.failed:
        assert {input for input in inputs if input.kind is Kind.REQUEST} <= set(again)
        for lane in lanes:
            loose = [input for input in inputs if input.lane is lane and input.kind is not Kind.REQUEST]
            assert not loose or lane.waiting or loose[-1] in again


# What is owed although the socket lives.


def test_the_newest_send_that_a_request_overtook_is_owed(lane: Lane) -> None:
    old, newest = one(lane), one(lane)
    assert still_owed([old, newest], [one(lane, Kind.REQUEST)]) == [newest]


def test_a_send_that_a_newer_one_stands_for_is_not_owed(lane: Lane) -> None:
    assert still_owed([one(lane)], [one(lane)]) == []
    lane.put(one(lane))
    assert still_owed([one(lane)], [one(lane, Kind.REQUEST)]) == []


def test_a_request_that_was_overtaken_is_its_callers_affair(lane: Lane) -> None:
    assert still_owed([one(lane, Kind.REQUEST)], [one(lane)]) == []


def test_what_has_ended_is_not_owed(lane: Lane) -> None:
    ended = one(lane)
    ended.outcome = Outcome.ABANDONED
    assert still_owed([ended], []) == []


def test_where_nothing_may_be_skipped_every_frame_is_owed() -> None:
    every = Lane(Latest().start(), streams=True, keeps_all=True)
    frames = [one(every, Kind.STREAM), one(every, Kind.STREAM)]
    assert still_owed(frames, [one(every, Kind.STREAM)]) == frames
