"""The report as one picture, drawn with Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from falrt.cli.pairs import pair_height, paste_pair
from falrt.cli.plots import WIDTH, Chart, charts_of
from falrt.cli.record import spread

if TYPE_CHECKING:
    from falrt.cli.record import Record

__all__ = ["draw_report"]

_WIDTH, _HEIGHT_MAX = 1200, 2000
_MARGIN = 40
_SCALE = (_WIDTH - 2 * _MARGIN) / WIDTH
_INK, _SOFT, _CARD = "#1c2430", "#5d6878", "#f1f4f8"
_COLOURS = {
    **{"grid": "#d9dee6", "age": "#2563c9", "latency": "#d9772b", "drop": "#8a94a6", "prompt": "#8a94a6"},
    **{"reconnect": "#c8323b", "label": _SOFT, "every-other": _SOFT},
}
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
_TILES_ACROSS = 4
_PAIRS_MAX = 6


def draw_report(record: Record) -> Image.Image:
    """Draw figures, age and latency over time, skipped frames, a histogram and sample pictures."""
    page = Image.new("RGB", (_WIDTH, _HEIGHT_MAX), "white")
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, 26), record.title, fill=_INK, font_size=26)
    y = _tiles(draw, record.summary(), top=72) + 20
    if record.count:
        for chart in charts_of(record):
            y = _heading(draw, chart.title, chart.note, y)
            _chart(draw, chart, y)
            y += round(chart.height * _SCALE) + 24
        y = _heading(draw, "Frames and what became of them", "", y)
        side = (_WIDTH - 2 * _MARGIN) // _PAIRS_MAX - 8
        for index, shot in enumerate(spread(record.samples, _PAIRS_MAX)):
            paste_pair(page, shot, (_MARGIN + index * (side + 8), y), side, ink=_INK, soft=_SOFT)
        y += pair_height(side)
    else:
        draw.text((_MARGIN, y), "No picture came.", fill=_SOFT, font_size=18)
        y += 40
    return page.crop((0, 0, _WIDTH, y + _MARGIN // 2))


def _tiles(draw: ImageDraw.ImageDraw, rows: list[tuple[str, str]], top: int) -> int:
    wide = (_WIDTH - 2 * _MARGIN) / _TILES_ACROSS
    for index, (name, value) in enumerate(rows):
        x, y = _MARGIN + index % _TILES_ACROSS * wide, top + index // _TILES_ACROSS * 56
        draw.rounded_rectangle((x, y, x + wide - 10, y + 48), radius=8, fill=_CARD)
        draw.text((x + 12, y + 7), value, fill=_INK, font_size=16)
        draw.text((x + 12, y + 28), name, fill=_SOFT, font_size=13)
    return top + -(-len(rows) // _TILES_ACROSS) * 56


def _heading(draw: ImageDraw.ImageDraw, title: str, note: str, y: int) -> int:
    """Write a title and what explains it; return where that ends."""
    draw.text((_MARGIN, y), title, fill=_INK, font_size=18)
    draw.text((_MARGIN, y + 26), note, fill=_SOFT, font_size=14)
    return y + (50 if note else 30)


def _chart(draw: ImageDraw.ImageDraw, chart: Chart, top: int) -> None:
    for mark in chart.marks:
        points = [(_MARGIN + x * _SCALE, top + y * _SCALE) for x, y in mark.points]
        (x, y), (right, bottom) = points[0], points[-1]
        colour = _COLOURS[mark.kind]
        if mark.shape == "text":
            anchor = _ANCHORS[mark.anchor]
            draw.text(
                (x, y),
                mark.words,
                colour,
                anchor=anchor,
                font_size=14,
                stroke_width=2,
                stroke_fill="white",
            )
        elif mark.shape == "bar":
            draw.rectangle((x, y, max(x + 1, right - 1), bottom), colour)
        elif mark.kind == "prompt":
            for dash in range(round(y), round(bottom), 8):
                draw.line((x, dash, x, dash + 4), colour, width=2)
        else:
            draw.line(points, colour, width=1 if mark.kind == "grid" else 2)
