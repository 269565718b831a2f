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
from falrt.protocol.pairing import in_flight as module
from falrt.protocol.pairing.admission import may_join
from falrt.protocol.pairing.in_flight import (
    LATE_MAX,
    UNANSWERED_BYTES_MAX,
    UNANSWERED_SENDS_MAX,
    InFlight,
    Match,
)


@pytest.fixture
def in_flight() -> InFlight:
    return InFlight()


@pytest.fixture
def lane() -> Lane:
    return Lane(Immediate().start())


def one(lane: Lane, kind: Kind = Kind.SEND, request_id: str | None = None) -> Input:
    return Input(b"frame", kind, lane, 0.0, request_id)


def several(
    in_flight: InFlight, lane: Lane, *request_ids: str | None, kind: Kind = Kind.SEND, vouched: int = 1
) -> list[Input]:
    """Let inputs leave, one for each id."""
    inputs = [one(lane, kind, request_id) for request_id in request_ids]
    for input in inputs:
        in_flight.sent(input, vouched)
    return inputs


# Without ids: first in, first out, and doubt.


@pytest.mark.wire("W34")
def test_a_single_unanswered_input_is_answered_for_certain(in_flight: InFlight, lane: Lane) -> None:
    (input,) = several(in_flight, lane, None)
    assert (len(in_flight), in_flight.oldest, in_flight.inputs) == (1, input, (input,))
    assert in_flight.match(None) == Match(input, certain=True)
    assert (len(in_flight), in_flight.oldest) == (0, None)


@pytest.mark.wire("W32")
def test_beyond_what_the_server_surely_keeps_the_oldest_is_only_inferred(
    in_flight: InFlight, lane: Lane
) -> None:
    first, second = several(in_flight, lane, None, None)
    assert in_flight.match(None) == Match(first, certain=False)
    assert in_flight.match(None) == Match(second, certain=False)


@pytest.mark.wire("W32")
def test_what_the_caller_vouched_for_is_certain(in_flight: InFlight, lane: Lane) -> None:
    first, second = several(in_flight, lane, None, None, vouched=2)
    assert in_flight.match(None) == Match(first, certain=True)
    assert in_flight.match(None) == Match(second, certain=True)


def test_when_every_input_was_answered_nothing_was_dropped(in_flight: InFlight, lane: Lane) -> None:
    several(in_flight, lane, None, None)
    in_flight.match(None)
    assert in_flight.doubt
    in_flight.match(None)
    assert not in_flight.doubt


def test_an_answer_to_nothing_is_paired_with_nothing(in_flight: InFlight) -> None:
    assert in_flight.match(None) == Match(None)
    assert in_flight.match("id") == Match(None)


def test_a_written_off_input_leaves_the_socket_in_doubt(in_flight: InFlight, lane: Lane) -> None:
    first, second = several(in_flight, lane, None, None)
    assert not in_flight.stale
    assert in_flight.write_off() is first
    assert in_flight.stale
    assert in_flight.match(None) == Match(second, certain=False)
    assert in_flight.doubt
    (third,) = several(in_flight, lane, None)
    assert in_flight.match(None) == Match(third, certain=False)


def test_nothing_is_written_off_where_nothing_is_unanswered(in_flight: InFlight) -> None:
    assert in_flight.write_off() is None
    assert not in_flight.doubt


@pytest.mark.wire("W36")
def test_a_new_socket_has_no_stale_answers(in_flight: InFlight, lane: Lane) -> None:
    _, second = several(in_flight, lane, None, None)
    in_flight.write_off()
    assert in_flight.clear() == (second,)
    assert (len(in_flight), in_flight.doubt, in_flight.stale) == (0, False, False)


# With ids.


@pytest.mark.wire("W35")
def test_an_echoed_id_decides_and_tells_what_was_dropped(in_flight: InFlight, lane: Lane) -> None:
    first, second, third = several(in_flight, lane, "a", "b", "c")
    assert in_flight.match("b") == Match(second, certain=True, overtaken=(first,))
    assert in_flight.ids_trusted
    assert in_flight.match("c") == Match(third, certain=True)
    assert not in_flight.doubt


@pytest.mark.wire("W35")
def test_an_id_that_names_nothing_is_ignored_until_ids_are_trusted(in_flight: InFlight, lane: Lane) -> None:
    (input,) = several(in_flight, lane, "a")
    assert in_flight.match("made by the app") == Match(input, certain=True)
    assert not in_flight.ids_trusted


