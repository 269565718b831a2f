"""The three modes whose sessions end: iteration ends with them, and nothing after the end hangs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import falrt
from falrt.testing import FakeServer, FaultProxy, script
from tests.leaks import leaves_nothing, no_strays, soon, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")

QUICK = falrt.Backoff(initial=0.01, maximum=0.02)


def three(message: Any) -> Any:
    return ({"n": message["n"], "step": step} for step in range(3))


async def total(inputs: AsyncIterator[Any]) -> dict[str, Any]:
    return {"sum": sum([message["n"] async for message in inputs])}


async def doubled(inputs: AsyncIterator[Any]) -> AsyncIterator[dict[str, Any]]:
    async for message in inputs:
        if message.get("end"):
            return
        yield {"n": 2 * message["n"]}


async def test_server_streaming_ends_where_the_app_ends() -> None:
    async with (
        FakeServer(three, mode="server_streaming") as server,
        leaves_nothing(server.url),
        server.connect(mode="server_streaming") as conn,
    ):
        await conn.send({"n": 1})
        async with asyncio.timeout(5):
            outputs = [output async for output in conn]
        assert outputs == [{"n": 1, "step": step} for step in range(3)]


async def test_after_the_end_recv_raises_at_once_and_the_next_send_begins_anew() -> None:
    async with (
        FakeServer(three, mode="server_streaming") as server,
        server.connect(mode="server_streaming") as conn,
    ):
        for n in range(3):
            await conn.send({"n": n})
            async with asyncio.timeout(5):
                assert [output["n"] async for output in conn] == [n] * 3
            for _ in range(3):
                with pytest.raises(falrt.ConnectionClosedOK, match="ended the stream"):
                    await soon(conn.recv())
        assert len(server.connections) == 3


async def test_client_streaming_gives_one_result_at_its_end() -> None:
    async with (
        FakeServer(total, mode="client_streaming", session_timeout=0.05) as server,
        server.connect(mode="client_streaming") as conn,
    ):
        for n in range(4):
            await conn.send({"n": n})
        async with asyncio.timeout(5):
            assert [output async for output in conn] == [{"sum": 6}]
        with pytest.raises(falrt.ConnectionClosedOK):
            await soon(conn.recv())
        await conn.send({"n": 7})
        assert await soon(conn.recv()) == {"sum": 7}


async def test_bidi_goes_both_ways_and_ends_with_the_app() -> None:
    async with FakeServer(doubled, mode="bidi") as server, server.connect(mode="bidi") as conn:
        await conn.send({"n": 1})
        assert await soon(conn.recv()) == {"n": 2}
        await conn.send({"n": 2})
        assert await soon(conn.recv()) == {"n": 4}
        await conn.send({"end": True})
        async with asyncio.timeout(5):
            assert [output async for output in conn] == []
        await conn.send({"n": 3})
        assert await soon(conn.recv()) == {"n": 6}
        assert len(server.connections) == 2


async def test_a_models_own_mode_is_used() -> None:
    model = falrt.RealtimeModel("acme/app", dict, dict, mode="bidi")
    async with FakeServer(doubled, mode="bidi") as server, server.connect(model) as conn:
        await conn.send({"n": 1})
        assert await soon(conn.recv()) == {"n": 2}
        with pytest.raises(falrt.ConfigurationError, match="bidi"):
            await conn.request({"n": 1})


async def rest_of(conn: Any) -> list[Any]:
    """Iterate to the end."""
    async with asyncio.timeout(5):
        return [output async for output in conn]


async def test_a_session_lost_in_the_middle_raises() -> None:
    faults = [script.Reset(after=1)]
    async with (
        FakeServer(doubled, mode="bidi", faults=faults) as server,
        leaves_nothing(server.url),
        server.connect(mode="bidi", reconnect=QUICK) as conn,
    ):
        await conn.send({"n": 1})
        with pytest.raises(falrt.ConnectionClosedError):
            await rest_of(conn)
        await conn.send({"n": 2})
        assert await soon(conn.recv()) == {"n": 4}


async def test_server_streaming_is_asked_again_only_where_nothing_came() -> None:
    faults = [script.Reset(inputs=1)]
    async with (
        FakeServer(three, mode="server_streaming", faults=faults) as server,
        server.connect(mode="server_streaming", reconnect=QUICK) as conn,
    ):
        await conn.send({"n": 1})
        async with asyncio.timeout(5):
            assert [output["step"] async for output in conn] == [0, 1, 2]
        assert len(server.inputs) == 2


async def test_an_app_that_fails_in_the_middle_tells_its_reason() -> None:
    def broken(message: Any) -> Any:
        yield {"n": 1}
        raise ValueError("out of memory")

    async with (
        FakeServer(broken, mode="server_streaming") as server,
        server.connect(mode="server_streaming") as conn,
    ):
        await conn.send({"n": 1})
        assert await soon(conn.recv()) == {"n": 1}
        with pytest.raises((falrt.ServerError, falrt.ConnectionClosedError), match="out of memory"):
            await soon(conn.recv())


async def test_a_reader_that_stands_still_holds_up_the_server_and_loses_nothing() -> None:
    def many(message: Any) -> Any:
        return ({"n": n, "data": bytes(1000)} for n in range(3000))

    async with (
        FakeServer(many, mode="server_streaming") as server,
        server.connect(mode="server_streaming") as conn,
    ):
        await conn.send({"go": 1})
        await until(lambda: conn._core.delivery.inbox.full)
        assert conn.stats.received <= 300
        async with asyncio.timeout(5):
            assert [output["n"] async for output in conn] == list(range(3000))


async def test_a_consumer_that_is_far_behind_hears_of_the_end_of_the_session() -> None:
    async def burst(inputs: AsyncIterator[Any]) -> AsyncIterator[dict[str, int]]:
        async for _ in inputs:
            for n in range(1000):
                yield {"n": n}

    async with (
        FakeServer(burst, mode="bidi") as server,
        FaultProxy("127.0.0.1", int(server.url.rpartition(":")[2])) as proxy,
        server.connect(mode="bidi", base_url=proxy.url) as conn,
    ):
        await conn.send({})
        await until(lambda: conn._core.delivery.inbox.full)
        proxy.cut()
        with contextlib.suppress(falrt.ConnectionClosedError):
            await soon(conn.send({}))  # into a line that nobody reads any more
        received = [None async for _ in _until_lost(conn)]
        assert len(received) >= 256


async def _until_lost(conn: Any) -> AsyncIterator[Any]:
    while True:
        try:
            yield await soon(conn.recv())
        except falrt.ConnectionClosedError:
            return


@pytest.mark.parametrize("mode", ["server_streaming", "client_streaming", "bidi"])
async def test_the_newest_of_a_session_cannot_be_polled(mode: Any) -> None:
    async with FakeServer(lambda message: message) as server, server.connect(mode=mode, lazy=True) as conn:
        with pytest.raises(falrt.ConfigurationError, match=r"latest\(\) needs one answer for each input"):
            conn.latest()


async def test_a_session_is_drained_when_the_socket_has_taken_everything() -> None:
    async with (
        FakeServer(doubled, mode="bidi") as server,
        server.connect(mode="bidi", pacing=falrt.pacing.Immediate()) as conn,
    ):
        await conn.send({"n": 1})
        await soon(conn.drain())
        server.connections[0].pause_reading()
        big = {"n": 2, "image": bytes(12_000_000)}
        await conn.send(big)
        draining = asyncio.create_task(conn.drain())
        await asyncio.sleep(0.02)
        assert not draining.done()
        server.connections[0].resume_reading()
        await soon(draining)


async def test_an_idle_session_ends_as_idle_close_says() -> None:
    async with (
        FakeServer(doubled, mode="bidi") as server,
        server.connect(mode="bidi", idle_close=0.02) as conn,
    ):
        await conn.send({"n": 1})
        assert await soon(conn.recv()) == {"n": 2}
        await soon(server.wait_for_close(0))
        assert server.connections[0].close_code == 1000
