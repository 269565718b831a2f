"""The report as HTML: charts as inline SVG, pictures as data URIs, colours for light and dark."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING

from PIL import ImageOps

from falrt.cli.pairs import decode, moment
from falrt.cli.plots import WIDTH, Chart, Mark, charts_of
from falrt.cli.record import spread
from falrt.media.data_uri import wrap_data_uri

if TYPE_CHECKING:
    from PIL.Image import Image

    from falrt.cli.record import Record

__all__ = ["html_report"]

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
polyline { fill: none; stroke: var(--line) } polyline.prompt { stroke: var(--soft); stroke-dasharray: 2 4;
  opacity: .7 } polyline:is(.age, .latency, .reconnect) { stroke-width: 1.6; stroke-linejoin: round }
polyline.age { stroke: var(--age) } polyline.latency { stroke: var(--latency) } polyline.reconnect {
  stroke: var(--alarm) } rect.age { fill: var(--age); opacity: .8 } rect.drop { fill: var(--drop) }
svg text.age { fill: var(--age) } svg text.latency { fill: var(--latency) } svg text.reconnect { fill: var(--alarm) }
@media (max-width: 40rem) { svg text { font-size: 27px } polyline:is(.age, .latency) { stroke-width: 3 }
  .every-other { display: none } }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .9rem }
figure { margin: 0 } figure img { width: 100%; display: block; border-radius: .35rem; margin-bottom: .3rem }
figcaption { color: var(--soft); font-size: .84rem }
"""


def html_report(record: Record) -> str:
    """Return the page: figures, age and latency over time, skipped frames, a histogram and sample pictures."""
    tiles = "\n".join(
        f'<div class="tile"><b>{_parts(value)}</b><small>{escape(name)}</small></div>'
        for name, value in record.summary()
    )
    charts = (
        "\n".join(map(_chart, charts_of(record))) + _pairs(record)
        if record.count
        else "<p>No picture came.</p>"
    )
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


def _chart(chart: Chart) -> str:
    drawn = "".join(map(_drawn, chart.marks))
    return f"""<h2>{chart.title}</h2>
<p>{chart.note}</p>
<svg viewBox="0 0 {WIDTH} {chart.height}" role="img" aria-label="{chart.label}">{drawn}</svg>"""


def _drawn(mark: Mark) -> str:
    (x, y), (right, bottom) = mark.points[0], mark.points[-1]
    words, kind = escape(mark.words), mark.kind
    if mark.shape == "text":
        return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{mark.anchor}">{words}</text>'
    title = f"<title>{words}</title>" if words else ""
    if mark.shape == "line":
        points = " ".join(f"{x},{y}" for x, y in mark.points)
        return f'<polyline class="{kind}" points="{points}">{title}</polyline>'
    size = f'width="{right - x:.1f}" height="{bottom - y:.1f}"'
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" {size}>{title}</rect>'


def _pairs(record: Record) -> str:
    figures = "\n".join(
        f'<figure><img alt="frame" src="{_inline(shot.frame)}">'
        f'<img alt="picture" src="{_inline(decode(shot.pictures[-1]))}">'
        f"<figcaption>{escape(shot.prompt)}<br>{moment(shot)}</figcaption></figure>"
        for shot in spread(record.samples, _PAIRS_MAX)
    )
    return f'<h2>Frames and what became of them</h2>\n<div class="pairs">{figures}</div>'


def _inline(picture: Image) -> str:
    out = io.BytesIO()
    ImageOps.pad(picture, (288, 288)).save(out, "JPEG", quality=80)
    return wrap_data_uri(out.getvalue())
