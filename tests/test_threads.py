"""Work in threads, and what is left of them."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import pytest

from falrt.threads import Worker, run_in_thread
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


# --- a thread for one function


async def test_the_result_comes_from_another_thread_that_is_gone_afterwards() -> None:
    before = threading.active_count()
    assert await run_in_thread(threading.get_ident) != threading.get_ident()
    assert threading.active_count() == before


async def test_an_error_is_raised_at_the_caller() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await run_in_thread(fail)


async def test_context_variables_are_seen_in_a_thread_of_ones_own() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("seen")
    assert await run_in_thread(variable.get) == "seen"


async def test_a_cancelled_caller_leaves_at_once_and_the_late_result_is_ignored() -> None:
    started, go_on, ended = asyncio.Event(), threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(5)
        loop.call_soon_threadsafe(lambda: loop.call_soon(ended.set))

    task = asyncio.create_task(run_in_thread(work))
    async with asyncio.timeout(5):
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await ended.wait()  # Set one turn after the late result had its chance to do harm.


def test_a_loop_that_has_closed_meanwhile_does_no_harm() -> None:
    go_on = threading.Event()
    threads: list[threading.Thread] = []

    def work() -> None:
        go_on.wait(5)

    async def leave_early() -> None:
        task = asyncio.create_task(run_in_thread(work))
        await asyncio.sleep(0)  # The thread starts with the task's first step.
        task.cancel()

    asyncio.run(leave_early())
    threads += [thread for thread in threading.enumerate() if thread.name == "falrt worker"]
    go_on.set()
    threads[0].join(5)
    assert not threads[0].is_alive()
