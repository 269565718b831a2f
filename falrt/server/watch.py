"""Watching: one stream to many viewers, each at its own speed.

A viewer's task waits for a frame that the viewer has not seen, sends it, and only then looks which is the newest:
who is slow sees fewer pictures, never a backlog, and takes nothing from the others. The frame is one object for all.

ASGI's ``send`` waits for room before it writes, not after: to wait until a picture has left takes a second message.
Viewers who keep up are spared it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from falrt.exceptions import ConfigurationError
from falrt.server.channels import Channel, Channels, check_channel
from falrt.server.entrance import Entrance, Visitor
from falrt.server.limits import Pace
from falrt.server.metrics import Metrics
from falrt.server.sockets import Close, End, first_of, message, still_welcome

__all__ = ["Watching"]

# A viewer that takes nothing for so long is let go.
SEND_TIMEOUT: Final = 30.0
# A picture that had to wait longer than this for the one before shows a viewer who lags; for so long, once it does.
PROMPT: Final = 0.05
LAG: Final = 5.0
# Viewers have nothing to say; a few words are passed over, a flood is not.
_WORDS: Final = 10.0
_WORDS_PER: Final = 10.0


@dataclass(frozen=True, slots=True)
class Watching:
    """The route ``/watch/{channel}``."""

    entrance: Entrance
    channels: Channels
    metrics: Metrics

    async def serve(self, socket: WebSocket, visitor: Visitor) -> End:
        """Show a channel until the viewer leaves."""
        del visitor
        try:
            name = check_channel(socket.path_params["channel"])
        except ConfigurationError as exc:
            return End(Close.FORBIDDEN, str(exc))
        channel = await self.channels.open(name)
        try:
            return await first_of(
                _listen(socket), _show(socket, channel, self.metrics), still_welcome(self.entrance, socket)
            )
        finally:
            await self.channels.close(channel)


async def _show(socket: WebSocket, channel: Channel, metrics: Metrics) -> End:
    seen, now = 0, asyncio.get_running_loop().time
    lags_until = now() + LAG  # nobody knows yet
    try:
        while True:
            seen, frame = await channel.newer_than(seen)
            began = now()
            async with asyncio.timeout(SEND_TIMEOUT):
                await socket.send_bytes(frame)
                metrics.count("falrt_watched_total")
                if now() - began > PROMPT:
                    lags_until = now() + LAG
                if began < lags_until:
                    # This waits until the picture has left; without it the next would be chosen too early.
                    await socket.send_text(message("watched", number=seen, viewers=channel.viewers))
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        return End(None)


async def _listen(socket: WebSocket) -> End:
    """Return when the viewer leaves, or talks too much."""
    pace, now = Pace(), asyncio.get_running_loop().time
    while True:
        received = await socket.receive()
        if received["type"] == "websocket.disconnect":
            return End(None)
        if pace.wait(now(), _WORDS, _WORDS_PER):
            return End(Close.TOO_MANY, "viewers send nothing")
