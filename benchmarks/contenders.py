"""What is compared: the same round trip through falrt in each of its ways, fal-client, and a bare loop.

The bare loop is ``websockets`` without compression and msgpack, nothing else; it skips the frame with timings that
comes behind an answer, as everybody must.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

BARE = "bare loop"
REQUEST = "falrt request()"
SEND = "falrt send() + recv()"
STREAM = "falrt stream()"
FAL_CLIENT = "fal-client"
JAVASCRIPT = "@fal-ai/client"
OURS = (REQUEST, SEND, STREAM)
PYTHON = (BARE, *OURS, FAL_CLIENT)
NAMES = (*PYTHON, JAVASCRIPT)
# One line each that makes the contender ready to be named in a program; its import time is measured.
IMPORTS = {
    BARE: "import asyncio, msgpack; from websockets.asyncio.client import connect",
    REQUEST: "import falrt",
    SEND: "import falrt; falrt.connect; import falrt.connection.dialing",
    FAL_CLIENT: "import fal_client",
}


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection: how to ask over it, and how to end it."""

    ask: Callable[[Any], Awaitable[Any]]
    close: Callable[[], Awaitable[Any]]


async def open_session(name: str, port: int, app: str) -> Session:
    """Connect as this contender does by default; keys instead of tokens, for nobody mints any."""
    ways = {BARE: _bare, REQUEST: _request, SEND: _send, STREAM: _stream, FAL_CLIENT: _fal_client}
    return await ways[name](port, app)


async def _bare(port: int, app: str) -> Session:
    import msgpack
    from websockets.asyncio.client import connect

    socket = await connect(
        f"ws://127.0.0.1:{port}/{app}/realtime", compression=None, max_size=None, proxy=None
    )

    async def ask(message: Any) -> Any:
        await socket.send(msgpack.packb(message))
        while True:
            frame = await socket.recv()
            if type(frame) is bytes:
                return msgpack.unpackb(frame)

    return Session(ask, socket.close)


async def _connect(port: int, app: str) -> Any:
    import falrt

    return await falrt.connect(app, base_url=f"http://127.0.0.1:{port}", key="id:secret", auth="key")


async def _request(port: int, app: str) -> Session:
    connection = await _connect(port, app)
    return Session(connection.request, connection.close)


async def _send(port: int, app: str) -> Session:
    connection = await _connect(port, app)

    async def ask(message: Any) -> Any:
        await connection.send(message)
        return await connection.recv()

    return Session(ask, connection.close)


async def _stream(port: int, app: str) -> Session:
    from falrt import pacing

    connection = await _connect(port, app)
    messages: asyncio.Queue[Any] = asyncio.Queue()

    async def source() -> AsyncIterator[Any]:
        while True:
            yield await messages.get()

    replies = connection.stream(source(), pacing=pacing.Latest(1))

    async def ask(message: Any) -> Any:
        messages.put_nowait(message)
        return (await anext(replies)).output

    async def close() -> None:
        await replies.aclose()
        await connection.close()

    return Session(ask, close)


async def _fal_client(port: int, app: str) -> Session:
    os.environ["FAL_KEY"] = "id:secret"
    import fal_client

    fal_client.client.REALTIME_URL_FORMAT = f"ws://127.0.0.1:{port}/"
    stack = AsyncExitStack()
    connection = await stack.enter_async_context(fal_client.realtime_async(app, use_jwt=False))

    async def ask(message: Any) -> Any:
        await connection.send(message)
        return await connection.recv()

    return Session(ask, stack.aclose)
