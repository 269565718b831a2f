from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from falrt.cli.interruption import Interruption

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@SIGNALS
def test_signal_ends_the_work_and_lets_it_clean_up(number: signal.Signals) -> None:
    seen: list[str] = []

    async def work() -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, number)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    with Interruption() as interruption:
        assert asyncio.run(interruption.run(work))
    assert seen == ["cleaned up"]


@SIGNALS
def test_signal_before_the_work_lets_it_begin_and_clean_up(number: signal.Signals) -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    with Interruption() as interruption:
        signal.raise_signal(number)
        assert asyncio.run(interruption.run(work))
    assert seen == ["cleaned up"]


@SIGNALS
def test_signal_after_the_work_does_not_disturb_what_is_written_then(number: signal.Signals) -> None:
    with Interruption() as interruption:
        assert not asyncio.run(interruption.run(lambda: asyncio.sleep(0)))
        signal.raise_signal(number)


def test_second_sigterm_changes_nothing() -> None:
    with Interruption():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)


def test_second_ctrl_c_ends_the_program() -> None:
    with Interruption(), pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the first must not raise
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


@SIGNALS
def test_signals_mean_again_what_they_meant_before(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    with Interruption():
        signal.raise_signal(number)

    assert signal.getsignal(number) is before


async def test_cancelling_from_elsewhere_stays_a_cancellation() -> None:
    with Interruption() as interruption:
        task = asyncio.create_task(interruption.run(asyncio.Event().wait))
        await asyncio.sleep(0)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task


def test_works_outside_the_main_thread_too() -> None:
    answers: list[bool] = []

    def work() -> None:
        with Interruption() as interruption:
            answers.append(asyncio.run(interruption.run(lambda: asyncio.sleep(0))))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert answers == [False]
