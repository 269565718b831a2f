"""Round trips and connects: wall time, the client's CPU and the CPU that it causes at the server."""

from __future__ import annotations

import gc
import os
import random
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field

from benchmarks.contenders import BARE, NAMES, open_session
from benchmarks.echo_peer import EchoPeer

# Bytes each way -> messages in a block, so that a block takes some 50 ms.
SIZES = {100: 300, 60_000: 200, 150_000: 100, 1_000_000: 16}


@dataclass(slots=True)
class Series:
    """One contender's blocks, in microseconds a message; the n-th ones of all contenders were taken together."""

    wall: list[float] = field(default_factory=list)
    client_cpu: list[float] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)

    def medians(self) -> dict[str, float]:
        """Return the medians over the blocks."""
        return {
            name: statistics.median(getattr(self, name)) for name in self.__slots__ if getattr(self, name)
        }

    def ratios_to(self, other: Series) -> dict[str, float]:
        """Return the medians of the ratios within each repeat, which a change of the machine's mood leaves alone."""
        return {
            name: statistics.median(
                mine / its for mine, its in zip(getattr(self, name), getattr(other, name), strict=True)
            )
            for name in self.__slots__
            if getattr(self, name)
        }


async def round_trips(
    peer: EchoPeer, repeats: int, *, share: float = 1.0
) -> dict[str, dict[str, dict[str, float]]]:
    """Measure all contenders at all sizes.

    Args:
        peer: The far end.
        repeats: Blocks of each contender and size.
        share: Of the usual number of messages in a block.

    Returns:
        Size in bytes -> contender -> figures; those named ``x_...`` are ratios to the bare loop.
    """
    results = {}
    for size, count in SIZES.items():
        message = {"picture": os.urandom(size)}
        results[str(size)] = await _blocks(peer, repeats, message, max(3, int(count * share)))
    return results


async def _blocks(
    peer: EchoPeer, repeats: int, message: dict[str, bytes], count: int
) -> dict[str, dict[str, float]]:
    sessions = {name: await open_session(name, peer.port) for name in NAMES}
    series: dict[str, Series] = defaultdict(Series)
    for session in sessions.values():
        for _ in range(3):
            assert await session.ask(message) == message
    for _ in range(repeats):
        for name in random.sample(NAMES, len(NAMES)):
            ask = sessions[name].ask
            gc.collect()
            server, cpu = peer.cpu_seconds(), time.process_time()
            walls = []
            for _ in range(count):
                began = time.perf_counter()
                await ask(message)
                walls.append(time.perf_counter() - began)
            cpu = time.process_time() - cpu
            # The median: a round trip in which the system did something else says nothing.
            series[name].wall.append(statistics.median(walls) * 1e6)
            series[name].client_cpu.append(cpu / count * 1e6)
            series[name].server_cpu.append((peer.cpu_seconds() - server) / count * 1e6)
    for session in sessions.values():
        await session.close()
    return _summary(series)


async def connects(peer: EchoPeer, repeats: int, count: int) -> dict[str, dict[str, float]]:
    """Measure how long it takes until a connection is open; closing is not counted."""
    series: dict[str, Series] = defaultdict(Series)
    for round_ in range(repeats + 1):
        for name in random.sample(NAMES, len(NAMES)):
            walls, cpu = [], 0.0
            for _ in range(count):
                began, cpu_began = time.perf_counter(), time.process_time()
                session = await open_session(name, peer.port)
                walls.append(time.perf_counter() - began)
                cpu += time.process_time() - cpu_began
                await session.close()
            if round_:  # the first is for warming up
                series[name].wall.append(statistics.median(walls) * 1e6)
                series[name].client_cpu.append(cpu / count * 1e6)
    return _summary(series)


def _summary(series: dict[str, Series]) -> dict[str, dict[str, float]]:
    return {
        name: {
            **series[name].medians(),
            **{f"x_{key}": ratio for key, ratio in series[name].ratios_to(series[BARE]).items()},
        }
        for name in NAMES
    }
