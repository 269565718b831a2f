"""One realtime socket of the stand-in: the platform's session over Starlette, with a network to play with."""

from __future__ import annotations

import asyncio
import contextlib
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketDisconnect

from falrt import tasks
from falrt.testing.platform.app import ServerMsgpack, settled
from falrt.testing.platform.session import Conversation, SessionPort

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from falrt.testing.platform.runner import RunnerStats
    from falrt.typing import Frame

__all__ = ["JsonOrMsgpack", "StarlettePort", "converse"]


class StarlettePort(SessionPort):
    """A `SessionPort` on Starlette's WebSocket.

    Args:
        socket: Accepted.
        latency: Seconds that every frame spends on the way, each way.

    Attributes:
        stats: What became of the inputs.
    """

    def __init__(self, socket: WebSocket, latency: float) -> None:
        self._socket = socket
        self._leaving = _Delay(latency)
        self.stats: RunnerStats | None = None

    async def send(self, frame: Frame) -> None:
        """Send a frame, after the latency."""
        self._leaving.put(partial(self._send, frame))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket, after the latency."""
        self._leaving.put(partial(self._socket.close, code, reason))

    def changed(self, stats: RunnerStats) -> None:
        """Keep the figures for the log."""
        self.stats = stats

    async def run(self) -> None:
        """Send what is due, until cancelled or the client has gone."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # gone; the reader finds out as well
            await self._leaving.run()

    async def _send(self, frame: Frame) -> None:
        await (self._socket.send_text(frame) if isinstance(frame, str) else self._socket.send_bytes(frame))


class _Delay:
    """Does things in order, each a fixed time after it was put in."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: asyncio.Queue[tuple[float, Callable[[], Awaitable[None] | None]]] = asyncio.Queue()

    def put(self, act: Callable[[], Awaitable[None] | None]) -> None:
        self._waiting.put_nowait((asyncio.get_running_loop().time() + self._seconds, act))

    async def run(self) -> None:
        while True:
            due, act = await self._waiting.get()
            delay = due - asyncio.get_running_loop().time()
            if delay > 0:
                await asyncio.sleep(delay)
            await settled(act())


async def converse(
    socket: WebSocket, port: StarlettePort, conversation: Conversation, latency: float
) -> None:
    """Serve an accepted socket until it is closed. Leaves no task behind."""
    arriving = _Delay(latency)
    carrying = [asyncio.create_task(port.run()), asyncio.create_task(arriving.run())]
    conversation.start()
    try:
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            frame = message["text"] if message.get("bytes") is None else message["bytes"]
            arriving.put(partial(conversation.frames_received, [frame]))
    finally:
        conversation.disconnected()
        for task in carrying:
            task.cancel()
        await tasks.settle([*carrying, *conversation.tasks])


class JsonOrMsgpack(ServerMsgpack):
    """The codec of one connection: who asks in JSON bytes is answered in JSON text, everybody else in msgpack.

    No msgpack map begins with the byte of ``{`` (wire fact W27), so the two cannot be confused.
    """

    def __init__(self) -> None:
        # Whether the last input came as JSON.
        self._json = False

    def decode(self, data: Frame) -> Any:
        """Return the input of a frame; pictures may be base64 in JSON.

        Raises:
            ValueError, RecursionError: Neither of the two, or nested too deep.
        """
        self._json = data[:1] in (b"{", "{")
        return json.loads(data) if self._json else super().decode(data)

    def encode(self, message: Any) -> Frame:
        """Return an output as it leaves; pictures are base64 in JSON."""
        if self._json:
            return json.dumps(message, default=lambda content: b64encode(content).decode())
        return super().encode(message)
