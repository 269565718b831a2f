"""One connection and several event loops: the first call says so, whatever the call, and nothing hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import falrt
from falrt.testing import BackgroundFakeServer
from tests.leaks import no_strays, soon  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")


def echo(message: Any) -> dict[str, Any]:
    return {"n": message["n"]}


async def streaming(conn: Any) -> None:
    async for _ in conn.stream([{"n": 1}]):
        pass


async def latest(conn: Any) -> None:
    conn.latest()


CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "send": lambda conn: conn.send({"n": 1}),
    "recv": lambda conn: conn.recv(),
    "request": lambda conn: conn.request({"n": 1}),
    "stream": streaming,
    "latest": latest,
    "flush": lambda conn: conn.flush(),
    "drain": lambda conn: conn.drain(),
    "close": lambda conn: conn.close(),
    "enter": lambda conn: conn.__aenter__(),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_from_another_threads_loop_says_whose_the_connection_is(name: str) -> None:
    async def call() -> None:
        await soon(CALLS[name](conn))

    with BackgroundFakeServer(echo) as server:
        async with falrt.connect("acme/app", base_url=server.url, key="test") as conn:
            with pytest.raises(falrt.ConcurrencyError, match=r"another event loop|already been used"):
                await asyncio.to_thread(asyncio.run, call())
            assert await soon(conn.request({"n": 2})) == {"n": 2}


@pytest.mark.filterwarnings("ignore:unclosed")  # what is left open by a loop that has ended cannot be closed
@pytest.mark.parametrize("name", CALLS)
def test_a_call_from_a_second_run_says_that_the_first_loop_had_it(name: str) -> None:
    async def begin() -> Any:
        return await falrt.connect("acme/app", base_url=server.url, key="test", auth="key")

    async def call() -> None:
        await soon(CALLS[name](conn))

    with BackgroundFakeServer(echo) as server:
        conn = asyncio.run(begin())
        with pytest.raises(falrt.ConcurrencyError, match=r"another event loop|already been used"):
            asyncio.run(call())


def test_trio_is_told_what_falrt_needs() -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def main() -> None:
        async with falrt.connect("acme/app", base_url="http://127.0.0.1:9", key="test"):
            pass

    with pytest.raises(falrt.ConfigurationError, match="no asyncio event loop"):
        trio.run(main)
