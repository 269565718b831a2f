"""Threads that call, and hands that press Ctrl-C."""

from __future__ import annotations

import queue
import signal
import threading
import time
from typing import Any


def in_thread(function: Any) -> Any:
    """Call a function in a thread of its own; its result comes out of the queue."""
    results: queue.Queue[Any] = queue.Queue()

    def run() -> None:
        try:
            results.put(function())
        except BaseException as exc:
            results.put(exc)

    threading.Thread(target=run, daemon=True).start()
    return results


def interrupt_when(condition: Any) -> threading.Thread:
    """Press Ctrl-C as soon as a condition holds."""
    main = threading.main_thread().ident
    assert main is not None

    def press() -> None:
        while not condition():
            time.sleep(0.001)
        signal.pthread_kill(main, signal.SIGINT)

    return threading.Thread(target=press)
