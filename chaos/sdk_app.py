"""fal's own server SDK in a process of its own: the same app as on `FakeServer`, one path for each kind.

``python -m chaos.sdk_app`` prints its port; each line on its standard input is a deployment, its end the end.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from tests.interop.fal_app import FalAppServer  # says first that we are on a runner

import fal  # isort: skip

__all__ = ["main"]


class Order(BaseModel):
    """An input."""

    n: int
    work: float = 0.0
    fail: bool = False
    pad: bytes = b""
    request_id: str = ""
    count: int = 1
    last: bool = False


async def _work(order: Order) -> None:
    # Never less: an app that never waits overtakes its own outputs.
    await asyncio.sleep(max(order.work, 0.001))
    if order.fail:
        raise RuntimeError(f"refused {order.n}")


async def _answer(order: Order) -> dict[str, Any]:
    await _work(order)
    return {"made_from": [order.n]}


async def _echo(order: Order) -> dict[str, Any]:
    await _work(order)
    return {"made_from": [order.n], "request_id": order.request_id}


class ChaosApp(fal.App):  # type: ignore[no-untyped-call]  # the SDK's class hook has no types
    """Every kind of realtime path that a plan may ask for."""

    @fal.realtime("/unary/0/stay")
    async def unary_0(self, order: Order) -> Any:
        return await _answer(order)

    @fal.realtime("/unary/1/stay", buffering=1)
    async def unary_1(self, order: Order) -> Any:
        return await _answer(order)

    @fal.realtime("/unary/2/stay", buffering=2)
    async def unary_2(self, order: Order) -> Any:
        return await _answer(order)

    @fal.realtime("/unary/0/idle", session_timeout=0.25)
    async def unary_0_idle(self, order: Order) -> Any:
        return await _answer(order)

    @fal.realtime("/unary/1/idle", session_timeout=0.25, buffering=1)
    async def unary_1_idle(self, order: Order) -> Any:
        return await _answer(order)

    @fal.realtime("/unary/2/idle", session_timeout=0.25, buffering=2)
    async def unary_2_idle(self, order: Order) -> Any:
        return await _answer(order)

    @fal.realtime("/echo/0")
    async def echo_0(self, order: Order) -> Any:
        return await _echo(order)

    @fal.realtime("/echo/1", buffering=1)
    async def echo_1(self, order: Order) -> Any:
        return await _echo(order)

    @fal.realtime("/echo/2", buffering=2)
    async def echo_2(self, order: Order) -> Any:
        return await _echo(order)

    @fal.realtime("/batch", max_batch_size=4)
    async def batch(self, *orders: Any) -> Any:
        # The SDK does not see the type of ``*orders`` as one of a single input.
        typed = [Order(**order) for order in orders]
        for order in typed:
            await _work(order)
        return {"made_from": [order.n for order in typed]}

    @fal.realtime("/server_streaming")
    async def server_streaming(self, order: Order) -> AsyncIterator[Any]:
        for step in range(order.count):
            await asyncio.sleep(max(order.work, 0.001))
            yield {"made_from": [order.n], "step": step}
        if order.fail:
            raise RuntimeError(f"refused {order.n}")

    @fal.realtime("/client_streaming", session_timeout=0.15)
    async def client_streaming(self, orders: AsyncIterator[Order]) -> Any:
        numbers = []
        async for order in orders:
            await _work(order)
            numbers.append(order.n)
        return {"made_from": numbers}

    @fal.realtime("/bidi")
    async def bidi(self, orders: AsyncIterator[Order]) -> AsyncIterator[Any]:
        async for order in orders:
            for step in range(2):
                await _work(order)
                yield {"made_from": [order.n], "step": step}
            if order.last:
                return


def main() -> None:
    """Serve until the standard input ends."""
    with FalAppServer(ChaosApp) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            server.restart()
            sys.stdout.write(f"{server.port}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
