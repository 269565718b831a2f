"""The report as one picture, drawn with Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageOps

from falrt.cli.captions import moment, wrapped
from falrt.cli.chart import Scale, ceiling, curves, histogram, per_interval, scale_for
from falrt.cli.record import percentile
from falrt.cli.sinks import decode
from falrt.cli.summary import summary_rows

if TYPE_CHECKING:
    from falrt.cli.record import Record, Shot

__all__ = ["draw_report"]

_WIDTH, _HEIGHT_MAX = 1200, 1600
_MARGIN = 40
_INK, _SOFT, _LINE, _CARD = "#1c2430", "#5d6878", "#d9dee6", "#f1f4f8"
_AGE, _LATENCY, _DROP, _ALARM = "#2563c9", "#d9772b", "#8a94a6", "#c8323b"
_LEFT, _RIGHT = _MARGIN + 60, _WIDTH - _MARGIN
_PAIRS_MAX = 6


def draw_report(record: Record, price_per_second: float = 0.0) -> Image.Image:
    """Draw figures, age and latency over time, skipped frames, a histogram and sample pictures."""
    page = _Page()
    page.text(_MARGIN, 26, record.title, size=26, colour=_INK)
    y = _tiles(page, summary_rows(record, price_per_second), top=72)
    if record.count:
        y = _over_time(page, record, top=y + 54, height=232)
        y = _skipped(page, record, top=y + 72, height=50)
        y = _ages(page, record, top=y + 66, height=180)
        y = _pairs(page, record.samples, top=y + 84)
    else:
        page.text(_MARGIN, y + 20, "No picture came.", size=18)
        y += 60
    return page.image.crop((0, 0, _WIDTH, y + _MARGIN // 2))


class _Page:
    """A white page, and the few strokes that charts need."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (_WIDTH, _HEIGHT_MAX), "white")
        self.draw = ImageDraw.Draw(self.image)

    def text(
        self, x: float, y: float, words: str, *, size: int = 14, colour: str = _SOFT, anchor: str = "la"
    ) -> None:
        self.draw.text((x, y), words, fill=colour, font_size=size, anchor=anchor)

    def axes(self, across: Scale, up: Scale, top: float, bottom: float, units: tuple[str, str]) -> None:
        for value, label in up.ticks:
            y = bottom - (bottom - top) * up.place(value)
            self.draw.line((_LEFT, y, _RIGHT, y), fill=_LINE)
            unit = f" {units[1]}" if units[1] and value == up.ticks[-1][0] else ""
            self.text(_LEFT - 8, y, label + unit, anchor="rm")
        for value, label in across.ticks:
            unit = f" {units[0]}" if value == across.ticks[-1][0] else ""
            self.text(_x(across, value), bottom + 8, label + unit, anchor="ma")

    def upright(self, x: float, top: float, bottom: float, colour: str, *, dashed: bool) -> None:
        step = 8 if dashed else bottom - top
        y = top
        while y < bottom:
            self.draw.line((x, y, x, min(bottom, y + (step / 2 if dashed else step))), fill=colour, width=2)
            y += step


