"""One queue of inputs: what waits, what gives way, what leaves next."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from falrt.exceptions import QueueFullError
from falrt.protocol.inputs import Input, Kind, Lane, Outcome, QueueLimits
from falrt.protocol.pacing.policies import Debounce, Immediate, Latest, Pacing, Throttle
from tests.protocol.line import a_lane


def lane_of(pacing: Pacing | None = None, *, streams: bool = False, keeps_all: bool = False) -> Lane:
    return a_lane(pacing or Immediate(), streams=streams, keeps_all=keeps_all)


def one(lane: Lane, kind: Kind = Kind.SEND, *, size: int = 10, at: float = 0.0) -> Input:
    return Input(bytes(size), kind, lane, at)


def put(lane: Lane, kind: Kind = Kind.SEND, *, size: int = 10, at: float = 0.0) -> Input:
    input = one(lane, kind, size=size, at=at)
    lane.put(input)
    return input


# What waits.


def test_inputs_leave_in_their_order() -> None:
    lane = lane_of()
    assert lane.waiting == []
    first, second = put(lane), put(lane)
    assert lane.waiting[0] is first
    assert [lane.take(), lane.take()] == [first, second]
    assert (lane.waiting, lane.size_bytes) == ([], 0)


def test_a_newer_input_replaces_the_one_that_waits() -> None:
    lane = lane_of(Latest())
    old = put(lane)
    new = one(lane, size=7)
    lane.put(new)
    assert lane.waiting == [new]
    assert old.outcome is Outcome.SUPERSEDED
    assert (lane.waiting, lane.size_bytes, lane.dropped) == ([new], 7, 1)


def test_a_request_is_never_replaced_and_replaces_nothing() -> None:
    lane = lane_of(Latest())
    request, send = put(lane, Kind.REQUEST), put(lane)
    later = put(lane, Kind.REQUEST)
    newest = put(lane)
    assert lane.waiting == [request, later, newest]
    assert send.outcome is Outcome.SUPERSEDED


def test_a_stream_frame_gives_way_unless_the_stream_skips_nothing() -> None:
    live, pulled = lane_of(streams=True), lane_of(streams=True, keeps_all=True)
    for lane in (live, pulled):
        put(lane, Kind.STREAM)
        put(lane, Kind.STREAM)
    assert (len(live.waiting), live.dropped) == (1, 1)
    assert (len(pulled.waiting), pulled.dropped) == (2, 0)


def test_an_input_can_be_taken_back() -> None:
    lane = lane_of()
    first, second = put(lane, size=3), put(lane, size=5)
    lane.end(first, Outcome.ABANDONED)
    assert first.outcome is Outcome.ABANDONED
    assert (lane.waiting, lane.size_bytes, lane.dropped) == ([second], 5, 0)


def test_an_input_that_has_left_ends_beside_those_that_wait() -> None:
    lane = lane_of()
    put(lane, size=3)
    waits = put(lane, size=5)
    left = lane.take()
    lane.end(left, Outcome.ABANDONED)
    assert left.outcome is Outcome.ABANDONED
    assert (lane.waiting, lane.size_bytes) == ([waits], 5)


def test_inputs_of_a_lost_socket_go_before_all_others() -> None:
    lane = lane_of()
    waiting = put(lane, size=1)
    lost = [one(lane, size=2), one(lane, size=3)]
    for input in reversed(lost):
        lane.put_back(input)
    assert lane.waiting == [*lost, waiting]
    assert lane.size_bytes == 6


# Limits.


def test_a_lane_is_full_after_256_messages() -> None:
    lane = lane_of()
    for _ in range(QueueLimits.MESSAGES):
        put(lane)
    assert not lane.has_room_for(1)
    with pytest.raises(
        QueueFullError, match=r"256 inputs \(2560 bytes\) already wait to be sent: await send"
    ) as full:
        put(lane)
    assert full.value.queue == "send"
    assert len(lane.waiting) == QueueLimits.MESSAGES


def test_a_lane_is_full_when_another_frame_would_take_too_much_memory() -> None:
    lane = lane_of()
    put(lane, size=QueueLimits.BYTES - 5)
    assert lane.has_room_for(5)
    assert not lane.has_room_for(6)


def test_one_input_of_any_size_fits_into_an_empty_lane() -> None:
    lane = lane_of(Latest())
    assert lane.has_room_for(2 * QueueLimits.BYTES)
    put(lane, size=QueueLimits.BYTES + 1)
    newest = put(lane, size=QueueLimits.BYTES + 2)
    assert lane.waiting == [newest]


def test_a_full_lane_still_lets_the_newest_take_the_place_of_the_last() -> None:
    lane = lane_of(Latest())
    for _ in range(QueueLimits.MESSAGES - 1):
        put(lane, Kind.REQUEST)
    put(lane)
    newest = put(lane)
    assert lane.waiting[-1] is newest


def test_nothing_gives_way_to_an_input_that_is_refused() -> None:
    lane = lane_of(Latest())
    put(lane, Kind.REQUEST, size=QueueLimits.BYTES - 5)
    newest = put(lane, size=4)
    with pytest.raises(QueueFullError):
        put(lane, size=6)
    assert lane.waiting[-1] is newest
    assert (newest.outcome, lane.dropped) == (None, 0)


# When the next one leaves.


def test_the_pacing_says_when_the_head_is_due() -> None:
    lane = lane_of(Throttle(0.128))
    put(lane)
    assert lane.due_at(1.0, 0) == 1.0
    lane.take()
    lane.pacer.sent(1.0, 0)
    put(lane, at=1.01)
    assert lane.due_at(1.02, 1) == pytest.approx(1.128)


def test_a_flush_overrules_the_clock_for_what_waits_already() -> None:
    lane = lane_of(Debounce(0.5))
    lane.pacer.offered(1.0)
    put(lane, at=1.0)
    lane.flush_below = 1.1
    assert lane.due_at(1.2, 0) == 1.2
    lane.take()
    lane.pacer.sent(1.2, 0)
    lane.pacer.offered(1.3)
    put(lane, at=1.3)
    assert lane.due_at(1.4, 0) == 1.8


def test_a_flush_does_not_exceed_the_unanswered_that_are_allowed() -> None:
    lane = lane_of(Latest(2))
    put(lane, at=1.0)
    lane.flush_below = 1.0
    assert lane.due_at(1.1, 1) == 1.1
    assert lane.due_at(1.1, 2) is None


def test_what_a_stream_submits_leaves_at_once() -> None:
    lane = lane_of(Throttle(10.0), streams=True)
    lane.pacer.sent(1.0, 0)
    put(lane, Kind.STREAM, at=1.1)
    assert lane.due_at(1.1, 0) == 1.1


class Queue(RuleBasedStateMachine):
    """Whatever is offered, taken back, lost and sent: nothing is lost uncounted, and order and newest are kept."""

    @initialize(
        pacing=st.sampled_from([Immediate(), Throttle(0.1), Debounce(0.1, 0.3), Latest(1), Latest(2)]),
        streams=st.booleans(),
        keeps_all=st.booleans(),
    )
    def start(self, pacing: Pacing, streams: bool, keeps_all: bool) -> None:
        self.lane = lane_of(pacing, streams=streams, keeps_all=streams and keeps_all)
        self.kinds = [Kind.STREAM] if streams else [Kind.SEND, Kind.REQUEST]
        self.now = 0.0
        self.offered: list[Input] = []
        self.left: list[Input] = []
        self.unanswered: list[Input] = []
        self.taken_back = 0

    @rule(seconds=st.floats(0, 1))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(data=st.data(), size=st.integers(0, 100))
    def offer(self, data: st.DataObject, size: int) -> None:
        input = one(self.lane, data.draw(st.sampled_from(self.kinds)), size=size, at=self.now)
        self.lane.pacer.offered(self.now)
        before = [*self.lane.waiting]
        self.lane.put(input)
        for old in before:
            superseded = old not in self.lane.waiting
            assert (old.outcome is Outcome.SUPERSEDED) is superseded
            assert not (superseded and old.kind is Kind.REQUEST)
        self.offered.append(input)
        assert self.lane.waiting[-1] is input

    @rule()
    def flush(self) -> None:
        self.lane.flush_below = self.now

    @precondition(lambda self: self.lane.waiting)
    @rule()
    def jump_to_the_deadline_and_send(self) -> None:
        due_at = self.lane.due_at(self.now, len(self.unanswered))
        if due_at is None:
            assert self.unanswered
            return
        self.now = max(self.now, due_at)
        again = self.lane.due_at(self.now, len(self.unanswered))
        assert again is not None
        assert again <= self.now
        head = self.lane.waiting[0] if self.lane.waiting else None
        input = self.lane.take()
        assert input is head
        self.lane.pacer.sent(self.now, len(self.unanswered), len(input.frame))
        self.unanswered.append(input)
        self.left.append(input)

    @precondition(lambda self: self.unanswered)
    @rule()
    def answer(self) -> None:
        self.unanswered.pop(0).outcome = Outcome.ANSWERED
        self.lane.pacer.answered(self.now, self.now)

    @precondition(lambda self: self.unanswered)
    @rule()
    def lose(self) -> None:
        lost, self.unanswered = self.unanswered, []
        self.lane.pacer.lost(self.now)
        for input in reversed(lost):
            self.lane.put_back(input)
        assert self.lane.waiting[: len(lost)] == lost
        self.left = [input for input in self.left if input not in lost]

    @precondition(lambda self: self.lane.waiting)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        input = data.draw(st.sampled_from(self.lane.waiting))
        self.lane.end(input, Outcome.ABANDONED)
        self.taken_back += 1

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        assert len(self.offered) == (
            len(self.left) + len(self.lane.waiting) + self.lane.dropped + self.taken_back
        )

    @invariant()
    def bytes_are_counted(self) -> None:
        assert self.lane.size_bytes == sum(len(input.frame) for input in self.lane.waiting)

    @invariant()
    def order_is_kept(self) -> None:
        order = [self.offered.index(input) for input in self.lane.waiting]
        assert order == sorted(order)

    @invariant()
    def the_newest_is_never_superseded(self) -> None:
        loose = [input for input in self.offered if input.kind is not Kind.REQUEST]
        assert not loose or loose[-1].outcome is not Outcome.SUPERSEDED


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=100, stateful_step_count=30)
