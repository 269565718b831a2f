"""Whose cancellation a ``CancelledError`` tells of."""

from __future__ import annotations

import asyncio

__all__ = ["is_own_cancellation"]


def is_own_cancellation() -> bool:
    """Whether the present task itself is being cancelled, and not something that a user's function waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
