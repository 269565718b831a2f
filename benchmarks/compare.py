"""falrt, the official clients and a bare loop in one run, as ratios.

    python -m benchmarks.compare            # some ten minutes
    python -m benchmarks.compare --quick    # does it run at all? its figures mean nothing
    python -m benchmarks.compare --write    # put the figures into docs/reference/benchmarks.md

The bare loop is ``websockets`` without compression and msgpack, nothing else: what a round trip costs at least.
Contenders are processes of their own that take turns in short blocks; ratios are taken within a turn, then the median
over the turns. Needs the dependency group ``peers``; Linux for the CPU of the server and the memory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import footprint, peers
from benchmarks import round_trips as rt
from benchmarks.contenders import BARE, FAL_CLIENT, IMPORTS, JAVASCRIPT, PYTHON, REQUEST, SEND

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "benchmarks.md"
BEGIN, END = "<!-- figures: written by benchmarks.compare --write -->", "<!-- end of figures -->"
Row = dict[str, float]


def goals(results: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return what is to be reached: text, figure, limit."""
    prebuilt = results["round_trips"][f"{peers.PREBUILT}, asyncio"]
    crowd, idle, imports = results["crowd"][REQUEST], results["idle_kib"], results["import_ms"]
    return [
        ("100 B, request(): CPU / bare", prebuilt["100"][REQUEST]["x_client_cpu"], 1.15),
        ("60 KB, request(): CPU / bare", prebuilt["60000"][REQUEST]["x_client_cpu"], 1.00),
        ("60 KB, send() + recv(): CPU / bare", prebuilt["60000"][SEND]["x_client_cpu"], 1.05),
        ("60 KB, send() + recv(): page faults", prebuilt["60000"][SEND]["faults"], 0.5),
        ("150 KB, request(): CPU / bare", prebuilt["150000"][REQUEST]["x_client_cpu"], 0.75),
        ("150 KB, request(): page faults", prebuilt["150000"][REQUEST]["faults"], 0.5),
        ("600 connections: CPU / bare", crowd["x_client_cpu"], 1.10),
        ("600 connections: p99 / bare", crowd["x_p99"], 2.00),
        ("opening a connection: CPU / bare", results["connect"][REQUEST]["x_client_cpu"], 0.90),
        ("idle connection, KiB", idle[REQUEST]["python_fresh"], 10.0),
        ("import falrt / import fal_client", imports[REQUEST] / imports[FAL_CLIENT], 0.25),
    ]


def measure(*, quick: bool) -> dict[str, Any]:
    """Take all figures."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    here, there = (cores[0], cores[-1]) if len(cores) > 1 else (None, None)
    repeats, share = (2, 0.05) if quick else (11, 1.0)
    crowd = {"connections": 20, "seconds": 0.5} if quick else {}
    loops = ["asyncio"] + (["uvloop"] if find_spec("uvloop") else [])
    results: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("falrt", "fal-client", "fal", "websockets", "msgpack")},
        "round_trips": {},
    }
    with contextlib.ExitStack() as stack:
        if not quick:
            stack.enter_context(_awake(cores))
        for kind in (peers.PREBUILT, peers.SDK):
            peer = stack.enter_context(peers.running(kind, there))
            for loop in loops if kind == peers.PREBUILT else loops[:1]:
                names = [*PYTHON, JAVASCRIPT] if loop == "asyncio" and rt.has_javascript() else list(PYTHON)
                with rt.workers(names, loop, here) as processes:
                    results["round_trips"][f"{kind}, {loop}"] = rt.round_trips(
                        processes, peer, repeats, share=share
                    )
            if kind == peers.PREBUILT:
                with rt.workers([BARE, REQUEST], "asyncio", here) as processes:
                    results["crowd"] = rt.crowds(processes, peer, 1 if quick else 3, **crowd)
                with rt.workers([BARE, REQUEST, FAL_CLIENT], "asyncio", here) as processes:
                    results["connect"] = rt.connects(processes, peer, repeats, 2 if quick else 20)
                results["idle_kib"] = footprint.idle_memory(peer, 5 if quick else 200)
        results["import_ms"] = footprint.import_times(1 if quick else 9)
    return results


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


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Return a table in Markdown, with a blank line before it."""
    aligned = ["---" if number == 0 else "--:" for number in range(len(heads))]
    return ["", *(f"| {' | '.join(row)} |" for row in (heads, aligned, *rows))]


def _cells(row: Row, *keys: str, digits: int = 0) -> list[str]:
    cells = []
    for key in keys:
        ratio = row.get(f"x_{key}")
        figure = "–" if key not in row else f"{row[key]:.{digits}f}"
        cells += [figure] if ratio is None else [figure, f"{ratio:.2f}"]
    return cells


def report(results: dict[str, Any]) -> str:
    """Return the tables, in Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    lines = [f"Taken on {results['machine']}, with {versions}."]
    for title, sizes in results["round_trips"].items():
        rows = []
        for size, contenders in sizes.items():
            for name, row in contenders.items():
                faults = f"{row['faults']:.1f}" if "faults" in row else "–"
                figures = [*_cells(row, "client_cpu"), faults, *_cells(row, "p50", "p99")]
                rows.append([f"{int(size):,} B", name, *figures, *_cells(row, "server_cpu")[:1]])
        heads = ["size", "contender", "client CPU µs", "× bare", "faults", "p50 µs", "× bare", "p99 µs"]
        lines += ["", f"### Round trips: {title}"]
        lines += table([*heads, "× bare", "server CPU µs"], rows)
    crowd = [
        [name, f"{row['per_second']:.0f}", *_cells(row, "client_cpu"), *_cells(row, "p50", "p99")]
        for name, row in results["crowd"].items()
    ]
    lines += ["", "### 600 connections on one core, 5 messages a second of 60 KB each"]
    heads = ["contender", "a second", "CPU µs a message", "× bare", "p50 µs", "× bare", "p99 µs", "× bare"]
    lines += table(heads, crowd)
    opening = [[name, *_cells(row, "p50", "client_cpu")] for name, row in results["connect"].items()]
    lines += ["", "### Opening a connection"]
    lines += table(["contender", "p50 µs", "× bare", "CPU µs", "× bare"], opening)
    memory = [
        [name, *_cells(row, "python_fresh", "python_used", "process_fresh", "process_used", digits=1)]
        for name, row in results["idle_kib"].items()
    ]
    lines += ["", "### An idle connection, KiB"]
    lines += table(["contender", "fresh", "used", "RSS fresh", "RSS used"], memory)
    imports = [[f"`{IMPORTS[name]}`", f"{figure:.0f}"] for name, figure in results["import_ms"].items()]
    lines += ["", "### Imports", *table(["program", "ms"], imports)]
    reached = [
        [text, f"{figure:.2f}", f"{limit:.2f}", "yes" if figure <= limit else "NO"]
        for text, figure, limit in goals(results)
    ]
    lines += ["", "### Goals", *table(["goal", "reached", "limit", ""], reached)]
    return "\n".join(lines)


def write_page(text: str) -> None:
    """Put the figures into the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> None:
    """Measure, print, and keep the figures where asked to."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: a few seconds, useless figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--write", action="store_true", help="write the tables into docs/reference/benchmarks.md"
    )
    arguments = parser.parse_args()
    results = measure(quick=arguments.quick)
    print(report(results))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    if arguments.write:
        write_page(report(results))


if __name__ == "__main__":
    main()
