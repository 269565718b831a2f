"""What the user's own tasks may do to ours: cancel, wait from within, end the loop. Nothing hangs."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import falrt
from falrt.testing import BackgroundFakeServer, FakeServer, script
from tests.leaks import no_strays, soon, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")


def echo(message: Any) -> dict[str, Any]:
    return {"n": message["n"]}


async def test_a_child_task_of_a_callback_may_drain() -> None:
    got: list[Any] = []

    async def on_result(result: Any) -> None:
        child = asyncio.create_task(conn.drain())
        await asyncio.wait({child})
        got.append(result)

    async with FakeServer(echo) as server, server.connect(on_result=on_result) as conn:
        await conn.send({"n": 1})
        await conn.send({"n": 2})
        await until(lambda: len(got) == 2)
        await soon(conn.drain())


@pytest.mark.parametrize("awaits", [True, False])
async def test_a_callback_that_cancels_its_own_task_is_called_again(awaits: bool) -> None:
    got: list[Any] = []

    def cancel() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    def sync(result: Any) -> None:
        got.append(result)
        cancel()

    async def waiting(result: Any) -> None:
        sync(result)
        await asyncio.sleep(0)

    async with FakeServer(echo) as server, server.connect(on_result=waiting if awaits else sync) as conn:
        for n in range(3):
            await conn.send({"n": n})
        await soon(conn.drain())
        assert [result["n"] for result in got] == [0, 1, 2]


async def test_whoever_waits_is_told_when_somebody_cancels_all_tasks() -> None:
    async def never(message: Any) -> Any:
        await asyncio.Event().wait()

    async with FakeServer(never) as server, server.connect() as conn:
        waiting = [asyncio.create_task(conn.recv(), name="mine"), asyncio.create_task(conn.request({"n": 1}))]
        await until(lambda: server.inputs)
        for task in asyncio.all_tasks():
            if task.get_name() == "falrt acme/app":
                task.cancel()
        for task in waiting:
            with pytest.raises(falrt.ConnectionClosedError, match="was cancelled"):
                await soon(task)


def test_a_loop_that_ends_with_a_connection_open_ends() -> None:
    async def main() -> None:
        options: Any = {
            "base_url": server.url,
            "key": "test",
            "auth": "key",
        }  # no HTTP client that stays open
        conn = await falrt.connect("acme/app", on_result=lambda result: None, **options)
        await conn.send({"n": 1})
        await conn.drain()
        kept.append(conn)

    kept: list[Any] = []
    with BackgroundFakeServer(echo) as server:
        asyncio.run(main())
    assert kept[0].state is falrt.State.CLOSED


async def test_a_shared_opening_that_all_gave_up_says_nothing_more() -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    faults = [script.Hang(times=None)]
    async with FakeServer(echo, faults=faults) as server:
        async with falrt.Client(base_url=server.url, key="test") as fal:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await fal.connect("acme/app", connection_key="canvas")
        await asyncio.sleep(0)
        gc.collect()
    assert reported == []