def test_a_late_answer_is_told_by_its_id(in_flight: InFlight, lane: Lane) -> None:
    several(in_flight, lane, "a", "b")
    in_flight.match("b")
    (third,) = several(in_flight, lane, "c")
    assert in_flight.match("a") == Match(None)
    assert in_flight.inputs == (third,)


def test_trusted_ids_let_inputs_out_together(in_flight: InFlight, lane: Lane) -> None:
    assert not in_flight.trusts("a")
    several(in_flight, lane, "a")
    in_flight.match("a")
    several(in_flight, lane, "b")
    assert in_flight.trusts("c")
    assert not in_flight.trusts("b")
    assert not in_flight.trusts(None)
    several(in_flight, lane, "c")
    assert not in_flight.doubt


def test_an_input_without_an_id_among_them_spoils_the_trust(in_flight: InFlight, lane: Lane) -> None:
    several(in_flight, lane, "a")
    in_flight.match("a")
    several(in_flight, lane, None)
    assert not in_flight.trusts("b")


def test_an_app_that_stops_echoing_is_never_trusted_again(in_flight: InFlight, lane: Lane) -> None:
    several(in_flight, lane, "a")
    in_flight.match("a")
    several(in_flight, lane, "b", "c")
    assert in_flight.match(None) == Match(None, certain=False, ambiguous=True)
    assert (in_flight.ids_trusted, in_flight.ids_refuted, in_flight.doubt) == (False, True, True)
    in_flight.clear()
    (last,) = several(in_flight, lane, "d")
    assert in_flight.match("x") == Match(last, certain=True)


def test_a_lone_input_is_answered_without_its_id_too(in_flight: InFlight, lane: Lane) -> None:
    several(in_flight, lane, "a")
    in_flight.match("a")
    (input,) = several(in_flight, lane, "b")
    assert in_flight.match(None) == Match(input, certain=True)


def test_an_id_given_to_several_inputs_names_none_of_them(in_flight: InFlight, lane: Lane) -> None:
    first, second = several(in_flight, lane, "camera", "camera", kind=Kind.STREAM)
    assert in_flight.match("camera") == Match(first, certain=False)
    assert in_flight.match("camera") == Match(second, certain=True)


def test_the_same_id_is_certain_where_the_server_surely_keeps_both(in_flight: InFlight, lane: Lane) -> None:
    first, _ = several(in_flight, lane, "camera", "camera", vouched=2)
    assert in_flight.match("camera") == Match(first, certain=True)


# Whose inputs they are.


def test_requests_and_stream_frames_are_strict(in_flight: InFlight, lane: Lane) -> None:
    several(in_flight, lane, None)
    assert not in_flight.strict
    several(in_flight, lane, None, kind=Kind.REQUEST)
    assert in_flight.strict
    in_flight.clear()
    several(in_flight, lane, None, kind=Kind.STREAM)
    assert in_flight.strict


def test_it_knows_whether_one_lane_sent_them_all(in_flight: InFlight, lane: Lane) -> None:
    assert in_flight.all_of(lane)
    several(in_flight, lane, None)
    assert in_flight.all_of(lane)
    several(in_flight, Lane(Immediate().start()), None)
    assert not in_flight.all_of(lane)


# Memory.


def test_a_newer_send_frees_the_frame_of_the_older(in_flight: InFlight, lane: Lane) -> None:
    first, second = several(in_flight, lane, None, None)
    assert (first.frame, second.frame) == (b"", b"frame")


def test_a_request_keeps_its_frame_for_a_new_socket(in_flight: InFlight, lane: Lane) -> None:
    (request,) = several(in_flight, lane, None, kind=Kind.REQUEST)
    several(in_flight, lane, None)
    assert request.frame == b"frame"


def test_sends_that_are_never_answered_are_forgotten_in_the_end(in_flight: InFlight, lane: Lane) -> None:
    inputs = several(in_flight, lane, *[None] * (UNANSWERED_SENDS_MAX + 1))
    assert len(in_flight) == UNANSWERED_SENDS_MAX
    assert inputs[0].outcome is Outcome.SUPERSEDED
    assert lane.dropped == 1


def test_the_answer_of_a_forgotten_send_is_not_given_to_a_request(in_flight: InFlight, lane: Lane) -> None:
    several(in_flight, lane, *[None] * (UNANSWERED_SENDS_MAX + 1))
    for _ in range(UNANSWERED_SENDS_MAX):
        in_flight.match(None)
    (request,) = several(in_flight, lane, None, kind=Kind.REQUEST)
    assert in_flight.match(None) == Match(None, certain=False, ambiguous=True)
    assert in_flight.inputs == (request,)


