"""What is paid before and between messages: import time, and memory of connections that idle.

Each figure comes from fresh interpreters, so that one contender's imports do not count as another's.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import statistics
import subprocess
import sys
import tracemalloc
from pathlib import Path

from benchmarks.contenders import BARE, FAL_CLIENT, IMPORTS, REQUEST, open_session
from benchmarks.peers import Peer

# Opened first and not counted: what the first connection loads, the others share.
WARM_UP = 10
USED_BYTES = 60_000


def import_times(repeats: int) -> dict[str, float]:
    """Return milliseconds that each contender's import takes, the median of interleaved fresh interpreters."""
    names = list(IMPORTS)
    times: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(repeats + 1):
        for name in random.sample(names, len(names)):
            program = f"import time; t = time.perf_counter(); {IMPORTS[name]}; print(time.perf_counter() - t)"
            seconds = float(_run("-c", program))
            if round_:  # the first fills the page cache
                times[name].append(seconds * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def idle_memory(peer: Peer, connections: int) -> dict[str, dict[str, float]]:
    """Return KiB a connection: Python's own count and the growth of the process, fresh and after one message."""
    figures: dict[str, dict[str, float]] = {}
    for name in (BARE, REQUEST, FAL_CLIENT):
        figures[name] = {}
        for how in ("python", "process"):
            told = json.loads(
                _run(
                    "-m",
                    "benchmarks.footprint",
                    name,
                    str(peer.port),
                    peer.app(USED_BYTES),
                    str(connections),
                    how,
                )
            )
            figures[name][f"{how}_fresh"], figures[name][f"{how}_used"] = told
    return figures


def _run(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def _resident_kib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1])
    raise OSError("the kernel does not tell the resident size")


async def _measure(name: str, port: int, app: str, connections: int, how: str) -> tuple[float, float]:
    message = {"picture": bytes(range(250)) * (USED_BYTES // 250)}
    sessions = [await open_session(name, port, app) for _ in range(WARM_UP)]
    for session in sessions:
        await session.ask(message)
    if how == "python":
        tracemalloc.start()
    empty = await _count(how)
    sessions += [await open_session(name, port, app) for _ in range(connections)]
    fresh = await _count(how)
    for session in sessions[WARM_UP:]:
        await session.ask(message)
    used = await _count(how)
    for session in sessions:
        await session.close()
    return (fresh - empty) / connections, (used - empty) / connections


async def _count(how: str) -> float:
    await asyncio.sleep(0.05)  # let what is in motion come to rest
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1024 if how == "python" else _resident_kib()


if __name__ == "__main__":
    who, port, app, connections, how = sys.argv[1:]
    print(json.dumps(asyncio.run(_measure(who, int(port), app, int(connections), how))))
