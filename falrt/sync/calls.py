"""How a call of the asyncio client becomes one that blocks: one helper for each form that calls have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

from falrt import tasks
from falrt.exceptions import ConfigurationError
from falrt.sync.loop_thread import LoopEnded, LoopThread

__all__ = ["iterate", "made", "wait"]

T = TypeVar("T")

_END: Final = object()


def wait(loop: LoopThread, make: Callable[[], Awaitable[T]]) -> T:
    """Await ``make()`` on a client's loop; an interrupt (Ctrl-C, Jupyter's stop button) cancels it.

    Raises:
        ConfigurationError: The client is closed.
        ConcurrencyError: The caller is a callback, or a forked process.
    """
    loop.check_caller("client")
    try:
        return loop.call(make)
    except LoopEnded:
        raise ConfigurationError("the client is closed: make a new one") from None


def made(loop: LoopThread, make: Callable[[], T]) -> T:
    """Return what ``make()`` makes on a client's loop; raises as :func:`wait`."""

    async def work() -> T:
        return make()

    return wait(loop, work)


def iterate(loop: LoopThread, make: Callable[[], AsyncGenerator[T, None]]) -> Iterator[T]:
    """Yield what an async generator yields; it is closed when the caller's loop has been left."""

    async def begin() -> AsyncGenerator[T, None]:
        items = make()
        loop.iterations.add(items)
        return items

    stepping: set[asyncio.Task[Any]] = set()

    async def step() -> T | object:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for mypy: a coroutine of the loop thread runs in a task
        stepping.add(task)
        try:
            return await anext(items, _END)
        finally:
            stepping.discard(task)

    async def end() -> None:
        loop.iterations.discard(items)
        # A step that an interrupt has left may still run, and a generator that runs cannot be closed.
        for task in stepping:
            task.cancel()
        await tasks.settle(stepping)
        await items.aclose()

    items = wait(loop, begin)
    try:
        while (item := wait(loop, step)) is not _END:
            yield item  # type: ignore[misc]  # not the mark of the end, so a T
    finally:
        loop.finish(end, stop=False)
