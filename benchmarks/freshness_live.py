"""How old the picture on the screen is, over real sockets: each pacing against fal's own server SDK.

    python -m benchmarks.freshness_live [--seconds 20] [--quick] [--json FILE]

A 30 fps camera of 60 KB frames goes to an app of fal's SDK that takes a fixed time per frame, behind a proxy that
delays each way: through ``stream()`` with the policies that wait for answers, through ``send()`` and ``recv()`` with
those that do not, as fal's own clients do it. What is on the screen is judged by the number that the app sends
back, never by the client's own pairing. The simulator's figures for the same settings: ``benchmarks/freshness.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import falrt
from benchmarks import slow_peer
from falrt.pacing import Adaptive, Immediate, Latest, Pacing, Throttle

FPS = 30
FRAME = os.urandom(60_000)
POLICIES: dict[str, Pacing] = {
    "Immediate()": Immediate(),
    "Throttle(0.128)": Throttle(0.128),
    "Latest(1)": Latest(1),
    "Latest(2)": Latest(2),
    "Adaptive()": Adaptive(),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One kind of server and network. Seconds; bits per second; 0 for no limit."""

    inference: float
    delay: float
    uplink: float = 0.0
    buffering: int = 0

    @property
    def floor(self) -> float:
        """The age that nobody can beat while the model is never idle."""
        sending = len(FRAME) * 8 / self.uplink if self.uplink else 0.0
        return sending + 2 * self.delay + self.inference + max(self.inference, sending) / 2

    def __str__(self) -> str:
        text = f"{self.inference * 1000:.0f} ms model, {self.delay * 1000:.0f} ms each way"
        if self.uplink:
            text += f", {self.uplink / 1e6:g} Mbit/s up"
        return text + (f", buffering {self.buffering}" if self.buffering else ", no buffer limit")


SETTINGS = (
    Setting(0.100, 0.030),
    Setting(0.100, 0.030, buffering=1),
    Setting(0.300, 0.030),
    Setting(0.040, 0.030),
    Setting(0.100, 0.030, uplink=8e6),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one policy made of one setting; ages in seconds."""

    mean: float
    p50: float
    p95: float
    ratio: float
    rate_share: float
    wasted: float
    mispaired: int
    mispaired_certain: int


async def measure(setting: Setting, policy: Pacing, port: int, seconds: float, warm_up: float) -> Seen:
    """Stream for a while and return what was on the screen after the warm-up."""
    loop = asyncio.get_running_loop()
    captured: list[float] = []
    shown: list[tuple[float, float]] = []
    mispaired = mispaired_certain = 0
    begin = loop.time()

    async def camera() -> AsyncIterator[dict[str, Any]]:
        while (at := begin + len(captured) / FPS) < begin + seconds:
            await asyncio.sleep(at - loop.time())
            captured.append(loop.time())
            yield {"number": len(captured) - 1, "picture": FRAME}

    async with falrt.connect(
        slow_peer.APP, base_url=f"http://127.0.0.1:{port}", key="id:secret", auth="key", pacing=policy
    ) as conn:
        # A policy with a backlog would go on for minutes.
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout_at(begin + seconds),
                contextlib.aclosing(_answers(conn, camera(), policy)) as answers,
            ):
                async for number, paired_with, certain in answers:
                    shown.append((loop.time(), captured[number]))
                    if number != paired_with:
                        mispaired += 1
                        mispaired_certain += certain
        sent = conn.stats.sent
    ages, area, length = _ages(shown, begin + warm_up, begin + seconds)
    count = sum(begin + warm_up < at <= begin + seconds for at, _ in shown)
    mean = area / length if length else float("inf")
    return Seen(
        mean=mean,
        p50=ages[len(ages) // 2],
        p95=ages[len(ages) * 95 // 100],
        ratio=mean / setting.floor,
        rate_share=count * setting.inference / (seconds - warm_up),
        wasted=1 - len(shown) / max(1, sent),
        mispaired=mispaired,
        mispaired_certain=mispaired_certain,
    )


async def _answers(
    conn: Any, frames: AsyncIterator[dict[str, Any]], policy: Pacing
) -> AsyncGenerator[tuple[int, int, bool]]:
    """Yield the number of each answer, the number that it was paired with, and whether that is certain."""
    if policy.start().in_flight_limit is not None:
        async with contextlib.aclosing(conn.stream(frames)) as replies:
            async for reply in replies:
                yield reply.output["number"], reply.input["number"], reply.certain
        return

    async def send() -> None:
        async for frame in frames:
            await conn.send(frame)

    sending = asyncio.create_task(send())
    try:
        while True:
            number = (await conn.recv())["number"]
            yield number, number, False
    finally:
        sending.cancel()
        await asyncio.wait({sending})


def _ages(shown: list[tuple[float, float]], begin: float, end: float) -> tuple[list[float], float, float]:
    """Sample the age of the newest picture every millisecond; return samples, area under the age, and length."""
    samples: list[float] = []
    area = length = 0.0
    newest = float("-inf")
    for (since, captured_at), (until, _) in zip(shown, [*shown[1:], (end, 0.0)], strict=True):
        newest = max(newest, captured_at)
        since, until = max(since, begin), min(until, end)
        if until > since:
            area += ((since + until) / 2 - newest) * (until - since)
            length += until - since
            samples += [since + step / 1000 - newest for step in range(int((until - since) * 1000))]
    return sorted(samples) or [float("inf")], area, length


def main() -> None:
    """Measure every policy in every setting and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each run")
    parser.add_argument("--quick", action="store_true", help="one setting, short: shows that it works")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    options = parser.parse_args()
    seconds, warm_up = (4.0, 1.5) if options.quick else (options.seconds, options.seconds / 4)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[0]})
    results: dict[str, dict[str, Any]] = {}
    print(
        "age of the picture on the screen: p50/p95 in ms, mean/floor, answers of the attainable, wasted uploads"
    )
    for setting in SETTINGS[: 1 if options.quick else None]:
        print(f"\n{setting}; floor {setting.floor * 1000:.0f} ms")
        core = cores[1] if len(cores) > 1 else None
        with slow_peer.running(
            setting.inference, setting.delay, setting.uplink, setting.buffering, core
        ) as port:
            for name, policy in POLICIES.items():
                seen = asyncio.run(measure(setting, policy, port, seconds, warm_up))
                results.setdefault(str(setting), {})[name] = asdict(seen)
                print(
                    f"  {name:16} {seen.p50 * 1000:6.0f}/{seen.p95 * 1000:<6.0f} {seen.ratio:6.3f} "
                    f"{seen.rate_share:6.1%} {seen.wasted:6.1%}"
                    + (
                        f"  {seen.mispaired} mispaired, {seen.mispaired_certain} called certain"
                        if seen.mispaired
                        else ""
                    )
                )
                sys.stdout.flush()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
