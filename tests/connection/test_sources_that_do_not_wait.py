"""Sources that hold up the loop, never wait, or are cancelled within: the loop goes on, and the consumer is told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

import falrt
from falrt import pacing
from falrt.testing import FakeServer
from tests.leaks import no_strays, soon, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")


class Numbered(BaseModel):
    n: int
    request_id: str = ""


ECHOING = falrt.RealtimeModel("acme/app", Numbered, Numbered)


def echo(message: Any) -> dict[str, Any]:
    return {"n": message["n"]}


def echo_with_id(message: Any) -> dict[str, Any]:
    return {"n": message["n"], "request_id": message["request_id"]}


async def counting() -> AsyncIterator[Any]:
    n = 0
    while True:
        n += 1
        yield {"n": n}


async def collect(replies: AsyncIterator[Any]) -> list[Any]:
    return [reply async for reply in replies]


@pytest.mark.parametrize("every", [False, True])
async def test_an_async_generator_that_never_waits_leaves_the_loop_its_turns(every: bool) -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        seen = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                async for reply in conn.stream(counting(), every=every):
                    seen.append(reply.output["n"])  # noqa: PERF401 - it is stopped in the middle
        assert len(seen) > 1
        assert seen == sorted(seen)


@pytest.mark.parametrize("kind", ["live", "every", "function"])
async def test_a_source_that_blocks_for_long_is_named_in_one_warning(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def read() -> Any:
        time.sleep(0.03)  # a camera of 30 frames a second
        return {"n": 1}

    async def webcam() -> AsyncIterator[Any]:
        while True:
            yield read()

    source: Any = read if kind == "function" else webcam()
    async with (
        FakeServer(echo) as server,
        server.connect() as conn,
        contextlib.aclosing(conn.stream(source, every=kind == "every")) as replies,
    ):
        for _ in range(8):
            await soon(anext(replies))
    warnings = [record.getMessage() for record in caplog.records if "blocks the event loop" in record.message]
    assert len(warnings) == 1
    assert ("read" if kind == "function" else "webcam") in warnings[0]
    assert "asyncio.to_thread" in warnings[0]


async def test_a_source_that_reads_in_a_thread_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async def webcam() -> AsyncIterator[Any]:
        for n in range(6):
            await asyncio.to_thread(time.sleep, 0.03)
            yield {"n": n}

    async with FakeServer(echo) as server, server.connect() as conn:
        async for _ in conn.stream(webcam()):
            pass
    assert "blocks" not in caplog.text


async def test_a_function_sent_from_at_once_leaves_the_loop_its_turns_and_has_a_bound() -> None:
    asked = 0

    def shot() -> Numbered:
        nonlocal asked
        asked += 1
        return Numbered(n=asked)

    async def first_only(message: Any) -> Any:
        if message["n"] > 1:
            await asyncio.Event().wait()
        return echo_with_id(message)

    async with (
        FakeServer(first_only) as server,
        server.connect(ECHOING) as conn,
        contextlib.aclosing(conn.stream(shot, pacing=pacing.Immediate())) as replies,
    ):
        await soon(anext(replies))
        async with asyncio.timeout(5):
            before = 0
            while asked > before:
                before = asked
                await asyncio.sleep(0.02)
        assert 0 < conn.stats.in_flight <= 60


@pytest.mark.parametrize("kind", ["live", "every", "function"])
@pytest.mark.parametrize("whose", ["its task", "what it waits for"])
async def test_the_consumer_is_told_of_a_source_that_was_cancelled_within(kind: str, whose: str) -> None:
    async def read(n: int) -> Any:
        if n == 3:
            if whose == "its task":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)
            camera = asyncio.get_running_loop().create_future()
            camera.cancel()
            await camera
        await asyncio.sleep(0.005)
        return {"n": n}

    async def camera() -> AsyncIterator[Any]:
        for n in range(10):
            yield await read(n)

    async def shot() -> Any:
        return await read(next(numbers))

    numbers = iter(range(10))
    source: Any = shot if kind == "function" else camera()
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(falrt.FalrtError, match="was cancelled"):
            await soon(collect(conn.stream(source, every=kind == "every")))
        assert await soon(conn.request({"n": 7})) == {"n": 7}
