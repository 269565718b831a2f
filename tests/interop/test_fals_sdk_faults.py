"""falrt against fal's own server SDK behind a bad network, and over deployments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import falrt
from falrt.testing import FaultProxy
from tests.interop.fal_app import FalAppServer
from tests.interop.peer_app import PeerApp

pytestmark = pytest.mark.peer

APP = "acme/app"
# A test that takes longer than this hangs.
PATIENCE = 20


@pytest.fixture(scope="module")
def running() -> Iterator[FalAppServer]:
    with FalAppServer(PeerApp) as server:
        yield server


@pytest.fixture
def server(running: FalAppServer) -> FalAppServer:
    running.app.setup()
    return running


def connect(url: str, path: str | None = None, **options: Any) -> falrt.RealtimeConnection[Any, Any]:
    return falrt.connect(APP, path=path, base_url=url, key="id:secret", **options)


async def until_seen(server: FalAppServer, n: int) -> None:
    """Look until the app, which runs in another thread, has begun with an input."""
    while n not in server.app.seen:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_a_request_cut_off_is_sent_again(server: FalAppServer) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        FaultProxy("127.0.0.1", server.port) as proxy,
        connect(proxy.url) as conn,
    ):
        asking = asyncio.create_task(conn.request({"n": 1, "work_seconds": 0.1}))
        await until_seen(server, 1)
        proxy.cut()
        assert (await asking)["n"] == 1
        assert conn.stats.reconnects == 1

    assert server.app.seen == [1, 1]


async def test_twenty_tasks_keep_their_own_answers_through_cuts(server: FalAppServer) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        FaultProxy("127.0.0.1", server.port) as proxy,
        connect(proxy.url, "/buffering/1") as conn,
    ):
        asking = [asyncio.create_task(conn.request({"n": n, "work_seconds": 0.005})) for n in range(20)]
        for n in (3, 9, 15):
            await until_seen(server, n)
            proxy.cut()
        answers = await asyncio.gather(*asking)

    assert [answer["n"] for answer in answers] == list(range(20))


async def test_the_last_send_is_answered_across_a_cut(server: FalAppServer) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        FaultProxy("127.0.0.1", server.port) as proxy,
        connect(proxy.url) as conn,
    ):
        for n in range(5):
            await conn.send({"n": n, "work_seconds": 0.05})
        await until_seen(server, 0)
        proxy.cut()
        answer = -1
        while answer != 4:
            answer = (await conn.recv())["n"]


async def test_a_dead_line_is_noticed_and_replaced(server: FalAppServer) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        FaultProxy("127.0.0.1", server.port) as proxy,
        connect(proxy.url, ping_interval=0.1, ping_timeout=0.1) as conn,
    ):
        asking = asyncio.create_task(conn.request({"n": 1, "work_seconds": 0.05}))
        await until_seen(server, 1)
        proxy.black_hole(seconds=0.5)
        assert (await asking)["n"] == 1
        assert conn.stats.reconnects >= 1


async def test_work_longer_than_the_ping_timeout_is_no_dead_line(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server.url, ping_interval=0.05, ping_timeout=0.1) as conn:
        assert (await conn.request({"n": 1, "work_seconds": 0.5}))["n"] == 1
        assert conn.stats.reconnects == 0


async def test_a_stream_keeps_to_the_newest_frame_over_distance(server: FalAppServer) -> None:
    async def camera() -> Any:
        for n in range(40):
            yield {"n": n, "work_seconds": 0.02}
            await asyncio.sleep(0.01)

    async with (
        asyncio.timeout(PATIENCE),
        FaultProxy("127.0.0.1", server.port, latency=0.02, jitter=0.005) as proxy,
        connect(proxy.url, "/buffering/1") as conn,
    ):
        shown = [reply.output["n"] async for reply in conn.stream(camera())]

    assert shown == sorted(shown)
    assert shown[-1] == 39


async def test_a_stream_goes_on_after_a_cut(server: FalAppServer) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        FaultProxy("127.0.0.1", server.port) as proxy,
        connect(proxy.url) as conn,
    ):
        shown = []
        async for reply in conn.stream([{"n": n, "work_seconds": 0.005} for n in range(20)]):
            shown.append(reply.output["n"])
            if reply.output["n"] in (5, 12):
                proxy.cut()

    assert shown == list(range(20))


@pytest.mark.wire("W11")
async def test_a_deployment_is_ridden_out() -> None:
    with FalAppServer(PeerApp) as server:
        async with asyncio.timeout(PATIENCE), connect(server.url) as conn:
            assert (await conn.request({"n": 1}))["n"] == 1
            await asyncio.to_thread(server.restart)
            assert (await conn.request({"n": 2}))["n"] == 2
            assert conn.stats.reconnects >= 1


async def test_a_request_during_a_deployment_waits_for_the_new_runner() -> None:
    with FalAppServer(PeerApp) as server:
        async with asyncio.timeout(PATIENCE), connect(server.url) as conn:
            asking = asyncio.create_task(conn.request({"n": 1, "work_seconds": 0.2}))
            await until_seen(server, 1)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            assert (await asking)["n"] == 1


async def test_without_reconnect_a_deployment_is_the_end() -> None:
    with FalAppServer(PeerApp) as server:
        async with asyncio.timeout(PATIENCE), connect(server.url, reconnect=False) as conn:
            assert (await conn.request({"n": 1}))["n"] == 1
            await asyncio.to_thread(server.stop)
            with pytest.raises(falrt.ConnectionClosedError) as caught:
                await conn.recv()
            assert caught.value.code == 1012


async def test_nobody_there_is_said_before_anything_is_sent() -> None:
    with FalAppServer(PeerApp) as server:
        url = server.url
    with pytest.raises(falrt.ConnectError, match=r"127\.0\.0\.1"):
        async with (
            asyncio.timeout(PATIENCE),
            connect(url, auth="key", reconnect=falrt.Backoff(attempts=2)),
        ):
            pass


def test_the_blocking_connection_speaks_to_fals_sdk(server: FalAppServer) -> None:
    with falrt.sync.connect(APP, base_url=server.url, key="id:secret") as conn:
        assert conn.request({"n": 1})["n"] == 1
        conn.send({"n": 2})
        assert conn.recv()["n"] == 2
        assert [reply.output["n"] for reply in conn.stream([{"n": 3}, {"n": 4}])] == [3, 4]
