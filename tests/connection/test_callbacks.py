"""Callbacks instead of recv(): sync and async, in order, with mistakes of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

import falrt
from falrt import models
from falrt.testing import FakeServer, script
from tests.leaks import leaves_nothing, no_strays, soon, turns, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")


def echo(message: Any) -> dict[str, Any]:
    return {"n": message["n"]}


@pytest.fixture
def reported() -> list[Any]:
    """What the loop's exception handler was told; asked for inside the test's loop."""
    return []


async def test_results_go_to_on_result_in_order() -> None:
    got: list[Any] = []
    async with FakeServer(echo) as server, server.connect(on_result=got.append) as conn:
        for n in range(5):
            await conn.send({"n": n})
        await soon(conn.drain())
        assert got == [{"n": n} for n in range(5)]
        with pytest.raises(falrt.ConfigurationError, match="results go to on_result"):
            await conn.recv()


async def test_an_async_callback_is_awaited_before_the_next() -> None:
    got: list[str] = []

    async def on_result(result: Any) -> None:
        got.append(f"begin {result['n']}")
        await asyncio.sleep(0.002)
        got.append(f"end {result['n']}")

    async with FakeServer(echo) as server, server.connect(on_result=on_result) as conn:
        for n in range(2):
            await conn.send({"n": n})
        await soon(conn.drain())
        assert got == ["begin 0", "end 0", "begin 1", "end 1"]


async def test_typed_results_come_typed() -> None:
    got: list[Any] = []
    async with FakeServer() as server, server.connect(models.LCM, on_result=got.append) as conn:
        await conn.send(models.LCMInput(prompt="a fox"))
        await soon(conn.drain())
        assert isinstance(got[0], models.LCMOutput)


@pytest.mark.parametrize("kind", ["sync", "async", "cancelled"])
async def test_a_callbacks_mistake_is_reported_and_the_next_result_comes(kind: str) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    got: list[Any] = []

    def sync(result: Any) -> None:
        got.append(result)
        raise LookupError("my mistake")

    async def asynchronous(result: Any) -> None:
        await asyncio.sleep(0)
        sync(result)

    async def cancelled(result: Any) -> None:
        got.append(result)
        waiting = asyncio.get_running_loop().create_future()
        waiting.cancel()
        await waiting

    on_result = {"sync": sync, "async": asynchronous, "cancelled": cancelled}[kind]
    async with FakeServer(echo) as server, server.connect(on_result=on_result) as conn:
        await conn.send({"n": 1})
        await conn.send({"n": 2})
        await soon(conn.drain())
        assert got == [{"n": 1}, {"n": 2}]
        assert len(reported) == 2


async def test_errors_go_to_on_error_and_results_stay_for_recv() -> None:
    errors: list[Exception] = []
    faults = [script.Garbage()]
    async with FakeServer(echo, faults=faults) as server, server.connect(on_error=errors.append) as conn:
        await conn.send({"n": 1})
        await conn.send({"n": 2})
        assert await soon(conn.recv()) == {"n": 2}
        await until(lambda: errors)
        assert isinstance(errors[0], falrt.DecodeError)


async def test_errors_without_on_error_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    got: list[Any] = []
    faults = [script.Garbage()]
    async with FakeServer(echo, faults=faults) as server, server.connect(on_result=got.append) as conn:
        await conn.send({"n": 1})
        await conn.send({"n": 2})
        await soon(conn.drain())
        assert got == [{"n": 2}]
    assert "msgpack" in caplog.text


async def test_a_result_of_the_wrong_shape_goes_to_on_error() -> None:
    errors: list[Exception] = []
    async with (
        FakeServer([{"images": "none"}]) as server,
        server.connect(models.LCM, on_result=print, on_error=errors.append) as conn,
    ):
        await conn.send(models.LCMInput(prompt="a fox"))
        await soon(conn.drain())
        assert isinstance(errors[0], falrt.ResponseValidationError)


async def test_a_validator_that_fails_is_an_error_and_the_next_result_comes() -> None:
    class Picky(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def check(cls, value: int) -> int:
            return {0: 0, 2: 2}[value]

    class Input(BaseModel):
        n: int

    got: list[Any] = []
    errors: list[Exception] = []
    model = falrt.RealtimeModel("acme/app", Input, Picky)
    options: Any = {"on_result": got.append, "on_error": errors.append}
    async with FakeServer(echo) as server, server.connect(model, **options) as conn:
        for n in range(3):
            await conn.send(Input(n=n))
        await soon(conn.drain())
        assert [each.n for each in got] == [0, 2]
        assert isinstance(errors[0], falrt.ResponseValidationError)
        assert errors[0].payload == {"n": 1}
        with pytest.raises(falrt.ResponseValidationError, match="KeyError"):
            await soon(conn.request(Input(n=1)))


async def test_the_final_error_is_the_last_that_on_error_hears() -> None:
    errors: list[Exception] = []
    faults = [script.CloseWith(1011, "gone", inputs=1)]
    async with (
        FakeServer(echo, faults=faults) as server,
        leaves_nothing(server.url),
        server.connect(on_error=errors.append, reconnect=False) as conn,
    ):
        await conn.send({"n": 1})
        await until(lambda: errors)
        assert isinstance(errors[-1], falrt.ConnectionClosedError)


async def test_a_close_of_ones_own_is_no_error() -> None:
    errors: list[Exception] = []
    async with FakeServer(echo) as server, server.connect(on_error=errors.append) as conn:
        await soon(conn.request({"n": 1}))
    assert errors == []


async def test_a_callback_may_send_and_ask() -> None:
    answers: list[Any] = []

    async def on_result(result: Any) -> None:
        if result["n"] < 3:
            answers.append(await conn.request({"n": 100 + result["n"]}))
            await conn.send({"n": result["n"] + 1})
            await conn.flush()

    async with FakeServer(echo) as server:
        conn = server.connect(on_result=on_result)
        async with conn:
            await conn.send({"n": 0})
            await until(lambda: len(answers) == 3)
        assert answers == [{"n": 100}, {"n": 101}, {"n": 102}]


async def test_drain_in_a_callback_does_not_wait_for_itself() -> None:
    done: list[bool] = []

    async def on_result(result: Any) -> None:
        await conn.drain()
        done.append(True)

    async with FakeServer(echo) as server:
        conn = server.connect(on_result=on_result)
        async with conn:
            await conn.send({"n": 0})
            await until(lambda: done)


async def test_a_slow_callback_loses_the_oldest_results_and_is_told_how_many() -> None:
    errors: list[Exception] = []
    got: list[Any] = []
    gate = asyncio.Event()

    async def on_result(result: Any) -> None:
        got.append(result["n"])
        await gate.wait()

    async with FakeServer(echo) as server:
        async with server.connect(on_result=on_result, on_error=errors.append) as conn:
            for n in range(300):
                await conn.send({"n": n})
                if n % 50 == 0:
                    await server.wait_for_answers(n + 1)
            await server.wait_for_answers(300)
            await until(lambda: conn.stats.received == 300)
            gate.set()
            await soon(conn.drain())
        assert got[0] == 0
        assert got[-1] == 299
        assert len(got) == 257
        assert isinstance(errors[0], falrt.QueueFullError)
        assert errors[0].dropped == 43


async def test_a_slow_callback_holds_up_a_server_that_streams_and_loses_nothing() -> None:
    def many(message: Any) -> Any:
        return ({"n": n} for n in range(1500))

    got: list[int] = []
    gate = asyncio.Event()

    async def on_result(result: Any) -> None:
        got.append(result["n"])
        await gate.wait()

    options: Any = {"mode": "server_streaming", "on_result": on_result}
    async with FakeServer(many, mode="server_streaming") as server, server.connect(**options) as conn:
        await conn.send({"go": 1})
        await until(lambda: conn.stats.received > 256)
        await turns(50)
        assert conn.stats.received < 300
        gate.set()
        await until(lambda: len(got) == 1500)
        assert got == list(range(1500))