def _x(scale: Scale, value: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * scale.place(value)


# Each draws one part and returns where it ends.


def _tiles(page: _Page, rows: list[tuple[str, str]], top: int) -> int:
    columns = 4
    wide = (_WIDTH - 2 * _MARGIN) / columns
    for index, (name, value) in enumerate(rows):
        x, y = _MARGIN + index % columns * wide, top + index // columns * 56
        page.draw.rounded_rectangle((x, y, x + wide - 10, y + 48), radius=8, fill=_CARD)
        page.text(x + 12, y + 7, value, size=16, colour=_INK)
        page.text(x + 12, y + 28, name, size=13)
    return top + -(-len(rows) // columns) * 56


def _over_time(page: _Page, record: Record, top: int, height: int) -> int:
    bottom = top + height
    page.text(_LEFT, top - 30, "age of the picture", size=15, colour=_AGE)
    page.text(_LEFT + 140, top - 30, "latency, send to picture", size=15, colour=_LATENCY)
    page.text(_RIGHT, top - 30, "dashed: a new prompt; red: a reconnect", size=13, anchor="ra")
    across = scale_for(0, record.at[-1], 8)
    up = scale_for(0, 1000 * ceiling([*record.ages, *record.latencies]))
    page.axes(across, up, top, bottom, ("s", "ms"))
    for at, _ in record.prompts[1:]:
        page.upright(_x(across, at), top, bottom, _DROP, dashed=True)
    for at in record.reconnects:
        page.upright(_x(across, at), top, bottom, _ALARM, dashed=False)
    for colour, values in ((_LATENCY, record.latencies), (_AGE, record.ages)):
        for curve in curves(record.at, values, 500):
            points = [
                (_x(across, at), bottom - (bottom - top) * up.place(1000 * value)) for at, value in curve
            ]
            page.draw.line(points, fill=colour, width=2)
    return bottom


def _skipped(page: _Page, record: Record, top: int, height: int) -> int:
    bottom = top + height
    end = scale_for(0, record.at[-1], 8).high
    columns = min(120, max(1, int(end * 2)))
    counts = per_interval(record.at, record.dropped, end, columns)
    highest, wide = max(counts), (_RIGHT - _LEFT) / columns
    most = f", up to {highest} in {end / columns:.1f} s" if highest else ": none"
    page.text(_LEFT, top - 22, f"frames skipped for newer ones{most}", size=15)
    page.draw.line((_LEFT, bottom, _RIGHT, bottom), fill=_LINE)
    for column, count in enumerate(counts):
        if count:
            x, y = _LEFT + column * wide, bottom - (bottom - top) * count / highest
            page.draw.rectangle((x, y, x + max(1.0, wide - 2), bottom), fill=_DROP)
    return bottom


def _ages(page: _Page, record: Record, top: int, height: int) -> int:
    bottom = top + height
    ages = [1000 * age for age in record.ages]
    counted = histogram(ages, ceiling(ages))
    across = scale_for(counted.low, counted.low + counted.width * len(counted.counts), 8)
    up = scale_for(0, max(counted.counts), 4)
    page.text(_LEFT, top - 30, "how often each age occurred", size=15)
    page.axes(across, up, top, bottom, ("ms", ""))
    for step, count in enumerate(counted.counts):
        left, right = (_x(across, counted.low + counted.width * edge) for edge in (step, step + 1))
        if count:
            y = bottom - (bottom - top) * up.place(count)
            page.draw.rectangle((left, y, max(left + 1, right - 2), bottom), fill=_AGE)
    # One label below the other: close values must not cover each other.
    for row, percent in enumerate((50, 95)):
        value = percentile(ages, percent)
        x = _x(across, value)
        words, anchor = f"p{percent} {value:.0f} ms", "la" if x < _WIDTH * 0.8 else "ra"
        page.upright(x, top, bottom, _INK, dashed=True)
        place = (x + (6 if anchor == "la" else -6), top + 2 + 20 * row)
        page.draw.rectangle(page.draw.textbbox(place, words, font_size=14, anchor=anchor), fill="white")
        page.text(*place, words, colour=_INK, anchor=anchor)
    return bottom


def _pairs(page: _Page, samples: list[Shot], top: int) -> int:
    count = min(_PAIRS_MAX, len(samples))
    side = (_WIDTH - 2 * _MARGIN) // _PAIRS_MAX - 8
    page.text(_MARGIN, top - 26, "frames, and below them what became of them", size=15)
    y = top + 2 * side + 12
    for index in range(count):
        shot = samples[index * len(samples) // count]
        x = _MARGIN + index * (side + 8)
        page.image.paste(ImageOps.pad(shot.frame, (side, side)), (x, top))
        page.image.paste(ImageOps.pad(decode(shot.pictures[-1]), (side, side)), (x, top + side + 6))
        for line, words in enumerate(wrapped(shot.prompt, side, 14, 2)):
            page.text(x, y + 18 * line, words, colour=_INK)
        page.text(x, y + 38, moment(shot), size=13)
    return y + 56
