"""``Client.stream``: results in parts."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

import falrt
from falrt.testing import make_token
from tests.http.scripted import CUT, Asked, Said, scripted
from tests.leaks import leaves_nothing, soon

APP = "fal-ai/flux/dev"
KEY = "0123456789:abcdefghij"
INPUT = {"prompt": "a cat"}
TOKEN = make_token(APP)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses between tries last no time."""
    monkeypatch.setattr("falrt.http.caller.random.random", lambda: 0.0)


def client(url: str, **options: Any) -> falrt.Client:
    return falrt.Client(**{"key": KEY, "base_url": url, **options})


def events(*pieces: bytes, cut: bool = False, **headers: str) -> Said:
    return Said(body=list(pieces), headers=headers, kind="text/event-stream; charset=utf-8", cut=cut)


async def stream(*answers: Said, **options: Any) -> tuple[list[Any], list[Asked]]:
    """Stream against a script; return what came, the error last, and what was asked."""
    script = list(answers)
    async with (
        scripted(lambda _: script.pop(0) if len(script) > 1 else script[0]) as (url, asked),
        client(url) as fal,
        leaves_nothing(url),
    ):
        got: list[Any] = []
        try:
            async with asyncio.timeout(5):
                async for each in fal.stream(APP, INPUT, **options):
                    got.append(each)  # noqa: PERF401 - what came before an error is kept
        except Exception as exc:
            got.append(exc)
        await fal.aclose()
    return got, asked


async def test_each_event_is_a_part_of_the_result() -> None:
    text = 'data: {"n": 1, "s": "ä€😀"}\n\n: alive\n\nevent: part\nid: 3\nretry: 10\ndata: {"n":\ndata: 2}\n\n'.encode()
    got, asked = await stream(events(*(text[i : i + 1] for i in range(len(text)))))
    assert got == [{"n": 1, "s": "ä€😀"}, {"n": 2}]
    assert (asked[0].method, asked[0].path, asked[0].json()) == ("POST", f"/{APP}/stream", INPUT)
    assert asked[0].headers["accept"].startswith("text/event-stream")
    assert asked[0].headers["authorization"] == f"Key {KEY}"


async def test_the_path_is_not_doubled() -> None:
    async with scripted(lambda _: events(b"data: 1\n\n")) as (url, asked), client(url) as fal:
        _ = [each async for each in fal.stream(f"{APP}/stream", INPUT)]
    assert asked[0].path == f"/{APP}/stream"


async def test_empty_events_are_no_parts_and_falsy_ones_are() -> None:
    got, _ = await stream(events(b"data:\n\ndata: 0\n\ndata: []\n\ndata: null\n\n"))
    assert got == [0, [], None]


async def test_parts_are_loaded_by_the_model() -> None:
    data = json.dumps({"images": [], "seed": 3}).encode()
    async with scripted(lambda _: events(b"data: " + data + b"\n\n")) as (url, _), client(url) as fal:
        outputs = [each async for each in fal.stream(falrt.models.LCM, INPUT)]
    assert isinstance(outputs[0], falrt.models.LCM.output_type)


async def test_a_body_that_is_no_event_stream_comes_as_it_is() -> None:
    got, _ = await stream(Said(body={"seed": 7}))
    assert got == [{"seed": 7}]
    got, _ = await stream(Said(body=[b"abc", b"def"], kind="audio/mpeg"))
    assert b"".join(got) == b"abcdef"


# What goes wrong.


async def test_a_page_of_somebody_in_between_is_no_result() -> None:
    page = Said(body=[b"<!doctype html><title>Log in</title>"], kind="text/html; charset=utf-8")
    async with scripted(lambda _: page) as (url, _), client(url) as fal:
        with pytest.raises(falrt.HTTPCallError, match=f"{APP}: expected events, got an HTML page"):
            await soon(anext(fal.stream(APP, INPUT)))


@pytest.mark.parametrize(
    "event",
    [
        b'event: error\ndata: {"detail": "out of memory", "error_type": "runner_server_error"}\n\n',
        b'data: {"detail": "out of memory", "error_type": "runner_server_error"}\n\n',
        b"event: error\ndata: out of memory\n\n",
        b'data: {"type": "x-fal-error", "error": "out of memory"}\n\n',
        b'data: {"status": "error", "error": "out of memory"}\n\n',
    ],
)
async def test_a_failure_in_the_middle_is_an_error(event: bytes) -> None:
    got, asked = await stream(events(b'data: {"n": 1}\n\n' + event, **{"x-fal-request-id": "1a2b"}))
    assert got[0] == {"n": 1}
    assert type(got[1]) is falrt.RequestFailedError
    assert str(got[1]) == f"{APP}: out of memory (500, request 1a2b)"
    assert len(asked) == 1


async def test_a_failure_that_is_nested_without_end_is_an_error() -> None:
    got, _ = await stream(events(b"event: error\ndata: " + b"[" * 100_000 + b"\n\n"))
    assert type(got[0]) is falrt.RequestFailedError


async def test_a_whole_result_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falrt.http.caller.REPLY_BYTES_MAX", 10)
    got, _ = await stream(Said(body={"prompt": "a cat"}))
    assert type(got[0]) is falrt.HTTPCallError
    assert "larger than 10 bytes" in str(got[0])