def test_a_forgotten_send_keeps_the_outcome_it_had(in_flight: InFlight, lane: Lane) -> None:
    (first,) = several(in_flight, lane, None)
    first.outcome = Outcome.ABANDONED
    several(in_flight, lane, *[None] * UNANSWERED_SENDS_MAX)
    assert first.outcome is Outcome.ABANDONED


def test_an_unanswered_request_is_never_forgotten(in_flight: InFlight, lane: Lane) -> None:
    (request,) = several(in_flight, lane, None, kind=Kind.REQUEST)
    several(in_flight, lane, *[None] * (UNANSWERED_SENDS_MAX + 1))
    assert in_flight.oldest is request


# Written off, and answered late.


def test_a_late_answer_goes_to_the_input_that_was_written_off(in_flight: InFlight, lane: Lane) -> None:
    (first,) = several(in_flight, lane, None)
    in_flight.write_off()
    assert in_flight.match(None) == Match(first, certain=False, late=True)
    assert not in_flight.doubt


def test_a_late_answer_is_told_by_its_id_after_a_write_off(in_flight: InFlight, lane: Lane) -> None:
    several(in_flight, lane, "a")
    in_flight.match("a")
    second, _ = several(in_flight, lane, "b", "c")
    in_flight.write_off()
    assert in_flight.match("x") == Match(None)
    assert in_flight.match("b") == Match(second, certain=False, late=True)


def test_an_answer_that_names_a_later_input_proves_the_guess(in_flight: InFlight, lane: Lane) -> None:
    first, second = several(in_flight, lane, "a", "b")
    in_flight.write_off()
    assert in_flight.match("b") == Match(second, certain=True)
    assert (first.outcome, lane.dropped) == (Outcome.SUPERSEDED, 1)
    assert (in_flight.stale, in_flight.doubt) == (False, False)


def test_an_id_that_was_written_off_is_not_trusted_again(in_flight: InFlight, lane: Lane) -> None:
    several(in_flight, lane, "a", "b", "c")
    in_flight.match("a")
    in_flight.write_off()
    assert not in_flight.trusts("b")
    (again,) = several(in_flight, lane, "b")
    assert in_flight.match("b").certain is False
    assert again not in in_flight.inputs


def test_an_answer_without_an_id_belongs_to_the_input_without_one(in_flight: InFlight, lane: Lane) -> None:
    several(in_flight, lane, "a")
    in_flight.match("a")
    named, plain = several(in_flight, lane, "b", None)
    assert in_flight.match(None) == Match(plain, certain=False, overtaken=(named,))


def test_an_unnamed_answer_after_a_write_off_may_be_anyones(in_flight: InFlight, lane: Lane) -> None:
    several(in_flight, lane, "a")
    in_flight.match("a")
    several(in_flight, lane, "b", "c")
    in_flight.write_off()
    assert in_flight.match(None).ambiguous


def test_a_stream_that_guesses_too_often_has_a_useless_socket(in_flight: InFlight) -> None:
    stream = Lane(Immediate().start(), streams=True)
    inputs = several(in_flight, stream, *[None] * (LATE_MAX + 1), kind=Kind.STREAM)
    for _ in range(LATE_MAX - 1):
        in_flight.write_off()
    assert not in_flight.hopeless
    in_flight.write_off()
    assert in_flight.hopeless
    in_flight.write_off()
    assert inputs[0].outcome is Outcome.SUPERSEDED
    assert in_flight.of_lane(stream) == inputs[1:]


def test_what_was_written_off_ends_with_the_socket(in_flight: InFlight, lane: Lane) -> None:
    first, second = several(in_flight, lane, None, None)
    in_flight.write_off()
    assert in_flight.of_lane(lane) == [first, second]
    assert in_flight.clear() == (second,)
    assert (first.outcome, second.outcome) == (Outcome.SUPERSEDED, None)


def test_an_answer_that_cannot_be_read_is_taken_for_the_oldest(in_flight: InFlight, lane: Lane) -> None:
    assert in_flight.spoiled() is None
    first, second = several(in_flight, lane, None, None)
    assert in_flight.spoiled() is first
    assert in_flight.doubt
    assert in_flight.spoiled() is second
    assert in_flight.doubt, "what came may have been something else: their answers may come yet"
    assert in_flight.match(None).input is first


