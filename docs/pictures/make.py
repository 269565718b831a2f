"""Make the pictures of the pages anew: the demo's sheet, a report, and how fresh each pacing keeps the picture.

Use: python docs/pictures/make.py (half a minute; ``make pictures``). The results are kept in the repository.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from benchmarks.freshness import POLICIES, USUAL, over_seeds  # noqa: E402
from benchmarks.stream_world import Setting  # noqa: E402
from falrt.cli.demo import demo  # noqa: E402
from falrt.cli.report import write_report  # noqa: E402

_WIDTH, _ROW, _LEFT, _TOP = 760, 46, 150, 56


def freshness() -> str:
    """Draw the age of the seen picture under each pacing, in a usual world: a 100 ms model, 30 ms each way, 30 fps."""
    setting = Setting(buffer=2, seconds=40, **USUAL)
    ages = {name: over_seeds(setting, make(), range(1, 5)) for name, make in POLICIES.items()}
    highest = max(outcome.age_p95 for outcome in ages.values())
    across = (_WIDTH - _LEFT - 130) / highest
    floor = _LEFT + setting.floor * across
    height = _TOP + _ROW * len(ages) + 34
    least = f"the least that is possible: {setting.floor * 1000:.0f} ms"
    parts = [
        f'<text class="soft" x="{_LEFT}" y="22">Age of the picture seen, p50 and p95: a model of 100 ms,</text>',
        f'<text class="soft" x="{_LEFT}" y="40">30 ms on the way each way, a camera of 30 frames a second</text>',
    ]
    for row, (name, outcome) in enumerate(ages.items()):
        y = _TOP + row * _ROW
        p50, p95 = outcome.age_p50 * across, outcome.age_p95 * across
        words = f"{outcome.age_p50 * 1000:.0f} / {outcome.age_p95 * 1000:.0f} ms"
        kind = "best" if name.startswith("Adaptive") else "bar"
        parts += [
            f'<text x="{_LEFT - 10}" y="{y + 23}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind} far" x="{_LEFT}" y="{y + 6}" width="{p95:.1f}" height="26" rx="4"/>',
            f'<rect class="{kind}" x="{_LEFT}" y="{y + 6}" width="{p50:.1f}" height="26" rx="4"/>',
            f'<text x="{_LEFT + p95 + 8:.1f}" y="{y + 23}">{words}</text>',
        ]
    parts += [
        f'<line x1="{floor:.1f}" x2="{floor:.1f}" y1="{_TOP - 4}" y2="{height - 30}"/>',
        f'<text class="soft" x="{floor:.1f}" y="{height - 12}" text-anchor="middle">{least}</text>',
    ]
    style = (
        "text{font:14px system-ui,sans-serif;fill:#1c2430}.soft{fill:#5d6878;font-size:13px}.bar{fill:#8a94a6}"
        ".best{fill:#2563c9}.far{opacity:.35}line{stroke:#c8323b;stroke-width:1.5;stroke-dasharray:4 4}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="#fff" rx="8"/>{"".join(parts)}</svg>\n'
    )


def main() -> None:
    """Make all three."""
    (HERE / "freshness.svg").write_text(freshness(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        record = demo(out=Path(scratch))
        shutil.copy(Path(scratch) / "contact-sheet.jpg", HERE)
        write_report(HERE / "report.png", record)


if __name__ == "__main__":
    main()
