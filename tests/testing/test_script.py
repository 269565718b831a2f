"""Each fault by name, as a bare client meets it."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from http import HTTPStatus
from random import Random
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode

from falrt.exceptions import ConfigurationError
from falrt.testing import FakeServer, script
from falrt.testing.allowed import RULES
from falrt.testing.plan import FaultPlan
from tests.testing.wire_client import PATIENCE, dial, echo, hear, hear_all, say

ANSWER = {"inputs": [1]}


async def ask(server: FakeServer) -> list[Any]:
    """Send one input and return everything that comes until the end."""
    async with dial(server) as ws:
        await say(ws, 1)
        return (await hear_all(ws))[0]


async def flood(ws: ClientConnection) -> None:
    """Send more than the kernel's buffers hold."""
    for _ in range(64):
        await ws.send(bytes(1 << 20))


async def talk(ws: ClientConnection) -> None:
    """Send inputs one by one and hear each answer."""
    for number in range(100):
        await say(ws, number)
        await hear(ws)


async def is_well(server: FakeServer) -> bool:
    """Whether a connection works now."""
    async with dial(server) as ws:
        await say(ws, 1)
        return bool(await hear(ws) == ANSWER)


async def test_refuse_resets_instead_of_answering() -> None:
    async with FakeServer(echo, faults=[script.Refuse(times=2)]) as server:
        for _ in range(2):
            with pytest.raises((ConnectionError, InvalidHandshake)):
                await dial(server)
        assert await is_well(server)
        assert server.connections[0].faults == [script.Refuse(times=2)]


async def test_hang_never_answers_the_handshake() -> None:
    async with FakeServer(faults=[script.Hang()]) as server:
        with pytest.raises(TimeoutError):
            await dial(server, open_timeout=0.02)


@pytest.mark.parametrize("status", [401, 403, 429, 502, 503, 599])
async def test_refuse_handshake_answers_with_a_status(status: int) -> None:
    async with FakeServer(echo, faults=[script.RefuseHandshake(status, "no")]) as server:
        with pytest.raises(InvalidStatus) as caught:
            await dial(server)
        assert caught.value.response.status_code == status
        assert caught.value.response.body == b'{"detail": "no"}'
        assert await is_well(server)


@pytest.mark.parametrize("close", [False, True])
async def test_unauthorized_comes_in_a_frame(close: bool) -> None:
    async with FakeServer(faults=[script.Unauthorized(close)]) as server, dial(server) as ws:
        assert await hear(ws) == {"status": "error", "error": "Unauthorized"}
        assert server.connections[0].is_open is not close


async def test_slow_handshake_is_late() -> None:
    async with FakeServer(echo, faults=[script.SlowHandshake(0.05)]) as server:
        with pytest.raises(TimeoutError):
            await dial(server, open_timeout=0.01)
        assert await is_well(server)


async def test_slow_handshake_may_end_in_a_refusal() -> None:
    async with FakeServer(faults=[script.SlowHandshake(0.001), script.RefuseHandshake(503)]) as server:
        with pytest.raises(InvalidStatus):
            await dial(server)


@pytest.mark.wire("W15")
async def test_cold_start_swallows_inputs_and_closes_with_1000() -> None:
    async with FakeServer(echo, faults=[script.ColdStart(0.2, times=2)]) as server:
        for number in range(2):
            async with dial(server) as ws:
                await say(ws, 1)
                assert await hear_all(ws) == ([], 1000)
                assert len(server.connections[number].frames) == 1
        assert await is_well(server)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 4000])
async def test_close_with_any_code_after_some_answers(code: int) -> None:
    async with (
        FakeServer(echo, faults=[script.CloseWith(code, "why", after=1)]) as server,
        dial(server) as ws,
    ):
        await say(ws, 1)
        assert await hear_all(ws) == ([ANSWER], code)
        assert ws.close_reason == "why"


