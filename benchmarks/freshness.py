"""How old is the picture on the screen? Every pacing policy in a simulated world (``stream_world.py``).

*Seen age* at an instant: now minus the capture of the newest frame whose answer has come. Its floor is uplink +
inference + downlink + half the time between the answers of a runner that is never idle and never keeps a frame
waiting. The source's own period is not part of the floor: with a camera, no policy reaches it exactly.

Run ``python -m benchmarks.freshness`` (half a minute), with ``--quick`` (seconds) or ``--json FILE``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from benchmarks.stream_world import Outcome, Setting, World, best_ratio, measure, simulate
from falrt.protocol.pacing.policies import Adaptive, Immediate, Latest, Pacing, Throttle

POLICIES: dict[str, Callable[[], Pacing]] = {
    "Immediate()": Immediate,
    "Throttle(0.128)": lambda: Throttle(0.128),
    "Latest(1)": lambda: Latest(1),
    "Latest(2)": lambda: Latest(2),
    "Adaptive()": Adaptive,
}

JITTER: dict[str, Any] = {"inference_jitter": 0.2, "network_jitter": 0.01}
"""A model that varies by 20 %, a network that adds 0 to 10 ms each way."""

USUAL: dict[str, Any] = {"inference_jitter": 0.02, "network_jitter": 0.002, "camera_jitter": 0.001}
"""What even a quiet world has; it keeps the grid from resting on exact coincidences."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A setting in which Adaptive should stay below a ratio."""

    name: str
    setting: Setting
    ratio: float
    exact: bool = True


GOALS = (
    Goal("100 ms, 30 ms each way", Setting(), 1.04),
    Goal("300 ms", Setting(inference=0.3), 1.03),
    Goal("40 ms", Setting(inference=0.04), 1.08),
    Goal("100 ms, model ±20 %, network 0–10 ms", Setting(**JITTER), 1.06, exact=False),
    Goal("100 ms, uplink 8 Mbit/s", Setting(uplink_bits_per_second=8e6), 1.04),
    Goal("100 ms, no network", Setting(round_trip=0.0), 1.09),
)

CHANGES = {
    "model 100 → 150 ms": Setting(inference_steps=((20, 0.15),), **USUAL),
    "model 100 → 80 ms": Setting(inference_steps=((20, 0.08),), **USUAL),
    "model 300 → 60 ms": Setting(inference=0.3, inference_steps=((20, 0.06),), **USUAL),
    "round trip 60 → 120 ms": Setting(round_trip_steps=((20, 0.12),), **USUAL),
    "round trip 120 → 40 ms": Setting(round_trip=0.12, round_trip_steps=((20, 0.04),), **USUAL),
    "an input silently dropped": Setting(swallowed_at=(20,), **USUAL),
    "network stalls for 300 ms": Setting(stalls=((20, 0.3),), **USUAL),
    "network stalls for 1 s": Setting(stalls=((20, 1.0),), **USUAL),
}

DROPS = {
    "steady, buffer 1": Setting(buffer=1, **USUAL),
    "model ±20 %, network 0–10 ms, buffer 1": Setting(buffer=1, **JITTER),
    "the same, 40 ms model": Setting(buffer=1, inference=0.04, **JITTER),
    "the same, 40 ms model, 150 ms round trip": Setting(buffer=1, inference=0.04, round_trip=0.15, **JITTER),
    "one input in 50 lost": Setting(swallowed_at=tuple(range(5, 60, 5)), **USUAL),
    "a stall of 0.3 s every 10 s": Setting(stalls=tuple((t, 0.3) for t in range(5, 60, 10)), **USUAL),
}


def grid(quick: bool) -> list[Setting]:
    """Return the cells: model, round trip, buffer and source."""
    if quick:
        axes: tuple[Iterable[Any], ...] = ((0.1,), (0.0, 0.06), (1, None), (30.0,))
    else:
        axes = ((0.04, 0.1, 0.25, 0.3), (0.0, 0.03, 0.06, 0.15), (1, 2, None), (30.0, 60.0))
    return [
        Setting(inference=inference, round_trip=round_trip, buffer=buffer, fps=fps, seconds=40, **USUAL)
        for inference, round_trip, buffer, fps in itertools.product(*axes)
    ]


def average(outcomes: list[Outcome]) -> Outcome:
    """Return the mean of several seeds' outcomes."""
    rows = [asdict(outcome) for outcome in outcomes]
    return Outcome(**{key: fmean(row[key] for row in rows) for key in rows[0]})


def over_seeds(setting: Setting, policy: Pacing, seeds: Iterable[int]) -> Outcome:
    """Run a policy with several seeds."""
    return average([simulate(replace(setting, seed=seed), policy) for seed in seeds])


def cell(setting: Setting) -> dict[str, Outcome]:
    """Run every policy in one cell of the grid."""
    return {name: over_seeds(setting, make(), range(1, 4)) for name, make in POLICIES.items()}