async def test_a_result_with_an_odd_field_is_no_failure() -> None:
    got, _ = await stream(events(b'data: {"status": "ok", "error": null, "detail": "fine"}\n\n'))
    assert got == [{"status": "ok", "error": None, "detail": "fine"}]


async def test_a_connection_lost_in_the_middle_is_an_error_and_nothing_is_sent_again() -> None:
    for said in (
        events(b'data: {"n": 1}\n\ndata: {"n"', cut=True),
        events(b'data: {"n": 1}\n\ndata: {"n"'),
    ):
        got, asked = await stream(said, events(b"data: 2\n\n"))
        assert got[0] == {"n": 1}
        assert type(got[1]) is falrt.HTTPCallError
        assert len(asked) == 1


async def test_a_lost_connection_before_the_first_event_is_not_tried_again_unless_that_is_safe() -> None:
    got, asked = await stream(CUT, events(b"data: 2\n\n"))
    assert (type(got[0]), len(asked)) == (falrt.HTTPCallError, 1)
    got, asked = await stream(CUT, events(b"data: 2\n\n"), repeatable=True)
    assert (got, len(asked)) == ([2], 2)


async def test_an_error_status_is_an_error_of_the_call() -> None:
    got, _ = await stream(
        Said(422, {"detail": [{"loc": ["body", "prompt"], "msg": "missing", "type": "missing"}]})
    )
    assert str(got[0]) == f"{APP}: prompt: missing (422)"


async def test_events_that_are_no_json_are_an_error() -> None:
    got, _ = await stream(events(b"data: <html>\n\n"))
    assert "expected JSON, got text that begins '<html>'" in str(got[0])


async def test_silence_between_events_is_timed() -> None:
    never = asyncio.Event()

    async def stall(asked: Asked) -> Said:
        await never.wait()
        return CUT

    async with scripted(stall) as (url, _), client(url) as fal, leaves_nothing(url):
        with pytest.raises(falrt.RequestTimeout, match="no event for"):
            await soon(anext(fal.stream(APP, INPUT, timeout=0.05)))
        await fal.aclose()


async def test_leaving_the_loop_ends_the_connection() -> None:
    async with (
        scripted(lambda _: events(*[b"data: 1\n\n"] * 50)) as (url, _),
        client(url) as fal,
        leaves_nothing(url),
    ):
        parts = fal.stream(APP, INPUT)
        assert await soon(anext(parts)) == 1
        await parts.aclose()
        await fal.aclose()


# The token.


def with_tokens(*refused: str) -> Any:
    """Answer token requests with new tokens, and streams by the token in their URL."""
    made: list[str] = []

    def answer(asked: Asked) -> Said:
        if asked.path.startswith("/tokens"):
            made.append(make_token({"app": APP, "n": len(made)}))
            return Said(201, made[-1])
        if asked.query.get("fal_jwt_token") == made[0] and refused:
            return Said(401, {"detail": "Unauthorized"})
        return events(b"data: 1\n\n")

    return answer


@pytest.mark.parametrize("where", ["call", "client"])
async def test_a_token_goes_into_the_url_and_no_key_is_sent(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("falrt", "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    options = {"auth": "token"} if where == "client" else {}
    async with scripted(with_tokens()) as (url, asked), client(url, **options) as fal:
        parts = fal.stream(APP, INPUT, auth="token") if where == "call" else fal.stream(APP, INPUT)
        assert [each async for each in parts] == [1]
        assert [each async for each in fal.stream(APP, INPUT, auth="token")] == [1]
    assert [each.path for each in asked] == ["/tokens/", f"/{APP}/stream", f"/{APP}/stream"]
    assert asked[1].query["fal_jwt_token"].count(".") == 2
    assert "authorization" not in asked[1].headers
    assert asked[1].query["fal_jwt_token"] not in caplog.text


async def test_the_users_own_tokens_are_used() -> None:
    async with scripted(lambda _: events(b"data: 1\n\n")) as (url, asked):
        apps = []

        def provide(app: str) -> str:
            apps.append(app)
            return TOKEN

        async with falrt.Client(base_url=url, token_provider=provide) as fal:
            assert [each async for each in fal.stream(APP, INPUT)] == [1]
    assert apps == [APP]
    assert asked[0].query == {"fal_jwt_token": TOKEN}


async def test_a_refused_token_is_renewed_once() -> None:
    async with scripted(with_tokens("first")) as (url, asked), client(url) as fal:
        assert [each async for each in fal.stream(APP, INPUT, auth="token")] == [1]
    assert [each.path for each in asked] == ["/tokens/", f"/{APP}/stream"] * 2


async def test_a_token_that_is_refused_again_is_an_authentication_error() -> None:
    def answer(asked: Asked) -> Said:
        return Said(201, TOKEN) if asked.path == "/tokens/" else Said(403, None)

    async with scripted(answer) as (url, _), client(url) as fal:
        with pytest.raises(falrt.AuthenticationError) as caught:
            await soon(anext(fal.stream(APP, INPUT, auth="token")))
    assert TOKEN not in str(caught.value)


async def test_wrong_ways_to_authenticate_are_named() -> None:
    async with falrt.Client(key="k", auth="key") as fal:
        with pytest.raises(falrt.ConfigurationError, match="auth='key'"):
            fal.stream(APP, INPUT, auth="token")
        wrong: Any = "jwt"
        with pytest.raises(falrt.ConfigurationError, match="'key', 'token'"):
            fal.stream(APP, INPUT, auth=wrong)