@pytest.mark.parametrize(("code", "seen"), [(1005, 1005), (1006, 1006)])
async def test_close_without_a_code_or_a_frame(code: int, seen: int) -> None:
    async with FakeServer(faults=[script.CloseWith(code)]) as server, dial(server) as ws:
        await hear_all(ws)
        assert ws.close_code == seen


async def test_a_close_frame_without_a_code_has_no_reason_either() -> None:
    async with FakeServer(faults=[script.CloseWith(1005, "why")]) as server, dial(server) as ws:
        assert await hear_all(ws) == ([], 1005)
        assert ws.close_reason == ""


async def test_a_moment_can_be_right_after_the_handshake() -> None:
    async with FakeServer(faults=[script.CloseWith(1001)]) as server, dial(server) as ws:
        assert await hear_all(ws) == ([], 1001)


async def test_a_moment_can_be_an_input_that_is_never_answered() -> None:
    async with FakeServer(echo, faults=[script.CloseWith(1012, inputs=2)]) as server, dial(server) as ws:
        await say(ws, 1)
        assert await hear(ws) == ANSWER
        await say(ws, 2)
        assert await hear_all(ws) == ([], 1012)
    assert server.inputs == [1, 2]


async def test_reset_breaks_the_connection() -> None:
    async with FakeServer(echo, faults=[script.Reset(after=1)]) as server, dial(server) as ws:
        await say(ws, 1)
        assert (await hear_all(ws))[1] == 1006


async def test_hang_up_ends_the_stream_without_a_close_frame() -> None:
    async with FakeServer(echo, faults=[script.HangUp(after=1)]) as server, dial(server) as ws:
        await say(ws, 1)
        assert await hear_all(ws) == ([ANSWER], 1006)


async def test_half_open_answers_not_even_pings() -> None:
    async with (
        FakeServer(echo, faults=[script.HalfOpen(after=1)]) as server,
        dial(server, ping_interval=0.01, ping_timeout=0.01) as ws,
    ):
        await say(ws, 1)
        assert await hear(ws) == ANSWER
        await say(ws, 2)
        assert (await hear_all(ws)) == ([], 1006)


async def test_stop_reading_blocks_the_sender() -> None:
    async with FakeServer(echo, faults=[script.StopReading()]) as server, dial(server) as ws:
        await server.wait_for_connection()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flood(ws), 0.2)
        ws.transport.abort()


async def test_stop_reading_can_end() -> None:
    async with FakeServer(echo, faults=[script.StopReading(0.01)]) as server:
        assert await is_well(server)


async def test_gateway_error_is_a_frame_and_may_close() -> None:
    faults = [script.GatewayError(after=1), script.GatewayError("Gone", close=True, after=2)]
    async with FakeServer(echo, faults=faults) as server, dial(server) as ws:
        await say(ws, 1, 1)
        assert await hear_all(ws) == (
            [
                ANSWER,
                {"status": "error", "error": "Something went wrong"},
                ANSWER,
                {"status": "error", "error": "Gone"},
            ],
            1000,
        )


async def test_delay_holds_answers_and_not_the_worker() -> None:
    async with (
        FakeServer(echo, faults=[script.Delay(0.01), script.Jitter(0.005)]) as server,
        dial(server) as ws,
    ):
        await say(ws, 1, 2, 3)
        await server.wait_for(lambda: server.connections[0].stats.answered == 3)
        assert server.connections[0].answered < 3
        assert [await hear(ws) for _ in range(3)] == [{"inputs": [number]} for number in (1, 2, 3)]


async def test_stall_holds_one_answer_and_all_behind_it() -> None:
    async with FakeServer(echo, faults=[script.Stall(0.02, after=1)]) as server, dial(server) as ws:
        await say(ws, 1, 2, 3)
        assert [await hear(ws) for _ in range(3)] == [{"inputs": [number]} for number in (1, 2, 3)]
        assert server.connections[0].answered == 3


