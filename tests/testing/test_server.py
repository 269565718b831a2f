from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from falrt.codecs import Json, Msgpack
from falrt.exceptions import ConfigurationError
from falrt.testing import App, FakeServer, make_token
from falrt.testing.script import Delay, Refuse, Reset
from tests.certificates import make_certificate, server_context, trusting_context
from tests.testing.wire_client import PATIENCE, dial, echo, hear, hear_all, say

TIMEOUT = {"type": "x-fal-error", "error": "TIMEOUT", "reason": "no inputs, reconnect when needed!"}


def error(reason: str) -> dict[str, str]:
    return {"type": "x-fal-error", "error": "INTERNAL_ERROR", "reason": reason}


# Answers.


async def test_by_default_an_input_is_answered_with_a_picture_and_its_request_id() -> None:
    async with FakeServer() as server, dial(server) as ws:
        await say(ws, {"prompt": "a fox", "request_id": "7"})
        answer = await hear(ws)

    assert answer["request_id"] == "7"
    assert answer["images"][0]["content"].startswith(b"\x89PNG")
    assert server.inputs == [{"prompt": "a fox", "request_id": "7"}]


async def test_an_input_without_a_request_id_gets_none_back() -> None:
    async with FakeServer() as server, dial(server) as ws:
        await say(ws, {"prompt": "a fox"})
        assert "request_id" not in await hear(ws)


async def test_different_inputs_give_different_pictures() -> None:
    async with FakeServer() as server, dial(server) as ws:
        await say(ws, {"prompt": "a fox"}, {"prompt": "a hen"})
        first, second = await hear(ws), await hear(ws)
        assert first["images"][0]["content"] != second["images"][0]["content"]


async def test_a_handler_may_be_sync_or_async() -> None:
    async def later(message: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"later": message}

    async with FakeServer(apps={"a/now": echo, "a/later": later}) as server:
        async with dial(server, "/a/now/realtime") as ws:
            await say(ws, {"n": 1})
            assert await hear(ws) == {"inputs": [{"n": 1}]}
        async with dial(server, "/a/later/realtime") as ws:
            await say(ws, {"n": 1})
            assert await hear(ws) == {"later": {"n": 1}}


async def test_a_list_of_answers_goes_on_after_a_reconnect_and_says_when_it_is_used_up() -> None:
    async with FakeServer([{"n": 1}, lambda message: {"got": message}, RuntimeError("boom")]) as server:
        async with dial(server) as ws:
            await say(ws, {})
            assert await hear(ws) == {"n": 1}
        async with dial(server) as ws:
            await say(ws, {"x": 1}, {})
            assert await hear_all(ws) == ([{"got": {"x": 1}}, error("boom")], 1000)
        async with dial(server) as ws:
            await say(ws, {})
            assert await hear_all(ws) == ([error("the script has only 3 answers")], 1000)


async def test_a_handler_that_raises_ends_the_session_with_its_text() -> None:
    def fail(message: Any) -> Any:
        raise RuntimeError("out of memory")

    async with FakeServer(fail) as server, dial(server) as ws:
        await say(ws, {})
        assert await hear_all(ws) == ([error("out of memory")], 1000)


async def test_a_pydantic_model_is_an_output() -> None:
    class Output:
        def model_dump(self) -> dict[str, Any]:
            return {"n": 1}

    async with FakeServer([Output()]) as server, dial(server) as ws:
        await say(ws, {})
        assert await hear(ws) == {"n": 1}


async def test_an_output_that_is_no_map_is_an_internal_error() -> None:
    async with FakeServer([[1]]) as server, dial(server) as ws:
        await say(ws, {})
        messages, _ = await hear_all(ws)
        assert messages[0]["reason"].startswith("Expected a dict or pydantic model as output, got")


async def test_a_codec_replaces_msgpack_and_control_stays_json() -> None:
    class Reverse:
        def encode(self, message: Any) -> str:
            return str(message["text"])[::-1]

        def decode(self, data: bytes | str) -> Any:
            assert isinstance(data, bytes)
            return {"text": data.decode()}

    async with (
        FakeServer(lambda m: m, codec=Reverse(), session_timeout=0.02) as server,
        dial(server) as ws,
        asyncio.timeout(PATIENCE),
    ):
        await ws.send(b"abc")
        assert await ws.recv() == "cba"
        assert (await hear_all(ws))[0] == [TIMEOUT]


