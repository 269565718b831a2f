"""What an error answer says, and whether the same request may be sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falrt.exceptions import HTTPAuthenticationError, HTTPCallError, HTTPStatusError, UploadError
from falrt.protocol.wire.http_errors import (
    is_safe_to_repeat,
    read_detail,
    read_error,
    recast,
    seconds_in,
    tells_failure,
)

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE4MDAwMDAwMDB9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


def error(status: int, body: Any = None, **headers: str) -> HTTPStatusError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_error(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, data, what="a/b"
    )


@pytest.mark.wire("W70")
def test_a_flat_error_gives_its_text_and_type() -> None:
    exc = error(503, {"detail": "gone", "error_type": "runner_disconnected"}, x_fal_request_id="7")
    assert str(exc) == "a/b: gone (503, request 7)"
    assert (exc.detail, exc.error_type, exc.request_id) == ("gone", "runner_disconnected", "7")
    assert (
        error(503, {"detail": "gone"}, x_fal_error_type="runner_disconnected").error_type
        == "runner_disconnected"
    )


@pytest.mark.wire("W70")
def test_a_list_of_problems_names_each_field() -> None:
    problems = [
        {"loc": ["body", "loras", 0, "scale"], "msg": "too large", "type": "less_than"},
        {"loc": ["body"], "msg": "no prompt", "type": "missing"},
        {"msg": "odd"},
        {"type": "x"},
    ]
    exc = error(422, {"detail": problems})
    assert str(exc) == "a/b: loras.0.scale: too large; body: no prompt; odd; and 1 more (422)"
    assert (exc.errors, exc.error_type) == (tuple(problems), None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"detail": {"reason": "no"}}, '{"reason": "no"}'),
        ({"detail": ["one", "two"]}, "one; two"),
        ({"detail": [{"msg": "odd", "type": {"a": 1}}, {"msg": "too", "type": ["a"]}]}, "odd; too"),
        ({"message": "moved"}, "moved"),
        (["a"], "a"),
        ("text", "text"),
        (None, "null"),
        (b"", "no explanation"),
        (b"<html><TITLE>\n 502 Bad Gateway </TITLE>", "an HTML page, '502 Bad Gateway'"),
        (b"\xff\xfe", "��"),
        (b"[" * 100_000, None),
    ],
)
def test_whatever_was_said_is_shown_shortly(body: Any, said: str | None) -> None:
    text = str(error(500, body))
    assert len(text) < 600
    if said is not None:
        assert text == f"a/b: {said} (500)"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_has_a_type_of_its_own(status: int) -> None:
    exc = error(status, {"detail": "Key id:0123456789abcdef is wrong"})
    assert isinstance(exc, HTTPAuthenticationError)
    assert "0123456789abcdef" not in str(exc)
    assert exc.status == status


@pytest.mark.wire("W71")
def test_the_type_decides_before_the_status() -> None:
    assert error(400, {"detail": "", "error_type": "runner_disconnected"}).retryable
    assert not error(503, {"detail": "", "error_type": "bad_request"}).retryable
    assert not error(499, {"detail": "", "error_type": "client_cancelled"}).retryable
    assert error(500).retryable
    assert not error(422).retryable


@pytest.mark.wire("W72")
def test_a_model_says_whether_another_try_may_help() -> None:
    assert error(422, {"detail": "x"}, x_fal_retryable="true").retryable
    assert error(422, {"detail": "x"}, x_fal_needs_retry="true").retryable
    assert not error(500, {"detail": "x"}, x_fal_retryable="false").retryable
    problem = {"loc": ["body"], "msg": "m", "type": "generation_timeout"}
    exc = error(504, {"detail": [problem]})
    assert exc.retryable
    assert not is_safe_to_repeat(exc)


@pytest.mark.wire("W73")
def test_a_limit_of_ones_own_is_final() -> None:
    exc = error(504, {"detail": "", "error_type": "request_timeout"}, x_fal_request_timeout_type="user")
    assert not exc.retryable
    assert not is_safe_to_repeat(exc)


@pytest.mark.wire("W74")
def test_a_page_of_the_entrance_is_safe_to_repeat_unless_it_waited_for_an_answer() -> None:
    page = b"<center>nginx/1.25</center>"
    assert is_safe_to_repeat(error(502, page))
    assert is_safe_to_repeat(error(503, page))
    assert not is_safe_to_repeat(error(504, page))
    assert not is_safe_to_repeat(error(502, page, x_fal_request_id="7"))
    assert not is_safe_to_repeat(error(502, b"bad gateway"))


def test_too_many_are_safe_to_repeat_whatever_their_type_is_called() -> None:
    assert is_safe_to_repeat(error(429, {"detail": "", "error_type": "concurrent_requests_limit"}))


def test_without_an_answer_nothing_is_safe() -> None:
    assert not is_safe_to_repeat(HTTPCallError("lost", retryable=True))


def test_a_pause_is_given_in_seconds_or_as_a_date() -> None:
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert seconds_in("120", 0.0) == 120.0
    assert seconds_in(date, 784_111_770.0) == 7.0
    assert seconds_in(date, 784_111_999.0) == 0.0
    assert error(503, None, retry_after="2").retry_after == 2.0
    for wrong in (None, "", "soon", "-1", "²", "9" * 400):
        assert seconds_in(wrong, 0.0) in (None, 999_999_999.0)


@given(status=st.integers(300, 599), body=st.binary(max_size=200), kind=st.text(max_size=20))
def test_any_answer_becomes_an_error(status: int, body: bytes, kind: str) -> None:
    exc = read_error(status, {"x-fal-error-type": kind, "retry-after": kind}, body, what="a/b")
    assert str(exc).startswith("a/b: ")
    assert is_safe_to_repeat(exc) in (True, False)


def test_an_error_can_be_told_as_another_type_with_what_it_carries() -> None:
    told = recast(error(503, {"detail": "busy"}), UploadError)
    assert type(told) is UploadError
    assert (told.status, told.detail) == (503, "busy")


def test_a_model_error_whose_status_says_that_it_began_is_not_safe_to_repeat() -> None:
    assert not is_safe_to_repeat(error(500, {"detail": "x"}, x_fal_error_type="model_broke"))


def test_a_failure_of_the_platform_before_the_model_is_safe_to_repeat() -> None:
    failure = error(503, {"detail": "x", "error_type": "runner_scheduling_failure"})
    assert is_safe_to_repeat(failure)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"detail": "Forbidden"}', "Forbidden"),
        ('{"error": "locked", "request": 7}', "locked"),
        ('{"message": "no"}', "no"),
        ('{"detail": {"msg": "balance is 0"}}', "balance is 0"),
        ('{"detail": {"code": 7}}', '{"code": 7}'),
        (
            '{"detail": [{"loc": ["body", "app"], "msg": "Field required", "input": 1}, {"msg": "b"}]}',
            "app: Field required; b",
        ),
        ('{"detail": ["a", 3]}', "a; 3"),
        ('{"code": 1}', '{"code": 1}'),
        ("Bad\n  gateway", "Bad gateway"),
        ("", ""),
        ("[" * 100_000, "[" * 297 + "..."),
    ],
    ids=lambda text: text[:20],
)
def test_what_an_error_reply_says_is_found_and_shortened(body: str, said: str) -> None:
    assert read_detail(body) == said


def test_a_token_in_an_error_reply_is_not_repeated() -> None:
    assert read_detail(json.dumps({"detail": f"token '{JWT}' has expired"})) == "token *** has expired"


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_error_reply_can_be_told(reply: object) -> None:
    assert len(read_detail(json.dumps({"detail": reply}))) <= 300


@pytest.mark.parametrize(
    ("value", "fails"),
    [
        ({"type": "x-fal-error"}, True),
        ({"status": "error", "error": "x"}, True),
        ({"detail": "x"}, True),
        ({"detail": "x", "error_type": "y", "more": 1}, True),
        ({"detail": "fine", "images": []}, False),
        ({"status": "ok", "error": None}, False),
        ([{"detail": "x"}], False),
        (None, False),
    ],
)
def test_an_event_tells_of_a_failure_in_few_forms(value: object, fails: bool) -> None:
    assert tells_failure(value) is fails