@pytest.mark.parametrize("data", [b"\xc1", "not JSON either"])
async def test_garbage_takes_the_place_of_an_answer(data: bytes | str) -> None:
    async with (
        FakeServer(echo, faults=[script.Garbage(data, after=1)]) as server,
        dial(server) as ws,
        asyncio.timeout(PATIENCE),
    ):
        await say(ws, 1, 1, 1)
        assert await hear(ws) == ANSWER
        assert await ws.recv() == data
        assert await hear(ws) == ANSWER
    assert len(server.answers) == 2


@pytest.mark.parametrize(("keep", "size"), [(3, 3), (None, 5)])
async def test_truncated_sends_a_part_in_a_whole_frame(keep: int | None, size: int) -> None:
    async with (
        FakeServer(echo, faults=[script.Truncated(keep)]) as server,
        dial(server) as ws,
        asyncio.timeout(PATIENCE),
    ):
        await say(ws, 1)
        assert len(await ws.recv()) == size


async def test_huge_is_a_good_answer_of_a_great_size() -> None:
    async with FakeServer(faults=[script.Huge(2 << 20)]) as server, dial(server, max_size=None) as ws:
        await say(ws, 1)
        answer = await hear(ws)
        assert len(answer["padding"]) == 2 << 20
        assert "images" in answer


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_cut_frame_breaks_off_in_the_middle(how: Any) -> None:
    async with FakeServer(echo, faults=[script.CutFrame(how)]) as server, dial(server) as ws:
        await say(ws, 1)
        assert await hear_all(ws) == ([], 1006)


async def test_swallow_loses_one_input_without_a_word() -> None:
    async with FakeServer(echo, faults=[script.Swallow(1)]) as server, dial(server) as ws:
        await say(ws, 0, 1, 2)
        assert [await hear(ws), await hear(ws)] == [{"inputs": [0]}, {"inputs": [2]}]
    assert server.inputs == [0, 1, 2]


async def test_faults_can_stand_in_a_list_of_answers() -> None:
    answers = [script.Garbage(b"\xc1"), {"n": 2}, script.Stall(0.001), script.CloseWith(1012)]
    async with FakeServer(answers) as server, dial(server) as ws, asyncio.timeout(PATIENCE):
        await say(ws, 1, 2, 3, 4)
        assert await ws.recv() == b"\xc1"
        assert await hear(ws) == {"n": 2}
        messages, code = await hear_all(ws)
        assert len(messages) == 1
        assert code == 1012


async def test_a_fault_may_be_for_one_connection_only() -> None:
    async with FakeServer(echo, faults=[script.CloseWith(1001, inputs=1, connection=1)]) as server:
        assert await is_well(server)
        assert await ask(server) == []
        assert await is_well(server)


async def test_faults_can_be_added_and_cleared_while_it_runs() -> None:
    async with FakeServer(echo) as server:
        server.add_fault(script.RefuseHandshake(503, times=None))
        with pytest.raises(InvalidStatus):
            await dial(server)
        server.clear_faults()
        assert await is_well(server)


async def test_probability_follows_the_seed() -> None:
    async def run(seed: int) -> list[bool]:
        fault = script.Garbage(b"\xc1", probability=0.5, times=None)
        async with FakeServer(echo, faults=[fault], seed=seed) as server, dial(server) as ws:
            await say(ws, *range(20))
            async with asyncio.timeout(PATIENCE):
                return [await ws.recv() == b"\xc1" for _ in range(20)]

    first, again, other = await run(1), await run(1), await run(2)
    assert first == again
    assert first != other
    assert {True, False} <= set(first)


async def test_a_moment_after_any_answer_has_its_chance_each_time() -> None:
    fault = script.CloseWith(1001, after=None, probability=0.3)
    async with FakeServer(echo, faults=[fault], seed=4) as server, dial(server) as ws:
        with pytest.raises(ConnectionClosed):
            await talk(ws)
        assert 0 < len(server.answers) < 100


