from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from falrt.exceptions import ConfigurationError
from falrt.testing import FakeServer, FaultProxy
from tests.testing.wire_client import PATIENCE, echo, hear, hear_all, say


def port_of(server: FakeServer) -> int:
    return int(server.url.rpartition(":")[2])


def dial(proxy: FaultProxy, **options: Any) -> connect:
    options = {"compression": None, "close_timeout": 0.2, **options}
    return connect(f"ws://127.0.0.1:{proxy.port}/acme/app/realtime", **options)


async def ask(ws: ClientConnection, number: int) -> None:
    await say(ws, number)
    assert await hear(ws) == {"inputs": [number]}


async def test_it_passes_everything_on() -> None:
    async with FakeServer(echo, auth=False) as server, FaultProxy("127.0.0.1", port_of(server)) as proxy:
        async with dial(proxy) as ws:
            await ask(ws, 1)
            assert proxy.open_connections == 1
        connection = await server.wait_for_close()
        assert connection.close_code == 1000
        assert proxy.url.endswith(str(proxy.port))
        assert proxy.accepted == 1
        assert proxy.bytes_up > 0
        assert proxy.bytes_down > 0


async def test_it_is_as_slow_as_it_is_told() -> None:
    async with (
        FakeServer(echo, auth=False) as server,
        FaultProxy("127.0.0.1", port_of(server), latency=0.005, jitter=0.005, seed=1) as proxy,
        dial(proxy) as ws,
    ):
        loop = asyncio.get_running_loop()
        began = loop.time()
        await ask(ws, 1)
        assert loop.time() - began >= 0.01
        proxy.shape("up", bandwidth=100_000.0)
        began = loop.time()
        await ws.send(b"\xc4\xff" + bytes(255))
        await ask_padded(ws, 2000)
        assert loop.time() - began >= 0.02


async def ask_padded(ws: ClientConnection, size: int) -> None:
    await hear(ws)
    await say(ws, bytes(size))
    await hear(ws)


async def test_a_sender_faster_than_the_line_is_held_back() -> None:
    async with (
        FakeServer(lambda data: {"n": len(data)}, auth=False) as server,
        FaultProxy("127.0.0.1", port_of(server), bandwidth=20e6) as proxy,
        dial(proxy) as ws,
    ):
        for _ in range(3):
            await say(ws, bytes(1 << 20))
        assert [await hear(ws) for _ in range(3)] == [{"n": 1 << 20}] * 3


async def test_a_receiver_that_does_not_read_holds_the_other_side_back() -> None:
    async with (
        FakeServer(lambda data: {"data": bytes(1 << 20)}, auth=False) as server,
        FaultProxy("127.0.0.1", port_of(server)) as proxy,
        dial(proxy, max_size=None, max_queue=1) as ws,
    ):
        await say(ws, *range(16))
        await server.wait_for_inputs(16)
        assert [len((await hear(ws))["data"]) for _ in range(16)] == [1 << 20] * 16


async def test_cut_resets_both_sides() -> None:
    async with (
        FakeServer(echo, auth=False) as server,
        FaultProxy("127.0.0.1", port_of(server)) as proxy,
        dial(proxy) as ws,
    ):
        await ask(ws, 1)
        proxy.cut()
        assert await hear_all(ws) == ([], 1006)
        assert (await server.wait_for_close()).close_code == 1006
        async with dial(proxy) as again:
            await ask(again, 2)


async def test_a_reset_of_the_server_passes_through() -> None:
    async with (
        FakeServer(echo, auth=False) as server,
        FaultProxy("127.0.0.1", port_of(server)) as proxy,
        dial(proxy) as ws,
    ):
        (await server.wait_for_connection()).reset()
        assert await hear_all(ws) == ([], 1006)


