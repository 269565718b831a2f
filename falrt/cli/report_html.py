"""The report as HTML: charts as inline SVG, pictures as data URIs, colours for light and dark."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING

from PIL import ImageOps

from falrt.cli.captions import moment
from falrt.cli.chart import Scale, ceiling, curves, histogram, per_interval, scale_for
from falrt.cli.record import counted, percentile
from falrt.cli.sinks import decode
from falrt.cli.summary import summary_rows
from falrt.media.data_uri import wrap_data_uri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from falrt.cli.record import Record, Shot

__all__ = ["html_report"]

_WIDTH, _HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 72, 48, 38
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_STRIP = 64
_PAIRS_MAX = 8

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6878; --line: #d9dee6; --card: #f6f8fa; --page: #fff;
  --age: #2563c9; --latency: #d9772b; --drop: #8a94a6; --alarm: #c8323b }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf0; --soft: #98a2b3; --line: #333b47; --card: #1d222a;
  --page: #14181e; --age: #6ea4ff; --latency: #f0a05c; --drop: #76808f; --alarm: #ff6b70 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 64rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.05rem; margin: 2rem 0 .3rem }
p { color: var(--soft); margin: .2rem 0 1rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(11.5rem, 1fr)); gap: .6rem; margin: 1.2rem 0 }
.tile { background: var(--card); border-radius: .5rem; padding: .55rem .8rem }
.tile b { display: block; font-size: 1.02rem; font-variant-numeric: tabular-nums } .tile small { color: var(--soft);
  font-size: .84rem } .tile b span { display: inline-block; margin-right: .6em }
svg { width: 100%; height: auto; display: block } svg text { font: 13px system-ui, sans-serif; fill: var(--soft);
  paint-order: stroke; stroke: var(--page); stroke-width: 4px; stroke-linejoin: round }
@media (max-width: 40rem) { svg text { font-size: 27px } svg .curve { stroke-width: 3 }
  .every-other { display: none } }
.grid { stroke: var(--line); stroke-width: 1 } .age { stroke: var(--age) } .latency { stroke: var(--latency) }
.curve { fill: none; stroke-width: 1.6; stroke-linejoin: round } .bar { fill: var(--age); opacity: .8 }
.drop { fill: var(--drop) } .prompt { stroke: var(--soft); stroke-dasharray: 2 4; opacity: .7 }
.reconnect { stroke: var(--alarm); stroke-width: 1.6 } svg text.alarm { fill: var(--alarm) }
.legend-age { fill: var(--age) } .legend-latency { fill: var(--latency) }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .9rem }
figure { margin: 0 } figure img { width: 100%; display: block; border-radius: .35rem; margin-bottom: .3rem }
figcaption { color: var(--soft); font-size: .84rem }
"""


def html_report(record: Record, price_per_second: float = 0.0) -> str:
    """Return the page: figures, age and latency over time, skipped frames, a histogram and sample pictures."""
    tiles = "\n".join(
        f'<div class="tile"><b>{_parts(value)}</b><small>{escape(name)}</small></div>'
        for name, value in summary_rows(record, price_per_second)
    )
    charts = _charts(record) if record.count else "<p>No picture came.</p>"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(record.title)}</title><style>{_STYLE}</style></head>
<body><h1>{escape(record.title)}</h1>
<div class="tiles">{tiles}</div>
{charts}
</body></html>
"""


def _parts(value: str) -> str:
    """A value of several parts may break between them, never inside one."""
    parts = value.replace("   ", ", ").split(", ")
    return "".join(f"<span>{escape(part)}</span>" for part in parts)


def _charts(record: Record) -> str:
    return f"""<h2>How old the picture was, and how long its answer took</h2>
