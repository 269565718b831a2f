"""The geometry of the report's charts, apart from how they are drawn: scales, thinning, histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np

from falrt.cli.record import percentile

__all__ = ["Scale", "ceiling", "curves", "histogram", "peaks", "per_interval", "scale_for"]


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis that begins at ``low``.

    Attributes:
        low: Value at the beginning.
        high: Value at the end.
        ticks: Round values between, and their labels.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """Return where a value lies, 0 to 1; what is beyond lies on the end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def scale_for(low: float, high: float, steps: int = 5, *, whole: bool = False) -> Scale:
    """Return a scale from low to high or a little beyond, with about so many round (or even whole) ticks."""
    span = max(high - low, 1e-9)
    raw = max(span / steps, 1.0 if whole else 0.0)
    power = 10.0 ** floor(log10(raw))
    step = next(
        factor * power
        for factor in ((1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10))
        if factor * power >= raw * 0.999
    )
    first, last = ceil(low / step - 1e-9), ceil(high / step - 1e-9)
    values = [number * step for number in range(first, last + 1)]
    digits = next(digits for digits in range(20) if abs(round(step, digits) - step) < step * 1e-9)
    ticks = tuple((value, f"{value:.{digits}f}") for value in values)
    return Scale(low, max(high, values[-1] if values else high), ticks)


def ceiling(values: Sequence[float]) -> float:
    """Return where a time axis should end: a few outliers are cut so that the rest can be read."""
    if not values:
        return 1.0
    usual = percentile(values, 95) * 1.5
    highest = max(values)
    return highest if highest <= 2 * usual else usual


def peaks(xs: Sequence[float], ys: Sequence[float], columns: int) -> list[tuple[float, float]]:
    """Thin a curve to so many points, each the highest of its neighbours: spikes must stay visible."""
    if len(xs) <= columns:
        return list(zip(xs, ys, strict=True))
    points = []
    for column in range(columns):
        start, stop = column * len(xs) // columns, (column + 1) * len(xs) // columns
        best = max(range(start, stop), key=lambda index: ys[index])
        points.append((xs[best], ys[best]))
    return points


def curves(
    xs: Sequence[float], ys: Sequence[float], columns: int, gap: float = 1.0
) -> list[list[tuple[float, float]]]:
    """Thin a curve, and part it where nothing came for longer than ``gap``: a line over a silence would be a lie."""
    parts: list[list[tuple[float, float]]] = []
    for point in peaks(xs, ys, columns):
        # Thinned points stand farther apart than the values did.
        if not parts or point[0] - parts[-1][-1][0] > max(gap, 3 * (xs[-1] - xs[0]) / columns):
            parts.append([])
        parts[-1].append(point)
    return parts


def histogram(values: Sequence[float], high: float, steps: int = 40) -> tuple[list[int], list[float]]:
    """Count values from the smallest to ``high`` in equal steps, the last of which also holds what lies beyond.

    Returns:
        A count for each step, and the edges of the steps, one more.
    """
    low = min(values, default=0.0)
    high = max(high, low + 1e-6)
    counts, edges = np.histogram(np.minimum(values, high), steps, (low, high))
    return counts.tolist(), edges.tolist()


def per_interval(xs: Sequence[float], counts: Sequence[int], end: float, columns: int) -> list[int]:
    """Add up counts within equal intervals from 0 to ``end``."""
    sums, _ = np.histogram(xs, columns, (0, end), weights=counts)
    return [round(each) for each in sums.tolist()]