async def test_a_black_hole_holds_everything_until_it_is_restored() -> None:
    async with (
        FakeServer(echo, auth=False) as server,
        FaultProxy("127.0.0.1", port_of(server)) as proxy,
        dial(proxy) as ws,
    ):
        await ask(ws, 1)
        proxy.black_hole()
        await say(ws, 2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await ws.recv()
        with pytest.raises(TimeoutError):
            await dial(proxy, open_timeout=0.02)
        assert len(server.inputs) == 1
        proxy.restore()
        assert await hear(ws) == {"inputs": [2]}


async def test_a_black_hole_can_be_one_way_and_end_by_itself() -> None:
    async with (
        FakeServer(echo, auth=False) as server,
        FaultProxy("127.0.0.1", port_of(server)) as proxy,
        dial(proxy) as ws,
    ):
        await ask(ws, 1)
        proxy.black_hole("down", seconds=0.02)
        proxy.black_hole("down", seconds=0.02)
        await say(ws, 2)
        await server.wait_for_inputs(2)
        assert await hear(ws) == {"inputs": [2]}


async def test_not_even_a_reset_comes_out_of_a_black_hole() -> None:
    async with (
        FakeServer(echo, auth=False) as server,
        FaultProxy("127.0.0.1", port_of(server)) as proxy,
        dial(proxy) as ws,
    ):
        await ask(ws, 1)
        proxy.black_hole()
        server.connections[0].reset()
        await server.wait_for_close()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await ws.recv()
        proxy.restore()
        assert await hear_all(ws) == ([], 1006)


async def test_refused_connections_come_back_on_the_same_port() -> None:
    async with FakeServer(echo, auth=False) as server, FaultProxy("127.0.0.1", port_of(server)) as proxy:
        async with dial(proxy) as ws:
            proxy.refuse()
            with pytest.raises(ConnectionRefusedError):
                await dial(proxy)
            await ask(ws, 1)
        port = proxy.port
        await proxy.accept()
        assert proxy.port == port
        async with dial(proxy) as ws:
            await ask(ws, 2)


async def test_a_dead_target_is_a_reset() -> None:
    async with FakeServer() as server:
        port = port_of(server)
    async with FaultProxy("127.0.0.1", port) as proxy:
        with pytest.raises(Exception, match=r"(?i)reset|valid HTTP"):
            await dial(proxy)
        assert proxy.open_connections == 0


async def test_leaving_drops_connections_and_tasks() -> None:
    before = asyncio.all_tasks()
    async with FakeServer(echo, auth=False) as server:
        async with FaultProxy("127.0.0.1", port_of(server)) as proxy:
            ws = await dial(proxy)
            proxy.black_hole(seconds=60.0)
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await hear_all(ws) == ([], 1006)
        await ws.close()
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(
                ConnectionError
            ):  # dropped with a reset or with an end: either is a drop
                assert await reader.read() == b""
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    assert asyncio.all_tasks() == before
    await proxy.close()


def test_a_proxy_that_does_not_run_has_no_url() -> None:
    with pytest.raises(ConfigurationError, match="not running"):
        _ = FaultProxy("127.0.0.1", 1).url


async def test_the_end_of_a_stream_meets_a_client_that_has_just_reset() -> None:
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    async with FakeServer(echo, auth=False) as server, FaultProxy("127.0.0.1", port_of(server)) as proxy:
        client = socket.create_connection(("127.0.0.1", proxy.port))
        async with asyncio.timeout(PATIENCE):
            while not proxy.open_connections:  # noqa: ASYNC110 - the proxy has no event for it
                await asyncio.sleep(0.001)
        [pipe] = proxy._pipes
        end, _ = pipe._ways
        end.pause_reading()  # as a full line does: so the reset stays unseen
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        end.deliver(b"")
    assert not errors


async def test_nobody_else_gets_its_port_while_it_refuses() -> None:
    async with FakeServer(echo, auth=False) as server, FaultProxy("127.0.0.1", port_of(server)) as proxy:
        proxy.refuse()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", proxy.port))
        with pytest.raises(ConnectionRefusedError):
            async with dial(proxy):
                pass
        await proxy.accept()
        async with dial(proxy) as ws:
            await ask(ws, 1)


async def test_it_waits_for_a_port_that_another_server_got_while_it_refused() -> None:
    async with FakeServer(echo, auth=False) as server, FaultProxy("127.0.0.1", port_of(server)) as proxy:
        proxy.refuse()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", proxy.port))
            other.listen()
            accepting = asyncio.create_task(proxy.accept())
            done, _ = await asyncio.wait({accepting}, timeout=0.1)
            assert not done
        async with asyncio.timeout(PATIENCE):
            await accepting
            async with dial(proxy) as ws:
                await ask(ws, 1)


async def test_a_proxy_may_be_closed_twice_and_while_it_refuses() -> None:
    async with FakeServer(echo, auth=False) as server:
        proxy = FaultProxy("127.0.0.1", port_of(server))
        await proxy.accept()
        proxy.refuse()
        await proxy.close()
        await proxy.close()


async def test_a_senseless_direction_or_seed_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="direction must be 'up', 'down' or 'both', not 'left'"):
        FaultProxy("127.0.0.1", 1).shape("left", latency=0.1)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="seed must be a whole number, not 'x'"):
        FaultProxy("127.0.0.1", 1, seed="x")  # type: ignore[arg-type]
