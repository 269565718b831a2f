"""Ctrl-C and SIGTERM: a stream is asked to end, so that what there is by then is saved."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Interruption"]


class Interruption:
    """Takes Ctrl-C and SIGTERM (``docker stop``, systemd) while inside its block, as a request to end the work.

    The block should also hold the writing of results: nothing is left to end by then, and a signal that comes so late
    must not cost them. A second Ctrl-C ends the program all the same. Outside the main thread, where signals cannot
    be taken, it does nothing.
    """

    def __init__(self) -> None:
        # What the program did at each signal before; put back on leaving.
        self._before: dict[int, Any] = {}
        # Set by the first signal, also when no work runs yet.
        self._asked = False
        self._work: asyncio.Future[Any] | None = None

    def __enter__(self) -> Self:
        # Outside the main thread: nobody can press Ctrl-C here.
        with contextlib.suppress(ValueError):
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    async def run(self, work: Callable[[], Any]) -> bool:
        """Await ``work()``, cancelling it when a signal comes.

        Returns:
            Whether one came.
        """
        running = self._work = asyncio.ensure_future(work())
        if self._asked:
            # Not at once: a task that is cancelled before its first step has nothing that could clean up.
            asyncio.get_running_loop().call_soon(running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            if not self._asked:
                raise
        finally:
            self._work = None
        return self._asked

    def _stop(self, signum: int, stack: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._asked:
            return
        self._asked = True
        if self._work is not None:
            self._work.get_loop().call_soon_threadsafe(self._work.cancel)
