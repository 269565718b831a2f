"""Which answer belongs to which input; a pairing that is called certain is never wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from falrt.protocol.inputs import Input, Kind, Lane, Outcome
from falrt.protocol.pacing.policies import Immediate, Latest
from falrt.protocol.pairing import unanswered as module
from falrt.protocol.pairing.admission import may_join
from falrt.protocol.pairing.facts import AppFacts, Ids
from falrt.protocol.pairing.unanswered import (
    SPENT_MAX,
    UNANSWERED_BYTES_MAX,
    UNANSWERED_SENDS_MAX,
    Match,
    Order,
    Unanswered,
)
from tests.protocol.line import a_lane


@pytest.fixture
def facts() -> AppFacts:
    return AppFacts()


@pytest.fixture
def unanswered(facts: AppFacts) -> Unanswered:
    return Unanswered(facts)


@pytest.fixture
def lane() -> Lane:
    return a_lane(Immediate())


def one(lane: Lane, kind: Kind = Kind.SEND, request_id: str | None = None) -> Input:
    return Input(b"frame", kind, lane, 0.0, request_id)


def several(
    unanswered: Unanswered, lane: Lane, *request_ids: str | None, kind: Kind = Kind.SEND, vouched: int = 1
) -> list[Input]:
    """Let inputs leave, one for each id."""
    inputs = [one(lane, kind, request_id) for request_id in request_ids]
    for input in inputs:
        unanswered.sent(input, vouched)
    return inputs


# Without ids: first in, first out, and doubt.


@pytest.mark.wire("W34")
def test_a_single_unanswered_input_is_answered_for_certain(unanswered: Unanswered, lane: Lane) -> None:
    (input,) = several(unanswered, lane, None)
    assert unanswered.inputs == [input]
    assert unanswered.match(None) == Match(input, certain=True)
    assert unanswered.inputs == []


@pytest.mark.wire("W32")
def test_beyond_what_the_server_surely_keeps_the_oldest_is_only_inferred(
    unanswered: Unanswered, lane: Lane
) -> None:
    first, second = several(unanswered, lane, None, None)
    assert unanswered.match(None) == Match(first, certain=False)
    assert unanswered.match(None) == Match(second, certain=False)


@pytest.mark.wire("W32")
def test_what_the_caller_vouched_for_is_certain(unanswered: Unanswered, lane: Lane) -> None:
    first, second = several(unanswered, lane, None, None, vouched=2)
    assert unanswered.match(None) == Match(first, certain=True)
    assert unanswered.match(None) == Match(second, certain=True)


def test_an_answer_to_nothing_is_paired_with_nothing(unanswered: Unanswered) -> None:
    assert unanswered.match(None) == Match(None)
    assert unanswered.match("id") == Match(None)


@pytest.mark.wire("W36")
# With ids.


@pytest.mark.wire("W35")
def test_an_echoed_id_decides_and_tells_what_was_dropped(
    unanswered: Unanswered, lane: Lane, facts: AppFacts
) -> None:
    first, second, third = several(unanswered, lane, "a", "b", "c")
    assert unanswered.match("b") == Match(second, certain=True, overtaken=(first,))
    assert facts.ids is Ids.ECHOED
    assert unanswered.match("c") == Match(third, certain=True)
    assert unanswered.order is Order.PROVEN


@pytest.mark.wire("W35")
def test_an_id_that_names_nothing_is_ignored_until_ids_are_seen(
    unanswered: Unanswered, lane: Lane, facts: AppFacts
) -> None:
    (input,) = several(unanswered, lane, "a")
    assert unanswered.match("made by the app") == Match(input, certain=True)
    assert facts.ids is Ids.UNSEEN


def test_a_late_answer_is_told_by_its_id(unanswered: Unanswered, lane: Lane) -> None:
    several(unanswered, lane, "a", "b")
    unanswered.match("b")
    (third,) = several(unanswered, lane, "c")
    assert unanswered.match("a") == Match(None)
    assert unanswered.inputs == [third]


def test_echoed_ids_let_inputs_out_together(unanswered: Unanswered, lane: Lane) -> None:
    assert not unanswered.names("a")
    several(unanswered, lane, "a")
    unanswered.match("a")
    several(unanswered, lane, "b")
    assert unanswered.names("c")
    assert not unanswered.names("b")
    assert not unanswered.names(None)
    several(unanswered, lane, "c")
    assert unanswered.order is Order.PROVEN


def test_an_input_without_an_id_among_them_lets_nobody_else_out(unanswered: Unanswered, lane: Lane) -> None:
    several(unanswered, lane, "a")
    unanswered.match("a")
    several(unanswered, lane, None)
    assert not unanswered.names("b")


def test_a_lone_input_is_answered_without_its_id_too(unanswered: Unanswered, lane: Lane) -> None:
    several(unanswered, lane, "a")
    unanswered.match("a")
    (input,) = several(unanswered, lane, "b")
    assert unanswered.match(None) == Match(input, certain=True)


def test_an_id_given_to_several_inputs_names_none_of_them(unanswered: Unanswered, lane: Lane) -> None:
    first, second = several(unanswered, lane, "camera", "camera", kind=Kind.STREAM)
    assert unanswered.match("camera") == Match(first, certain=False)
    assert unanswered.match("camera") == Match(second, certain=True)


def test_the_same_id_is_certain_where_the_server_surely_keeps_both(
    unanswered: Unanswered, lane: Lane
) -> None:
    first, _ = several(unanswered, lane, "camera", "camera", vouched=2)
    assert unanswered.match("camera") == Match(first, certain=True)


# Whose inputs they are.


def test_requests_and_stream_frames_are_strict(unanswered: Unanswered, lane: Lane) -> None:
    several(unanswered, lane, None)
    assert not unanswered.strict
    several(unanswered, lane, None, kind=Kind.REQUEST)
    assert unanswered.strict
    unanswered.take_all()
    assert not unanswered.strict
    several(unanswered, lane, None, kind=Kind.STREAM)
    assert unanswered.strict


def test_it_knows_whether_one_lane_sent_them_all(unanswered: Unanswered, lane: Lane) -> None:
    assert unanswered.all_of(lane)
    several(unanswered, lane, None)
    assert unanswered.all_of(lane)
    several(unanswered, a_lane(Immediate()), None)
    assert not unanswered.all_of(lane)


# Memory.


def test_a_newer_send_frees_the_frame_of_the_older(unanswered: Unanswered, lane: Lane) -> None:
    first, second = several(unanswered, lane, None, None)
    assert (first.frame, second.frame) == (b"", b"frame")


def test_a_request_keeps_its_frame_for_a_new_socket(unanswered: Unanswered, lane: Lane) -> None:
    (request,) = several(unanswered, lane, None, kind=Kind.REQUEST)
    several(unanswered, lane, None)
    assert request.frame == b"frame"


def test_sends_that_are_never_answered_are_forgotten_in_the_end(unanswered: Unanswered, lane: Lane) -> None:
    inputs = several(unanswered, lane, *[None] * (UNANSWERED_SENDS_MAX + 1))
    assert len(unanswered.inputs) == UNANSWERED_SENDS_MAX
    assert inputs[0].outcome is Outcome.SUPERSEDED
    assert lane.dropped == 1


def test_the_answer_of_a_forgotten_send_is_not_given_to_a_request(unanswered: Unanswered, lane: Lane) -> None:
    several(unanswered, lane, *[None] * (UNANSWERED_SENDS_MAX + 1))
    for _ in range(UNANSWERED_SENDS_MAX):
        unanswered.match(None)
    (request,) = several(unanswered, lane, None, kind=Kind.REQUEST)
    assert unanswered.match(None) == Match(None, certain=False, ambiguous=True)
    assert unanswered.inputs == [request]


def test_a_forgotten_send_keeps_the_outcome_it_had(unanswered: Unanswered, lane: Lane) -> None:
    (first,) = several(unanswered, lane, None)
    first.end(Outcome.ABANDONED)
    several(unanswered, lane, *[None] * UNANSWERED_SENDS_MAX)
    assert first.outcome is Outcome.ABANDONED


def test_an_unanswered_request_is_never_forgotten(unanswered: Unanswered, lane: Lane) -> None:
    (request,) = several(unanswered, lane, None, kind=Kind.REQUEST)
    several(unanswered, lane, *[None] * (UNANSWERED_SENDS_MAX + 1))
    assert unanswered.inputs[0] is request


# When the order is known again, and when not.


def test_when_every_input_was_answered_nothing_was_dropped(unanswered: Unanswered, lane: Lane) -> None:
    several(unanswered, lane, None, None)
    unanswered.match(None)
    assert unanswered.order is Order.CROWDED
    unanswered.match(None)
    assert unanswered.order is Order.PROVEN


def test_an_app_that_stops_echoing_is_never_relied_on_again(
    unanswered: Unanswered, lane: Lane, facts: AppFacts
) -> None:
    several(unanswered, lane, "a")
    unanswered.match("a")
    several(unanswered, lane, "b", "c")
    assert unanswered.match(None) == Match(None, certain=False, ambiguous=True)
    assert facts.ids is Ids.REFUTED
    again = Unanswered(facts)
    (last,) = several(again, lane, "d")
    assert again.match("x") == Match(last, certain=True)


def test_sends_that_are_settled_break_the_order_and_the_newest_may_leave_again(
    unanswered: Unanswered, lane: Lane
) -> None:
    first, second = several(unanswered, lane, None, None)
    unanswered.settle()
    assert (first.outcome, second.outcome, len(unanswered.inputs)) == (Outcome.SUPERSEDED, None, 0)
    assert unanswered.order is Order.BROKEN
    assert unanswered.match(None) == Match(None)
    (request,) = several(unanswered, lane, None, kind=Kind.REQUEST)
    assert unanswered.match(None).ambiguous
    assert unanswered.take_all() == (second, request)
    assert unanswered.take_all() == ()


def test_a_newer_send_stands_for_the_one_that_was_settled(unanswered: Unanswered, lane: Lane) -> None:
    (first,) = several(unanswered, lane, None)
    unanswered.settle()
    (second,) = several(unanswered, lane, None)
    assert (first.outcome, lane.dropped) == (Outcome.SUPERSEDED, 1)
    unanswered.settle()
    assert unanswered.take_all() == (second,)


def test_an_answer_that_names_a_later_input_restores_the_order(unanswered: Unanswered, lane: Lane) -> None:
    (first,) = several(unanswered, lane, "a")
    unanswered.settle()
    second, third, fourth = several(unanswered, lane, "b", "c", "d")
    assert unanswered.match("b") == Match(second)
    assert (first.outcome, unanswered.order) == (Outcome.SUPERSEDED, Order.CROWDED)
    assert unanswered.match("c") == Match(third)
    assert unanswered.order is Order.PROVEN
    assert unanswered.inputs == [fourth]


def test_an_id_whose_answer_may_still_come_names_nobody_else(unanswered: Unanswered, lane: Lane) -> None:
    several(unanswered, lane, "a", "b")
    unanswered.match("a")
    unanswered.settle()
    assert not unanswered.names("b")
    several(unanswered, lane, "b", kind=Kind.REQUEST)
    assert unanswered.match("b").ambiguous


def test_what_left_twice_is_answered_by_either_and_proves_no_order(
    unanswered: Unanswered, lane: Lane
) -> None:
    (request,) = several(unanswered, lane, "a", kind=Kind.REQUEST)
    unanswered.take_all()
    unanswered.spend(request)
    assert unanswered.was_sent_by("a") is request
    other, _ = several(unanswered, lane, "b", "a")
    unanswered.take_all()
    unanswered.sent(other, 1)
    unanswered.sent(request, 1)
    assert unanswered.match("a") == Match(request)
    assert unanswered.inputs == [other]
    assert unanswered.match("a") == Match(None)


def test_only_so_many_spent_ids_are_remembered(unanswered: Unanswered, lane: Lane) -> None:
    inputs = [one(lane, Kind.SEND, str(number)) for number in range(SPENT_MAX + 1)]
    for input in inputs:
        unanswered.spend(input)
    assert unanswered.was_sent_by("0") is None
    assert unanswered.was_sent_by("1") is inputs[1]


def test_an_answer_that_cannot_be_read_is_taken_for_the_oldest(unanswered: Unanswered, lane: Lane) -> None:
    unanswered.fail_oldest()
    assert unanswered.order is Order.PROVEN
    first, second = several(unanswered, lane, None, None)
    unanswered.fail_oldest()
    assert (first.outcome, unanswered.inputs) == (Outcome.FAILED, [second])
    assert unanswered.order is Order.BROKEN


def test_a_request_that_was_dropped_before_counts_as_repeated(unanswered: Unanswered, lane: Lane) -> None:
    request = one(lane, Kind.REQUEST, "a")
    request.drops = 1
    unanswered.sent(request, 1)
    assert unanswered.repeats
    unanswered.match("a")
    assert not unanswered.repeats


def test_only_the_newest_counts_where_inputs_have_no_answers(unanswered: Unanswered, lane: Lane) -> None:
    first, second, third = several(unanswered, lane, None, None, None)
    unanswered.end_older(Outcome.DELIVERED)
    assert (first.outcome, second.outcome, third.outcome) == (Outcome.DELIVERED, Outcome.DELIVERED, None)
    assert unanswered.inputs == [third]


def test_an_answer_without_an_id_belongs_to_the_input_without_one(unanswered: Unanswered, lane: Lane) -> None:
    several(unanswered, lane, "a")
    unanswered.match("a")
    named, plain = several(unanswered, lane, "b", None)
    assert unanswered.match(None) == Match(plain, certain=False, overtaken=(named,))


def test_it_knows_whether_somebody_waits(unanswered: Unanswered, lane: Lane) -> None:
    assert not unanswered.awaited
    (request,) = several(unanswered, lane, None, kind=Kind.REQUEST)
    assert (unanswered.awaited, unanswered.owes) == (True, True)
    request.end(Outcome.ABANDONED)
    assert (unanswered.awaited, unanswered.owes) == (False, True)
    unanswered.match(None)
    assert not unanswered.owes


def test_large_sends_that_are_never_answered_are_forgotten_earlier(
    unanswered: Unanswered, lane: Lane
) -> None:
    for _ in range(8):
        unanswered.sent(Input(bytes(UNANSWERED_BYTES_MAX // 4), Kind.SEND, lane, 0.0), 1)
    assert len(unanswered.inputs) == 5
    assert lane.dropped == 3
    assert unanswered.order is Order.BROKEN


# Against a simulated runner.


@dataclass(slots=True)
class Answer:
    """An output on its way: the inputs it was made of, and the id it carries."""

    made_of: list[Input]
    request_id: str | None


class Pairing(RuleBasedStateMachine):
    """A runner that keeps few inputs, drops the oldest, batches, and echoes ids or not, across sockets.

    Whatever it does, a match that is called certain is right, and an input that is called overtaken stays so.
    """

    @initialize(
        buffering=st.sampled_from([1, 2, 3, None]),
        trusting=st.booleans(),
        batch=st.integers(1, 3),
        echo=st.sampled_from(["never", "always", "sometimes", "own"]),
        ids=st.sampled_from(["none", "unique", "constant", "some"]),
    )
    def start(self, buffering: int | None, trusting: bool, batch: int, echo: str, ids: str) -> None:
        # A caller who vouches for more than one says that the runner keeps as many and makes no batches.
        self.vouched = (buffering or 4) if trusting else 1
        self.batch = 1 if self.vouched > 1 else batch
        self.buffering, self.echo, self.ids = buffering, echo, ids
        self.main = a_lane(Latest(self.vouched))
        self.stream = a_lane(Immediate(), streams=True)
        self.facts = AppFacts()
        self.unanswered = Unanswered(self.facts)
        self.count = 0
        self.connect()
        # The limit of forgotten sends comes into reach.
        self.limit = module.UNANSWERED_SENDS_MAX
        module.UNANSWERED_SENDS_MAX = 2  # type: ignore[misc]

    def teardown(self) -> None:
        if hasattr(self, "limit"):
            module.UNANSWERED_SENDS_MAX = self.limit  # type: ignore[misc]

    def connect(self) -> None:
        self.waiting: deque[Input] = deque(maxlen=self.buffering)
        self.working: list[Input] = []
        self.answers: deque[Answer] = deque()

    @rule(kinds=st.lists(st.sampled_from(Kind), min_size=1, max_size=5))
    def leave(self, kinds: list[Kind]) -> None:
        """Inputs leave, if they may, and the runner reads them."""
        for kind in kinds:
            lane = self.stream if kind is Kind.STREAM else self.main
            request_id = self.new_id()
            if may_join(self.unanswered, self.facts, kind, lane, request_id):
                input = one(lane, kind, request_id)
                self.unanswered.sent(input, lane.pacer.vouched)
                self.waiting.append(input)

    def new_id(self) -> str | None:
        self.count += 1
        if self.ids == "none" or (self.ids == "some" and self.count % 3 == 0):
            return None
        return "camera" if self.ids == "constant" else str(self.count)

    def take(self) -> None:
        """The worker takes one input, or several for one output."""
        while self.waiting and len(self.working) < self.batch:
            self.working.append(self.waiting.popleft())

    @precondition(lambda self: self.waiting and not self.working)
    @rule()
    def begin(self) -> None:
        self.take()

    @precondition(lambda self: self.waiting or self.working)
    @rule(times=st.integers(1, 4), named=st.booleans(), last=st.booleans())
    def serve(self, times: int, named: bool, last: bool) -> None:
        for _ in range(times):
            self.take()
            if not self.working:
                return
            made_of, self.working = self.working, []
            request_id = made_of[-1 if last else 0].request_id
            if self.echo == "own":
                request_id = f"app {self.count}"
            elif self.echo == "never" or (self.echo == "sometimes" and not named):
                request_id = None
            self.answers.append(Answer(made_of, request_id))

    @precondition(lambda self: self.answers)
    @rule(times=st.integers(1, 4))
    def receive(self, times: int) -> None:
        for _ in range(times):
            if self.answers:
                self.receive_one(self.answers.popleft())

    def receive_one(self, answer: Answer) -> None:
        match = self.unanswered.match(answer.request_id)
        for input in match.overtaken:
            self.unanswered.spend(input)
            input.end(Outcome.SUPERSEDED)
            assert not any(input is late for late in self.to_come())
        if match.input is not None:
            if match.certain:
                assert any(match.input is input for input in answer.made_of)
            match.input.end(Outcome.ANSWERED)
        if match.ambiguous:
            self.lose()

    def to_come(self) -> Iterator[Input]:
        """Inputs whose answers may still come in."""
        for answer in self.answers:
            yield from answer.made_of
        yield from self.working
        yield from self.waiting

    @precondition(lambda self: len(self.unanswered.inputs))
    @rule()
    def give_up(self) -> None:
        """A caller stops waiting; its answer still counts."""
        self.unanswered.inputs[0].end(Outcome.ABANDONED)

    @precondition(lambda self: self.answers and len(self.unanswered.inputs))
    @rule()
    def spoil(self) -> None:
        """An answer cannot be read; where a request waits, the socket is given up instead."""
        if not self.unanswered.strict and self.unanswered.order is Order.PROVEN:
            answer = self.answers.popleft()
            spoiled = self.unanswered.inputs[0] if self.unanswered.inputs else None
            self.unanswered.fail_oldest()
            assert self.batch > 1 or any(spoiled is input for input in answer.made_of)

    @precondition(lambda self: len(self.unanswered.inputs) and not self.unanswered.strict)
    @rule()
    def settle(self) -> None:
        """Plain sends are taken for dropped, rightly or wrongly."""
        self.unanswered.settle()

    @rule()
    def lose(self) -> None:
        lost = tuple(self.unanswered.inputs)
        assert self.unanswered.take_all()[-len(lost) or 1 :] == lost
        self.unanswered = Unanswered(self.facts)
        self.connect()

    @invariant()
    def a_lone_input_in_proven_order_is_known_to_the_runner(self) -> None:
        """What may be answered for certain has not been dropped; a batch may be named by another of its inputs."""
        if self.batch == 1 and self.unanswered.order is Order.PROVEN and len(self.unanswered.inputs) == 1:
            oldest = self.unanswered.inputs[0]
            assert any(oldest is input for input in self.to_come())


TestPairing = Pairing.TestCase
TestPairing.settings = settings(max_examples=200, stateful_step_count=40)
