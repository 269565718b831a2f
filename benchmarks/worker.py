"""One contender in a process of its own, so that no contender's heap is another's luck. Does what it is told.

    python -m benchmarks.worker CONTENDER LOOP    # LOOP: asyncio or uvloop

Reads one JSON object a line, writes one JSON object for each: ``open`` a connection, measure a ``block`` of round
trips, some ``connects``, or a ``crowd`` of connections that each ask a few times a second.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import statistics
import sys
import time
from typing import Any

from benchmarks.contenders import Session, open_session


def quantile(values: list[float], share: float) -> float:
    """Return the value that a share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Meter:
    """What the process used since it was made."""

    def __init__(self) -> None:
        gc.collect()
        self._faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        self._cpu = time.process_time()

    def per(self, count: int) -> dict[str, float]:
        """Return CPU in microseconds and page faults for each of so many messages."""
        cpu = time.process_time() - self._cpu
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - self._faults
        return {"client_cpu": cpu / count * 1e6, "faults": faults / count}


class Worker:
    """Does the commands for one contender."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._session: Session | None = None
        self._message: dict[str, bytes] = {}

    async def open(self, port: int, app: str, size: int) -> dict[str, Any]:
        """Open a connection, instead of the one before."""
        await self.close()
        self._session = await open_session(self._name, port, app)
        self._message = {"picture": os.urandom(size)}
        for _ in range(5):
            await self._session.ask(self._message)
        return {}

    async def close(self) -> dict[str, Any]:
        """Close it."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        return {}

    async def block(self, count: int) -> dict[str, Any]:
        """Measure round trips, one after the other."""
        assert self._session is not None
        ask, walls, meter = self._session.ask, [], Meter()
        for _ in range(count):
            began = time.perf_counter()
            await ask(self._message)
            walls.append((time.perf_counter() - began) * 1e6)
        return {**meter.per(count), "p50": statistics.median(walls), "p99": quantile(walls, 0.99)}

    async def connects(self, port: int, app: str, count: int) -> dict[str, Any]:
        """Measure openings; closing is not counted."""
        walls, cpu = [], 0.0
        for _ in range(count):
            began, cpu_began = time.perf_counter(), time.process_time()
            session = await open_session(self._name, port, app)
            walls.append((time.perf_counter() - began) * 1e6)
            cpu += time.process_time() - cpu_began
            await session.close()
        return {"p50": statistics.median(walls), "client_cpu": cpu / count * 1e6}

    async def crowd(
        self, port: int, app: str, size: int, connections: int, rate: float, seconds: float
    ) -> dict[str, Any]:
        """Measure many connections that each ask at a steady rate, evenly spread."""
        message = {"picture": os.urandom(size)}
        sessions = [await open_session(self._name, port, app) for _ in range(connections)]
        for session in sessions:
            await session.ask(message)
        walls: list[float] = []
        loop = asyncio.get_running_loop()
        start = loop.time() + 0.5

        async def live(session: Session, number: int) -> None:
            due = start + number / connections / rate
            while due < start + seconds:
                await asyncio.sleep(due - loop.time())
                began = time.perf_counter()
                await session.ask(message)
                walls.append((time.perf_counter() - began) * 1e6)
                due = max(due + 1 / rate, loop.time())

        meter = Meter()
        await asyncio.gather(*(live(session, number) for number, session in enumerate(sessions)))
        figures = meter.per(len(walls))
        for session in sessions:
            await session.close()
        return {
            **figures,
            "p50": statistics.median(walls),
            "p99": quantile(walls, 0.99),
            "per_second": len(walls) / seconds,
        }


async def serve(name: str) -> None:
    """Do commands until there are no more."""
    worker = Worker(name)
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        answer = await getattr(worker, command.pop("do"))(**command)
        print(json.dumps(answer), flush=True)
    await worker.close()


def main() -> None:
    """Serve on the loop that was asked for."""
    name, loop = sys.argv[1:]
    if loop == "uvloop":
        import uvloop

        uvloop.run(serve(name))
    else:
        asyncio.run(serve(name))


if __name__ == "__main__":
    main()