def test_faults_strike_in_the_order_given_and_as_often_as_told() -> None:
    first, second = script.Refuse(times=2), script.Hang(times=None)
    plan = FaultPlan([first, second], Random(0))
    drawn = [plan.draw(script.AcceptFault, number) for number in range(4)]
    assert drawn == [first, first, second, second]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"times": 0}, "times must be 1 or more, or None for always, not 0"),
        ({"times": "x"}, "times must be .* not 'x'"),
        ({"connection": -1}, "connection must be .* not -1"),
        ({"probability": 0}, "probability must be above 0 and at most 1, not 0"),
        ({"probability": "x"}, "probability must be .* not 'x'"),
    ],
)
def test_senseless_faults_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        script.Refuse(**options)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: script.CloseWith(99, after=1), "code must be a close code, 1000 to 1003, .* not 99"),
        (lambda: script.CloseWith("x", after=1), "code must be .* not 'x'"),
        (lambda: script.CloseWith(1004), "code must be .* not 1004"),
        (lambda: script.CloseWith(True), "code must be .* not True"),
        (lambda: script.CloseWith(1011, "é" * 62), "reason must be text of at most 123 bytes"),
        (lambda: script.CloseWith(1011, 5), "reason must be text"),
        (lambda: script.CloseWith(1011, after=-1), "after must be .* not -1"),
        (lambda: script.CloseWith(1011, inputs=0), "inputs must be .* not 0"),
        (lambda: script.Delay("x"), "seconds must be a number of seconds, 0 or more, not 'x'"),
        (lambda: script.Delay(-1), "seconds must be a number of seconds, 0 or more, not -1"),
        (lambda: script.Delay(None), "seconds must be a number of seconds, 0 or more, not None"),
        (lambda: script.Delay(float("nan")), "seconds must be .* not nan"),
        (lambda: script.Jitter(True), "seconds must be .* not True"),
        (
            lambda: script.StopReading(-1),
            "seconds must be a number of seconds, 0 or more, or None for ever, not -1",
        ),
        (lambda: script.Stall(1, after="x"), "after must be .* not 'x'"),
        (lambda: script.Garbage(3), "data must be bytes or text, not 3"),
        (lambda: script.Truncated(-1), "keep must be .* not -1"),
        (lambda: script.Huge(1.5), "size must be .* not 1.5"),
        (lambda: script.CutFrame("x"), "how must be 'reset' or 'end', not 'x'"),
        (lambda: script.Swallow(-1), "input must be .* not -1"),
        (lambda: script.GatewayError(close="no"), "close must be True or False, not 'no'"),
        (lambda: script.GatewayError(b""), "error must be what JSON can hold, not b''"),
        (lambda: script.RefuseHandshake(7), "status must be an HTTP status, 200 to 599, not 7"),
        (lambda: script.RefuseHandshake(101), "status must be .* not 101"),
        (lambda: script.RefuseToken(status="403"), "status must be .* not '403'"),
        (lambda: script.RefuseToken(endpoint="x"), "endpoint must be 'general', 'realtime' or None, not 'x'"),
        (lambda: script.ExpiredToken(-5), "age must be .* not -5"),
    ],
)
def test_a_fault_that_cannot_happen_is_refused_when_it_is_built(build: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build()


def test_every_close_code_that_can_be_met_is_taken() -> None:
    codes = [*range(1000, 1004), *range(1005, 1015), 3000, 4999, CloseCode.GOING_AWAY]

    assert [script.CloseWith(code).code for code in codes] == codes


def test_none_stands_for_always_any_and_ever() -> None:
    assert script.StopReading(None, times=None, connection=None, after=None, inputs=None).seconds is None
    assert script.Truncated(None).keep is script.Swallow(None).input is None
    assert script.SlowToken(0, endpoint=None).endpoint is None


def test_a_status_may_be_one_of_the_standard_library() -> None:
    assert script.RefuseHandshake(HTTPStatus.FORBIDDEN).status == 403


def test_every_value_of_a_fault_has_its_rule() -> None:
    kinds = [getattr(script, name) for name in script.__all__]

    assert {field.name for kind in kinds for field in fields(kind)} <= RULES.keys()


def test_every_fault_has_a_docstring_and_an_export() -> None:
    for name in script.__all__:
        assert getattr(script, name).__doc__
