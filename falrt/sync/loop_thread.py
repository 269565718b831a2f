"""An event loop in a thread of its own, for callers that block.

Written for the ends that such programs have: an interrupt in the middle of a call, a fork, several threads that close
at once, an object collected in whichever thread, and an interpreter that exits while everything is open.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from falrt.exceptions import ConcurrencyError

__all__ = ["LoopEnded", "LoopThread"]

T = TypeVar("T")


class LoopEnded(Exception):
    """The loop has ended, or ended before the call had."""


class LoopThread:
    """Runs coroutines for other threads, until :meth:`finish`.

    The thread is a daemon, so that a program may exit while it runs.

    Args:
        name: Of the thread.

    Attributes:
        pid: The process that made it; a forked child has only a copy without the thread.
        iterations: Async generators that callers are in the middle of; closed before the loop ends, the outer before
            what it uses, which asyncio itself would close in any order.
    """

    def __init__(self, name: str) -> None:
        self.pid = os.getpid()
        self.iterations: set[AsyncGenerator[Any, None]] = set()
        self._loop = asyncio.new_event_loop()
        # Those whose thread waits; failed at the end, so that no thread waits for ever.
        self._calls: set[_Call[Any]] = set()
        # Set when it begins to end: a call that comes later would be left in the middle.
        self._ending = False
        # Kept so that a closing that nobody waits for is not collected.
        self._finishing: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_inherited(self) -> bool:
        """This process was forked from the one that the loop runs in."""
        return os.getpid() != self.pid

    def check_caller(self, what: str) -> None:
        """Refuse a call that could never return.

        Args:
            what: What is called, for the error: ``"connection"``.

        Raises:
            ConcurrencyError: The caller is a forked process, or runs on the loop.
        """
        if self.is_inherited:
            raise ConcurrencyError(
                f"process {os.getpid()} was forked from process {self.pid}, whose {what} it cannot use: "
                f"make a {what} of its own in the new process"
            )
        if self.is_this_thread:
            raise ConcurrencyError(
                f"callbacks run in the {what}'s own thread, where a blocking call would wait for itself: "
                "pass the result to another thread, such as with a queue.Queue"
            )

    @property
    def is_this_thread(self) -> bool:
        """The caller runs on the loop: a blocking call from here would wait for itself."""
        return threading.current_thread() is self._thread  # not its ident, which another thread gets after it

    def call(
        self,
        make: Callable[[], Awaitable[T]],
        *,
        timeout: float | None = None,
        interrupted: Callable[[asyncio.Task[T]], None] | None = None,
    ) -> T:
        """Await ``make()`` on the loop and return its result; blocks.

        Args:
            make: Called on the loop, in the caller's context.
            timeout: Seconds to wait.
            interrupted: Called on the loop with the task, just cancelled or done, of a call whose caller was
                interrupted (Ctrl-C, Jupyter's stop button) or out of time: it may still have got a result.

        Raises:
            LoopEnded: The loop ended first.
            TimeoutError: The time is up.
        """
        call = _Call(make, interrupted)
        self._calls.add(call)
        try:
            # Once an interrupt can reach us, it is inside this block: there is no call that nobody cancels.
            self._post(lambda: self._start(call))
            return call.done.result(timeout)
        except concurrent.futures.CancelledError:
            raise LoopEnded from None
        except BaseException as exc:
            if not call.raised(exc):
                with contextlib.suppress(LoopEnded):  # then it is gone already
                    self._post(call.give_up)
            raise
        finally:
            self._calls.discard(call)

    def _start(self, call: _Call[Any]) -> None:
        if self._ending:
            call.done.cancel()
        else:
            call.start()

    def finish(
        self, make: Callable[[], Awaitable[None]], *, stop: bool, timeout: float | None = None
    ) -> None:
        """Await a closing on the loop; then, if asked, end the loop and its thread.

        May be called from every thread, several at once, again, and at interpreter exit. On the loop's own thread it
        only begins: the closing goes on after the caller. In a forked process it does nothing.

        Args:
            make: The closing. Awaited once for each caller.
            stop: End the loop afterwards.
            timeout: Seconds for each of the two; what is not done by then is cut off.
        """
        if self.is_inherited:
            return
        if self.is_this_thread:
            self._finishing = self._loop.create_task(self._finish(make, stop))
            if stop:
                self._finishing.add_done_callback(lambda _: self._loop.stop())
            return
        try:
            # Where another thread was quicker there is nothing to do; what is late is cut off by the end.
            with contextlib.suppress(LoopEnded, TimeoutError):
                self.call(lambda: self._finish(make, stop), timeout=timeout)
        finally:
            if stop:
                with contextlib.suppress(LoopEnded):
                    self._post(self._loop.stop)
                self._thread.join(timeout)

    async def _finish(self, make: Callable[[], Awaitable[None]], stop: bool) -> None:
        if stop:
            for iteration in list(self.iterations):
                with contextlib.suppress(RuntimeError):  # a thread waits in it; what it waits for ends below
                    await iteration.aclose()
        await make()

    def _post(self, callback: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError as exc:  # asyncio's "Event loop is closed"
            raise LoopEnded from exc

    def _run(self) -> None:
        loop = self._loop
        try:
            loop.run_forever()
            self._ending = True
            while tasks := asyncio.all_tasks(loop):
                for task in tasks:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            # Closed first: a call that comes later is refused, and one that came before is failed here.
            loop.close()
            for call in list(self._calls):
                call.done.cancel()


class _Call(Generic[T]):
    """One call: a task of the loop, and the future that its thread waits for. Its methods belong to the loop."""

    def __init__(
        self, make: Callable[[], Awaitable[T]], interrupted: Callable[[asyncio.Task[T]], None] | None
    ) -> None:
        self._make, self._interrupted = make, interrupted
        self._task: asyncio.Task[T] | None = None
        self.done: concurrent.futures.Future[T] = concurrent.futures.Future()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._awaited())
        self._task.add_done_callback(self._settle)

    def give_up(self) -> None:
        if self._task is not None:
            self._task.cancel()
            if self._interrupted is not None:
                self._interrupted(self._task)

    def raised(self, exc: BaseException) -> bool:
        """Whether an error is the call's own outcome, not one that hit its caller."""
        return self.done.done() and not self.done.cancelled() and self.done.exception() is exc

    async def _awaited(self) -> T:
        return await self._make()

    def _settle(self, task: asyncio.Task[T]) -> None:
        if self.done.done():
            return
        if task.cancelled():
            self.done.cancel()
        elif (error := task.exception()) is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(task.result())
