"""The comparison runs; what it says is for quiet machines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fal", reason="needs fal's own server SDK: pip install --group peers")
pytest.importorskip("fal_client", reason="needs the official client: pip install --group peers")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(sys.platform != "linux", reason="reads CPU times and memory from /proc"),
]

ROOT = Path(__file__).parents[2]


def test_a_quick_comparison_prints_every_goal_and_keeps_the_figures(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", "--quick", "--json", str(figures)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout

    for goal in ("100 B, request()", "60 KB, send()", "600 connections", "import falrt", "idle connection"):
        assert f"| {goal}" in said
    results = json.loads(figures.read_text())
    assert {"prebuilt answers, asyncio", "fal's SDK, asyncio"} <= set(results["round_trips"])
    for sizes in results["round_trips"].values():
        assert set(sizes) == {"100", "60000", "150000", "1000000"}
        for contenders in sizes.values():
            assert contenders["bare loop"]["x_p50"] == 1
            assert {"falrt request()", "falrt send() + recv()", "falrt stream()"} <= set(contenders)
            assert all(row["client_cpu"] > 0 for row in contenders.values())
