"""The queue's words."""

from __future__ import annotations

from typing import Any

import pytest

from falrt.exceptions import DecodeError
from falrt.protocol.wire.endpoint import Endpoint
from falrt.protocol.wire.queue import Completed, InProgress, NewLogs, Queued, read_status, request_path

A, B = {"message": "a", "timestamp": "1"}, {"message": "b", "timestamp": "2"}


@pytest.mark.wire("W76")
def test_the_endpoints_path_is_no_part_of_a_requests() -> None:
    assert request_path(Endpoint.parse("fal-ai/flux/dev"), "1") == "fal-ai/flux/requests/1"
    assert request_path(Endpoint.parse("workflows/me/mine/x"), "1") == "workflows/me/mine/requests/1"


@pytest.mark.wire("W77")
def test_each_status_has_a_type() -> None:
    assert read_status({"status": "IN_QUEUE", "queue_position": 3}) == Queued(3)
    assert read_status({"status": "IN_QUEUE"}) == Queued(0)
    assert read_status({"status": "IN_PROGRESS", "logs": [A, "odd"]}) == InProgress((A,))
    assert read_status({"status": "IN_PROGRESS", "logs": None}) == InProgress()
    done = {"status": "COMPLETED", "logs": [A], "metrics": {"inference_time": 1.5}}
    assert read_status(done) == Completed((A,), {"inference_time": 1.5})
    failed = {"status": "COMPLETED", "error": {"x": 1}, "error_type": "runner_server_error"}
    assert read_status(failed) == Completed((), {}, '{"x": 1}', "runner_server_error")


@pytest.mark.parametrize("reply", [None, [], "IN_QUEUE", {}, {"status": "LOST"}, {"status": ["x"]}])
def test_another_reply_is_an_error(reply: Any) -> None:
    with pytest.raises(DecodeError, match="unknown status"):
        read_status(reply)


def test_log_lines_are_given_once_whether_they_are_repeated_or_not() -> None:
    new = NewLogs()
    assert new.of(Queued(1)) == Queued(1)
    assert new.of(InProgress((A,))) == InProgress((A,))
    assert new.of(InProgress((A, B))) == InProgress((B,))
    assert new.of(InProgress((B,))) == InProgress(())
    assert new.of(Completed((A, B, B))) == Completed((B,))
