"""What a message from the server means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falrt.protocol.wire.messages import (
    CONTROL_MAX_BYTES,
    IdleTimeout,
    Notice,
    ServerFault,
    Timings,
    Unauthorized,
    classify,
    control_in,
)

IDLE = {"type": "x-fal-error", "error": "TIMEOUT", "reason": "no inputs, reconnect when needed!"}
FAULT = {"type": "x-fal-error", "error": "INTERNAL_ERROR", "reason": "boom"}
REFUSED = {"status": "error", "error": "Unauthorized"}
TIMING = {"type": "x-fal-message", "action": "timings", "timing": 0.25}

# What a decoded message says.


@pytest.mark.wire("W20")
def test_a_timing_tells_the_seconds_of_the_output_before_it() -> None:
    assert classify(TIMING) == Timings(0.25)
    assert classify({**TIMING, "timing": 2}) == Timings(2.0)
    assert classify({**TIMING, "timing": 0.0}) == Timings(0.0)


@pytest.mark.parametrize(
    "timing", [None, True, "0.2", -0.1, float("nan"), float("inf"), 10**400, [1]], ids=lambda value: repr(value)[:8]
)  # fmt: skip
def test_a_timing_that_is_no_duration_is_only_a_notice(timing: Any) -> None:
    message = {**TIMING, "timing": timing}
    assert classify(message) == Notice("timings", message)


@pytest.mark.wire("W21")
def test_an_unknown_action_is_a_notice() -> None:
    message = {"type": "x-fal-message", "action": "progress", "timing": 1.0}
    assert classify(message) == Notice("progress", message)
    assert classify({"type": "x-fal-message"}) == Notice("", {"type": "x-fal-message"})


@pytest.mark.wire("W22")
def test_the_idle_timeout_is_no_fault() -> None:
    assert classify(IDLE) == IdleTimeout(IDLE)


@pytest.mark.wire("W23")
def test_an_internal_error_carries_its_reason() -> None:
    assert classify(FAULT) == ServerFault("INTERNAL_ERROR", "boom", FAULT)


@pytest.mark.wire("W23")
def test_an_error_code_that_nobody_has_seen_is_a_fault_too() -> None:
    message = {"type": "x-fal-error", "error": "QUOTA"}
    assert classify(message) == ServerFault("QUOTA", "", message)


def test_an_error_without_a_code_is_a_fault_of_unknown_name() -> None:
    message = {"type": "x-fal-error", "reason": None}
    assert classify(message) == ServerFault("UNKNOWN", "", message)


@pytest.mark.wire("W24")
@pytest.mark.parametrize("word", ["Unauthorized", "unauthorized", " UNAUTHORIZED "])
def test_unauthorized_is_told_apart(word: str) -> None:
    message = {"status": "error", "error": word}
    assert classify(message) == Unauthorized(message)


@pytest.mark.wire("W25")
def test_any_other_error_of_the_gateway_is_a_fault() -> None:
    message = {"status": "error", "error": "Forbidden", "reason": "app list"}
    assert classify(message) == ServerFault("Forbidden", "app list", message)
    odd = {"status": "error", "error": {"code": 5}}
    assert classify(odd) == ServerFault("{'code': 5}", "", odd)


@pytest.mark.wire("W25")
@pytest.mark.parametrize("more", [{}, {"error": None}, {"error": ""}, {"seed": 1}])
def test_a_message_with_the_status_error_is_a_fault_whatever_it_lacks(more: dict[str, Any]) -> None:
    message = {"status": "error", **more}
    assert classify(message) == ServerFault("UNKNOWN", "", message)
    assert control_in(json.dumps(message)) == ServerFault("UNKNOWN", "", message)


@pytest.mark.parametrize("name", ["reason", "message", "detail"])
def test_what_an_error_says_is_its_reason(name: str) -> None:
    message = {"status": "error", name: "no runner"}
    assert classify(message) == ServerFault("UNKNOWN", "no runner", message)


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "x-fal-error",
        5,
        {},
        {"images": []},
        {"status": "ok", "error": "none"},
        {"type": "image", "error": "TIMEOUT"},
        {"type": ["x-fal-error"]},
    ],
)
def test_everything_else_is_a_result(message: Any) -> None:
    assert classify(message) is None


# Control messages in frames, before decoding.


@pytest.mark.wire("W26")
@pytest.mark.parametrize("message", [IDLE, FAULT, REFUSED, TIMING])
def test_control_is_found_in_text_and_in_json_bytes(message: dict[str, Any]) -> None:
    text = json.dumps(message)
    expected = classify(message)
    assert expected is not None
    assert control_in(text) == expected
    assert control_in(text.encode()) == expected


@pytest.mark.wire("W26")
def test_a_msgpack_map_that_quotes_control_is_left_to_the_codec() -> None:
    frame = (
        b"\x81\xa4note" + bytes([0xD9, 60]) + b'{"type":"x-fal-error","error":"TIMEOUT","reason":"xxxxxxxxx"}'
    )
    assert control_in(frame) is None


@pytest.mark.wire("W27")
def test_msgpack_maps_never_begin_like_json() -> None:
    # fixmap, map 16, map 32
    assert ord("{") not in {*range(0x80, 0x90), 0xDE, 0xDF}
    assert control_in(b"\x80") is None


@pytest.mark.parametrize(
    "frame",
    [
        "",
        b"",
        "{}",
        '{"images": []}',
        '{"status": "done"}',
        b'{"status": "done"}',
        'x-fal- {"type"',
        b'{"status": cut',
        '{"status":' + "[" * 8000,
        b'{"status":"\xff"}',
        '["x-fal-error"]',
    ],
    ids=lambda value: repr(value)[:20],
)
def test_other_frames_are_left_to_the_codec(frame: Any) -> None:
    assert control_in(frame) is None


def test_a_long_frame_is_not_searched() -> None:
    long = json.dumps({**FAULT, "reason": "x" * CONTROL_MAX_BYTES})
    assert control_in(long) is None
    assert classify(json.loads(long)) is not None


@given(st.binary(max_size=64) | st.text(max_size=64))
def test_any_frame_can_be_looked_at(frame: bytes | str) -> None:
    control_in(frame)
    for mark in ("x-fal-", '"status"'):
        control_in(frame + mark if isinstance(frame, str) else b"{" + frame + mark.encode())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "action", "timing", "error", "reason", "status"]), inner
            )
        ),
        max_leaves=6,
    ),
    st.sampled_from(
        [
            None,
            {"type": "x-fal-error"},
            {"type": "x-fal-message", "action": "timings"},
            {"status": "error"},
        ]
    ),
)
def test_any_message_can_be_classified(message: Any, more: dict[str, Any] | None) -> None:
    if more is not None:
        message = {**message, **more} if isinstance(message, dict) else more
    meaning = classify(message)
    if isinstance(meaning, Timings):
        assert 0 <= meaning.inference_time < float("inf")


def test_a_control_message_of_a_kind_to_come_is_a_notice_and_nobodys_answer() -> None:
    message = {"type": "x-fal-warning", "text": "slow"}
    assert classify(message) == Notice("x-fal-warning", message)


@pytest.mark.parametrize(
    "frame", ['  {"type": "x-fal-error", "error": "TIMEOUT"}\n', b'{"type":"x-fal-error","error":"TIMEOUT"} ']
)
def test_white_space_around_a_control_message_changes_nothing(frame: str | bytes) -> None:
    assert isinstance(control_in(frame), IdleTimeout)


def test_a_control_message_with_something_behind_it_is_none() -> None:
    assert control_in('{"type": "x-fal-error", "error": "TIMEOUT"} {}') is None
