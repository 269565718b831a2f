"""What a connection may leave behind: nothing. Shared by the tests of the asyncio shell."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds after which a test is taken to hang."""


async def soon(awaitable: Awaitable[T]) -> T:
    """Wait for something that comes at once unless it hangs."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


async def turns(count: int = 5) -> None:
    """Let the loop go round: what is ready by now has happened then."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Any) -> None:
    """Wait for a condition that only turns of the loop can bring about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)


def our_tasks() -> set[str]:
    """Names of the tasks that belong to falrt's client side."""
    return {
        task.get_name()
        for task in asyncio.all_tasks()
        if task.get_name().startswith("falrt") and not task.get_name().startswith("falrt fa")
    }


def our_threads() -> set[str]:
    """Names of the threads that are not the test's own."""
    return {
        thread.name
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not thread.name.startswith(("falrt fake", "asyncio"))
    }


def client_sockets(url: str) -> int:
    """How many sockets of this process are connected to a server; its own ends are not counted."""
    port = f"{urlsplit(url).port:04X}"
    inodes = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[9] in inodes and row[2].endswith(f":{port}") for row in rows)


@asynccontextmanager
async def leaves_nothing(url: str) -> AsyncIterator[None]:
    """Check that after the block no task, thread or socket of ours is left, at once and without a turn."""
    tasks, threads = our_tasks(), our_threads()
    yield
    left = our_tasks() - tasks
    assert not left, f"tasks left: {left}"
    # A thread in the middle of an import cannot be stopped, but it ends.
    await until(lambda: our_threads() <= threads)
    await turns(3)  # a transport that was aborted closes its socket in the next turn
    assert client_sockets(url) == 0


@pytest.fixture
def no_strays() -> Iterator[None]:
    """Fail a test that leaves a thread; one that was at work when it was let go may finish that."""
    threads = our_threads()
    yield
    given_up_at = time.monotonic() + PATIENCE
    while not our_threads() <= threads and time.monotonic() < given_up_at:
        time.sleep(0.001)
    assert our_threads() <= threads