async def test_an_input_type_rejects_inputs_as_fals_models_do() -> None:
    def typed(*, prompt: str) -> dict[str, str]:
        return {"prompt": prompt}

    async with FakeServer(echo, input_type=typed) as server, dial(server) as ws:
        await say(ws, {"prompt": "a"})
        assert await hear(ws) == {"inputs": [{"prompt": "a"}]}
        await say(ws, {"promt": "a"})
        messages, code = await hear_all(ws)
        assert "promt" in messages[0]["reason"]
        assert code == 1000


# The runner on the wire; its rules are proved in tests/protocol/test_runner.py.


@pytest.mark.parametrize(
    ("buffering", "session_timeout", "sent", "answered"),
    [(1, 9.0, 3, [0, 2]), (2, 9.0, 10, [0, 8, 9]), (1, None, 2, [1]), (2, None, 10, [8, 9])],
)
async def test_a_burst_loses_its_oldest_in_silence(
    buffering: int, session_timeout: float | None, sent: int, answered: list[int]
) -> None:
    options: dict[str, Any] = {"buffering": buffering, "session_timeout": session_timeout}
    async with FakeServer(echo, service_time=0.005, **options) as server, dial(server) as ws:
        await say(ws, *({"n": number} for number in range(sent)))
        heard = [await hear(ws) for _ in answered]
        stats = server.connections[0].stats

    assert heard == [{"inputs": [{"n": number}]} for number in answered]
    assert stats.dropped == sent - len(answered)
    assert len(server.inputs) == sent


async def test_a_batch_becomes_one_answer() -> None:
    async with FakeServer(echo, max_batch_size=3, service_time=0.005) as server, dial(server) as ws:
        await say(ws, 1, 2, 3, 4)
        assert [await hear(ws), await hear(ws)] == [{"inputs": [1, 2, 3]}, {"inputs": [4]}]


async def test_timings_come_right_after_the_answer() -> None:
    async with (
        FakeServer(emit_timings=True, service_time=lambda message: 0.001) as server,
        dial(server) as ws,
    ):
        await say(ws, {})
        assert "images" in await hear(ws)
        timings = await hear(ws)
    assert timings["action"] == "timings"
    assert timings["timing"] > 0
    assert server.connections[0].controls == [timings]


async def test_an_idle_session_ends_with_timeout() -> None:
    async with FakeServer(session_timeout=0.02) as server, dial(server) as ws:
        assert await hear_all(ws) == ([TIMEOUT], 1000)


@pytest.mark.wire("W50")
async def test_a_text_frame_ends_the_session() -> None:
    async with FakeServer() as server, dial(server) as ws:
        await ws.send("{}")
        assert await hear_all(ws) == ([error("'bytes'")], 1000)


@pytest.mark.parametrize("codec", [Json(), Msgpack()], ids=repr)
async def test_a_text_frame_ends_the_session_whatever_codec_speaks_in_bytes(codec: Any) -> None:
    async with FakeServer(codec=codec) as server, dial(server) as ws:
        await ws.send("{}")
        messages, code = await hear_all(ws)

    assert [message["reason"] for message in messages] == ["'bytes'"]
    assert code == 1000


@pytest.mark.parametrize("mode", ["unary", "bidi"])
async def test_a_server_declared_to_speak_text_talks_to_a_client_that_does(mode: Any) -> None:
    codec = Json(text=True)
    async with (
        FakeServer(mode=mode, codec=codec) as server,
        server.connect("acme/app", mode=mode, codec=codec) as conn,
        asyncio.timeout(PATIENCE),
    ):
        await conn.send({"prompt": "a fox"})
        answer = await conn.recv()

    assert answer["images"][0]["content_type"] == "image/png"
    assert [type(frame) for frame in server.connections[0].frames] == [str]
    assert server.inputs[0]["prompt"] == "a fox"


