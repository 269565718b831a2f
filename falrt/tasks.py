"""Tasks that begin when their maker is ready, and waiting for them, whatever happens to the one who waits."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context
from typing import Any, Final, TypeVar

__all__ = [
    "INTERRUPTS",
    "address_race",
    "begin",
    "completed",
    "is_own_cancellation",
    "settle",
    "together",
    "told",
    "whole",
]

T = TypeVar("T")

# RFC 8305: so long one address of a host is tried alone.
_NEXT_ADDRESS_DELAY: Final = 0.25

INTERRUPTS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What a user's function may raise without having failed. The rest is its failure, a ``BaseException`` too: a panic of
a codec in Rust is one, and so is a failing assertion of pytest."""


def begin(work: Coroutine[Any, Any, T], *, name: str, context: Context | None = None) -> asyncio.Task[T]:
    """Run a coroutine in a task that begins in the next turn of the loop, whatever the loop's task factory does.

    With ``asyncio.eager_task_factory``, ``create_task`` runs a coroutine before whoever makes the task has noted it:
    work that ends at once would be noted after its end, and one that looks for its own task would not find it.

    Returns:
        The task. Keep it: the loop itself holds it weakly.
    """
    return asyncio.Task(work, loop=asyncio.get_running_loop(), name=name, context=context)


def address_race(host: str) -> dict[str, Any]:
    """Return the options with which ``loop.create_connection`` tries the addresses of a host side by side.

    A name may have several, of which the first may lead nowhere. Empty where that does not work: uvloop knows no such
    option, and asyncio's race fails by an assertion where tasks are eager (Python 3.12.0 to 3.12.7, 3.13.0).
    """
    loop = asyncio.get_running_loop()
    is_name = not host.replace(".", "").isdigit() and ":" not in host
    if is_name and isinstance(loop, asyncio.BaseEventLoop) and loop.get_task_factory() is None:
        return {"happy_eyeballs_delay": _NEXT_ADDRESS_DELAY}
    return {}


def is_own_cancellation() -> bool:
    """Whether the present task itself is being cancelled, and not something that a user's function waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def completed(closing: asyncio.Task[Any], hurry: Callable[[], object], *, patient: bool = True) -> None:
    """Wait until a closing has ended; a waiter that is cancelled hurries it first, and still waits.

    What is closed in a task of its own cannot be left half done by a cancelled caller, not even in an anyio scope,
    which cancels its tasks again and again: a hurried closing takes a few turns of the loop.

    Args:
        closing: The task that closes.
        hurry: Makes it end at once, such as by cutting the line instead of waiting for the peer.
        patient: False for a waiter that somebody's closing may wait for in turn: cancelled, it waits no longer.
    """
    cancelled: asyncio.CancelledError | None = None
    while not closing.done():
        try:
            await asyncio.wait({closing})
        except asyncio.CancelledError as exc:
            cancelled = exc
            hurry()
            if not patient:
                raise
    failure = None if closing.cancelled() else closing.exception()
    if cancelled is not None:
        raise cancelled from failure
    if failure is not None:
        raise failure


async def settle(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Wait until they have ended, however they end."""
    tasks = set(tasks)
    if tasks:
        await asyncio.wait(tasks)


async def together(works: Iterable[Coroutine[Any, Any, Any]], *, name: str) -> None:
    """Run coroutines side by side until all have ended; where one fails, stop the others and raise its error."""
    running = [begin(work, name=name) for work in works]
    try:
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await settle(running)


async def whole(work: Coroutine[Any, Any, T], *, name: str) -> T:
    """Await what must not stop in the middle: a caller that is cancelled meanwhile waits for its end."""
    task = begin(work, name=name)
    await completed(task, lambda: None)
    return task.result()


async def told(callback: Callable[..., object] | None, *news: Any) -> None:
    """Call a user's function, sync or async, if there is one."""
    if callback is not None and inspect.isawaitable(outcome := callback(*news)):
        await outcome
