"""One short piece of blocking work off the event loop, in a thread that is gone afterwards.

A pool would keep its threads for the life of the loop or the process; a token is fetched every two minutes,
and nothing should be left behind when the client closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["run_in_thread"]

T = TypeVar("T")


async def run_in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread of its own and return what it returns, or raise what it raises.

    When the caller is cancelled the function runs on, and what becomes of it is ignored; Python cannot stop
    it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def settle(outcome: tuple[Any, BaseException | None]) -> None:
        if not done.done():
            done.set_result(outcome)

    def work() -> None:
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = (context.run(function), None)
        except BaseException as error:  # Raised again by the waiter, whatever it is.
            outcome = (None, error)
        with contextlib.suppress(RuntimeError):  # The loop has closed: nobody is waiting.
            loop.call_soon_threadsafe(settle, outcome)

    thread = threading.Thread(target=work, name="falrt-auth", daemon=True)
    thread.start()
    value, error = await done
    thread.join()  # It has nothing left to do but to end.
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]  # a tuple of (T, None) or (None, error)