@pytest.mark.wire("W23")
async def test_undecodable_bytes_end_the_session_with_an_empty_reason() -> None:
    async with FakeServer() as server, dial(server) as ws:
        await ws.send(b"\xc1")
        assert await hear_all(ws) == ([error("")], 1000)


async def test_server_streaming_sends_a_stream_and_timeout() -> None:
    async def count(message: Any) -> AsyncIterator[dict[str, int]]:
        for number in range(message["n"]):
            await asyncio.sleep(0)
            yield {"n": number}

    async with FakeServer(count, mode="server_streaming", emit_timings=True) as server, dial(server) as ws:
        await say(ws, {"n": 3}, {"ignored": True})
        messages, code = await hear_all(ws)

    assert messages[:3] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert messages[3]["action"] == "timings"
    assert messages[4:] == [TIMEOUT]
    assert code == 1000


async def test_a_burst_of_a_generator_overtakes_itself() -> None:
    async def burst(message: Any) -> AsyncIterator[dict[str, int]]:
        for number in range(5):
            yield {"n": number}

    async with FakeServer(burst, mode="server_streaming") as server, dial(server) as ws:
        await say(ws, {})
        messages, _ = await hear_all(ws)
    assert [message["n"] for message in messages[:-1]] == [2, 3, 4, 0, 1]


async def test_client_streaming_answers_when_the_input_ends() -> None:
    async def total(inputs: AsyncIterator[int]) -> dict[str, int]:
        return {"total": sum([number async for number in inputs])}

    async with FakeServer(total, mode="client_streaming") as server, dial(server) as ws:
        await say(ws, 1, 2, 3, None)
        assert await hear_all(ws) == ([{"total": 6}, TIMEOUT], 1000)

    async with FakeServer(total, mode="client_streaming", session_timeout=0.02) as server, dial(server) as ws:
        await say(ws, 1, 2)
        assert await hear_all(ws) == ([{"total": 3}, TIMEOUT], 1000)


async def test_a_bad_frame_hurts_a_streaming_app_when_it_reads_it() -> None:
    async def one(inputs: AsyncIterator[Any]) -> dict[str, Any]:
        async for message in inputs:
            return {"first": message}
        return {}

    async with FakeServer(one, mode="client_streaming") as server, dial(server) as ws:
        await say(ws, 1)
        await ws.send(b"\xc1")
        assert await hear_all(ws) == ([{"first": 1}, TIMEOUT], 1000)
    async with FakeServer(one, mode="client_streaming") as server, dial(server) as ws:
        await ws.send(b"\xc1")
        assert await hear_all(ws) == ([error("")], 1000)


async def test_bidi_answers_in_the_apps_own_rhythm() -> None:
    async def pairs(inputs: AsyncIterator[int]) -> AsyncIterator[dict[str, int]]:
        async for number in inputs:
            yield {"half": number}
            await asyncio.sleep(0)
            yield {"double": 2 * number}
            if number == 2:
                return

    async with FakeServer(pairs, mode="bidi") as server, dial(server) as ws:
        await say(ws, 1, 2)
        heard, code = await hear_all(ws)
    assert heard == [{"half": 1}, {"double": 2}, {"half": 2}, {"double": 4}, TIMEOUT]
    assert code == 1000


@pytest.mark.parametrize(("mode", "count"), [("server_streaming", 3), ("client_streaming", 1), ("bidi", 2)])
async def test_every_mode_has_a_default_answer(mode: Any, count: int) -> None:
    async with FakeServer(mode=mode, session_timeout=0.05) as server, dial(server) as ws:
        await say(ws, {"a": 1}, {"b": 2})
        messages, _ = await hear_all(ws)
    assert len(messages) == count + 1
    assert all("images" in message for message in messages[:-1])


@pytest.mark.parametrize(
    ("mode", "heard"),
    [
        ("server_streaming", [{"n": 1}, {"n": 2}]),
        ("client_streaming", [{"n": 1}]),
        ("bidi", [{"n": 1}, {"n": 2}]),
    ],
)
async def test_every_mode_takes_a_list(mode: Any, heard: list[Any]) -> None:
    async with (
        FakeServer([{"n": 1}, {"n": 2}], mode=mode, session_timeout=0.05) as server,
        dial(server) as ws,
    ):
        await say(ws, {"a": 1}, {"b": 2})
        messages, _ = await hear_all(ws)
    assert messages == [*heard, TIMEOUT]


