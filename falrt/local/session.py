"""One realtime socket of the stand-in.

What happens is decided by `falrt.testing.runner` and carried out here.

The reader, the delay lines and the painting thread only report to one loop, which is the only one to ask the
runner and to send.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from base64 import b64encode
from collections import deque
from typing import TYPE_CHECKING, Any

import msgpack  # type: ignore[import-untyped]  # msgpack ships no types
from starlette.websockets import WebSocketDisconnect

from falrt.local.stand_ins import Memory, StandIn
from falrt.testing.runner import TEXT_FRAME_REASON, Answer, Close, Outgoing, Phase, Runner, RunnerOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.websockets import WebSocket

    from falrt.local.painter import Painter
    from falrt.typing import Frame

__all__ = ["Session", "decode_input", "encode_output"]

_log = logging.getLogger("falrt.local")


class Session:
    """Serves one open socket until it ends.

    Args:
        socket: Accepted and authorized.
        model: What answers.
        painter: Gives the painter, once it is ready.
        speed: How many times quicker than the real model.
        latency: Seconds on the way, each way.
        options: Buffering and idle time.
    """

    def __init__(
        self,
        socket: WebSocket,
        model: StandIn,
        painter: Callable[[], Awaitable[Painter]],
        *,
        speed: float,
        latency: float,
        options: RunnerOptions,
    ) -> None:
        self._socket, self._model, self._painter = socket, model, painter
        self._speed, self._latency = speed, latency
        self._loop = asyncio.get_running_loop()
        self._runner = Runner(options, self._loop.time())
        self._memory = Memory()
        # Set by whatever happened; the one loop that waits for it clears it.
        self._news = asyncio.Event()
        # What is on its way to the client, with the time at which it may leave; empty without latency.
        self._leaving: deque[tuple[float, Outgoing]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until the runner or the client ends the session. Leaves no task behind."""
        reader = asyncio.create_task(self._read())
        try:
            while not await self._turn():
                await self._wait()
        finally:
            for task in (reader, self._worker):
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
            _log.info("%s closed: %s", self._model.id, self._runner.stats)

    async def _turn(self) -> bool:
        """Start what can start and send what is due; True once the session is over."""
        now = self._loop.time()
        self._runner.wake(now)
        if self._worker is None or self._worker.done():
            batch = self._runner.take(now)
            if isinstance(batch, tuple):
                self._worker = asyncio.create_task(self._work(batch[0]))
        self._leaving.extend((now + self._latency, item) for item in self._runner.take_outgoing())
        while self._leaving and self._leaving[0][0] <= now:
            item = self._leaving.popleft()[1]
            if isinstance(item, Close):
                await self._socket.close(item.code, item.reason)
                return True
            if not await self._send(item.output if isinstance(item, Answer) else item.text):
                return True
        return self._runner.phase is Phase.CLOSED and not self._leaving

    async def _wait(self) -> None:
        deadlines = [self._leaving[0][0]] if self._leaving else []
        deadline = self._runner.next_deadline()
        if deadline is not None:
            deadlines.append(deadline)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(deadlines, default=None)):
                await self._news.wait()
        self._news.clear()

    async def _read(self) -> None:
        """Take frames off the socket, so that the runner and not the network drops them."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                self._runner.disconnected()
                self._news.set()
                return
            frame: Frame = message["text"] if message.get("bytes") is None else message["bytes"]
            if self._latency:
                self._loop.call_later(self._latency, self._received, frame)
            else:
                self._received(frame)

    def _received(self, frame: Frame) -> None:
        if isinstance(frame, str):
            self._runner.failed(TEXT_FRAME_REASON)
        else:
            try:
                message, is_json = decode_input(frame)
                item = None if message is None else (message, is_json)
                self._runner.received(item, self._loop.time())
            except ValueError as error:
                self._runner.failed(str(error))
        self._news.set()

    async def _work(self, item: tuple[Any, bool]) -> None:
        """Paint one input and take as long over it as the real model would."""
        message, is_json = item
        try:
            given = self._model.validate(message)
            painter = await self._painter()
            began = self._loop.time()
            output = await asyncio.to_thread(self._model.answer, painter, given, self._memory)
            await asyncio.sleep(began + self._model.seconds(given) / self._speed - self._loop.time())
            now = self._loop.time()
            if self._model.reports_timings:
                output["timings"] = {"inference": now - began}
            self._runner.produced(encode_output(output, is_json))
            self._runner.finished(now)
        except Exception as error:
            # fal's runner turns whatever an app raises into INTERNAL_ERROR with its text, and so do we.
            self._runner.failed(str(error))
        # The loop must find this task done, or it would not start the next.
        self._loop.call_soon(self._news.set)

    async def _send(self, frame: Frame) -> bool:
        """Send one frame; False where the client has gone."""
        try:
            if isinstance(frame, str):
                await self._socket.send_text(frame)
            else:
                await self._socket.send_bytes(frame)
        except (WebSocketDisconnect, RuntimeError):
            # Gone between two frames; the reader reports it as well.
            return False
        return True


def decode_input(frame: bytes) -> tuple[Any, bool]:
    """Return the message of a binary frame, and whether it was JSON.

    No msgpack map begins with the byte of ``{`` (wire fact W20), so the two cannot be confused.

    Raises:
        ValueError: Neither.
    """
    if frame[:1] == b"{":
        return json.loads(frame), True
    try:
        return msgpack.unpackb(frame, raw=False), False
    except msgpack.UnpackException as error:
        raise ValueError(str(error)) from error


def encode_output(output: dict[str, Any], is_json: bool) -> Frame:
    """Return an output as it leaves: msgpack, or JSON text with base64 pictures to one who asked in JSON."""
    if is_json:
        return json.dumps(output, default=lambda content: b64encode(content).decode())
    packed: bytes = msgpack.packb(output, use_bin_type=True)
    return packed
