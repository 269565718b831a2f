"""Soak: many connections that stream small frames for long, with rare faults; nothing may grow.

::

    python -m chaos.soak --minutes 10 --connections 200

fal's own server SDK and the network run in processes of their own, so that what this one holds is the client's
alone. The connections share a few clients, as a server between many browsers and the models would have them, and each
client's network fails now and then. Every reply is checked against the truth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import math
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import falrt
from chaos.estate import Estate
from chaos.ledger import Broken, numbers_of
from chaos.network import network_before
from chaos.sdk import sdk_served

__all__ = ["Soak", "main"]

CONNECTIONS_PER_CLIENT: Final = 20
# An answer that takes longer than this, once its network is whole again, does not come any more.
SILENCE_SECONDS: Final = 60.0
# From the middle to the end; the allocator's arenas breathe.
RSS_SLACK_MIB: Final = 4.0


@dataclass(slots=True)
class Soak:
    """One run.

    Attributes:
        connections: How many stream at a time.
        interval: Seconds between two frames of one source.
        seed: Of the faults.
        counts: How often what happened.
        measured: What the process held, each with the seconds since the beginning.
    """

    connections: int
    interval: float
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    measured: list[tuple[float, Estate]] = field(default_factory=list)
    _last_reply: dict[int, float] = field(default_factory=dict)
    _connections: list[Any] = field(default_factory=list)

    async def run(self, seconds: float, measure_seconds: float) -> None:
        """Stream for so long.

        Raises:
            Broken: A reply was wrong, a connection fell silent, or something grew.
        """
        before = Estate.now()
        async with contextlib.AsyncExitStack() as stack:
            sdk = await stack.enter_async_context(sdk_served(deploys=False))
            groups = math.ceil(self.connections / CONNECTIONS_PER_CLIENT)
            network = await stack.enter_async_context(
                network_before(int(urlsplit(sdk.url).port or 0), groups, self.seed)
            )
            tasks: list[asyncio.Task[None]] = []
            for group, url in enumerate(network.urls):
                client = await stack.enter_async_context(falrt.Client(key="test", base_url=url))
                tasks += [
                    asyncio.create_task(self._stream(client, n), name=f"soak {n}")
                    for n in range(group, self.connections, groups)
                ]
            measuring = asyncio.create_task(self._measure(measure_seconds), name="soak measure")
            try:
                await asyncio.wait([*tasks, measuring], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (*tasks, measuring):
                    task.cancel()
                await asyncio.wait([*tasks, measuring])
            for task in (*tasks, measuring):
                if not task.cancelled():
                    task.result()
        self.counts += network.struck
        self._check(before, await _emptied(before))

    async def _stream(self, client: falrt.Client, number: int) -> None:
        rng = random.Random(f"{self.seed} {number}")
        await asyncio.sleep(rng.random() * self.interval)
        async with client.connect("acme/soak", path="/unary/1/stay", ping_interval=5, ping_timeout=5) as conn:
            self._connections.append(conn)
            while True:
                frames = _camera(rng, self.interval, rng.randint(50, 500))
                async for reply in conn.stream(frames):
                    self._last_reply[number] = time.monotonic()
                    self.counts["replies"] += 1
                    if reply.input["n"] not in numbers_of(reply.output):
                        if reply.certain:
                            raise Broken(f"frame {reply.input['n']} was given {reply.output}")
                        self.counts["uncertain and wrong"] += 1
                order = {"n": rng.randrange(10**6)}
                if order["n"] not in numbers_of(await conn.request(order)):
                    raise Broken(f"request {order['n']} was given another's answer")
                self.counts["requests"] += 1

    async def _measure(self, every: float) -> None:
        started = time.monotonic()
        while True:
            await asyncio.sleep(every)
            now, estate = time.monotonic(), Estate.now()
            self.measured.append((now - started, estate))
            silent = [n for n, at in self._last_reply.items() if now - at > SILENCE_SECONDS]
            if silent:
                raise Broken(f"connections {silent} gave nothing for {SILENCE_SECONDS:.0f} s")
            _say(
                f"{now - started:6.0f} s  {estate.rss_mib:7.1f} MiB, {estate.objects} objects, "
                f"{estate.descriptors} descriptors, {len(estate.tasks)} tasks, {len(estate.threads)} threads, "
                f"{self.counts['replies']} replies, {self.reconnects} reconnects"
            )

    @property
    def reconnects(self) -> int:
        """Sockets opened beyond the first of each connection."""
        return sum(conn.stats.reconnects for conn in self._connections)

    def _check(self, before: Estate, after: Estate) -> None:
        if after.tasks != before.tasks or after.sockets > before.sockets or after.threads != before.threads:
            raise Broken(f"something is left: {before} then {after}")
        if len(self.measured) < 4:
            return
        half = self.measured[len(self.measured) // 2 :]
        growth = half[-1][1].rss_mib - half[0][1].rss_mib
        if growth > RSS_SLACK_MIB:
            raise Broken(
                f"memory grew by {growth:.1f} MiB in the second half: {self.slope():.2f} MiB a minute"
            )

    def slope(self) -> float:
        """Return how the memory of the second half grew, MiB a minute, by least squares."""
        points = [(at / 60, estate.rss_mib) for at, estate in self.measured[len(self.measured) // 2 :]]
        if len(points) < 2:
            return 0.0
        mean_at = sum(at for at, _ in points) / len(points)
        mean = sum(mib for _, mib in points) / len(points)
        spread = sum((at - mean_at) ** 2 for at, _ in points)
        return sum((at - mean_at) * (mib - mean) for at, mib in points) / spread

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "connections": self.connections,
            "seed": self.seed,
            "counts": dict(sorted(self.counts.items())),
            "reconnects": self.reconnects,
            "mib_a_minute": round(self.slope(), 3),
            "measured": [
                {"at": round(at), "rss_mib": e.rss_mib, "objects": e.objects, "descriptors": e.descriptors,
                 "tasks": len(e.tasks), "threads": len(e.threads)}
                for at, e in self.measured
            ],
        }  # fmt: skip


async def _camera(rng: random.Random, interval: float, frames: int) -> AsyncIterator[dict[str, Any]]:
    for _ in range(frames):
        yield {"n": rng.randrange(10**9), "work": 0.002, "pad": b"frame" * 40}
        await asyncio.sleep(interval)


async def _emptied(before: Estate) -> Estate:
    """Wait until what closes by itself has closed."""
    for _ in range(20):
        estate = Estate.now()
        if estate.tasks == before.tasks and estate.sockets <= before.sockets:
            break
        await asyncio.sleep(0.1)
    return estate


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chaos.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--interval", type=float, default=0.4, help="seconds between two frames of a source")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the report there")
    given = parser.parse_args(arguments)
    logging.getLogger("falrt").setLevel(logging.CRITICAL)  # each reconnect would tell of itself
    soak = Soak(given.connections, given.interval, given.seed)
    try:
        asyncio.run(soak.run(given.minutes * 60, measure_seconds=min(10.0, given.minutes * 6)))
    except Broken as exc:
        _say(f"a promise is broken: {exc}")
        return 1
    text = json.dumps(soak.as_dict(), indent=1)
    if given.json is not None:
        given.json.write_text(text)
    _say(text)
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
