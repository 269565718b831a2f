from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from falrt.cli.record import Record, Shot, percentile


def test_percentile_takes_the_nearest_rank() -> None:
    assert percentile([], 50) == 0
    assert percentile([3.0], 95) == 3
    assert percentile([5.0, 1.0, 3.0], 50) == 3
    assert percentile([float(value) for value in range(101)], 95) == 95


def test_figures_of_a_stream(shots: list[Shot]) -> None:
    record = Record()
    for shot in shots:
        record.add(shot)

    assert record.count == 5
    assert record.rate == pytest.approx(10)
    assert record.dropped_frames == 10
    assert record.inference_time == 0.05
    assert record.prompts == [(1.1, "gold")]


def test_figures_of_nothing() -> None:
    record = Record()

    assert (record.count, record.rate, record.inference_time, record.dropped_frames) == (0, 0, None, 0)


def test_samples_are_few_and_evenly_spread(shots: list[Shot]) -> None:
    record = Record()
    for number in range(1, 1001):
        record.add(replace(shots[0], number=number, at=float(number)))

    times = [shot.at for shot in record.samples]
    assert 12 <= len(times) <= 24
    assert len({later - sooner for sooner, later in pairwise(times)}) == 1
    assert times[-1] > 900


def test_changes_of_the_prompt_are_noted(shots: list[Shot]) -> None:
    record = Record()
    for shot, prompt in zip(shots, "aabba", strict=True):
        record.add(replace(shot, prompt=prompt))

    assert [prompt for _, prompt in record.prompts] == ["a", "b", "a"]


def test_cost_is_of_open_time() -> None:
    assert Record(open_seconds=10, price_per_second=0.00194).cost == pytest.approx(0.0194)
