"""``Client.run``: one call, its options, its errors, and when it is sent again."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import traceback
from collections.abc import Mapping
from typing import Any

import pytest

import falrt
from falrt.testing import make_token
from tests.http.scripted import CUT, Asked, Said, scripted
from tests.leaks import client_sockets, leaves_nothing, soon, until

APP = "fal-ai/flux/schnell"
KEY = "0123456789:abcdefghij"
INPUT = {"prompt": "a cät"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses between tries last no time."""
    monkeypatch.setattr("falrt.http.caller.random.random", lambda: 0.0)


def client(url: str, **options: Any) -> falrt.Client:
    return falrt.Client(**{"key": KEY, "base_url": url, **options})


class Script:
    """Answers one after the other; the last one again and again."""

    def __init__(self, *answers: Said) -> None:
        self._answers = list(answers)

    def __call__(self, asked: Asked) -> Said:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


GOOD = Said(body={"images": []})


async def call(*answers: Said, **options: Any) -> tuple[Any, list[Asked]]:
    """Run once against a script; return the result or the error, and what was asked."""
    async with scripted(Script(*answers)) as (url, asked), client(url) as fal, leaves_nothing(url):
        try:
            result: Any = await soon(fal.run(APP, INPUT, **options))
        except Exception as exc:
            result = exc
        await fal.aclose()
    return result, asked


# The request.


async def test_the_input_goes_as_json_with_the_key_and_the_result_comes_back() -> None:
    result, asked = await call(Said(body={"seed": 7}))
    assert result == {"seed": 7}
    assert (asked[0].method, asked[0].path, asked[0].json()) == ("POST", f"/{APP}", INPUT)
    assert asked[0].headers["authorization"] == f"Key {KEY}"
    assert asked[0].headers["content-type"] == "application/json"


async def test_options_become_headers_and_parameters() -> None:
    _, asked = await call(
        GOOD,
        start_timeout=30,
        hint="warm",
        headers={"X-Fal-Store-IO": "0"},
        query={"logs": True, "n": 2},
        expires_in="1h",
    )
    headers = asked[0].headers
    assert headers["x-fal-request-timeout"] == "30.0"
    assert headers["x-fal-runner-hint"] == "warm"
    assert headers["x-fal-store-io"] == "0"
    assert json.loads(headers["x-fal-object-lifecycle-preference"]) == {"expiration_duration_seconds": 3600}
    assert asked[0].query == {"logs": "true", "n": "2"}


@pytest.mark.parametrize("method", ["GET", "get"])
async def test_a_get_has_no_body(method: str) -> None:
    _, asked = await call(GOOD, method=method)
    assert (asked[0].method, asked[0].body) == ("GET", b"")


async def test_a_model_checks_the_input_and_loads_the_result() -> None:
    async with scripted(Script(Said(body={"images": [], "seed": 3, "prompt": "x"}))) as (url, asked):
        model = falrt.RealtimeModel(APP, dict, falrt.models.LCM.output_type)
        async with client(url) as fal:
            output = await soon(fal.run(model, INPUT))
            assert output.seed == 3
            with pytest.raises(ValueError, match="unknown_field"):
                await fal.run(falrt.models.LCM, {"prompt": "x", "unknown_field": 1})
    assert len(asked) == 1


async def test_bytes_in_an_input_become_base64() -> None:
    async with scripted(Script(GOOD)) as (url, asked), client(url) as fal:
        await soon(fal.run(APP, {"image_bytes": b"\xff\xd8"}))
    assert base64.b64decode(asked[0].json()["image_bytes"]) == b"\xff\xd8"


async def test_calls_one_after_the_other_share_a_connection() -> None:
    async with scripted(Script(GOOD)) as (url, _), client(url) as fal:
        for _ in range(3):
            await soon(fal.run(APP, INPUT))
        assert client_sockets(url) == 1


