"""The three charts of a report as lines, bars and words in a plane; HTML and PNG draw the same ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from falrt.cli.chart import Scale, ceiling, curves, histogram, per_interval, scale_for
from falrt.cli.record import counted, percentile

if TYPE_CHECKING:
    from array import array

    from falrt.cli.record import Record

__all__ = ["WIDTH", "Chart", "Mark", "charts_of"]

WIDTH = 960
"""Of every chart; all lengths are in this unit, and y grows downwards."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 78, WIDTH - 72, 48, 262
_HEIGHT, _STRIP, _LEGEND = 300, 64, 22

Kind = Literal["grid", "age", "latency", "drop", "prompt", "reconnect", "label", "every-other"]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A stroke of a chart.

    Attributes:
        shape: ``"line"`` through all points, ``"bar"`` between two corners, ``"text"`` at a point.
        kind: What it stands for, which decides its colour; a small screen can do without ``"every-other"`` label.
        points: Where.
        words: Of a text; of a line or bar, what it says to who points at it.
        anchor: Which part of a text lies at its point.
    """

    shape: Literal["line", "bar", "text"]
    kind: Kind
    points: list[tuple[float, float]]
    words: str = ""
    anchor: Anchor = "start"


@dataclass(slots=True)
class Chart:
    """A chart: what it is in a few words, its title, what explains it, its height and its marks."""

    label: str
    title: str
    note: str
    height: int = _HEIGHT
    marks: list[Mark] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, kind: Kind = "label", anchor: Anchor = "start") -> None:
        """Write words at a point."""
        self.marks.append(Mark("text", kind, [(x, y)], words, anchor))

    def line(self, kind: Kind, *points: tuple[float, float], words: str = "") -> None:
        """Draw a line through all points."""
        self.marks.append(Mark("line", kind, [*points], words))

    def bar(self, kind: Kind, left: float, top: float, right: float, bottom: float, words: str) -> None:
        """Draw a bar, wide enough to be seen."""
        self.marks.append(Mark("bar", kind, [(left, top), (max(right, left + 0.8), bottom)], words))

    def frame(self, across: Scale, up: Scale, unit_across: str, unit_up: str) -> None:
        """Draw grid lines and labels; the units stand above and behind the ticks, where there is room for them."""
        for value, label in up.ticks:
            self.line("grid", (_LEFT, _y(up, value)), (_RIGHT, _y(up, value)))
            self.text(_LEFT - 6, _y(up, value) + 4, label, anchor="end")
        for index, (value, label) in enumerate(reversed(across.ticks)):
            self.text(
                _x(across, value), _HEIGHT - 10, label, "every-other" if index % 2 else "label", "middle"
            )
        self.text(_LEFT - 6, _LEGEND, unit_up, anchor="end")
        self.text(WIDTH, _HEIGHT - 10, unit_across, anchor="end")


def _x(across: Scale, value: float) -> float:
    return round(_LEFT + (_RIGHT - _LEFT) * across.place(value), 1)


def _y(up: Scale, value: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * up.place(value), 1)


def charts_of(record: Record) -> list[Chart]:
    """Return age and latency over time, skipped frames over the same time, and how often each age occurred."""
    return [_over_time(record), _skipped(record), _ages(record)]


def _over_time(record: Record) -> Chart:
    chart = Chart(
        "Age and latency over time",
        "How old the picture was, and how long its answer took",
        "Age: from the capture of a frame to its picture. Latency: from send to receive. Dashed lines mark a new "
        "prompt, red ones a reconnect.",
    )
    across = scale_for(0, record.at[-1], 8)
    up = scale_for(0, 1000 * ceiling([*record.ages, *record.latencies]))
    chart.frame(across, up, "s", "ms")
    for at, prompt in record.prompts[1:]:
        x = _x(across, at)
        chart.line("prompt", (x, _TOP), (x, _BOTTOM), words=prompt)
    for at in record.reconnects:
        x = _x(across, at)
        chart.line("reconnect", (x, _TOP), (x, _BOTTOM))
        chart.text(x + 4, _TOP + 24, "reconnect", "reconnect")
    series: tuple[tuple[Kind, array[float]], ...] = (("latency", record.latencies), ("age", record.ages))
    for kind, values in series:
        for curve in curves(record.at, values, (_RIGHT - _LEFT) // 2):
            chart.line(kind, *((_x(across, at), _y(up, 1000 * value)) for at, value in curve))
    chart.text(_LEFT, _LEGEND, "age", "age")
    chart.text(_LEFT + 56, _LEGEND, "latency", "latency")
    beyond = sum(1000 * value > up.high for value in record.ages)
    if beyond:
        chart.text(_RIGHT, _LEGEND, f"{counted(beyond, 'age')} beyond the scale", anchor="end")
    return chart


def _skipped(record: Record) -> Chart:
    # Over the same time as the chart above, so that one can be read below the other.
    end = scale_for(0, record.at[-1], 8).high
    columns = min(120, max(1, int(end * 2)))
    counts = per_interval(record.at, record.dropped, end, columns)
    most, wide, floor = max(counts), (_RIGHT - _LEFT) / columns, 4 + _STRIP
    note = f"Up to {most} in {end / columns:.1f} s." if most else "None."
    chart = Chart("Skipped frames over time", "Frames skipped for newer ones", note, floor + 4)
    chart.line("grid", (_LEFT, floor), (_RIGHT, floor))
    for column, count in enumerate(counts):
        if count:
            x = _LEFT + column * wide
            chart.bar("drop", x, floor - _STRIP * count / most, x + wide - 1, floor, str(count))
    return chart


def _ages(record: Record) -> Chart:
    chart = Chart("Histogram of ages", "How often each age occurred", "")
    ages = [1000 * age for age in record.ages]
    counts, edges = histogram(ages, ceiling(ages))
    across, up = scale_for(edges[0], edges[-1], 8), scale_for(0, max(counts), 4, whole=True)
    chart.frame(across, up, "ms", "")
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        if count:
            chart.bar("age", _x(across, left), _y(up, count), _x(across, right) - 1, _BOTTOM, str(count))
    # One label below the other: close values must not cover each other.
    for row, percent in enumerate((50, 95)):
        value = percentile(ages, percent)
        x, y, words = _x(across, value), _TOP + 20 + 30 * row, f"p{percent} {value:.0f} ms"
        chart.line("prompt", (x, _TOP), (x, _BOTTOM))
        is_left = x < WIDTH * 0.7
        chart.text(x + 6 if is_left else x - 6, y, words, anchor="start" if is_left else "end")
    return chart