# The gateway.


@pytest.mark.wire("W24")
async def test_a_bad_token_is_told_in_a_frame_and_the_socket_stays() -> None:
    async with FakeServer() as server, connect(f"{server.ws_url}/acme/app/realtime?fal_jwt_token=x") as ws:
        assert await hear(ws) == {"status": "error", "error": "Unauthorized"}
        assert server.connections[0].is_open
        assert server.connections[0].refusal


async def test_a_refusal_can_close_the_socket() -> None:
    async with FakeServer(refusal="close") as server, connect(f"{server.ws_url}/acme/app/realtime") as ws:
        assert await hear_all(ws) == ([{"status": "error", "error": "Unauthorized"}], 1000)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_can_be_a_status(status: int) -> None:
    async with FakeServer(refusal=status) as server:
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{server.ws_url}/acme/app/realtime")
        assert caught.value.response.status_code == status
        assert not server.connections[0].accepted


@pytest.mark.wire("W41")
@pytest.mark.parametrize(
    ("claims", "lifetime", "is_good"),
    [
        ({"allowed_apps": ["app"]}, 60, True),
        ({"allowed_apps": ["realtime"]}, 60, False),
        ({"app": "acme/app/realtime"}, 60, True),
        ({"app": "acme/app"}, 60, True),
        ({"app": "app"}, 60, True),
        ({"app": "acme/other/realtime"}, 60, False),
        ({"allowed_apps": ["app"]}, -1, False),
        ({}, 60, False),
    ],
)
async def test_a_token_opens_only_what_it_was_made_for(
    claims: dict[str, Any], lifetime: float, is_good: bool
) -> None:
    token = make_token(claims, lifetime=lifetime)
    async with (
        FakeServer() as server,
        connect(f"{server.ws_url}/acme/app/realtime?fal_jwt_token={token}&max_buffering=2") as ws,
    ):
        await say(ws, {})
        assert ("images" in await hear(ws)) is is_good
    assert server.connections[0].query["max_buffering"] == "2"
    assert server.connections[0].token == token


async def test_a_token_signed_by_somebody_else_is_refused() -> None:
    token = make_token({"allowed_apps": ["app"]}, secret=b"other")
    async with FakeServer(refusal=401) as server:
        with pytest.raises(InvalidStatus):
            await connect(f"{server.ws_url}/acme/app/realtime?fal_jwt_token={token}")
        assert server.connections[0].refusal == "the token was not made here"


@pytest.mark.wire("W41")
@pytest.mark.parametrize(
    ("header", "is_good"), [("Key test", True), ("Key other", False), ("Basic test", False)]
)
async def test_the_key_in_a_header_opens_everything(header: str, is_good: bool) -> None:
    async with (
        FakeServer() as server,
        connect(f"{server.ws_url}/acme/app/realtime", additional_headers={"Authorization": header}) as ws,
    ):
        await say(ws, {})
        assert ("images" in await hear(ws)) is is_good


async def test_auth_can_be_off() -> None:
    async with FakeServer(auth=False) as server, connect(f"{server.ws_url}/acme/app/realtime") as ws:
        await say(ws, {})
        assert "images" in await hear(ws)


@pytest.mark.wire("W11")
async def test_an_unknown_path_is_accepted_and_closed_with_1011() -> None:
    async with FakeServer(apps={"acme/app": None}) as server:
        async with dial(server, "/acme/app") as ws:
            await say(ws, {})
            assert "images" in await hear(ws)
        async with dial(server, "/acme/app/bidi") as ws:
            with pytest.raises(ConnectionClosedError):
                await ws.recv()
            assert ws.close_code == 1011
            assert ws.close_reason == "Error while forwarding the request"