async def test_through_a_proxy_the_target_is_named_and_no_key_is_sent() -> None:
    async with (
        scripted(Script(GOOD)) as (url, asked),
        falrt.Client(proxy_url=f"{url}/api/fal/proxy") as fal,
    ):
        await soon(fal.run(APP, INPUT, query={"a": 1}))
    assert asked[0].path == "/api/fal/proxy"
    assert asked[0].headers["x-fal-target-url"] == f"https://fal.run/{APP}?a=1"
    assert "authorization" not in asked[0].headers


async def test_a_redirect_is_an_error_and_takes_no_key_along() -> None:
    async with scripted(Script(GOOD)) as (other, others_asked):
        result, asked = await call(Said(307, headers={"location": f"{other}/x"}))
    assert isinstance(result, falrt.HTTPStatusError)
    assert "base_url" in str(result)
    assert (len(asked), others_asked) == (1, [])


async def test_a_server_on_this_machine_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAL_KEY", raising=False)
    async with scripted(Script(GOOD)) as (url, asked), falrt.Client(base_url=url) as fal:
        await soon(fal.run(APP, INPUT))
    assert "authorization" not in asked[0].headers


async def test_without_a_key_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAL_KEY", raising=False)
    async with falrt.Client(base_url="http://10.255.255.1") as fal:
        with pytest.raises(falrt.MissingCredentialsError, match="FAL_KEY"):
            await soon(fal.run(APP, INPUT))


# What comes instead of a result.


async def test_an_error_names_the_field_the_status_and_the_request() -> None:
    problem = {"loc": ["body", "image_size"], "msg": "unexpected value 'no'", "type": "one_of"}
    error, asked = await call(Said(422, {"detail": [problem]}, {"x-fal-request-id": "1a2b"}))
    assert str(error) == f"{APP}: image_size: unexpected value 'no' (422, request 1a2b)"
    assert type(error) is falrt.HTTPStatusError
    assert (error.status, error.errors, error.error_type) == (422, (problem,), "one_of")
    assert (error.request_id, error.retryable, len(asked)) == ("1a2b", False, 1)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_an_authentication_error_at_once(status: int) -> None:
    error, asked = await call(Said(status, {"detail": f"bad key {KEY}"}))
    assert isinstance(error, falrt.UnauthorizedError)
    assert isinstance(error, falrt.HTTPStatusError)
    assert error.status == status
    assert KEY not in str(error) + repr(error.detail)
    assert len(asked) == 1


async def test_an_html_page_instead_of_json_is_named() -> None:
    error, _ = await call(Said(body=b"<html><title>Hello</title>", kind="text/html; charset=utf-8"))
    assert type(error) is falrt.HTTPCallError
    assert "expected JSON, got text/html that begins '<html>" in str(error)


async def test_an_html_page_with_an_error_status_shows_its_title() -> None:
    error, _ = await call(Said(500, b"<html><head><title>Oh no</title>", kind="text/html"))
    assert str(error) == f"{APP}: an HTML page, 'Oh no' (500)"


async def test_a_result_that_does_not_fit_is_a_validation_error() -> None:
    async with scripted(Script(Said(body={"images": 3}))) as (url, _), client(url) as fal:
        with pytest.raises(falrt.ResponseValidationError):
            await soon(fal.run(falrt.models.LCM, INPUT))


async def test_an_answer_beyond_the_limit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falrt.http.caller.REPLY_BYTES_MAX", 10)
    async with scripted(Script(Said(body=b"x" * 11))) as (url, _), client(url) as fal:
        with pytest.raises(falrt.HTTPCallError, match="larger than 10 bytes"):
            await soon(fal.run(APP, INPUT))


async def test_a_time_out_ends_the_call_and_its_connection() -> None:
    never = asyncio.Event()

    async def silent(asked: Asked) -> Said:
        await never.wait()
        return GOOD

    async with scripted(silent) as (url, asked), client(url) as fal, leaves_nothing(url):
        with pytest.raises(falrt.RequestTimeout, match=r"no result within 0\.05 s \(timeout\)"):
            await soon(fal.run(APP, INPUT, timeout=0.05))
        await fal.aclose()
    assert len(asked) == 1


