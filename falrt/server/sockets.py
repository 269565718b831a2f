"""What relayed and watching sockets have in common: how they begin, and how they end so that a page understands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from falrt.server.entrance import Entrance, Visitor
from falrt.server.metrics import Metrics
from falrt.server.targets import Refused

__all__ = ["Close", "End", "first_of", "guarded", "message", "still_welcome"]

logger = logging.getLogger("falrt.server")

_REASON_BYTES_MAX: Final = 123
# How often a login is looked at again while a socket is open.
_RECHECK_INTERVAL: Final = 60.0


class Close(IntEnum):
    """Close codes; those from 4400 are ours, with the meaning of the HTTP status of the same last digits."""

    DONE = 1000
    GOING_AWAY = 1001
    BAD_FRAME = 1007
    TOO_LARGE = 1009
    FAILED = 1011
    TRY_LATER = 1013
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    TOO_SLOW = 4408
    TOO_MANY = 4429


@dataclass(frozen=True, slots=True)
class End:
    """How a socket ends.

    Attributes:
        code: The close code; None where the page has gone or takes nothing any more.
        reason: For people.
        last: A text frame to send before.
    """

    code: Close | None
    reason: str = ""
    last: str = ""


def guarded(
    entrance: Entrance, metrics: Metrics, kind: str, serve: Callable[[WebSocket, Visitor], Awaitable[End]]
) -> Callable[[WebSocket], Coroutine[Any, Any, None]]:
    """Put a socket behind the entrance.

    A page of a foreign origin gets no socket at all. Everybody else who is kept out gets one that is closed with a
    reason, because a browser does not show its page the status of a refused handshake.

    Args:
        entrance: Asked first.
        metrics: Counts it.
        kind: What limits and metrics count the socket as.
        serve: Serves an accepted socket and says how it ends.
    """

    async def endpoint(socket: WebSocket) -> None:
        try:
            entrance.check_origin(socket)
        except Refused as exc:
            await socket.send_denial_response(JSONResponse({"detail": exc.detail}, exc.status))
            return
        await socket.accept()
        metrics.count("falrt_sockets", kind=kind)
        end = End(None)
        try:
            visitor = await entrance.visitor(socket)
            async with entrance.place(visitor, kind):
                end = await serve(socket, visitor)
        except Refused as exc:
            end = End(_close_code(exc.status), exc.detail)
        except WebSocketDisconnect:
            return
        finally:
            metrics.count("falrt_sockets", -1, kind=kind)
            code = "none" if end.code is None else str(int(end.code))
            metrics.count("falrt_sockets_closed_total", kind=kind, code=code)
        await _finish(socket, end)

    return endpoint


async def _finish(socket: WebSocket, end: End) -> None:
    if end.code is None:
        return
    # It may have gone between two frames.
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        if end.last:
            await socket.send_text(end.last)
        reason = end.reason.encode()[:_REASON_BYTES_MAX].decode(errors="ignore")
        await socket.close(end.code, reason)


def _close_code(status: int) -> Close:
    codes = {401: Close.UNAUTHORIZED, 429: Close.TOO_MANY}
    return codes.get(status, Close.TRY_LATER if status >= 500 else Close.FORBIDDEN)


async def still_welcome(entrance: Entrance, socket: WebSocket) -> End:
    """Return when the visitor's login has ended: who is logged out does not stay for an open socket."""
    while True:
        await asyncio.sleep(_RECHECK_INTERVAL)
        try:
            await entrance.visitor(socket)
        except Refused as exc:
            return End(_close_code(exc.status), exc.detail)


async def first_of(*coroutines: Coroutine[Any, Any, End]) -> End:
    """Run all until the first ends; end the others, wait for them, and return or raise as the first did."""
    tasks = [asyncio.ensure_future(each) for each in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task in done).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def message(action: str, **fields: Any) -> str:
    """Return a text frame that every client of fal's protocol passes over, and our page reads."""
    return json.dumps({"type": "x-fal-message", "action": action, **fields})
