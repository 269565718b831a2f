"""What the server surely dropped while the socket lives, and streams in which nothing may be skipped."""

from __future__ import annotations

import pytest

from falrt.exceptions import RequestDropped
from falrt.protocol.events import Answered, Failed
from falrt.protocol.inputs import Input, Kind, Lane, Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pacing.policies import Adaptive, Immediate, Latest, Pacing, Throttle
from falrt.protocol.pairing.in_flight import OVERTAKEN_MAX
from falrt.protocol.realtime import RealtimeProtocol
from falrt.protocol.settings import Settings


def opened(pacing: Pacing | None = None) -> RealtimeProtocol:
    protocol = RealtimeProtocol(Settings(app="acme/app", pacing=pacing or Immediate()), 0.0, lambda: 0.5)
    protocol.connecting(0.0)
    protocol.opened(0.0)
    return protocol


def left(protocol: RealtimeProtocol, name: str, kind: Kind, lane: Lane | None = None) -> Input:
    """Offer an input that leaves at once."""
    input = Input(name.encode(), kind, lane or protocol.main, 1.0, request_id=name, value=name)
    protocol.submit(input, 1.0)
    assert protocol.take_due(1.0) is input
    return input


def echoing() -> RealtimeProtocol:
    """An app that is known to echo ids."""
    protocol = opened()
    left(protocol, "first", Kind.REQUEST)
    protocol.received({"request_id": "first"}, 1.0)
    protocol.take_events()
    return protocol


def test_the_newest_send_that_a_request_pushed_out_is_sent_again_and_answered() -> None:
    protocol = echoing()
    send, request = left(protocol, "send", Kind.SEND), left(protocol, "request", Kind.REQUEST)
    protocol.received({"request_id": "request"}, 1.1)
    assert protocol.take_due(1.1) is send
    protocol.received({"request_id": "send"}, 1.2)
    assert [event.input for event in protocol.take_events() if isinstance(event, Answered)] == [request, send]
    assert protocol.stats(1.2).dropped == 0


def test_a_send_that_a_newer_one_overtook_is_over() -> None:
    protocol = echoing()
    old = left(protocol, "old", Kind.SEND)
    left(protocol, "new", Kind.SEND)
    protocol.received({"request_id": "new"}, 1.1)
    assert (old.outcome, protocol.take_due(1.1), protocol.stats(1.1).dropped) == (Outcome.SUPERSEDED, None, 1)


def overtaken(protocol: RealtimeProtocol, timeout_at: float | None = None) -> Input:
    """A request whose answer was overtaken by a send's; the patience is the least."""
    request = left(protocol, "request", Kind.REQUEST)
    request.timeout_at = timeout_at
    left(protocol, "send", Kind.SEND)
    protocol.received({"request_id": "send"}, 1.1)
    assert [event.input.value for event in protocol.take_events() if isinstance(event, Answered)] == ["send"]
    return request


def test_a_request_that_was_overtaken_is_told_so_once_when_that_is_past_doubt() -> None:
    protocol = echoing()
    request = overtaken(protocol)
    assert not protocol.quiet
    assert protocol.next_deadline(1.1) == 1.35
    assert not protocol.undisturbed(1.4), "a timer that is set for later would miss it"
    protocol.tick(1.35)
    (event,) = protocol.take_events()
    assert isinstance(event, Failed)
    assert isinstance(event.error, RequestDropped)
    assert event.input is request
    assert (protocol.quiet, protocol.take_due(1.4), protocol.stats(1.4).dropped) == (True, None, 1)
    protocol.received({"request_id": "request"}, 1.5)
    assert protocol.take_events() == [], "its answer comes after all: it is nobody's any more"


def test_an_answer_that_was_only_overtaken_reaches_its_request() -> None:
    protocol = echoing()
    request = overtaken(protocol)
    protocol.received({"request_id": "request"}, 1.2)
    (event,) = protocol.take_events()
    assert isinstance(event, Answered)
    assert (event.input, event.certain) == (request, True)
    protocol.tick(2.0)
    assert protocol.take_events() == []
    assert protocol.quiet


def test_an_overtaken_request_goes_out_again_after_a_loss() -> None:
    protocol = echoing()
    request = overtaken(protocol)
    protocol.lost(Loss(Cause.CLOSED, 1006), 1.2)
    protocol.connecting(1.3)
    protocol.opened(1.3)
    assert protocol.take_due(1.3) is request
    protocol.tick(5.0)
    assert request.outcome is None, "it has its own time-out again"


def test_an_overtaken_request_ends_no_later_than_its_caller_wants() -> None:
    protocol = echoing()
    overtaken(protocol, timeout_at=1.2)
    assert protocol.next_deadline(1.1) == 1.2


def test_a_cancelled_request_that_was_overtaken_absorbs_its_answer() -> None:
    protocol = echoing()
    protocol.abandon(overtaken(protocol))
    assert protocol.quiet
    protocol.received({"request_id": "request"}, 1.2)
    protocol.tick(2.0)
    assert protocol.take_events() == []


def test_only_so_many_overtaken_requests_are_looked_for_but_each_ends() -> None:
    protocol = echoing()
    requests = [left(protocol, f"r{n}", Kind.REQUEST) for n in range(OVERTAKEN_MAX + 2)]
    protocol.received({"request_id": f"r{OVERTAKEN_MAX + 1}"}, 1.1)
    protocol.take_events()
    protocol.received({"request_id": "r0"}, 1.2)
    assert protocol.take_events() == []
    protocol.received({"request_id": "r1"}, 1.2)
    assert [event.input for event in protocol.take_events() if isinstance(event, Answered)] == [requests[1]]
    protocol.tick(1.35)
    assert len(protocol.take_events()) == OVERTAKEN_MAX
    assert all(request.outcome is not None for request in requests)


@pytest.mark.parametrize("pacing", [Adaptive(), Throttle(0.0), Latest()])
def test_a_stream_that_may_skip_nothing_sends_no_more_than_is_surely_kept(pacing: Pacing) -> None:
    protocol = echoing()
    lane = protocol.add_lane(pacing, keeps_all=True)
    left(protocol, "frame", Kind.STREAM, lane)
    assert protocol.slot_at(lane, 5.0, "another") is None
    protocol.received({"request_id": "frame"}, 5.0)
    assert protocol.slot_at(lane, 5.0, "another") is not None


def test_a_stream_that_may_skip_nothing_may_be_vouched_for() -> None:
    protocol = opened()
    lane = protocol.add_lane(Latest(in_flight=2), keeps_all=True)
    left(protocol, "one", Kind.STREAM, lane)
    assert protocol.slot_at(lane, 1.0, None) is not None
    left(protocol, "two", Kind.STREAM, lane)
    assert protocol.slot_at(lane, 1.0, None) is None