async def test_a_cancelled_call_leaves_the_client_usable() -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    async def first_silent(asked: Asked) -> Said:
        if not begun.is_set():
            begun.set()
            await never.wait()
        return GOOD

    async with scripted(first_silent) as (url, _), client(url) as fal:
        task = asyncio.ensure_future(fal.run(APP, INPUT))
        await soon(begun.wait())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await soon(fal.run(APP, INPUT)) == {"images": []}


@pytest.mark.parametrize("times", [1, 2, 3, 5])
async def test_a_call_that_is_cancelled_again_and_again_leaves_no_socket(times: int) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    async def silent(asked: Asked) -> Said:
        begun.set()
        await never.wait()
        return GOOD

    async with scripted(silent) as (url, _), client(url) as fal:
        task = asyncio.ensure_future(fal.run(APP, INPUT))
        await soon(begun.wait())
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: client_sockets(url) == 0)


@pytest.mark.parametrize("turns", [0, 1, 3, 10])
@pytest.mark.parametrize("verb", ["run", "upload", "subscribe", "stream"])
async def test_a_call_under_way_when_its_client_is_closed_ends_and_leaves_nothing(
    verb: str, turns: int
) -> None:
    begun = asyncio.Event()

    async def silent(asked: Asked) -> Said:
        await begun.wait()
        return GOOD

    async with scripted(silent) as (url, _), client(url) as fal, leaves_nothing(url):
        calls = {
            "run": lambda: fal.run(APP, INPUT),
            "upload": lambda: fal.upload(b"x"),
            "subscribe": lambda: fal.subscribe(APP, INPUT),
            "stream": lambda: anext(fal.stream(APP, INPUT, auth="token")),
        }
        task = asyncio.ensure_future(calls[verb]())
        for _ in range(turns):
            await asyncio.sleep(0)
        await soon(fal.aclose())
        with pytest.raises(falrt.FalrtError):
            await soon(task)


async def test_a_host_that_cannot_be_a_name_is_an_error_of_ours() -> None:
    async with client("http://a..b") as fal:
        with pytest.raises(falrt.ConnectError, match=r"a\.\.b"):
            await soon(fal.run(APP, INPUT, retries=0))


# When it is sent again.

PLATFORM_FAILURES = [
    ("request_timeout", 504),
    ("startup_timeout", 504),
    ("runner_scheduling_failure", 503),
    ("runner_connection_timeout", 503),
    ("runner_disconnected", 503),
    ("runner_connection_refused", 503),
    ("runner_connection_error", 503),
    ("runner_incomplete_response", 502),
    ("runner_server_error", 500),
    ("internal_error", 500),
]


@pytest.mark.parametrize(("kind", "status"), PLATFORM_FAILURES)
@pytest.mark.wire("W71")
async def test_a_failure_of_the_platform_is_tried_again(kind: str, status: int) -> None:
    result, asked = await call(Said(status, {"detail": "oh", "error_type": kind}), GOOD)
    assert (result, len(asked)) == ({"images": []}, 2)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (429, {"detail": "concurrent_requests_limit"}, {}),
        (408, None, {}),
        (409, None, {}),
        (502, b"<center>nginx</center>", {}),
        (503, b"<center>nginx</center>", {}),
    ],
)
async def test_what_was_surely_not_worked_on_is_tried_again(
    status: int, body: Any, headers: Mapping[str, str]
) -> None:
    result, asked = await call(Said(status, body, headers), GOOD)
    assert (result, len(asked)) == ({"images": []}, 2)


MAYBE_ACCEPTED = [
    CUT,
    Said(500, {"detail": "Internal Server Error"}),
    Said(503, {"detail": "busy"}),
    Said(504, b"<center>nginx</center>", kind="text/html"),
    Said(502, b"nginx", {"x-fal-request-id": "1"}),
    Said(500, {"detail": [{"type": "internal_server_error", "msg": "boom", "loc": ["body"]}]}),
    Said(504, {"detail": "slow", "error_type": "generation_timeout"}),
]


@pytest.mark.parametrize("answer", MAYBE_ACCEPTED)
async def test_what_may_have_been_worked_on_is_sent_once(answer: Said) -> None:
    error, asked = await call(answer, GOOD)
    assert isinstance(error, falrt.HTTPCallError)
    assert error.retryable
    assert len(asked) == 1


