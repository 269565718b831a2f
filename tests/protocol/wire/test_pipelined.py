"""HTTP over WebSockets: whole answers of messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from falrt.exceptions import DecodeError, ServerError, UnauthorizedError
from falrt.protocol.wire.pipelined import Answer, AnswerReader


def start(request_id: str = "1", **more: Any) -> bytes:
    return json.dumps({"type": "start", "request_id": request_id, "status": 200, **more}).encode()


def end(request_id: str = "1", **more: Any) -> bytes:
    return json.dumps({"type": "end", "request_id": request_id, **more}).encode()


@pytest.mark.wire("W79")
def test_an_answer_is_a_start_a_body_and_an_end() -> None:
    reader = AnswerReader()
    assert reader.feed(start(headers={"X-Fal": "a"}), is_text=True) is None
    assert reader.feed(b'{"type":"start"', is_text=True) is None
    assert reader.feed(b',"a":1}', is_text=False) is None
    assert reader.feed(end(), is_text=True) == Answer(200, {"x-fal": "a"}, b'{"type":"start","a":1}', "1")


@pytest.mark.wire("W79")
def test_a_body_may_look_like_a_map_of_its_own() -> None:
    reader = AnswerReader()
    reader.feed(start(), is_text=True)
    for body in (b'{"type":"end"}', b'{"request_id":"1"}', b"{}", b"{", b'{"type":"x","request_id":"1"}'):
        assert reader.feed(body, is_text=True) is None
    assert reader.feed(end(), is_text=False) is None  # binary is never about the answer
    answer = reader.feed(end(status=500), is_text=True)
    assert answer is not None
    assert answer.status == 500


def test_answers_follow_one_another() -> None:
    reader = AnswerReader()
    for request_id in "abc":
        reader.feed(start(request_id, headers=None), is_text=True)
        answer = reader.feed(end(request_id), is_text=True)
        assert answer == Answer(200, {}, b"", request_id)


def test_what_comes_out_of_turn_is_an_error() -> None:
    for first in (b"{}", end(), b"[" * 10):
        with pytest.raises(DecodeError, match="belongs to no answer"):
            AnswerReader().feed(first, is_text=True)
    reader = AnswerReader()
    reader.feed(start(), is_text=True)
    with pytest.raises(DecodeError, match="before the last one ended"):
        reader.feed(start("2"), is_text=True)


def test_a_body_without_end_is_an_error() -> None:
    reader = AnswerReader(limit=10)
    reader.feed(start(), is_text=True)
    reader.feed(b"0123456789", is_text=False)
    with pytest.raises(DecodeError, match="larger than 10"):
        reader.feed(b"0", is_text=False)


def test_a_refusal_of_the_gateway_is_an_error_of_its_own() -> None:
    def refused(error: str) -> bytes:
        return json.dumps({"status": "error", "error": error}).encode()

    with pytest.raises(UnauthorizedError, match="FAL_KEY"):
        AnswerReader().feed(refused("Unauthorized"), is_text=True)
    with pytest.raises(ServerError, match="Overloaded") as caught:
        AnswerReader().feed(refused("Overloaded"), is_text=True)
    assert caught.value.payload == {"status": "error", "error": "Overloaded"}
    with pytest.raises(ServerError, match="UNKNOWN: no runner"):
        AnswerReader().feed(b'{"status": "error", "reason": "no runner"}', is_text=True)
