"""An app of fal's own server SDK with a realtime path for each thing that an app can do."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import tests.interop.fal_app  # noqa: F401 - says first that we are on a runner

fal = pytest.importorskip("fal", reason="needs fal's own server SDK: pip install --group peers")

__all__ = ["Order", "PeerApp", "Receipt"]


class Order(BaseModel):
    """What the typed paths take."""

    n: int
    work_seconds: float = 0.0
    picture: bytes = b""
    answer_bytes: int = 0
    fail: str = ""


class Receipt(BaseModel):
    """What the typed paths give."""

    n: int
    picture: bytes = b""


def _as_json(message: Any) -> bytes:
    return json.dumps(message).encode()


def _as_json_text(message: Any) -> str:
    return json.dumps(message)


def _reversed_decode(data: bytes) -> Any:
    return json.loads(data[::-1])


def _reversed_encode(message: Any) -> bytes:
    return json.dumps(message).encode()[::-1]


async def _serve(order: Order) -> Receipt:
    if order.work_seconds:
        await asyncio.sleep(order.work_seconds)
    if order.fail:
        raise RuntimeError(order.fail)
    return Receipt(n=order.n, picture=order.picture or bytes(order.answer_bytes))


class PeerApp(fal.App):  # type: ignore[misc,name-defined]  # the module is imported if it is there
    """Every kind of realtime path.

    Attributes:
        seen: Numbers of the inputs that the typed unary paths were given, in order.
        worker: The thread in which the sync path last worked.
    """

    seen: list[int]
    worker: str

    def setup(self) -> None:
        """A new runner has seen nothing."""
        self.seen = []
        self.worker = ""

    @fal.realtime("/realtime")
    async def typed(self, order: Order) -> Receipt:
        self.seen.append(order.n)
        return await _serve(order)

    @fal.realtime("/buffering/1", buffering=1)
    async def buffering_1(self, order: Order) -> Receipt:
        self.seen.append(order.n)
        return await _serve(order)

    @fal.realtime("/buffering/2", buffering=2)
    async def buffering_2(self, order: Order) -> Receipt:
        self.seen.append(order.n)
        return await _serve(order)

    @fal.realtime("/idle", session_timeout=0.2)
    async def idle(self, order: Order) -> Receipt:
        self.seen.append(order.n)
        return await _serve(order)

    @fal.realtime("/idle/buffering/1", session_timeout=0.2, buffering=1)
    async def idle_buffering_1(self, order: Order) -> Receipt:
        self.seen.append(order.n)
        return await _serve(order)

    @fal.realtime("/untyped")
    async def untyped(self, message: Any) -> Any:
        return {"got": message}

    @fal.realtime("/sync")
    def sync(self, order: Order) -> Receipt:
        self.worker = threading.current_thread().name
        time.sleep(order.work_seconds)
        return Receipt(n=order.n)

    @fal.realtime("/batch", max_batch_size=4)
    async def batch(self, *orders: Order) -> Any:
        await asyncio.sleep(max(order.work_seconds for order in map(_ordered, orders)))
        return {"batch": [_ordered(order).n for order in orders]}

    @fal.realtime("/json", encode_message=_as_json, decode_message=json.loads)
    async def in_json(self, message: Any) -> Any:
        return {"got": message}

    @fal.realtime("/json/text", encode_message=_as_json_text, decode_message=json.loads)
    async def in_json_text(self, message: Any) -> Any:
        return {"got": message}

    @fal.realtime("/reversed", encode_message=_reversed_encode, decode_message=_reversed_decode)
    async def in_reverse(self, message: Any) -> Any:
        return {"got": message}

    @fal.realtime("/count")
    async def count(self, order: Order) -> AsyncIterator[Receipt]:
        for n in range(order.n):
            await asyncio.sleep(order.work_seconds)
            yield Receipt(n=n)
        if order.fail:
            raise RuntimeError(order.fail)

    @fal.realtime("/count/sync")
    def count_in_thread(self, order: Order) -> Iterator[Receipt]:
        for n in range(order.n):
            yield Receipt(n=n)

    @fal.realtime("/sum", session_timeout=0.3)
    async def add_up(self, orders: AsyncIterator[Order]) -> Receipt:
        return Receipt(n=sum([order.n async for order in orders]))

    @fal.realtime("/sum/untyped")
    async def add_up_untyped(self, numbers: AsyncIterator[Any]) -> Any:
        return {"sum": sum([number["n"] async for number in numbers])}

    @fal.realtime("/chat")
    async def chat(self, orders: AsyncIterator[Order]) -> AsyncIterator[Receipt]:
        async for order in orders:
            if not order.n:
                return
            if order.fail:
                raise RuntimeError(order.fail)
            for _ in range(2):
                yield Receipt(n=order.n)


def _ordered(order: Any) -> Order:
    """The SDK does not see the type of ``*orders`` as one of a single input."""
    return order if isinstance(order, Order) else Order(**order)
