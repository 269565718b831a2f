"""The app of a chaos run on `FakeServer`, and the typed model of the apps that echo ids."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

from pydantic import BaseModel

import falrt
from chaos.plan import Plan
from falrt.testing import FakeServer

__all__ = ["EchoedAnswer", "EchoedOrder", "echo_model", "fake_server"]


class EchoedOrder(BaseModel):
    """An input whose answer names it."""

    n: int
    work: float = 0.0
    fail: bool = False
    pad: bytes = b""
    request_id: str = ""


class EchoedAnswer(BaseModel):
    """An answer that may name its input."""

    made_from: list[int]
    request_id: str = ""


def echo_model(app: str) -> Any:
    """Return the typed model of an app that echoes ids."""
    return falrt.RealtimeModel(app, EchoedOrder, EchoedAnswer)


def fake_server(plan: Plan, rng: Random) -> FakeServer:
    """Return the server of a plan, not started."""
    app = plan.app
    handlers: dict[str, Callable[..., Any]] = {
        "unary": _unary(app["echo"], rng),
        "server_streaming": _count,
        "client_streaming": _add_up,
        "bidi": _chat,
    }
    return FakeServer(
        handlers[plan.mode],
        mode=plan.mode,
        buffering=app["buffering"],
        service_time=_seconds if plan.mode == "unary" else app["work"],
        session_timeout=app["session_timeout"],
        max_batch_size=app["max_batch_size"],
        emit_timings=app["emit_timings"],
        seed=rng.randrange(2**31),
    )


def _seconds(*orders: Any) -> float:
    return max(float(order["work"]) for order in orders)


def _check(order: Any) -> None:
    if order.get("fail"):
        raise RuntimeError(f"refused {order['n']}")


def _unary(echo: str, rng: Random) -> Callable[..., Any]:
    def answer(*orders: Any) -> dict[str, Any]:
        for order in orders:
            _check(order)
        output: dict[str, Any] = {"made_from": [order["n"] for order in orders]}
        if echo == "always" or (echo == "sometimes" and rng.random() < 0.7):
            output["request_id"] = orders[-1].get("request_id", "")
        return output

    return answer


async def _count(order: Any) -> AsyncIterator[dict[str, Any]]:
    for step in range(order["count"]):
        yield {"made_from": [order["n"]], "step": step}
    _check(order)


async def _add_up(orders: AsyncIterator[Any]) -> dict[str, Any]:
    numbers = []
    async for order in orders:
        _check(order)
        numbers.append(order["n"])
    return {"made_from": numbers}


async def _chat(orders: AsyncIterator[Any]) -> AsyncIterator[dict[str, Any]]:
    async for order in orders:
        _check(order)
        for step in range(2):
            yield {"made_from": [order["n"]], "step": step}
        if order.get("last"):
            return
