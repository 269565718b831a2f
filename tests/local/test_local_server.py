from __future__ import annotations

import asyncio
import threading

import httpx
import pytest
from PIL import Image
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from falrt import exceptions, local
from falrt.local import LocalOptions, LocalServer
from falrt.local.painter import Order


async def test_serves_inside_the_block_and_leaves_nothing_behind() -> None:
    tasks = asyncio.all_tasks()
    async with LocalServer() as server, httpx.AsyncClient() as http:
        url = server.url
        assert (await http.get(url)).status_code == 200

    assert asyncio.all_tasks() == tasks
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(url)


async def test_open_sockets_are_ended_with_the_server() -> None:
    async with LocalServer() as server:
        socket = await connect(
            f"{server.url.replace('http', 'ws')}/fal-ai/fast-lcm-diffusion/realtime",
            additional_headers={"Authorization": "Key x"},
            proxy=None,
        )

    async with asyncio.timeout(5):
        with pytest.raises(ConnectionClosed, match="1012"):
            await socket.recv()


async def test_a_caller_that_hangs_up_in_the_middle_of_a_body_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with LocalServer() as server:
        url = httpx.URL(server.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(
            b"POST /files/upload HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
        )
        async with asyncio.timeout(5):
            assert b" 100 " in await reader.readline()  # it is being read
        writer.transport.abort()

    assert not caplog.records


def test_serves_from_a_thread_as_a_plain_context_manager() -> None:
    threads = threading.active_count()
    with LocalServer() as server:
        assert httpx.get(server.url).status_code == 200
        assert threading.active_count() > threads

    assert threading.active_count() == threads


def test_the_end_does_not_wait_for_a_picture_that_is_being_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def paint_for_ever(order: Order) -> Image.Image:
        begun.set()
        go_on.wait()
        return Image.new("RGB", (order.width, order.height))

    monkeypatch.setattr("falrt.local.stand_ins.paint", paint_for_ever)
    with (
        LocalServer() as server,
        httpx.Client(base_url=server.url, headers={"Authorization": "Key x"}) as http,
    ):
        http.post("/queue.fal.run/fal-ai/flux/dev", json={"prompt": "a fox"})
        assert begun.wait(20)

    assert "falrt local server" not in [thread.name for thread in threading.enumerate()]
    go_on.set()


def test_has_no_address_outside_the_block() -> None:
    server = LocalServer()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    with server:
        assert server.url
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url


def test_cannot_be_entered_twice() -> None:
    with LocalServer() as server, pytest.raises(RuntimeError, match="already running"):
        server.__enter__()


def test_taken_port_is_a_clear_error() -> None:
    with LocalServer() as server:
        port = int(server.url.rpartition(":")[2])
        with (
            pytest.raises(exceptions.ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"),
            LocalServer(port=port),
        ):
            pass


def test_every_name_is_there_on_demand() -> None:
    for name in local.__all__:
        assert getattr(local, name)
    assert local.LocalOptions is LocalOptions
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = local.nothing