async def test_expired_tokens_leave_open_connections_alone() -> None:
    async with FakeServer(refusal=401, key=None) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        body = b'{"allowed_apps": ["app"]}'
        writer.write(
            b"POST /tokens/ HTTP/1.1\r\nHost: x\r\nAuthorization: Key k\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + body
        )
        await reader.readuntil(b"\r\n\r\n")
        token = server.token_requests[0].token
        url = f"{server.ws_url}/acme/app/realtime?fal_jwt_token={token}"
        async with connect(url) as ws:
            server.expire_tokens()
            await say(ws, {})
            assert "images" in await hear(ws)
            with pytest.raises(InvalidStatus):
                await connect(url)
        writer.close()
        await writer.wait_closed()


@pytest.mark.wire("W18")
async def test_max_size_ends_with_1009() -> None:
    async with FakeServer(max_size=100) as server, dial(server) as ws:
        await ws.send(bytes(101))
        assert (await hear_all(ws))[1] == 1009


async def test_fragments_become_one_message() -> None:
    async with FakeServer(echo) as server, dial(server) as ws:
        packed = msgpack.packb({"n": 1})
        await ws.send([packed[:1], packed[1:]])
        assert await hear(ws) == {"inputs": [{"n": 1}]}


@pytest.mark.wire("W16")
async def test_pings_are_sent_and_a_missing_pong_ends_the_connection() -> None:
    async with FakeServer(ping_interval=0.01, ping_timeout=0.01) as server, dial(server) as ws:
        await ws.ping()
        ws.transport.pause_reading()
        connection = await server.wait_for_close()
    assert connection.close_code == 1006


async def test_distance_delays_everything_and_keeps_order() -> None:
    async with (
        FakeServer(echo, latency=0.002, jitter=0.004, bandwidth=1e6, seed=3) as server,
        dial(server) as ws,
    ):
        await say(ws, *range(20))
        assert [(await hear(ws))["inputs"][0] for _ in range(20)] == list(range(20))


# What a test sees and does.


async def test_waiting_helpers_return_what_came() -> None:
    async with FakeServer() as server:
        async with dial(server) as ws:
            connection = await server.wait_for_connection()
            await say(ws, {"a": 1})
            assert await server.wait_for_inputs(1) == [{"a": 1}]
            assert len(await server.wait_for_answers(1)) == 1
            assert connection.path == "/acme/app/realtime"
            assert not connection.closed
            assert connection.close_code is None
        assert await server.wait_for_close() is connection
        assert connection.close_code == 1000
        assert connection.close_reason == ""


async def test_a_wait_that_fails_tells_what_had_happened() -> None:
    async with FakeServer() as server, dial(server):
        await server.wait_for_connection()
        with pytest.raises(TimeoutError, match="/acme/app/realtime"):
            await server.wait_for_inputs(1, timeout=0.01)


async def test_a_test_can_close_a_connection_and_speak_for_the_server() -> None:
    async with FakeServer() as server, dial(server) as ws:
        connection = await server.wait_for_connection()
        connection.send({"status": "error", "error": "Odd"})
        connection.send(b"\x01")
        assert await hear(ws) == {"status": "error", "error": "Odd"}
        assert await hear(ws) == 1
        connection.close(1012, "restart")
        assert (await hear_all(ws))[1] == 1012
        assert ws.close_reason == "restart"
        connection.send(b"ignored")
        connection.close()


async def test_a_test_can_reset_a_connection() -> None:
    async with FakeServer() as server, dial(server) as ws:
        (await server.wait_for_connection()).reset()
        assert await hear_all(ws) == ([], 1006)


async def test_a_test_can_silence_a_connection() -> None:
    async with FakeServer() as server, dial(server, ping_interval=0.01, ping_timeout=0.01) as ws:
        (await server.wait_for_connection()).silence()
        assert (await hear_all(ws))[1] == 1006


async def test_a_test_can_pause_reading() -> None:
    async with FakeServer(echo) as server, dial(server) as ws:
        connection = await server.wait_for_connection()
        connection.pause_reading()
        await say(ws, 1)
        connection.resume_reading()
        assert await hear(ws) == {"inputs": [1]}


async def test_secrets_are_not_in_reprs() -> None:
    async with FakeServer() as server, dial(server):
        connection = await server.wait_for_connection()
        assert connection.token
        assert connection.token not in repr(server.connections)
        assert "Authorization" not in repr(server.connections)


# Nothing is left behind.


