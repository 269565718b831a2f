"""The one thread of a connection."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import pytest

from falrt.connection.worker import Worker
from tests.leaks import no_strays, soon, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")


async def test_functions_run_in_order_in_one_thread_that_ends() -> None:
    worker = Worker()
    threads: set[int] = set()

    def work(n: int) -> int:
        threads.add(threading.get_ident())
        return n

    assert await asyncio.gather(*(worker.run(lambda n=n: work(n)) for n in range(5))) == list(range(5))  # type: ignore[misc]
    assert len(threads) == 1
    worker.close()
    worker.close()
    assert "falrt worker" not in {thread.name for thread in threading.enumerate()}


async def test_errors_come_out_as_they_are_except_stop_iteration() -> None:
    worker = Worker()

    def fail(error: BaseException) -> None:
        raise error

    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: fail(ZeroDivisionError()))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await soon(worker.run(lambda: fail(StopIteration())))
    worker.close()


async def test_context_variables_are_there() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    variable.set(5)
    worker = Worker()
    assert await worker.run(variable.get) == 5
    worker.close()


async def test_a_cancelled_caller_leaves_the_thread_usable() -> None:
    worker, release = Worker(), threading.Event()
    waiting = asyncio.create_task(worker.run(lambda: release.wait(5)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    release.set()
    assert await soon(worker.run(lambda: 1)) == 1
    worker.close()


def test_work_that_outlives_its_loop_is_forgotten() -> None:
    worker, release, done = Worker(), threading.Event(), threading.Event()

    async def begin() -> None:
        task = asyncio.create_task(worker.run(lambda: (release.wait(5), done.set())))
        await asyncio.sleep(0)
        worker.close()
        task.cancel()

    asyncio.run(begin())
    release.set()
    assert done.wait(5)
    patience = time.monotonic() + 5
    while "falrt worker" in {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() < patience
        time.sleep(0.001)
