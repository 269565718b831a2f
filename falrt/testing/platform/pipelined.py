"""HTTP over WebSockets (``ws.fal.run``): each text message is a request, answered in its turn.

Source: HTTP over WebSockets is wire fact W79, docs/reference/wire.md.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace

from falrt import tasks
from falrt.testing.platform.port import Request, Response
from falrt.testing.platform.session import SessionPort

__all__ = ["Pipelined"]


class Pipelined:
    """One open WebSocket; a `Conversation`.

    Args:
        request: The handshake.
        respond: Answers an HTTP request.
        port: The socket.
    """

    def __init__(
        self, request: Request, respond: Callable[[Request], Awaitable[Response]], port: SessionPort
    ) -> None:
        self._request, self._respond, self._port = request, respond, port
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin: the socket is open."""
        self.tasks = [tasks.begin(self._work(), name="falrt fake pipeline")]

    def frames_received(self, frames: list[bytes | str]) -> None:
        """Take in what one read brought."""
        self._waiting.extend(frame.encode() if isinstance(frame, str) else frame for frame in frames)
        self._arrived.set()

    def disconnected(self) -> None:
        """Stop: the socket is gone."""
        for task in self.tasks:
            task.cancel()

    async def _work(self) -> None:
        while True:
            while self._waiting:
                await self._answer(self._waiting.popleft())
            self._arrived.clear()
            await self._arrived.wait()

    async def _answer(self, body: bytes) -> None:
        request = replace(self._request, method="POST", host="fal.run", body=body)
        began = time.monotonic()
        response = await self._respond(request)
        request_id = response.headers.get("x-fal-request-id") or str(uuid.uuid4())
        about = {"request_id": request_id, "status": response.status}
        headers = {**response.headers, "content-type": response.content_type}
        await self._port.send(json.dumps({"type": "start", **about, "headers": headers}))
        if isinstance(response.body, bytes):
            await self._port.send(
                response.body.decode() if "json" in response.content_type else response.body
            )
        else:
            async for chunk in response.body:
                await self._port.send(chunk)
        seconds = time.monotonic() - began
        await self._port.send(json.dumps({"type": "end", **about, "time_to_first_byte_seconds": seconds}))
