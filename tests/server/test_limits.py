from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falrt import ConfigurationError
from falrt.server import limits
from falrt.server.limits import Limit, Limiter, Pace


def test_a_burst_passes_and_the_next_waits_until_one_has_come_back() -> None:
    pace = Pace()
    assert [pace.wait(100.0, 3, 60.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert pace.wait(100.0, 3, 60.0) == pytest.approx(20.0)
    assert pace.wait(119.0, 3, 60.0) == pytest.approx(1.0)
    assert pace.wait(120.0, 3, 60.0) == 0.0


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 9))
def test_no_window_ever_lets_more_than_twice_the_rate_through(gaps: list[float], most: int) -> None:
    pace, now, passed = Pace(), 1000.0, []
    for gap in gaps:
        now += gap
        if pace.wait(now, most, 60.0) == 0.0:
            passed.append(now)
    for begins in passed:
        # A full account at the beginning, and what comes back meanwhile.
        assert sum(begins <= at < begins + 60.0 for at in passed) <= 2 * most


async def test_visitors_have_accounts_of_their_own() -> None:
    now = [0.0]
    limiter = Limiter(lambda: now[0])
    assert await limiter.wait("a", 1, 60) == 0
    assert await limiter.wait("b", 1, 60) == 0
    assert await limiter.wait("a", 1, 60) == pytest.approx(60)
    now[0] = 61.0
    assert await limiter.wait("a", 1, 60) == 0


async def test_places_are_given_back() -> None:
    limiter = Limiter()
    place = await limiter.enter("a", 1)
    assert place is not None
    assert await limiter.enter("a", 1) is None
    await limiter.leave("a", place)
    assert await limiter.enter("a", 1) is not None


async def test_accounts_of_those_long_gone_take_no_memory() -> None:
    now = [0.0]
    limiter = Limiter(lambda: now[0])
    for number in range(10_000):
        await limiter.wait(f"visitor {number}", 10, 60)
    now[0] = 3600.0
    await limiter.wait("another", 10, 60)
    assert len(limiter._paces) == 1


async def test_the_owners_of_the_oldest_requests_are_forgotten_first() -> None:
    limiter = Limiter()
    for number in range(limits.OWNERS_MAX + 1):
        await limiter.keep(f"r-{number}", "anna")
    assert await limiter.may_follow("r-0", "ben")
    assert not await limiter.may_follow("r-1", "ben")


@pytest.mark.parametrize(
    "wrong", [{"requests": 0}, {"per": -1}, {"sockets": 1.5}, {"idle": True}, {"frames": "3"}]
)
def test_a_wrong_limit_says_which_value_is_wrong(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Limit(**wrong)
