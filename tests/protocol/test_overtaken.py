"""What the server surely dropped while the socket lives, and streams in which nothing may be skipped."""

from __future__ import annotations

import pytest

from falrt.protocol.events import Answered, Failed
from falrt.protocol.in_flight import Input, Kind, Outcome
from falrt.protocol.lane import Lane
from falrt.protocol.pacing import Adaptive, Immediate, Latest, Pacing, Throttle
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


def test_a_request_that_was_overtaken_is_told_so_once() -> None:
    protocol = echoing()
    request = left(protocol, "request", Kind.REQUEST)
    left(protocol, "send", Kind.SEND)
    protocol.received({"request_id": "send"}, 1.1)
    assert [event.input for event in protocol.take_events() if isinstance(event, Failed)] == [request]
    assert protocol.take_due(1.1) is None


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