async def test_leaving_closes_sockets_and_tasks_with_1001() -> None:
    before = asyncio.all_tasks()
    async with FakeServer(service_time=60.0, session_timeout=60.0) as server:
        ws = await dial(server)
        await say(ws, {})
        await server.wait_for_inputs(1)
    assert (await hear_all(ws))[1] == 1001
    await ws.close()
    await asyncio.sleep(0)  # the client library's own task ends one turn after its close()
    assert asyncio.all_tasks() == before
    await server.close()


async def test_cancellation_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    open_now = asyncio.Event()

    async def hold() -> None:
        async with FakeServer(service_time=60.0, faults=[Delay(60.0)]) as server, dial(server) as ws:
            await say(ws, {})
            await server.wait_for_inputs(1)
            open_now.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await open_now.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
    gc.collect()


async def test_a_generator_of_an_app_is_closed_when_the_client_leaves() -> None:
    closed = asyncio.Event()

    async def endless(message: Any) -> AsyncIterator[dict[str, int]]:
        try:
            while True:
                yield {"n": 1}
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with FakeServer(endless, mode="server_streaming") as server:
        async with dial(server) as ws:
            await say(ws, {})
            await hear(ws)
        async with asyncio.timeout(PATIENCE):
            await closed.wait()


# Mistakes.


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"handler": 7}, "handler"),
        ({"handler": "abc"}, "handler"),
        ({"buffering": 0}, "buffering"),
        ({"service_time": -1.0}, "service_time"),
        ({"mode": "duplex"}, "mode"),
        ({"refusal": "maybe"}, "refusal"),
        ({"latency": -1.0}, "latency"),
        ({"bandwidth": 0.0}, "bandwidth"),
        ({"faults": [1]}, "faults"),
        ({"faults": Reset()}, r"faults must be a list of faults, such as \[script.Reset\(\)\], not Reset"),
        ({"faults": 5}, "faults must be a list .* not 5"),
        (
            {"handler": [{}, Refuse()]},
            r"Refuse\(.*\) cannot stand in the place of an answer; give it in faults",
        ),
        ({"token_reply": "x"}, "token_reply must be 'string', 'token', 'jwt' or 'detail', not 'x'"),
        ({"codec": "x"}, "codec must be an object with encode and decode, .* not 'x'"),
        ({"codec": Json}, "codec must be an object .* not <class"),
        ({"max_size": 0}, "max_size must be a number of bytes above 0, or None for no limit, not 0"),
        ({"max_size": "x"}, "max_size must be .* not 'x'"),
        (
            {"ping_interval": "x"},
            "ping_interval must be a positive number of seconds, or None for no pings, not 'x'",
        ),
        ({"ping_timeout": 0}, "ping_timeout must be .* not 0"),
        ({"buffering": "x"}, "buffering must be 1 or more, or None for no limit, not 'x'"),
        ({"max_batch_size": None}, "max_batch_size must be .* not None"),
        ({"session_timeout": "x"}, "session_timeout must be .* not 'x'"),
        ({"emit_timings": "no"}, "emit_timings must be True or False, not 'no'"),
        ({"input_type": 5}, "input_type must be .* not 5"),
        (
            {"service_time": "x"},
            "service_time must be a number of seconds, 0 or more, or a function, not 'x'",
        ),
        ({"latency": "x"}, "latency must be .* not 'x'"),
        ({"jitter": "x"}, "jitter must be a number of seconds, 0 or more, not 'x'"),
        ({"bandwidth": "x"}, "bandwidth must be .* not 'x'"),
        ({"apps": [1]}, r"apps must be a map of endpoint paths to apps, or None, not \[1\]"),
        ({"apps": {1: None}}, "apps must be a map"),
        ({"apps": {"a/b": 7}}, "handler"),
        ({"seed": "x"}, "seed must be a whole number, not 'x'"),
        ({"auth": "no"}, "auth must be True or False, not 'no'"),
        ({"key": 5}, "key must be a non-empty string, or None for any, not 5"),
        ({"token_lifetime": "x"}, "token_lifetime must be .* not 'x'"),
        ({"refusal": 200}, "refusal must be .* not 200"),
        ({"ssl": True}, "ssl must be .* not True"),
    ],
)
def test_senseless_options_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        FakeServer(**options)


