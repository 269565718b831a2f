"""Round trips, connects and crowds: contenders in processes of their own take turns in short blocks.

Ratios are taken within a turn, then the median over the turns: a change of the machine's mood leaves them alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import BARE, JAVASCRIPT
from benchmarks.peers import Peer

# Bytes each way -> messages in a block, so that a block takes some 50 ms.
SIZES = {100: 400, 60_000: 200, 150_000: 100, 1_000_000: 16}
CROWD = {"size": 60_000, "connections": 600, "rate": 5.0, "seconds": 8.0}
HERE = Path(__file__).parent
INTEROP = HERE.parent / "tests" / "interop"


class WorkerProcess:
    """A contender's process, and the way to tell it what to do."""

    def __init__(self, name: str, loop: str, core: int | None) -> None:
        command = [sys.executable, "-m", "benchmarks.worker", name, loop]
        if name == JAVASCRIPT:
            command = ["node", str(HERE / "javascript_worker.mjs")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})

    def do(self, command: str, **options: Any) -> dict[str, Any]:
        """Let it do a command; return its figures."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": command, **options}) + "\n")
        self._process.stdin.flush()
        figures: dict[str, Any] = json.loads(self._process.stdout.readline())
        return figures

    def end(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended already, and said why
            self._process.stdin.close()
        self._process.wait(30)


@contextlib.contextmanager
def workers(names: Sequence[str], loop: str, core: int | None) -> Iterator[dict[str, WorkerProcess]]:
    """Start a process for each contender."""
    started = {name: WorkerProcess(name, loop, core) for name in names}
    try:
        yield started
    finally:
        for worker in started.values():
            worker.end()


def has_javascript() -> bool:
    """Whether the official JavaScript client can take part."""
    return shutil.which("node") is not None and (INTEROP / "node_modules" / "@fal-ai").exists()


def round_trips(
    processes: dict[str, WorkerProcess], peer: Peer, repeats: int, *, share: float = 1.0
) -> dict[str, dict[str, dict[str, float]]]:
    """Measure contenders at all sizes.

    Args:
        processes: The contenders.
        peer: The far end.
        repeats: Blocks of each contender and size.
        share: Of the usual number of messages in a block.

    Returns:
        Size in bytes -> contender -> figures; those named ``x_...`` are ratios to the bare loop.
    """
    results = {}
    for size, count in SIZES.items():
        for worker in processes.values():
            worker.do("open", port=peer.port, app=peer.app(size), size=size)
        blocks: dict[str, list[dict[str, float]]] = {name: [] for name in processes}
        for _ in range(repeats):
            for name in random.sample(list(processes), len(processes)):
                cpu = peer.cpu_seconds()
                messages = max(3, int(count * share))
                figures = processes[name].do("block", count=messages)
                blocks[name].append({**figures, "server_cpu": (peer.cpu_seconds() - cpu) / messages * 1e6})
        for worker in processes.values():
            worker.do("close")
        results[str(size)] = summary(blocks)
    return results


def connects(
    processes: dict[str, WorkerProcess], peer: Peer, repeats: int, count: int
) -> dict[str, dict[str, float]]:
    """Measure how long it takes until a connection is open, without the closing."""
    blocks: dict[str, list[dict[str, float]]] = {name: [] for name in processes}
    for round_ in range(repeats + 1):
        for name in random.sample(list(processes), len(processes)):
            figures = processes[name].do("connects", port=peer.port, app=peer.app(100), count=count)
            if round_:  # the first is for warming up
                blocks[name].append(figures)
    return summary(blocks)


def crowds(
    processes: dict[str, WorkerProcess], peer: Peer, repeats: int, **options: Any
) -> dict[str, dict[str, float]]:
    """Measure many connections at once, one contender after the other."""
    crowd: dict[str, Any] = {**CROWD, **options}
    blocks: dict[str, list[dict[str, float]]] = {name: [] for name in processes}
    for _ in range(repeats):
        for name in random.sample(list(processes), len(processes)):
            app = peer.app(crowd["size"])
            blocks[name].append(processes[name].do("crowd", port=peer.port, app=app, **crowd))
    return summary(blocks)


def summary(blocks: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the medians of each contender's figures, and of their ratios to the bare loop's."""
    results: dict[str, dict[str, float]] = {}
    for name, figures in blocks.items():
        told = {key for key, value in figures[0].items() if value is not None}
        results[name] = {key: statistics.median(each[key] for each in figures) for key in told}
        for key in told - {"faults"}:
            ratios = [
                mine[key] / its[key] for mine, its in zip(figures, blocks[BARE], strict=True) if its[key]
            ]
            if ratios:
                results[name][f"x_{key}"] = statistics.median(ratios)
    return results
