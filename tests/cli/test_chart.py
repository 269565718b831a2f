from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falrt.cli.chart import ceiling, curves, histogram, peaks, per_interval, scale_for


@pytest.mark.parametrize(
    ("high", "labels"),
    [
        (8.8, ["0", "2", "4", "6", "8", "10"]),
        (0.9, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (2000, ["0", "500", "1000", "1500", "2000"]),
        (1250, ["0", "250", "500", "750", "1000", "1250"]),
        (310, ["0", "100", "200", "300", "400"]),
        (12, ["0.0", "2.5", "5.0", "7.5", "10.0", "12.5"]),
    ],
)
def test_ticks_are_round(high: float, labels: list[str]) -> None:
    assert [label for _, label in scale_for(0, high).ticks] == labels


@pytest.mark.parametrize(
    ("high", "labels"), [(1, ["0", "1"]), (3, ["0", "1", "2", "3"]), (9, ["0", "5", "10"])]
)
def test_ticks_of_counts_are_whole(high: float, labels: list[str]) -> None:
    assert [label for _, label in scale_for(0, high, 4, whole=True).ticks] == labels


@given(st.floats(0, 1e6), st.floats(1e-6, 1e6), st.integers(2, 12))
def test_scale_holds_its_range(low: float, span: float, steps: int) -> None:
    scale = scale_for(low, low + span, steps)

    assert scale.high >= low + span
    assert scale.place(low) == 0
    assert all(0 <= scale.place(value) <= 1 for value, _ in scale.ticks)


def test_what_is_beyond_lies_on_the_end() -> None:
    scale = scale_for(0, 10)

    assert (scale.place(-5), scale.place(5), scale.place(50)) == (0, 0.5, 1)


def test_outliers_do_not_flatten_the_rest() -> None:
    assert ceiling([0.1] * 99 + [10.0]) < 0.2
    assert ceiling([0.1] * 99 + [0.2]) == 0.2
    assert ceiling([]) == 1


def test_spikes_survive_thinning() -> None:
    ys = [1.0] * 10_000
    ys[5_432] = 9.0

    points = peaks([float(x) for x in range(10_000)], ys, 100)

    assert len(points) == 100
    assert (5432.0, 9.0) in points


def test_curve_is_parted_where_nothing_came() -> None:
    assert curves([0.0, 0.1, 3.0, 3.1], [1.0, 2.0, 3.0, 4.0], 100) == [
        [(0.0, 1.0), (0.1, 2.0)],
        [(3.0, 3.0), (3.1, 4.0)],
    ]


def test_thinned_curve_is_one_piece() -> None:
    assert len(curves([float(x) for x in range(10_000)], [1.0] * 10_000, 100)) == 1


def test_short_curves_are_not_thinned() -> None:
    assert peaks([1.0, 2.0], [3.0, 4.0], 100) == [(1.0, 3.0), (2.0, 4.0)]


@given(st.lists(st.floats(0, 1e4), max_size=50), st.floats(0, 1e4))
def test_histogram_counts_every_value(values: list[float], high: float) -> None:
    assert sum(histogram(values, high)[0]) == len(values)


@given(st.lists(st.tuples(st.floats(0, 9.99), st.integers(0, 9)), max_size=50), st.integers(1, 30))
def test_intervals_hold_every_count(pairs: list[tuple[float, int]], columns: int) -> None:
    sums = per_interval([at for at, _ in pairs], [count for _, count in pairs], 10, columns)

    assert sum(sums) == sum(count for _, count in pairs)
