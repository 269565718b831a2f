"""On which event loop the tests run: ``FALRT_TEST_LOOP`` is ``asyncio`` (the default), ``uvloop`` or ``eager``.

uvloop is what ``uvicorn[standard]`` runs, so most FastAPI apps; its timers and transports differ in what they
promise. With ``eager`` (Python 3.12 and later) every task begins inside ``create_task``, which finds code that relies
on a turn of the loop in between.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

LOOP = os.environ.get("FALRT_TEST_LOOP") or "asyncio"


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def _eager() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]  # Python 3.12
    return loop


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": _uvloop,
    "eager": _eager,
}


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each async test on the one loop that was asked for."""
    return {LOOP: LOOPS[LOOP]}
