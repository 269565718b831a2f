"""Waiting for a closing to end, whatever happens to the one who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["completed"]


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