def test_an_answer_will_name_its_input_where_ids_are_trusted_and_differ(
    in_flight: InFlight, lane: Lane
) -> None:
    (first,) = several(in_flight, lane, "a")
    assert not in_flight.tells(first)
    in_flight.match("a")
    second, plain, third, twin = several(in_flight, lane, "b", None, "c", "c")
    assert [in_flight.tells(input) for input in (second, plain, third, twin)] == [True, False, False, False]


def test_it_knows_whether_somebody_waits(in_flight: InFlight, lane: Lane) -> None:
    assert not in_flight.awaited
    (request,) = several(in_flight, lane, None, kind=Kind.REQUEST)
    assert (in_flight.awaited, in_flight.owes) == (True, True)
    request.outcome = Outcome.ABANDONED
    assert (in_flight.awaited, in_flight.owes) == (False, True)
    in_flight.match(None)
    assert not in_flight.owes


def test_only_the_newest_counts_where_inputs_have_no_answers(in_flight: InFlight, lane: Lane) -> None:
    first, second, third = several(in_flight, lane, None, None, None)
    assert in_flight.only_newest() == [first, second]
    assert in_flight.inputs == (third,)
    assert in_flight.only_newest() == []


def test_large_sends_that_are_never_answered_are_forgotten_earlier(in_flight: InFlight, lane: Lane) -> None:
    for _ in range(8):
        in_flight.sent(Input(bytes(UNANSWERED_BYTES_MAX // 4), Kind.SEND, lane, 0.0), 1)
    assert len(in_flight) == 5
    assert lane.dropped == 3
    assert in_flight.stale


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
        self.main = Lane(Latest(self.vouched).start())
        self.stream = Lane(Immediate().start(), streams=True)
        self.in_flight = InFlight()
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
            if may_join(self.in_flight, kind, lane, request_id):
                input = one(lane, kind, request_id)
                self.in_flight.sent(input, lane.pacer.vouched)
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
        match = self.in_flight.match(answer.request_id)
        for input in match.overtaken:
            input.outcome = input.outcome or Outcome.SUPERSEDED
            assert not any(input is late for late in self.to_come())
        if match.input is not None:
            assert not (match.late and match.certain)
            if match.certain:
                assert any(match.input is input for input in answer.made_of)
            match.input.outcome = match.input.outcome or Outcome.ANSWERED
        if match.ambiguous:
            self.lose()

    def to_come(self) -> Iterator[Input]:
        """Inputs whose answers may still come in."""
        for answer in self.answers:
            yield from answer.made_of
        yield from self.working
        yield from self.waiting

    @precondition(lambda self: len(self.in_flight))
    @rule()
    def give_up(self) -> None:
        """A caller stops waiting; its answer still counts."""
        oldest = self.in_flight.oldest
        assert oldest is not None
        oldest.outcome = oldest.outcome or Outcome.ABANDONED

    @precondition(lambda self: self.answers and len(self.in_flight))
    @rule()
    def spoil(self) -> None:
        """An answer cannot be read; where a request waits, the socket is given up instead."""
        if not self.in_flight.strict and not self.in_flight.doubt:
            answer = self.answers.popleft()
            spoiled = self.in_flight.spoiled()
            assert spoiled is not None
            assert self.batch > 1 or any(spoiled is input for input in answer.made_of)
            spoiled.outcome = spoiled.outcome or Outcome.FAILED

    @precondition(lambda self: len(self.in_flight))
    @rule()
    def write_off(self) -> None:
        """The oldest is taken for dropped, rightly or wrongly; never a request, nor one whose answer will name it."""
        oldest = self.in_flight.oldest
        assert oldest is not None
        if not self.in_flight.owes and not self.in_flight.tells(oldest):
            assert self.in_flight.write_off() is oldest

    @rule()
    def lose(self) -> None:
        lost = self.in_flight.inputs
        assert self.in_flight.clear() == lost
        self.connect()

    @invariant()
    def a_lone_input_without_doubt_is_known_to_the_runner(self) -> None:
        """What may be answered for certain has not been dropped; a batch may be named by another of its inputs."""
        if self.batch == 1 and not self.in_flight.doubt and len(self.in_flight) == 1:
            oldest = self.in_flight.oldest
            assert any(oldest is input for input in self.to_come())


TestPairing = Pairing.TestCase
TestPairing.settings = settings(max_examples=200, stateful_step_count=40)
