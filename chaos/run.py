"""Chaos: connections in a storm of seeded faults, over real sockets, against the promises.

::

    python -m chaos.run --seconds 60 --seed 1 --target both --connections 8
    python -m chaos.run --life fake:1:3:7

Each connection lives through a storm, and through the reckoning when it is over; then another takes its place, with
another app, other options, other faults. In between, when all have ended, the process is searched for what they left.
It ends by itself, with exit code 1, the name of the life and its last events where a promise is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chaos.ledger import Broken
from chaos.plan import Target, draw_plan
from chaos.storm import Report, Storm

__all__ = ["main"]

PROGRESS_SECONDS: Final = 5.0
TARGETS: Final[dict[str, tuple[Target, ...]]] = {
    "fake": ("fake",),
    "sdk": ("sdk",),
    "both": ("fake", "sdk"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chaos.run", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="default: drawn, and printed")
    parser.add_argument("--target", choices=[*TARGETS], default="both")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--life", help="live one life again, by its name: target:seed:slot:turn")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--json", type=Path, help="write the report there")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    if given.life:
        seed = int(given.life.split(":")[1])
    storm = Storm(seed=seed, targets=TARGETS[given.target], connections=given.connections)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(given.loop)) as runner:
            report = runner.run(_one(storm, given.life) if given.life else _told(storm, given.seconds))
    except Broken as exc:
        _say("".join(traceback.format_exception(exc)))
        _say(f"a promise is broken: live it again with --life NAME, or run with --seed {seed}")
        return 1
    text = json.dumps(report.as_dict(), indent=1)
    if given.json is not None:
        given.json.write_text(text)
    _say(text)
    return 0


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name == "asyncio":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _one(storm: Storm, name: str) -> Report:
    target, seed, slot, turn = name.split(":")
    _say(str(draw_plan("fake" if target == "fake" else "sdk", int(seed), int(slot), int(turn))))
    return await storm.one_life(name)


async def _told(storm: Storm, seconds: float) -> Report:
    """Run, with a line every few seconds."""
    _say(f"seed {storm.report.seed}, {seconds:g} s")
    teller = asyncio.create_task(_tell(storm), name="chaos teller")
    try:
        return await storm.rage(seconds)
    finally:
        teller.cancel()
        await asyncio.wait([teller])


async def _tell(storm: Storm) -> None:
    started = time.monotonic()
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        _say(f"{time.monotonic() - started:6.0f} s  {storm.report.line()}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
