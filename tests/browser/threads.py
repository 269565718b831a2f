"""Servers in a thread of their own: the browser's tests are blocking, as Playwright's plain API is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from tests.server.serving import serving


@contextlib.contextmanager
def serving_in_thread(app: Any, port: int = 0) -> Iterator[str]:
    """Serve an ASGI app until the block ends; gives its URL."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found: dict[str, Any] = {}

    async def run() -> None:
        found["stop"] = asyncio.Event()
        async with serving(app, port=port) as url:
            found["url"] = url
            ready.set()
            await found["stop"].wait()

    def main() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(run())
        finally:
            ready.set()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=main, name="test server")
    thread.start()
    ready.wait(20)
    try:
        yield found["url"]
    finally:
        loop.call_soon_threadsafe(found["stop"].set)
        thread.join(20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
