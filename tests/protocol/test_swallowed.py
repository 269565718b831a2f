"""Inputs that a server swallowed while its socket lives: nothing behind them waits for ever."""

from __future__ import annotations

from falrt.protocol.pacing.policies import Latest
from falrt.protocol.pairing.overdue import PATIENCE_UNKNOWN
from falrt.protocol.reconnect.liveness import Keepalive
from tests.protocol.line import Line

SILENT = Keepalive(None, None)


def test_a_send_behind_a_request_that_was_given_up_gets_a_new_socket() -> None:
    line = Line(keepalive=SILENT).open(0.0)
    request = line.request("request", 1.0)
    assert line.leave(1.0) == ["request"]
    line.protocol.abandon(request)
    line.send("send", 2.0)
    assert line.leave(2.0) == []
    assert line.next == 1.0 + PATIENCE_UNKNOWN
    line.at(1.0 + PATIENCE_UNKNOWN)
    line.lose(5.0, code=line.given_up().code)
    line.open(5.0)
    assert line.leave(5.0) == ["send"]


def test_a_send_behind_a_request_that_is_awaited_leaves_the_clock_to_it() -> None:
    line = Line(keepalive=SILENT, request_timeout=50.0).open(0.0)
    line.request("request", 1.0)
    line.leave(1.0)
    line.send("send", 2.0)
    assert line.next == 51.0


def test_a_request_behind_a_send_that_the_pacing_holds_gets_a_new_socket() -> None:
    line = Line(pacing=Latest(), keepalive=SILENT).open(0.0)
    line.send("swallowed", 1.0)
    line.leave(1.0)
    line.send("newest", 2.0)
    line.request("request", 2.0)
    assert line.leave(2.0) == []
    assert line.next == 1.0 + PATIENCE_UNKNOWN


def test_a_send_that_the_pacing_holds_leaves_when_the_app_has_hung_for_the_time_of_a_request() -> None:
    line = Line(pacing=Latest(), keepalive=SILENT, request_timeout=50.0).open(0.0)
    line.send("swallowed", 1.0)
    line.leave(1.0)
    line.send("newest", 2.0)
    assert line.next == 51.0
    line.at(51.0)
    line.lose(51.0, code=line.given_up().code)
    line.open(51.0)
    assert line.leave(51.0) == ["newest"]


def test_a_lone_send_is_sent_again_when_the_app_has_hung_for_the_time_of_a_request() -> None:
    line = Line(keepalive=SILENT, request_timeout=50.0).open(0.0)
    line.send("swallowed", 1.0)
    line.leave(1.0)
    line.at(51.0)
    line.lose(51.0, code=line.given_up().code)
    line.open(51.0)
    assert line.leave(51.0) == ["swallowed"]


def test_a_send_may_wait_for_ever_where_requests_may() -> None:
    line = Line(keepalive=SILENT, request_timeout=None).open(0.0)
    line.send("swallowed", 1.0)
    line.leave(1.0)
    assert line.next is None