async def test_a_connection_cannot_be_closed_with_a_code_that_no_frame_can_carry() -> None:
    async with FakeServer() as server, dial(server):
        connection = await server.wait_for_connection()
        with pytest.raises(ConfigurationError, match=r"code must be .* not 99"):
            connection.close(99)
        assert connection.is_open


async def test_a_server_that_does_not_run_has_no_url() -> None:
    server = FakeServer()
    with pytest.raises(ConfigurationError, match="not running"):
        _ = server.url
    await server.close()


async def test_a_server_is_started_once() -> None:
    async with FakeServer() as server:
        with pytest.raises(ConfigurationError, match="already"):
            await server.start()


def test_an_app_may_be_given_with_its_own_options() -> None:
    assert App(echo, buffering=2).buffering == 2


def test_no_thread_is_used() -> None:
    assert not [thread for thread in threading.enumerate() if "fake" in thread.name]


async def test_leaving_waits_for_handlers_that_clean_up() -> None:
    cleaned = []

    async def careful(message: Any) -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(message)
        return {}

    before = asyncio.all_tasks()
    async with FakeServer(careful) as server:
        for number in range(2):
            async with dial(server) as ws:
                await say(ws, number)
                await server.wait_for_inputs(number + 1)
    assert cleaned == [0, 1]
    assert asyncio.all_tasks() == before


async def test_an_input_may_say_what_it_can_be_batched_with() -> None:
    class Input:
        def __init__(self, kind: str) -> None:
            self.kind = kind

        def can_batch(self, other: Input, size: int) -> bool:
            return self.kind == other.kind

    def kinds(*inputs: Input) -> dict[str, Any]:
        return {"kinds": [message.kind for message in inputs]}

    async with FakeServer(kinds, max_batch_size=4, input_type=Input) as server, dial(server) as ws:
        await say(ws, {"kind": "a"}, {"kind": "a"}, {"kind": "b"})
        assert [await hear(ws), await hear(ws)] == [{"kinds": ["a", "a"]}, {"kinds": ["b"]}]


async def test_a_stream_may_be_any_async_iterator_and_nothing_else() -> None:
    class Two:
        def __init__(self) -> None:
            self.left = [{"n": 2}, {"n": 1}]

        def __aiter__(self) -> Two:
            return self

        async def __anext__(self) -> dict[str, int]:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    async with FakeServer(lambda message: Two(), mode="server_streaming") as server, dial(server) as ws:
        await say(ws, {})
        assert (await hear_all(ws))[0] == [{"n": 1}, {"n": 2}, TIMEOUT]
    async with FakeServer(lambda message: {"n": 1}, mode="server_streaming") as server, dial(server) as ws:
        await say(ws, {})
        assert "iterator" in (await hear_all(ws))[0][0]["reason"]


async def test_service_time_is_spent_for_each_output_of_a_stream() -> None:
    answers = [{"n": 1}, {"n": 2}]
    async with (
        FakeServer(answers, mode="server_streaming", service_time=0.005, emit_timings=True) as server,
        dial(server) as ws,
    ):
        await say(ws, {})
        messages, _ = await hear_all(ws)
    assert messages[2]["timing"] >= 0.01


async def test_a_client_that_never_answers_a_close_is_dropped() -> None:
    async with FakeServer() as server, dial(server) as ws:
        connection = await server.wait_for_connection()
        ws.transport.pause_reading()
        connection.socket._options = replace(connection.socket._options, close_timeout=0.01)
        connection.close(1000)
        assert (await server.wait_for_close()) is connection


async def test_connect_is_falrts_own_with_this_servers_key() -> None:
    async with FakeServer(echo) as server, server.connect("acme/app", auth="key") as conn:
        assert await conn.request({"n": 1}) == {"inputs": [{"n": 1}]}


async def test_a_client_that_leaves_over_tls_makes_no_noise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pem = make_certificate(tmp_path)
    async with FakeServer(ssl=server_context(pem)) as server:
        async with server.connect(ssl=trusting_context(pem)) as conn:
            await conn.request({"n": 1}, timeout=5)
        await server.wait_for_close()
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []
