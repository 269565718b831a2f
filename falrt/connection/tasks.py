"""Waiting for a closing to end, whatever happens to the one who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final

__all__ = ["INSIDE", "completed", "inside_of", "settle"]

INSIDE: Final[ContextVar[frozenset[int]]] = ContextVar("falrt_inside", default=frozenset())
"""Whose user's functions this code runs in, child tasks included: nobody there may wait for itself to end."""


def inside_of(owner: object) -> Context:
    """Return a context in which the user's functions of an owner may run, and close it."""
    context = copy_context()
    context.run(INSIDE.set, INSIDE.get() | {id(owner)})
    return context


async def completed(closing: asyncio.Task[Any], hurry: Callable[[], None]) -> None:
    """Wait until a closing has ended; a waiter that is cancelled hurries it first, and still waits.

    What is closed in a task of its own cannot be left half done by a cancelled caller, not even in an anyio scope,
    which cancels its tasks again and again: a hurried closing takes a few turns of the loop.

    Args:
        closing: The task that closes.
        hurry: Makes it end at once, such as by cutting the line instead of waiting for the peer.
    """
    cancelled: asyncio.CancelledError | None = None
    while not closing.done():
        try:
            await asyncio.wait({closing})
        except asyncio.CancelledError as exc:
            cancelled = exc
            hurry()
    if cancelled is not None:
        raise cancelled
    if not closing.cancelled():
        closing.result()


async def settle(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait until they have ended, however they end."""
    tasks = set(tasks)
    if tasks:
        await asyncio.wait(tasks)