def adaptation(setting: Setting, seeds: Iterable[int]) -> list[Outcome]:
    """Return what Adaptive shows before a change at 20 s, in the second after it, and later."""
    worlds = [World(replace(setting, seed=seed, seconds=40.0), Adaptive()).run() for seed in seeds]
    spans = ((5.0, 20.0), (20.0, 21.0), (21.0, 23.0), (23.0, 40.0))
    return [average([measure(world, start, end) for world in worlds]) for start, end in spans]


def show_goals(seeds: range, results: dict[str, Any]) -> None:
    """Print Adaptive against its goals, at 30 and 60 frames a second and with a source asked on demand."""
    print("Adaptive() against its goals: mean seen age / floor @ share of attainable answers/s")
    print(f"{'':38}{'goal':>6}{'30 fps':>15}{'best':>7}{'60 fps':>15}{'best':>7}{'on demand':>15}")
    for goal in GOALS:
        row = f"{goal.name:38}{goal.ratio:>6.2f}"
        for source in (30.0, 60.0, None):
            changes: dict[str, Any] = {"fps": source} if source else {"source": "on demand"}
            setting = replace(goal.setting, **changes)
            outcome = over_seeds(setting, Adaptive(), seeds)
            results.setdefault("goals", []).append(
                {"name": goal.name, "goal": goal.ratio, **changes, **asdict(outcome)}
            )
            row += f"{outcome.age_ratio:>8.3f} @{outcome.rate_share:>5.1%}"
            if source:
                row += f"{best_ratio(setting):>7.3f}" if goal.exact else f"{'':7}"
        print(row, flush=True)
    print("best: the least that any policy could reach at 97 %, knowing everything (where nothing jitters)\n")


def show_grid(quick: bool, results: dict[str, Any]) -> None:
    """Print every policy in every cell; the full grid on all cores."""
    cells = grid(quick)
    names = list(POLICIES)
    print("Every policy in every cell: age p50 / p95 in ms, mean age / floor, answers/s, wasted uploads")
    print(f"{'model':>6}{'rtt':>5}{'buf':>5}{'fps':>4}  " + "".join(f"{name:>34}" for name in names))
    wins = 0
    with ExitStack() as stack:
        run = map if quick else stack.enter_context(ProcessPoolExecutor()).map
        for setting, outcomes in zip(cells, run(cell, cells), strict=True):
            row = f"{setting.inference * 1e3:>6.0f}{setting.round_trip * 1e3:>5.0f}"
            row += f"{setting.buffer or 'none':>5}{setting.fps:>4.0f}  "
            for outcome in outcomes.values():
                ages = f"{outcome.age_p50 * 1e3:.0f}/{outcome.age_p95 * 1e3:.0f}"
                row += f"{ages:>13}{outcome.age_ratio:>8.3f}{outcome.rate_share:>7.1%}{outcome.wasted:>6.1%}"
            print(row, flush=True)
            best = min(outcomes, key=lambda name: outcomes[name].age_ratio)
            wins += best == "Adaptive()"
            results.setdefault("grid", []).append(
                {"setting": asdict(setting), **{name: asdict(outcomes[name]) for name in names}}
            )
    print(f"Adaptive() shows the freshest picture in {wins} of {len(cells)} cells\n")


def show_changes(seeds: range, results: dict[str, Any]) -> None:
    """Print how fast Adaptive follows."""
    print("Adaptive() after a change: mean age / floor @ share of attainable answers/s")
    print(f"{'':30}{'before':>16}{'first second':>16}{'second 2–3':>16}{'then':>16}")
    for name, setting in CHANGES.items():
        spans = adaptation(setting, seeds)
        results.setdefault("changes", []).append({"name": name, "spans": [asdict(span) for span in spans]})
        cells = (f"{span.age_ratio:>8.2f} @{span.rate_share:>6.1%}" for span in spans)
        print(f"{name:30}" + "".join(cells), flush=True)
    print()


def show_pairing(seeds: range, results: dict[str, Any]) -> None:
    """Print how often an uncertain pairing errs."""
    print("Pairing of Adaptive() where the server drops: shares of all answers")
    print(f"{'':46}{'dropped':>9}{'given up':>13}{'uncertain':>11}{'wrong':>8}{'wrong, called certain':>23}")
    for name, setting in DROPS.items():
        outcome = over_seeds(setting, Adaptive(), seeds)
        results.setdefault("pairing", []).append({"name": name, **asdict(outcome)})
        print(
            f"{name:46}{outcome.wasted:>9.2%}{outcome.given_up / outcome.sent:>13.2%}"
            f"{outcome.uncertain:>11.1%}{outcome.mispaired:>8.2%}{outcome.mispaired_certain:>23.2%}",
            flush=True,
        )


def main(arguments: list[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer cells and seeds: seconds")
    parser.add_argument("--json", metavar="FILE", help="write every figure to FILE as well")
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {}
    seeds = range(1, 2) if options.quick else range(1, 9)
    show_goals(seeds, results)
    show_grid(options.quick, results)
    show_changes(seeds, results)
    show_pairing(seeds, results)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
