"""falrt, fal-client and a bare loop against fal's own server SDK, in one run, as ratios.

    python -m benchmarks.compare            # some two minutes
    python -m benchmarks.compare --quick    # does it run at all? its figures mean nothing

The bare loop is ``websockets`` without compression and msgpack, nothing else: what a round trip costs at least.
Contenders take turns in short blocks; ratios are taken within a turn, then the median over the turns.
Needs the dependency group ``peers``; Linux for the CPU of the server and the memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import echo_peer, footprint, round_trips
from benchmarks.contenders import FAL_CLIENT, FALRT, NAMES


def goals(results: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return what is to be reached: text, figure, limit."""
    picture = results["round_trips"]["60000"][FALRT]
    imports = results["import_ms"]
    return [
        ("60 KB round trip / bare loop", picture["x_wall"], 1.10),
        ("60 KB client CPU / bare loop", picture["x_client_cpu"], 1.15),
        ("import falrt / import fal_client", imports[FALRT] / imports[FAL_CLIENT], 0.25),
        ("connect / bare loop", results["connect"][FALRT]["x_wall"], 1.10),
        ("idle connection, KiB", results["idle_kib"][FALRT]["python_fresh"], 14.0),
    ]


def measure(*, quick: bool) -> dict[str, Any]:
    """Take all figures."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    here, there = (cores[0], cores[-1]) if len(cores) > 1 else (None, None)
    repeats = 2 if quick else 11
    with contextlib.ExitStack() as stack:
        if not quick:
            stack.enter_context(_awake(cores))
        if here is not None:
            stack.callback(os.sched_setaffinity, 0, set(cores))
            os.sched_setaffinity(0, {here})
        peer = stack.enter_context(echo_peer.running(there))
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "versions": {
                name: version(name) for name in ("falrt", "fal-client", "fal", "websockets", "msgpack")
            },
            "round_trips": asyncio.run(round_trips.round_trips(peer, repeats, share=0.05 if quick else 1.0)),
            "connect": asyncio.run(round_trips.connects(peer, repeats, 2 if quick else 10)),
            "import_ms": footprint.import_times(1 if quick else 9),
            "idle_kib": footprint.idle_memory(peer, 5 if quick else 200),
        }


@contextlib.contextmanager
def _awake(cores: list[int]) -> Iterator[None]:
    """Keep the cores from halting, with loops of idle priority: waking up costs more than a small message."""
    if not hasattr(os, "SCHED_IDLE"):
        yield
        return
    program = "import os, sys; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
    program += "os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile os.getppid() > 1: pass"
    loops = [subprocess.Popen([sys.executable, "-c", program, str(core)]) for core in cores]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def report(results: dict[str, Any]) -> str:
    """Return the tables, in Markdown."""
    lines = [results["machine"], " ".join(f"{name} {number}" for name, number in results["versions"].items())]
    lines += [
        "",
        "| round trip | contender | µs | × bare | client CPU µs | × bare | server CPU µs | × bare |",
    ]
    lines += ["|---|---|--:|--:|--:|--:|--:|--:|"]
    for size, rows in results["round_trips"].items():
        for name in NAMES:
            row = rows[name]
            figures = [
                f"{row[key]:.0f} | {row['x_' + key]:.2f}" for key in ("wall", "client_cpu", "server_cpu")
            ]
            lines.append(f"| {int(size):,} B | {name} | {' | '.join(figures)} |")
    lines += [
        "",
        "| contender | connect ms | × bare | CPU ms | import ms | KiB idle | KiB used | RSS idle | RSS used |",
    ]
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for name in NAMES:
        connect, memory = results["connect"][name], results["idle_kib"][name]
        kib = [
            f"{memory[key]:.1f}" for key in ("python_fresh", "python_used", "process_fresh", "process_used")
        ]
        lines.append(
            f"| {name} | {connect['wall'] / 1e3:.2f} | {connect['x_wall']:.2f} | "
            f"{connect['client_cpu'] / 1e3:.2f} | {results['import_ms'][name]:.0f} | {' | '.join(kib)} |"
        )
    lines += ["", "| goal | reached | limit | |", "|---|--:|--:|---|"]
    for text, figure, limit in goals(results):
        lines.append(f"| {text} | {figure:.2f} | {limit:.2f} | {'yes' if figure <= limit else 'NO'} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and keep the figures where asked to."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: a few seconds, useless figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    arguments = parser.parse_args()
    results = measure(quick=arguments.quick)
    print(report(results))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
