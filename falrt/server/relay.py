"""The relay: a browser talks to us, falrt talks to fal.

The browser's frames go into a slot of one, from which falrt's stream takes the newest when the model can take it;
only that one is decoded. Answers go into a slot of one as well, from which the sender takes the newest when the
browser has taken the one before. So neither side can make the other wait or pile anything up.

The browser speaks fal's own realtime protocol: maps in msgpack or JSON in, results in the same form out, errors as
``x-fal-error``. Behind each result comes a message ``reply`` that says which of the browser's frames it answers.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from falrt.client import Client
from falrt.codecs import Json, Msgpack
from falrt.connection.connection import RealtimeConnection
from falrt.connection.replies import Reply
from falrt.exceptions import (
    AuthenticationError,
    CodecError,
    ConfigurationError,
    ConnectError,
    EncodeError,
    FalrtError,
    ServerError,
)
from falrt.protocol.events import Lost, Opened
from falrt.protocol.wire.endpoint import Endpoint, redact
from falrt.server.allowed import Allowed
from falrt.server.channels import Channels, check_channel
from falrt.server.entrance import Entrance, Visitor
from falrt.server.limits import Limit, Pace
from falrt.server.metrics import Metrics
from falrt.server.sockets import Close, End, first_of, logger, message, still_welcome

__all__ = ["MayPublish", "Relay"]

MayPublish = Callable[[Any, str], bool]

# A browser that takes nothing for so long is let go.
SEND_TIMEOUT: Final = 30.0
# Seconds without a frame after which fal's socket is closed; the browser's stays. An open one is billed.
IDLE_CLOSE: Final = 20.0
# Bursts are measured over this long.
_RATE_WINDOW: Final = 5.0
_WORDS_MAX: Final = 16
_STATS_INTERVAL: Final = 1.0
_IDLE = json.dumps({"type": "x-fal-error", "error": "TIMEOUT", "reason": "no inputs, reconnect when needed!"})


@dataclass(frozen=True, slots=True)
class Relay:
    """The route ``/realtime/{app}``.

    Attributes:
        client: Holds the key and the tokens for all.
        entrance: Looks at logins again while sockets are open.
        allowed: Apps that visitors may use.
        limit: For frames and idle time.
        channels: Where a visitor's pictures are shown to others.
        may_publish: ``(user, channel) -> bool``; None: nobody may.
        metrics: Counts frames and pictures.
    """

    client: Client
    entrance: Entrance
    allowed: Allowed
    limit: Limit
    channels: Channels
    may_publish: MayPublish | None
    metrics: Metrics

    async def serve(self, socket: WebSocket, visitor: Visitor) -> End:
        """Relay one browser until it leaves or has to go."""
        try:
            endpoint = Endpoint.parse(socket.path_params["app"])
        except ConfigurationError as exc:
            return End(Close.FORBIDDEN, str(exc))
        if not self.allowed.admits(endpoint):
            return End(Close.FORBIDDEN, f"app {endpoint.app_id} is not allowed here")
        channel = socket.query_params.get("channel")
        if channel is not None and not self._publishes(visitor, channel):
            return End(Close.FORBIDDEN, f"you may not publish on channel {channel!r:.50}")
        session = _Session(socket, self.client, endpoint.app_id, self.limit, self.metrics)

        async def show(picture: Any) -> None:
            if channel is not None:
                await self.channels.publish(channel, picture)

        try:
            return await first_of(
                session.listen(),
                session.fall_silent(),
                session.run(show),
                session.speak(),
                still_welcome(self.entrance, socket),
            )
        finally:
            if channel is not None:
                # Who comes later is not shown the last picture of somebody who has left.
                await self.channels.forget(channel)

    def _publishes(self, visitor: Visitor, channel: str) -> bool:
        try:
            check_channel(channel)
        except ConfigurationError:
            return False
        return self.may_publish is not None and self.may_publish(visitor.user, channel)


class _BadFrame(Exception):
    """The browser sent what is no input."""


class _Numbered(dict[str, Any]):
    """An input that knows which of the browser's frames it was, counted from 1."""

    number: int


