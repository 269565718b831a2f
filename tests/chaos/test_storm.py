"""Short storms of seeded faults over real sockets; ``make chaos`` is the long one."""

from __future__ import annotations

import pytest

from chaos.plan import draw_plan
from chaos.soak import Soak
from chaos.storm import Storm


async def test_every_promise_holds_in_a_storm_before_the_fake_server() -> None:
    report = await Storm(seed=7, targets=("fake",), connections=10).rage(3.0)
    assert report.lives >= 10
    assert report.faults >= 20
    assert report.counts["request: answered"] >= 20


async def test_every_promise_holds_in_a_storm_before_fals_own_server() -> None:
    pytest.importorskip("fal", reason="needs fal's own server SDK: pip install --group peers")
    report = await Storm(seed=7, targets=("sdk",), connections=8).rage(3.0)
    assert report.lives >= 8
    assert report.faults >= 20
    assert report.counts["request: answered"] >= 20


def test_a_life_is_drawn_from_its_name_alone() -> None:
    assert draw_plan("fake", 1, 2, 3) == draw_plan("fake", 1, 2, 3)
    assert draw_plan("fake", 1, 2, 3) != draw_plan("fake", 1, 2, 4)


async def test_connections_that_stream_for_a_while_are_as_many_tasks_and_sockets_as_before() -> None:
    pytest.importorskip("fal", reason="needs fal's own server SDK: pip install --group peers")
    soak = Soak(connections=20, interval=0.1, seed=1)
    await soak.run(4.0, measure_seconds=0.5)
    assert soak.counts["replies"] >= 100
