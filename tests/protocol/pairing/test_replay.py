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
from falrt.protocol.pairing.replay import Blame, blame, may_replay, split, still_owed
from falrt.protocol.pairing.unanswered import Unanswered
from falrt.protocol.wire.modes import MODES, Mode
from tests.protocol.line import a_lane

UNARY = MODES["unary"]


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
    assert split([old, first, new, second], UNARY) == ({lane: [first, new, second]}, [old])


def test_a_newer_send_that_waits_stands_for_those_that_left(lane: Lane) -> None:
    left, request = one(lane), one(lane, Kind.REQUEST)
    lane.put(one(lane))
    assert split([left, request], UNARY) == ({lane: [request]}, [left])


def test_a_waiting_request_stands_for_nothing_else(lane: Lane) -> None:
    left = one(lane)
    lane.put(one(lane, Kind.REQUEST))
    assert split([left], UNARY) == ({lane: [left]}, [])


def test_a_stream_that_skips_nothing_sends_everything_again() -> None:
    lane = a_lane(Latest(2), streams=True, keeps_all=True)
    first, second = one(lane, Kind.STREAM), one(lane, Kind.STREAM)
    assert split([first, second], UNARY) == ({lane: [first, second]}, [])


def test_each_lane_has_a_newest_input_of_its_own(lane: Lane) -> None:
    stream = a_lane(Latest(2), streams=True)
    frame, newer, send = one(stream, Kind.STREAM), one(stream, Kind.STREAM), one(lane)
    assert split([frame, send, newer], UNARY) == ({stream: [newer], lane: [send]}, [frame])


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
    by_lane, superseded = split(inputs, mode)
    again = [input for lane in by_lane for input in by_lane[lane]]
    assert sorted(map(id, [*again, *superseded])) == sorted(map(id, inputs))
    for lane, replayed in by_lane.items():
        assert all(input.lane is lane for input in replayed)
        assert replayed == [input for input in inputs if input in replayed]
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
