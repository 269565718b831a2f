"""What is compared: the same round trip through falrt, fal-client, and a bare loop."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.echo_peer import APP

BARE = "bare loop"
FALRT = "falrt"
FALRT_SEND = "falrt send/recv"
FAL_CLIENT = "fal-client"
NAMES = (BARE, FALRT, FALRT_SEND, FAL_CLIENT)
# One line each that makes the contender ready to be named in a program; its import time is measured.
IMPORTS = {
    BARE: "import asyncio, msgpack; from websockets.asyncio.client import connect",
    FALRT: "import falrt",
    FALRT_SEND: "import falrt; falrt.connect; import falrt.connection.dialing",
    FAL_CLIENT: "import fal_client",
}


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection: how to ask over it, and how to end it."""

    ask: Callable[[Any], Awaitable[Any]]
    close: Callable[[], Awaitable[Any]]


async def open_session(name: str, port: int) -> Session:
    """Connect to the echo peer as this contender does by default; keys instead of tokens, for nobody mints any."""
    return await {BARE: _bare, FALRT: _falrt, FALRT_SEND: _falrt_send, FAL_CLIENT: _fal_client}[name](port)


async def _bare(port: int) -> Session:
    import msgpack
    from websockets.asyncio.client import connect

    socket = await connect(
        f"ws://127.0.0.1:{port}/{APP}/realtime", compression=None, max_size=None, proxy=None
    )

    async def ask(message: Any) -> Any:
        await socket.send(msgpack.packb(message))
        return msgpack.unpackb(await socket.recv())

    return Session(ask, socket.close)


async def _falrt(port: int) -> Session:
    import falrt

    connection = await falrt.connect(APP, base_url=f"http://127.0.0.1:{port}", key="id:secret", auth="key")
    return Session(connection.request, connection.close)


async def _falrt_send(port: int) -> Session:
    import falrt

    connection = await falrt.connect(APP, base_url=f"http://127.0.0.1:{port}", key="id:secret", auth="key")

    async def ask(message: Any) -> Any:
        await connection.send(message)
        return await connection.recv()

    return Session(ask, connection.close)


async def _fal_client(port: int) -> Session:
    os.environ["FAL_KEY"] = "id:secret"
    import fal_client

    fal_client.client.REALTIME_URL_FORMAT = f"ws://127.0.0.1:{port}/"
    stack = AsyncExitStack()
    connection = await stack.enter_async_context(fal_client.realtime_async(APP, use_jwt=False))

    async def ask(message: Any) -> Any:
        await connection.send(message)
        return await connection.recv()

    return Session(ask, stack.aclose)
