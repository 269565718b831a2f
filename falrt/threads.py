"""Blocking work off the event loop, in a thread that ends with its owner; a pool would leave its threads behind.

Threads are daemons, so that a camera that never gives a frame cannot keep a program alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["Worker", "run_in_thread"]

T = TypeVar("T")


async def run_in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread of its own and return what it returns, or raise what it raises.

    When the caller is cancelled the function runs on, and what becomes of it is ignored; Python cannot stop it.
    """
    worker = Worker()
    try:
        return await worker.run(function)
    finally:
        worker.close()


class Worker:
    """Calls functions in one thread, one after the other. Its methods belong to one event loop."""

    __slots__ = ("_jobs", "_pending", "_thread")

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # Started with the first piece of work.
        self._thread: threading.Thread | None = None
        # Jobs that were given and whose end has not been told to the loop.
        self._pending = 0

    async def run(self, function: Callable[[], T]) -> T:
        """Return what the function returns, or raise what it raises.

        A cancelled caller leaves the function running; Python cannot stop it.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def settle(value: Any, error: BaseException | None) -> None:
            self._pending -= 1
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(value)

        def job() -> None:
            value: Any = None
            error: BaseException | None = None
            try:
                value = context.run(function)
            except StopIteration as exc:  # a future refuses it, as a coroutine does
                error = RuntimeError("a function in a thread raised StopIteration")
                error.__cause__ = exc
            except BaseException as exc:  # raised again by the waiter, whatever it is
                error = exc
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is waiting
                loop.call_soon_threadsafe(settle, value, error)

        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="falrt worker", daemon=True)
            self._thread.start()
        self._pending += 1
        self._jobs.put(job)
        return await done

    def close(self) -> None:
        """End the thread; one that is at work ends after it, and is not waited for."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._jobs.put(None)
        if not self._pending:
            thread.join()  # it waits for work: this takes microseconds

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # it holds a picture