class _Session:
    """One browser and its connection to fal."""

    def __init__(self, socket: WebSocket, client: Client, app: str, limit: Limit, metrics: Metrics) -> None:
        self._socket, self._client, self._app, self._limit = socket, client, app, limit
        self._metrics = metrics
        # Frames so far, when the last came, and the newest that has not been taken.
        self._received = 0
        self._heard_at = asyncio.get_running_loop().time()
        self._newest: bytes | str | None = None
        self._frame_came = asyncio.Event()
        # The number of the last frame that was answered.
        self._answered = 0
        # How long sockets to fal have been open, and when that was asked last.
        self._open_seconds, self._stats_at = 0.0, -_STATS_INTERVAL
        # JSON to those who speak it, in frames of their kind.
        self._codec: Msgpack | Json = Msgpack()
        # The newest answer with its message, and words about the connection; neither can pile up.
        self._answer: tuple[bytes | str, str] | None = None
        self._words: deque[str] = deque(maxlen=_WORDS_MAX)
        self._something_to_say = asyncio.Event()

    # --- the browser's frames

    async def listen(self) -> End:
        """Take frames until the browser leaves or floods."""
        limit, clock = self._limit, asyncio.get_running_loop().time
        frames, content = Pace(), Pace()
        while True:
            received = await self._socket.receive()
            self._heard_at = now = clock()
            if received["type"] == "websocket.disconnect":
                return End(None)
            frame = received.get("bytes")
            frame = received["text"] if frame is None else frame
            if len(frame) > limit.frame_bytes:
                return End(Close.TOO_LARGE, f"a frame has more than {limit.frame_bytes} bytes")
            if frames.wait(now, limit.frames * _RATE_WINDOW, _RATE_WINDOW):
                return End(Close.TOO_MANY, f"more than {limit.frames:g} frames a second")
            if content.wait(now, limit.bytes_per_second * _RATE_WINDOW, _RATE_WINDOW, len(frame)):
                return End(Close.TOO_MANY, f"more than {limit.bytes_per_second} bytes a second")
            self._received += 1
            self._metrics.count("falrt_frames_received_total")
            self._newest = frame
            self._frame_came.set()

    async def fall_silent(self) -> End:
        """Return when no frame has come for too long; one timer for many frames."""
        clock = asyncio.get_running_loop().time
        while (left := self._heard_at + self._limit.idle - clock()) > 0:  # noqa: ASYNC110 - time is waited for
            await asyncio.sleep(left)
        return End(Close.DONE, "idle", _IDLE)

    async def _next_input(self) -> Any:
        """Return the newest frame as an input, as soon as there is one."""
        await self._frame_came.wait()
        self._frame_came.clear()
        frame, self._newest = self._newest, None
        assert frame is not None  # noqa: S101 - it came
        if isinstance(frame, str):
            self._codec = Json(text=True)
        else:
            self._codec = Json() if frame[:1] == b"{" else Msgpack()
        try:
            value = self._codec.decode(frame)
        except CodecError as exc:
            raise _BadFrame(str(exc)) from None
        if type(value) is not dict or not all(type(name) is str for name in value):
            raise _BadFrame("an input must be a map with text keys")
        numbered = _Numbered(value)
        numbered.number = self._received
        return numbered

    # --- fal's answers

    async def run(self, show: Callable[[Any], Any]) -> End:
        """Drive falrt's connection; return when it has ended for good."""
        connection: RealtimeConnection[Any, dict[str, Any]] = self._client.connect(
            self._app,
            lazy=True,
            idle_close=IDLE_CLOSE,
            on_error=self._failed,
            on_event=lambda event: self._happened(event, connection),
        )
        try:
            async with connection:
                while True:
                    try:
                        async for reply in connection.stream(self._next_input):
                            try:
                                await show(reply.output)
                                self._say_answer(reply, connection)
                            except EncodeError as exc:
                                self._say(_error("BAD_ANSWER", f"answer{str(exc).removeprefix('input')}"))
                        return End(Close.GOING_AWAY, "the server is stopping")
                    except ServerError as exc:
                        # Three in a row: the page has been told of each, and may send something better.
                        self._failed(exc)
        except (_BadFrame, EncodeError) as exc:
            return End(Close.BAD_FRAME, str(exc), _error("BAD_INPUT", str(exc)))
        except FalrtError as exc:
            logger.warning("relay of %s ended: %s", self._app, exc)
            if isinstance(exc, ConnectError):
                return End(Close.TRY_LATER, "fal cannot be reached")
            # Whether our key is good is no visitor's business.
            why = "the server may not use fal" if isinstance(exc, AuthenticationError) else str(exc)
            return End(Close.FAILED, redact(why), _error("CONNECTION_LOST", redact(why)))
        finally:
            self._metrics.count("falrt_open_seconds_total", connection.stats.open_seconds)

    def _say_answer(self, reply: Reply[Any, Any], connection: RealtimeConnection[Any, Any]) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._stats_at + _STATS_INTERVAL:  # percentiles are sorted for them
            self._stats_at, self._open_seconds = now, connection.stats.open_seconds
        number: int = reply.input.number
        dropped, self._answered = max(0, number - self._answered - 1), max(number, self._answered)
        self._metrics.count("falrt_pictures_total")
        self._metrics.count("falrt_skipped_total", dropped)
        self._metrics.latency(reply.latency)
        fields: dict[str, Any] = {
            "input": number,
            "latency": round(reply.latency, 4),
            "dropped": dropped,
            "certain": reply.certain,
            "open_seconds": round(self._open_seconds, 2),
        }
        if reply.inference_time is not None:
            fields["timing"] = reply.inference_time
        # With `timing`, it is the message that fal's own apps send.
        words = message("reply" if reply.inference_time is None else "timings", **fields)
        self._answer = (self._codec.encode(reply.output), words)
        self._something_to_say.set()

    def _failed(self, exc: Exception) -> None:
        if isinstance(exc, ServerError):
            self._say(_error(exc.error, exc.reason))
        else:
            self._say(_error(type(exc).__name__, redact(str(exc))))

    def _happened(self, event: Any, connection: Any) -> None:
        if isinstance(event, Opened | Lost):
            self._say(message("state", state=str(connection.state)))

    # --- what the browser is told

    def _say(self, words: str) -> None:
        self._words.append(words)
        self._something_to_say.set()

    async def speak(self) -> End:
        """Send what there is to say, the newest picture only, as fast as the browser takes it."""
        try:
            while True:
                await self._something_to_say.wait()
                self._something_to_say.clear()
                async with asyncio.timeout(SEND_TIMEOUT):
                    while self._words:
                        await self._socket.send_text(self._words.popleft())
                    if self._answer is not None:
                        await self._send_answer(*self._answer)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            return End(None)

    async def _send_answer(self, frame: bytes | str, words: str) -> None:
        self._answer = None
        if isinstance(frame, str):
            await self._socket.send_text(frame)
        else:
            await self._socket.send_bytes(frame)
        # This waits until the picture has left; without it the next would be chosen too early.
        await self._socket.send_text(words)


def _error(error: str, reason: str) -> str:
    return json.dumps({"type": "x-fal-error", "error": error, "reason": reason[:500]})
