"""What the server surely dropped while the socket lives, and streams in which nothing may be skipped."""

from __future__ import annotations

from typing import Any

import pytest

from falrt.exceptions import RequestDropped, RequestTimeout
from falrt.protocol.events import Answered, Failed, Lost, Pushed
from falrt.protocol.inputs import Input, Kind, Lane, Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pacing.policies import Adaptive, Immediate, Latest, Pacing, Throttle
from falrt.protocol.realtime import RealtimeProtocol
from falrt.protocol.settings import Settings
from tests.protocol.line import taken


def opened(pacing: Pacing | None = None) -> RealtimeProtocol:
    protocol = RealtimeProtocol(Settings(app="acme/app", pacing=pacing or Immediate()), 0.0, lambda: 0.5)
    protocol.connecting(0.0)
    protocol.opened(0.0)
    return protocol


def left(
    protocol: RealtimeProtocol, name: str, kind: Kind, lane: Lane | None = None, **details: Any
) -> Input:
    """Offer an input that leaves at once."""
    input = Input(name.encode(), kind, lane or protocol.main, 1.0, request_id=name, value=name, **details)
    protocol.submit(input, 1.0)
    assert protocol.take_due(1.0) is input
    return input


def echoing() -> RealtimeProtocol:
    """An app that is known to echo ids."""
    protocol = opened()
    left(protocol, "first", Kind.REQUEST)
    protocol.received({"request_id": "first"}, 1.0)
    taken(protocol)
    return protocol


def test_the_newest_send_that_a_request_pushed_out_is_sent_again_and_answered() -> None:
    protocol = echoing()
    send, request = left(protocol, "send", Kind.SEND), left(protocol, "request", Kind.REQUEST)
    protocol.received({"request_id": "request"}, 1.1)
    assert protocol.take_due(1.1) is send
    protocol.received({"request_id": "send"}, 1.2)
    assert [event.input for event in taken(protocol) if isinstance(event, Answered)] == [request, send]
    assert protocol.stats(1.2).dropped == 0


def test_a_send_that_a_newer_one_overtook_is_over() -> None:
    protocol = echoing()
    old = left(protocol, "old", Kind.SEND)
    left(protocol, "new", Kind.SEND)
    protocol.received({"request_id": "new"}, 1.1)
    assert (old.outcome, protocol.take_due(1.1), protocol.stats(1.1).dropped) == (Outcome.SUPERSEDED, None, 1)


def overtaken(protocol: RealtimeProtocol, **details: Any) -> Input:
    """A request that the server dropped in favour of a send."""
    request = left(protocol, "request", Kind.REQUEST, **details)
    left(protocol, "send", Kind.SEND)
    protocol.received({"request_id": "send"}, 1.1)
    return request


def answered(protocol: RealtimeProtocol) -> list[Input]:
    return [event.input for event in taken(protocol) if isinstance(event, Answered)]


def test_a_request_that_the_server_dropped_is_sent_again_ahead_of_newer_ones() -> None:
    protocol = echoing()
    request = overtaken(protocol)
    newer = Input(b"newer", Kind.REQUEST, protocol.main, 1.1, request_id="newer")
    protocol.submit(newer, 1.1)
    assert protocol.take_due(1.1) is request
    assert protocol.take_due(1.1) is None, "as the newest it is surely kept"
    taken(protocol)
    protocol.received({"request_id": "request"}, 1.2)
    assert answered(protocol) == [request]
    assert protocol.take_due(1.2) is newer
    assert protocol.stats(1.2).dropped == 0


def test_a_request_that_is_dropped_again_and_again_ends_by_its_timeout() -> None:
    protocol = echoing()
    request = overtaken(protocol, timeout_at=3.0)
    taken(protocol)
    assert protocol.take_due(1.1) is request
    protocol.tick(3.0)
    (event,) = taken(protocol)
    assert isinstance(event, Failed)
    assert isinstance(event.error, RequestTimeout)


def test_a_request_that_may_leave_only_once_is_told_that_it_was_dropped() -> None:
    protocol = echoing()
    request = overtaken(protocol, resend=False)
    (failed,) = [event for event in taken(protocol) if isinstance(event, Failed)]
    assert failed.input is request
    assert isinstance(failed.error, RequestDropped)
    assert (protocol.pending(), protocol.take_due(1.4), protocol.stats(1.4).dropped) == (0, None, 1)
    protocol.received({"request_id": "request"}, 1.5)
    assert taken(protocol) == [], "its answer comes after all: it is nobody's any more"


