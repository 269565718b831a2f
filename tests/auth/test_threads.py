from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from falrt.auth.threads import run_in_thread


async def test_the_result_comes_from_another_thread_that_is_gone_afterwards() -> None:
    before = threading.active_count()
    assert await run_in_thread(threading.get_ident) != threading.get_ident()
    assert threading.active_count() == before


async def test_an_error_is_raised_at_the_caller() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await run_in_thread(fail)


async def test_context_variables_are_seen_in_the_thread() -> None:
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
    threads += [thread for thread in threading.enumerate() if thread.name == "falrt-auth"]
    go_on.set()
    threads[0].join(5)
    assert not threads[0].is_alive()