@pytest.mark.parametrize("answer", MAYBE_ACCEPTED)
async def test_what_may_have_been_worked_on_is_sent_again_where_that_is_safe(answer: Said) -> None:
    result, asked = await call(answer, GOOD, repeatable=True)
    assert (result, len(asked)) == ({"images": []}, 2)


@pytest.mark.parametrize(
    "answer",
    [
        Said(504, {"detail": "x", "error_type": "request_timeout"}, {"x-fal-request-timeout-type": "user"}),
        Said(499, {"detail": "x", "error_type": "client_cancelled"}),
        Said(400, {"detail": "x", "error_type": "bad_request"}),
        Said(422, {"detail": "x"}, {"x-fal-retryable": "false"}),
        Said(402, {"detail": "no balance"}),
        Said(404, {"detail": "no such app"}),
    ],
)
async def test_what_cannot_pass_is_sent_once_whatever_is_safe(answer: Said) -> None:
    error, asked = await call(answer, GOOD, repeatable=True)
    assert isinstance(error, falrt.HTTPStatusError)
    assert not error.retryable
    assert len(asked) == 1


async def test_a_budget_of_retries_is_kept() -> None:
    error, asked = await call(Said(429, {"detail": "many"}), retries=2)
    assert isinstance(error, falrt.HTTPStatusError)
    assert len(asked) == 3
    error, asked = await call(Said(429, {"detail": "many"}), retries=0)
    assert len(asked) == 1


async def test_the_pause_is_as_long_as_the_service_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []
    sleep = asyncio.sleep

    async def noting(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr("falrt.http.caller.asyncio.sleep", noting)
    await call(Said(429, headers={"retry-after": "20"}), GOOD)
    assert 20 in pauses


async def test_a_service_that_asks_for_a_long_pause_is_not_waited_for() -> None:
    error, asked = await call(Said(429, headers={"retry-after": "3600"}), GOOD)
    assert (error.retry_after, len(asked)) == (3600, 1)


async def test_a_server_that_is_not_there_is_tried_again_and_then_named() -> None:
    async with scripted(Script(GOOD)) as (url, _):
        pass  # the port is free again, and nobody listens
    async with client(url) as fal:
        with pytest.raises(
            falrt.ConnectError, match=f"{APP}: nothing listens at 127.0.0.1.*falrt serve"
        ) as met:
            await soon(fal.run(APP, INPUT))
    shown = "".join(traceback.format_exception(met.value))
    assert "httpx" not in shown, "the chain of the HTTP library is for who asks"


# Wrong use.


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"start_timeout": 1}, "more than 1"),
        ({"retries": -1}, "retries"),
        ({"retries": True}, "retries"),
        ({"repeatable": "yes"}, "repeatable"),
        ({"hint": "a\nb"}, "hint"),
        ({"headers": {"Authorization": "Key x"}}, "key="),
        ({"headers": ["a"]}, "mapping"),
        ({"query": {"a": [1]}}, "query"),
        ({"expires_in": "2 weeks"}, "expires_in"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": True}, "expires_in"),
        ({"method": "P OST"}, "method"),
        ({"method": "PÖST"}, "method"),
        ({"query": {"a": "\ud800"}}, "half a character"),
        ({"headers": {"é": "x"}}, "no name of a header"),
        ({"headers": {"a\nb": "x"}}, "no name of a header"),
        ({"time_out": 3}, "did you mean 'timeout'"),
        ({"ping_interval": 3}, "connect()"),
    ],
)
async def test_a_wrong_option_is_named_before_anything_is_sent(options: dict[str, Any], text: str) -> None:
    async with falrt.Client(key=KEY, base_url="http://127.0.0.1:1") as fal:
        with pytest.raises(falrt.ConfigurationError) as caught:
            await fal.run(APP, INPUT, **options)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "app", ["flux", "https://fal.run/fal-ai/flux", "a//b", "", None, 3, falrt.RealtimeModel]
)
async def test_a_wrong_id_is_named_before_anything_is_sent(app: Any) -> None:
    async with falrt.Client(key=KEY, base_url="http://127.0.0.1:1") as fal:
        with pytest.raises(falrt.ConfigurationError):
            await fal.run(app, INPUT)


def endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    "value",
    [[1], None, "text", {"a": float("nan")}, {"a": "\ud800"}, {"a": object()}, endless()],
)
async def test_an_input_that_cannot_be_sent_is_an_error_of_ours(value: Any) -> None:
    async with falrt.Client(key=KEY, base_url="http://127.0.0.1:1") as fal:
        with pytest.raises((falrt.ConfigurationError, falrt.EncodeError)):
            await fal.run(APP, value)


async def test_an_input_beyond_what_can_be_sent_names_the_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falrt.http.caller.BODY_BYTES_MAX", 10)
    async with falrt.Client(key=KEY, base_url="http://127.0.0.1:1") as fal:
        with pytest.raises(falrt.ConfigurationError, match="upload"):
            await fal.run(APP, INPUT)


async def test_a_closed_client_says_so() -> None:
    fal = falrt.Client(key=KEY)
    await fal.aclose()
    with pytest.raises(falrt.ConfigurationError, match="closed"):
        await fal.run(APP, INPUT)


# Secrets.


async def test_no_key_shows_in_a_log_line_or_traceback(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("falrt", "httpx", "httpcore", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    error, _ = await call(Said(400, {"detail": f"Key {KEY} is odd"}))
    import traceback

    texts = [caplog.text, "".join(traceback.format_exception(error))]
    assert "fal-ai/flux/schnell" in caplog.text
    assert not [text for text in texts if KEY in text or KEY.split(":")[1] in text]


def events(data: bytes) -> Said:
    return Said(body=[data], kind="text/event-stream")


def quoting(kind: str, said: str) -> Any:
    """Answer as a service that quotes what it was sent, each time in another place."""
    text = json.dumps(said)[1:-1]
    job = {"request_id": "r1"}
    answers = {
        "status": Said(400, {"detail": said}),
        "header": Said(400, {"detail": "no"}, {"x-fal-request-id": said}),
        "page": Said(200, f"<{said}>".encode(), {"x-fal-request-id": said, "x-more": said}, kind="text/html"),
        "event": events(f'event: error\ndata: {{"detail": "{text}"}}\n\n'.encode()),
        "bare event": events(f"event: error\ndata: {text}\n\n".encode()),
        "odd event": events(f"data: {text}\n\n".encode()),
    }

    def answer(asked: Asked) -> Said:
        if kind in answers:
            return answers[kind]
        if asked.path.endswith("/stream"):
            return Said(404, None)
        if asked.path.endswith("/status"):
            odd = {"status": said} if kind == "odd job" else {"status": "COMPLETED", "error": said}
            return Said(body=odd)
        if "/storage/" in asked.path:
            return Said(body={"token": "t"})
        if "/files/" in asked.path:
            return Said(500, {"detail": said})
        return Said(body=job if asked.method == "POST" else {})

    return answer


TOKEN = make_token(APP)


@pytest.mark.parametrize("part", [KEY, *KEY.split(":"), TOKEN])
@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        *[("run", kind) for kind in ("status", "header", "page")],
        *[("stream", kind) for kind in ("status", "event", "bare event", "odd event")],
        *[("subscribe", kind) for kind in ("status", "page", "failed job", "odd job")],
        *[("upload", kind) for kind in ("status", "page", "file")],
    ],
)
async def test_no_error_shows_the_key_or_half_of_it_when_the_service_quotes_it(
    verb: str, kind: str, part: str
) -> None:
    async with scripted(quoting(kind, f"oh {part} no")) as (url, _), client(url) as fal:
        calls = {
            "run": lambda: fal.run(APP, INPUT, retries=0),
            "stream": lambda: anext(fal.stream(APP, INPUT)),
            "subscribe": lambda: fal.subscribe(APP, INPUT, retries=0),
            "upload": lambda: fal.upload(b"x" * 20),
        }
        with pytest.raises(falrt.FalrtError) as caught:
            await soon(calls[verb]())
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert part not in shown