<p>Age: from the capture of a frame to its picture. Latency: from send to receive. Dashed lines mark a new prompt, red
ones a reconnect.</p>
{_over_time(record)}
<h2>Frames skipped for newer ones</h2>
{_skipped(record)}
<h2>How often each age occurred</h2>
{_ages(record)}
<h2>Frames and what became of them</h2>
<div class="pairs">{_pairs(record.samples)}</div>"""


def _over_time(record: Record) -> str:
    across = scale_for(0, record.at[-1], 8)
    up = scale_for(0, 1000 * ceiling([*record.ages, *record.latencies]))
    parts = [_frame(across, up, "s", "ms")]
    for at, prompt in record.prompts[1:]:
        x = _x(across, at)
        parts.append(
            f'<line class="prompt" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_TOP + _PLOT_HEIGHT}">'
            f"<title>{escape(prompt)}</title></line>"
        )
    for at in record.reconnects:
        x = _x(across, at)
        parts.append(f'<line class="reconnect" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_TOP + _PLOT_HEIGHT}"/>')
        parts.append(f'<text class="alarm" x="{x + 4}" y="{_TOP + 24}">reconnect</text>')
    for name, values in (("latency", record.latencies), ("age", record.ages)):
        for curve in curves(record.at, values, _PLOT_WIDTH // 2):
            points = " ".join(f"{_x(across, at)},{_y(up, 1000 * value)}" for at, value in curve)
            parts.append(f'<polyline class="curve {name}" points="{points}"/>')
    legend = '<tspan class="legend-age">age</tspan> <tspan class="legend-latency" dx="12">latency</tspan>'
    parts.append(f'<text x="{_LEFT}" y="22">{legend}</text>')
    beyond = sum(1000 * value > up.high for value in record.ages)
    if beyond:
        parts.append(
            f'<text x="{_WIDTH - _RIGHT}" y="22" text-anchor="end">{counted(beyond, "age")} beyond the scale</text>'
        )
    return _svg(parts, _HEIGHT, "Age and latency over time")


def _skipped(record: Record) -> str:
    # Over the same time as the chart above, so that one can be read below the other.
    end = scale_for(0, record.at[-1], 8).high
    columns = min(120, max(1, int(end * 2)))
    counts = per_interval(record.at, record.dropped, end, columns)
    highest, wide = max(counts, default=0), _PLOT_WIDTH / columns
    parts = [f'<text x="0" y="22">{highest}</text>'] if highest else ["<text x='0' y='40'>none</text>"]
    for column, count in enumerate(counts):
        high = _STRIP * count / highest if highest else 0
        x, y = _LEFT + column * wide, 4 + _STRIP - high
        parts.append(
            f'<rect class="drop" x="{x:.1f}" y="{y:.1f}" width="{max(0.8, wide - 1):.1f}" height="{high:.1f}"/>'
        )
    parts.append(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{4 + _STRIP}" y2="{4 + _STRIP}"/>'
    )
    return _svg(parts, _STRIP + 8, "Skipped frames over time")


def _ages(record: Record) -> str:
    ages = [1000 * age for age in record.ages]
    steps = histogram(ages, ceiling(ages))
    across = scale_for(steps.low, steps.low + steps.width * len(steps.counts), 8)
    up = scale_for(0, max(steps.counts), 4)
    parts = [_frame(across, up, "ms", "")]
    for step, count in enumerate(steps.counts):
        left, right = (_x(across, steps.low + steps.width * edge) for edge in (step, step + 1))
        y = _y(up, count)
        parts.append(
            f'<rect class="bar" x="{left}" y="{y}" width="{max(0.8, right - left - 1):.1f}" '
            f'height="{_TOP + _PLOT_HEIGHT - y:.1f}"><title>{count}</title></rect>'
        )
    # One label below the other: close values must not cover each other.
    for row, percent in enumerate((50, 95)):
        value = percentile(ages, percent)
        x, y = _x(across, value), _TOP + 20 + 30 * row
        anchor, beside = ("start", x + 6) if x < _WIDTH * 0.7 else ("end", x - 6)
        parts.append(f'<line class="prompt" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_TOP + _PLOT_HEIGHT}"/>')
        parts.append(f'<text x="{beside}" y="{y}" text-anchor="{anchor}">p{percent} {value:.0f} ms</text>')
    return _svg(parts, _HEIGHT, "Histogram of ages")


def _frame(across: Scale, up: Scale, unit_across: str, unit_up: str) -> str:
    """Draw grid lines and labels; the units stand above and behind the ticks, where there is room for them."""
    parts = []
    for value, label in up.ticks:
        y = _y(up, value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{label}</text>')
    if unit_up:
        parts.append(f'<text x="{_LEFT - 6}" y="22" text-anchor="end">{unit_up}</text>')
    for index, (value, label) in enumerate(across.ticks):
        # On a phone, where the writing is larger, every second one goes.
        kind = "every-other" if (len(across.ticks) - index) % 2 == 0 else "tick"
        parts.append(
            f'<text class="{kind}" x="{_x(across, value)}" y="{_HEIGHT - 10}" text-anchor="middle">{label}</text>'
        )
    parts.append(f'<text x="{_WIDTH}" y="{_HEIGHT - 10}" text-anchor="end">{unit_across}</text>')
    return "".join(parts)


def _x(scale: Scale, value: float) -> float:
    return round(_LEFT + _PLOT_WIDTH * scale.place(value), 1)


def _y(scale: Scale, value: float) -> float:
    return round(_TOP + _PLOT_HEIGHT * (1 - scale.place(value)), 1)


def _svg(parts: Sequence[str], height: int, label: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _pairs(samples: Sequence[Shot]) -> str:
    count = min(_PAIRS_MAX, len(samples))
    chosen = [samples[index * len(samples) // count] for index in range(count)]
    return "\n".join(
        f'<figure><img alt="frame" src="{_inline(shot.frame)}">'
        f'<img alt="picture" src="{_inline(decode(shot.pictures[-1]))}">'
        f"<figcaption>{escape(shot.prompt)}<br>{moment(shot)}</figcaption></figure>"
        for shot in chosen
    )


def _inline(picture: Image) -> str:
    out = io.BytesIO()
    ImageOps.pad(picture, (288, 288)).save(out, "JPEG", quality=80)
    return wrap_data_uri(out.getvalue())
