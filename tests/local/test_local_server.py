from __future__ import annotations

import asyncio
import threading

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from falrt import exceptions, local
from falrt.local import LocalOptions, LocalServer
from falrt.local.painter import Painter


async def test_serves_inside_the_block_and_leaves_nothing_behind(painter: Painter) -> None:
    tasks = asyncio.all_tasks()
    async with LocalServer(painter=painter) as server, httpx.AsyncClient() as http:
        url = server.url
        assert (await http.get(url)).status_code == 200

    assert asyncio.all_tasks() == tasks
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(url)


async def test_open_sockets_are_ended_with_the_server(painter: Painter) -> None:
    async with LocalServer(painter=painter) as server:
        socket = await connect(
            f"{server.url.replace('http', 'ws')}/fal-ai/fast-lcm-diffusion/realtime",
            additional_headers={"Authorization": "Key x"},
            proxy=None,
        )

    async with asyncio.timeout(5):
        with pytest.raises(ConnectionClosed, match="1012"):
            await socket.recv()


def test_serves_from_a_thread_as_a_plain_context_manager(painter: Painter) -> None:
    threads = threading.active_count()
    with LocalServer(painter=painter) as server:
        assert httpx.get(server.url).status_code == 200
        assert threading.active_count() > threads

    assert threading.active_count() == threads


def test_prepares_a_painter_of_its_own() -> None:
    with LocalServer() as server:
        assert httpx.get(server.url).status_code == 200


def test_has_no_address_outside_the_block(painter: Painter) -> None:
    server = LocalServer(painter=painter)
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    with server:
        assert server.url
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url


def test_cannot_be_entered_twice(painter: Painter) -> None:
    with LocalServer(painter=painter) as server, pytest.raises(RuntimeError, match="already running"):
        server.__enter__()


def test_taken_port_is_a_clear_error(painter: Painter) -> None:
    with LocalServer(painter=painter) as server:
        port = int(server.url.rpartition(":")[2])
        with (
            pytest.raises(exceptions.ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"),
            LocalServer(port=port, painter=painter),
        ):
            pass


def test_every_name_is_there_on_demand() -> None:
    for name in local.__all__:
        assert getattr(local, name)
    assert local.LocalOptions is LocalOptions
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = local.nothing
