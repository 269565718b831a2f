"""The bad network of a soak, in a process of its own, so that what it holds is not taken for the client's.

``python -m chaos.network PORT COUNT SEED`` stands before a server of the loopback as so many proxies, prints their
ports in one line, and lets one of them fail every few seconds. At the end of its standard input it prints what failed,
as JSON, and ends.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from falrt.testing import FaultProxy

__all__ = ["Network", "network_before"]

# A second without a fault is the rule; each strikes one proxy, and so a part of the connections.
FAULT_SECONDS: Final = 5.0
# It has nothing to wait for when it is asked to end.
END_SECONDS: Final = 20.0


class Network:
    """The other process.

    Attributes:
        urls: Where its proxies listen.
        struck: What failed, known when it has ended.
    """

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.struck: Counter[str] = Counter()


@asynccontextmanager
async def network_before(port: int, count: int, seed: int) -> AsyncIterator[Network]:
    """Stand before a server while the block runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "chaos.network", str(port), str(count), str(seed)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    network = Network()
    try:
        assert process.stdout is not None  # noqa: S101 - it was opened with a pipe
        ports = (await process.stdout.readline()).split()
        network.urls = [f"http://127.0.0.1:{int(each)}" for each in ports]
        yield network
    finally:
        try:
            async with asyncio.timeout(END_SECONDS):
                # Python 3.11 closes the pipe only if it is given something.
                said, _ = await process.communicate(b"")
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        network.struck.update(json.loads(said or b"{}"))


async def _stand(port: int, count: int, seed: int) -> None:
    struck: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(FaultProxy("127.0.0.1", port)) for _ in range(count)]
        _say(" ".join(str(proxy.port) for proxy in proxies))
        weather = asyncio.create_task(_weather(proxies, random.Random(seed), struck))
        await asyncio.to_thread(sys.stdin.read)
        weather.cancel()
        await asyncio.wait([weather])
    _say(json.dumps(struck))


async def _weather(proxies: list[FaultProxy], rng: random.Random, struck: Counter[str]) -> None:
    while True:
        await asyncio.sleep(rng.expovariate(1 / FAULT_SECONDS))
        proxy, kind = rng.choice(proxies), rng.choice(("cut", "black hole", "slow", "refused"))
        struck[f"network {kind}"] += 1
        if kind == "cut":
            proxy.cut()
        elif kind == "black hole":
            proxy.black_hole(seconds=rng.uniform(0.5, 15))
        elif kind == "slow":
            proxy.shape(latency=rng.choice((0.0, 0.05, 0.2)))
        else:
            proxy.refuse()
            proxy.cut()
            await asyncio.sleep(rng.uniform(0.1, 2))
            await proxy.accept()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_stand(*map(int, sys.argv[1:])))
