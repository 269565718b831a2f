"""One pool of HTTP connections: how it is made, and what it does not do."""

from __future__ import annotations

import asyncio
import importlib
import ssl
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from falrt.auth.pool import HTTPPool
from falrt.protocol.wire.proxies import Proxies


@asynccontextmanager
async def peer() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run a server that answers everything with 204; give its URL and the heads of what it was asked."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()
            ended.release()

    ended = asyncio.Semaphore(0)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
        for _ in heads:
            await ended.acquire()


async def test_many_callers_at_once_get_one_pool_with_one_tls_context() -> None:
    calls = 0

    async def shared() -> ssl.SSLContext:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    pool = HTTPPool("https://rest.fal.ai", shared)
    transports = await asyncio.gather(pool.transport(), pool.transport())
    await pool.client()
    assert calls == 1
    assert transports[0] is transports[1]
    await pool.aclose()


async def test_what_is_slow_to_load_is_loaded_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    load, make = importlib.import_module, ssl.create_default_context

    def loading(name: str) -> Any:
        if name == "httpx":
            threads.append(threading.get_ident())
        return load(name)

    def making() -> ssl.SSLContext:
        threads.append(threading.get_ident())
        return make()

    monkeypatch.setattr("falrt.auth.pool.importlib.import_module", loading)
    monkeypatch.setattr("falrt.auth.pool.ssl.create_default_context", making)
    monkeypatch.delitem(sys.modules, "httpx")
    pool = HTTPPool("https://rest.fal.ai")
    await pool.client()
    await pool.aclose()
    assert len(threads) == 2
    assert threading.get_ident() not in threads


async def test_closing_a_pool_that_was_never_used_does_nothing() -> None:
    await HTTPPool("https://rest.fal.ai").aclose()


async def test_a_closed_pool_holds_no_connection() -> None:
    async with peer() as (url, heads):
        pool = HTTPPool(url)
        transport = await pool.transport()
        await (await transport.handle_async_request(httpx.Request("GET", f"{url}/a"))).aread()
        client = await pool.client()
        await pool.aclose()
    assert client.is_closed
    assert len(heads) == 1


@pytest.mark.parametrize("proxied", [True, False])
async def test_a_proxy_is_used_where_one_leads_there(proxied: bool) -> None:
    async with peer() as (proxy, proxy_heads), peer() as (direct, direct_heads):
        place = "http://10.0.0.7" if proxied else direct
        pool = HTTPPool(place, None, Proxies.of(proxy))
        transport = await pool.transport()
        await (await transport.handle_async_request(httpx.Request("GET", f"{place}/a"))).aread()
        await pool.aclose()
    assert (len(proxy_heads), len(direct_heads)) == ((1, 0) if proxied else (0, 1))
