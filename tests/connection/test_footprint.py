"""What an idle connection costs: a program may hold thousands."""

import asyncio
import gc
import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path

import falrt
from falrt.testing import FakeServer

# It takes 6640 with Python 3.11 to 3.13. A dict, a lock and a few closures more would show.
OURS_MAX_BYTES = 7200
CONNECTIONS = 40
ROOMS = ("client.py", "options.py", "auth", "http", "connection", "protocol")


def memory_of_the_client() -> int:
    """Return the bytes that the modules of the client's side hold."""
    home = Path(falrt.__file__).parent
    ours = [tracemalloc.Filter(True, str(home / room) + ("*" if "." in room else "/*")) for room in ROOMS]
    gc.collect()
    return sum(each.size for each in tracemalloc.take_snapshot().filter_traces(ours).statistics("filename"))


async def idle_bytes() -> float:
    """Return what one idle connection holds."""
    async with FakeServer(dict) as server, AsyncExitStack() as stack:

        async def connect() -> None:
            await stack.enter_async_context(
                falrt.connect("acme/app", key=server.key, base_url=server.url, auth="key")
            )

        await connect()  # what the first one loads, the others share
        tracemalloc.start()
        try:
            before = memory_of_the_client()
            async with asyncio.timeout(60):
                for _ in range(CONNECTIONS):
                    await connect()
            return (memory_of_the_client() - before) / CONNECTIONS
        finally:
            tracemalloc.stop()


def test_an_idle_connection_stays_small() -> None:
    # On asyncio's own loop: another one makes objects in our name that are not ours to save.
    assert 0 < asyncio.run(idle_bytes()) < OURS_MAX_BYTES
