"""``Client.map``: many calls, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import falrt
from tests.http.scripted import Asked, Said, scripted
from tests.leaks import leaves_nothing, soon

APP = "fal-ai/flux/schnell"


def client(url: str) -> falrt.Client:
    return falrt.Client(key="0123456789:abcdefghij", base_url=url)


class Slow:
    """Answers each call when its number is let go; remembers how many run at a time."""

    def __init__(self, *, hold: bool = False) -> None:
        self.hold = hold
        self.gates: dict[int, asyncio.Event] = {}
        self.running = self.most = 0
        self.begun = asyncio.Semaphore(0)

    def gate(self, number: int) -> asyncio.Event:
        return self.gates.setdefault(number, asyncio.Event())

    async def __call__(self, asked: Asked) -> Said:
        number = asked.json()["n"]
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.release()
        try:
            if self.hold:
                await self.gate(number).wait()
            await asyncio.sleep(0)
        finally:
            self.running -= 1
        if number == 3:
            return Said(422, {"detail": [{"loc": ["body", "n"], "msg": "no threes", "type": "x"}]})
        return Said(body={"n": number})


def inputs(count: int) -> list[dict[str, Any]]:
    return [{"n": n} for n in range(count)]


def shown(result: Any) -> Any:
    return result["n"] if isinstance(result, dict) else type(result).__name__


async def test_results_come_in_order_and_a_failure_stands_in_its_place() -> None:
    async with scripted(slow := Slow()) as (url, asked), client(url) as fal:
        results = [shown(each) async for each in fal.map(APP, inputs(8), concurrency=3)]
    assert results == [0, 1, 2, "HTTPStatusError", 4, 5, 6, 7]
    assert slow.most <= 3
    assert len(asked) == 8


async def test_a_slow_call_holds_up_its_place_only_where_order_is_wanted() -> None:
    for ordered in (True, False):
        slow = Slow(hold=True)
        async with scripted(slow) as (url, _), client(url) as fal:
            results = fal.map(APP, inputs(3), concurrency=3, ordered=ordered)
            first = asyncio.ensure_future(anext(results))
            for _ in range(3):
                await soon(slow.begun.acquire())
            slow.gate(2).set()
            if not ordered:
                assert shown(await soon(first)) == 2
            slow.gate(0).set()
            slow.gate(1).set()
            if ordered:
                assert shown(await soon(first)) == 0
            rest = [shown(each) async for each in results]
            assert rest == [1, 2] if ordered else sorted(rest) == [0, 1]


async def test_progress_counts_each_call() -> None:
    told: list[Any] = []

    async def note(ended: int, total: int | None) -> None:
        told.append((ended, total))

    async with scripted(Slow()) as (url, _), client(url) as fal:
        async for _ in fal.map(APP, inputs(3), on_progress=lambda *counts: told.append(counts)):
            pass
        async for _ in fal.map(APP, iter(inputs(2)), on_progress=note):
            pass
    assert told == [(1, 3), (2, 3), (3, 3), (1, None), (2, None)]


async def test_inputs_may_come_slowly_while_results_go_out() -> None:
    got_one = asyncio.Event()

    async def slowly() -> AsyncIterator[dict[str, Any]]:
        yield {"n": 0}
        await got_one.wait()
        yield {"n": 1}

    async with scripted(Slow()) as (url, _), client(url) as fal:
        results = []
        async for each in fal.map(APP, slowly()):
            results.append(shown(each))
            got_one.set()
    assert results == [0, 1]


async def test_inputs_without_end_are_taken_as_there_is_room() -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield {"n": 0}

    async with scripted(Slow()) as (url, _), client(url) as fal:
        results = fal.map(APP, endless(), concurrency=2)
        for _ in range(5):
            await soon(anext(results))
        await results.aclose()
    assert taken < 100


async def test_leaving_the_loop_cancels_what_runs_and_leaves_nothing() -> None:
    slow = Slow(hold=True)
    slow.gate(0).set()
    async with scripted(slow) as (url, _), client(url) as fal, leaves_nothing(url):
        results = fal.map(APP, inputs(9), concurrency=4)
        assert shown(await soon(anext(results))) == 0
        await results.aclose()
        await fal.aclose()


async def test_an_error_of_the_source_or_of_a_callback_comes_out() -> None:
    def broken() -> Any:
        yield {"n": 0}
        raise ValueError("mine")

    def refuse(*_: object) -> None:
        raise KeyError("also mine")

    async with scripted(Slow()) as (url, _), client(url) as fal:
        with pytest.raises(ValueError, match="mine"):
            _ = [each async for each in fal.map(APP, broken())]
        with pytest.raises(KeyError):
            _ = [each async for each in fal.map(APP, inputs(2), on_progress=refuse)]


@pytest.mark.parametrize("ordered", [True, False])
async def test_what_runs_when_the_source_fails_is_delivered_before_the_error(ordered: bool) -> None:
    slow = Slow(hold=True)

    async def broken() -> AsyncIterator[dict[str, Any]]:
        yield {"n": 0}
        yield {"n": 1}
        for _ in range(2):
            await slow.begun.acquire()
        asyncio.get_running_loop().call_soon(slow.gate(1).set)
        asyncio.get_running_loop().call_soon(slow.gate(0).set)
        raise ValueError("mine")

    async with scripted(slow) as (url, _), client(url) as fal, leaves_nothing(url):
        results = fal.map(APP, broken(), ordered=ordered)
        assert sorted([shown(await soon(anext(results))) for _ in range(2)]) == [0, 1]
        with pytest.raises(ValueError, match="mine"):
            await soon(anext(results))
        await fal.aclose()


async def test_what_runs_when_a_callback_fails_is_delivered_before_the_error() -> None:
    told: list[int] = []

    def refuse(ended: int, total: int | None) -> None:
        told.append(ended)
        raise KeyError("mine")

    slow = Slow(hold=True)
    async with scripted(slow) as (url, asked), client(url) as fal:
        results = fal.map(APP, inputs(9), concurrency=2, on_progress=refuse)
        first = asyncio.ensure_future(anext(results))
        for _ in range(2):
            await soon(slow.begun.acquire())
        slow.gate(0).set()
        assert shown(await soon(first)) == 0
        slow.gate(1).set()
        assert shown(await soon(anext(results))) == 1
        with pytest.raises(KeyError):
            await soon(anext(results))
    assert (told, len(asked)) == ([1], 2)


async def test_no_inputs_give_no_results() -> None:
    async with falrt.Client(key="k", base_url="http://127.0.0.1:1") as fal:
        assert [each async for each in fal.map(APP, [])] == []


async def test_a_wrong_input_is_an_error_in_its_place() -> None:
    async with scripted(Slow()) as (url, asked), client(url) as fal:
        given: Any = [{"n": 0}, 5, {"n": 1}]
        assert [shown(each) async for each in fal.map(APP, given)] == [0, "ConfigurationError", 1]
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [({"concurrency": 0}, "concurrency"), ({"on_progress": 1}, "on_progress"), ({"timeout": -1}, "timeout")],
)
async def test_a_wrong_option_is_named_at_once(options: Any, text: str) -> None:
    async with falrt.Client(key="k", base_url="http://127.0.0.1:1") as fal:
        with pytest.raises(falrt.ConfigurationError, match=text):
            fal.map(APP, inputs(1), **options)
        given: Any = {"n": 1}
        with pytest.raises(falrt.ConfigurationError, match="iterable of inputs"):
            fal.map(APP, given)