def test_a_request_that_may_leave_only_once_is_not_sent_on_another_socket() -> None:
    protocol = echoing()
    request = left(protocol, "request", Kind.REQUEST, resend=False)
    waits = Input(b"waits", Kind.REQUEST, protocol.main, 1.1, resend=False)
    protocol.submit(waits, 1.1)
    protocol.lost(Loss(Cause.CLOSED, 1001, reason="going away"), 2.0)
    lost, failed = taken(protocol)
    assert isinstance(lost, Lost)
    assert isinstance(failed, Failed)
    assert failed.input is request
    assert isinstance(failed.error, RequestDropped)
    assert "going away" in str(failed.error)
    protocol.connecting(3.0)
    protocol.opened(3.0)
    assert protocol.take_due(3.0) is waits


def test_an_answer_that_was_only_overtaken_reaches_its_request_before_it_leaves_again() -> None:
    protocol = echoing()
    request = overtaken(protocol)
    taken(protocol)
    protocol.received({"request_id": "request"}, 1.2)
    assert answered(protocol) == [request]
    assert protocol.take_due(1.2) is None
    assert not protocol.pending()


def test_a_request_that_left_twice_is_answered_once() -> None:
    protocol = echoing()
    request = overtaken(protocol)
    assert protocol.take_due(1.1) is request
    taken(protocol)
    protocol.received({"request_id": "request"}, 1.2)
    protocol.received({"request_id": "request"}, 1.3)
    assert answered(protocol) == [request]


def test_the_late_answer_of_a_send_that_was_dropped_is_nobodys_but_the_receivers() -> None:
    protocol = echoing()
    left(protocol, "old", Kind.SEND)
    left(protocol, "new", Kind.SEND)
    protocol.received({"request_id": "new"}, 1.1)
    taken(protocol)
    protocol.received({"request_id": "old"}, 1.2)
    assert taken(protocol) == [Pushed({"request_id": "old"})]


def test_a_cancelled_request_that_was_dropped_does_not_leave_again() -> None:
    protocol = echoing()
    protocol.abandon(overtaken(protocol))
    taken(protocol)
    assert not protocol.pending()
    assert protocol.take_due(1.2) is None
    protocol.received({"request_id": "request"}, 1.2)
    assert taken(protocol) == []


def test_how_many_requests_may_be_unanswered_is_learned_from_drops() -> None:
    """A server that holds three: one in work, two waiting; the oldest waiting gives way."""
    protocol, held, answers, drops = echoing(), [], 0, 0
    for n in range(50):
        protocol.submit(Input(b"x", Kind.REQUEST, protocol.main, 1.0, request_id=f"r{n}"), 1.0)
    for _ in range(400):
        while (input := protocol.take_due(1.0)) is not None:
            held.append(input)
            if len(held) > 3:
                drops += 1
                del held[1]
        if not held:
            break
        protocol.received({"request_id": held.pop(0).request_id}, 1.0)
        answers += len(answered(protocol))
    assert answers == 50
    assert 1 <= drops <= 3


@pytest.mark.parametrize("pacing", [Adaptive(), Throttle(0.0), Latest()])
def test_a_stream_that_may_skip_nothing_sends_no_more_than_is_surely_kept(pacing: Pacing) -> None:
    protocol = echoing()
    lane = protocol.add_lane(pacing, keeps_all=True)
    left(protocol, "frame", Kind.STREAM, lane)
    assert protocol.want_slot(lane, None, 5.0) is None
    protocol.received({"request_id": "frame"}, 5.0)
    assert protocol.want_slot(lane, None, 5.0) is not None


def test_a_stream_that_may_skip_nothing_may_be_vouched_for() -> None:
    protocol = opened()
    lane = protocol.add_lane(Latest(in_flight=2), keeps_all=True)
    left(protocol, "one", Kind.STREAM, lane)
    assert protocol.want_slot(lane, None, 1.0) is not None
    left(protocol, "two", Kind.STREAM, lane)
    assert protocol.want_slot(lane, None, 1.0) is None


def test_a_stream_without_a_limit_of_its_own_learns_from_its_drops_too() -> None:
    protocol = echoing()
    lane = protocol.add_lane(Immediate(), keeps_all=False)
    left(protocol, "one", Kind.STREAM, lane)
    left(protocol, "two", Kind.STREAM, lane)
    protocol.received({"request_id": "two"}, 1.1)
    left(protocol, "three", Kind.STREAM, lane)
    assert protocol.want_slot(lane, "x", 1.2) is None, "one at a time from now on"


def test_a_request_that_was_given_up_before_it_was_dropped_is_nobodys_news() -> None:
    protocol = echoing()
    request = left(protocol, "request", Kind.REQUEST)
    left(protocol, "send", Kind.SEND)
    protocol.abandon(request)
    protocol.received({"request_id": "send"}, 1.1)
    assert [type(event) for event in taken(protocol)] == [Answered]
    assert (request.outcome, protocol.take_due(1.1)) == (Outcome.ABANDONED, None)
