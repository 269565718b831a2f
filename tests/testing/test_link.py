from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from falrt.exceptions import ConfigurationError
from falrt.testing.link import Line, LineOptions


def line(arrived: list[bytes], **options: Any) -> Line:
    return Line(arrived.append, LineOptions(**options), Random(1))


async def until(condition: Callable[[], object]) -> None:
    """Ask again at every turn of the loop; a line has nobody to tell when it is empty."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.001)


async def until_empty(path: Line) -> None:
    await until(lambda: not path.pending_bytes)


async def test_a_clear_line_delivers_at_once() -> None:
    arrived: list[bytes] = []
    line(arrived).send(b"a")
    assert arrived == [b"a"]


async def test_latency_and_jitter_delay_and_keep_order() -> None:
    arrived: list[bytes] = []
    path = line(arrived, latency=0.001, jitter=0.005)
    for number in range(50):
        path.send(bytes([number]))
    assert arrived == []
    assert path.pending_bytes == 50
    await until_empty(path)
    assert b"".join(arrived) == bytes(range(50))


async def test_a_piece_waits_for_the_bytes_before_it() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    path = Line(lambda _: times.append(loop.time()), LineOptions(bandwidth=100_000), Random(0))
    began = loop.time()
    path.send(bytes(1000))
    path.send(bytes(1000))
    await until_empty(path)
    assert times[0] - began >= 0.008  # the clocks of some loops have milliseconds
    assert times[1] - began >= 0.018


async def test_what_is_held_arrives_on_release() -> None:
    arrived: list[bytes] = []
    path = line(arrived)
    path.hold()
    path.send(b"a")
    path.send(b"b")
    assert path.is_held
    assert arrived == []
    path.release()
    await until_empty(path)
    assert arrived == [b"a", b"b"]


async def test_a_line_can_be_held_while_it_delivers() -> None:
    arrived: list[bytes] = []

    def deliver(piece: bytes) -> None:
        arrived.append(piece)
        path.hold()

    path = Line(deliver, LineOptions(latency=0.001), Random(0))
    path.send(b"a")
    path.send(b"b")
    await until(lambda: arrived)
    assert arrived == [b"a"]
    path.clear()
    path.release()
    assert path.pending_bytes == 0


@pytest.mark.parametrize("options", [{"latency": -1.0}, {"jitter": -1.0}, {"bandwidth": 0.0}])
def test_senseless_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        LineOptions(**options)
