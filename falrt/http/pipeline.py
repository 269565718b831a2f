"""HTTP over WebSockets: many calls over one socket, with no handshake for each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, Self
from urllib.parse import urlsplit

from falrt.exceptions import (
    ConcurrencyError,
    ConnectError,
    ConnectionClosedOK,
    ConnectTimeoutError,
    FalrtError,
    HTTPCallError,
)
from falrt.http.call import Call
from falrt.http.caller import MAYBE_WORKED_ON, within
from falrt.options import check_seconds
from falrt.protocol.wire.pipelined import BODY_BYTES_MAX, Answer, AnswerReader
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.connection.transport import Socket

__all__ = ["Pipeline"]

_OPEN_TIMEOUT: Final = 90.0
# A model may work for minutes; whether the other side is there at all is asked meanwhile.
_PROBE_INTERVAL: Final = 20.0
_SILENCE_MAX: Final = 45.0


class Pipeline(Generic[InputT, OutputT]):
    """One socket for many calls of an endpoint; made by ``Client.pipeline``, used with ``async with``.

    Calls may be made at the same time: they leave at once and are answered in their order. A lost socket is replaced;
    calls whose answers went with it are sent again only where ``repeatable`` says that this is safe.
    """

    def __init__(self, call: Call[InputT, OutputT]) -> None:
        self._call, self._caller = call, call.caller
        self._line: _Line | None = None
        # One handshake, however many calls wait for it.
        self._opening = asyncio.Lock()
        self._state = "new"

    def __repr__(self) -> str:
        return f"<falrt pipeline {self._call.app}>"

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise ConcurrencyError("this pipeline has already been used: call pipeline() again for another")
        self._state = "open"
        self._caller.pipelines.add(self)
        try:
            await self._caller.patiently(self._usable_line, self._call.ask("POST", ""))
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the socket; calls that wait for an answer fail with ``ConnectionClosedOK``."""
        self._state = "closed"
        self._caller.pipelines.discard(self)
        if self._line is not None:
            await self._line.close()

    async def run(
        self,
        input: InputT | Mapping[str, Any],
        *,
        timeout: float | None = None,
        repeatable: bool | None = None,
    ) -> OutputT:
        """Call the endpoint and wait for the result.

        Args:
            input: As in ``Client.run``.
            timeout: Seconds; default: that of ``pipeline()``. A late answer is given to nobody.
            repeatable: Whether this call may run twice; default: as ``pipeline()`` was told.

        Raises:
            HTTPStatusError: The endpoint answered with an error status.
            HTTPCallError: The connection was lost before the answer was complete.
            ConnectError: The service cannot be reached.
            RequestTimeout: No result in time.
            ConnectionClosedOK: The pipeline is closed.
        """
        check_seconds("timeout", timeout, optional=True)
        call = self._call
        if repeatable is not None:
            call = call.having(replace(call.settings, repeatable=repeatable))
        async with within(timeout or call.settings.timeout, call.app):
            frame = (await call.dump(input)).decode()

            async def attempt() -> Answer:
                answer = await (await self._usable_line()).ask(frame)
                if not 200 <= answer.status < 300:
                    headers = {"x-fal-request-id": answer.request_id, **answer.headers}
                    raise self._caller.refused(answer.status, headers, answer.body, call.app)
                return answer

            return call.result(await self._caller.patiently(attempt, call.ask("POST", "")))

    async def _usable_line(self) -> _Line:
        async with self._opening:
            if self._state != "open":
                raise ConnectionClosedOK(1000, f"the pipeline is {self._state}")
            if self._line is None or self._line.is_over:
                self._line = _Line(await self._open(), self._call.app)
            return self._line

    async def _open(self) -> Socket:
        from falrt.connection.dialing import open_socket
        from falrt.connection.losses import loss_of_opening
        from falrt.connection.opening import USER_AGENT

        url = f"{self._caller.hosts.pipeline}/{self._call.app}"
        secure = url.startswith("wss:")
        proxy = self._caller.proxies.to(url)
        credential = self._caller.credential()
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT):
                return await open_socket(
                    url,
                    headers={"Authorization": credential} if credential else {},
                    ssl=await self._caller.ssl_context() if secure or proxy else None,
                    max_size=BODY_BYTES_MAX,
                    proxy=proxy,
                    compression=None,
                    user_agent=USER_AGENT,
                )
        except TimeoutError as exc:
            raise ConnectTimeoutError(
                f"{self._call.app}: timed out after {_OPEN_TIMEOUT:g} s waiting for the handshake"
            ) from exc
        except Exception as exc:
            loss = loss_of_opening(exc, self._call.app, urlsplit(url).netloc, self._caller.hide)
            raise loss.error or ConnectError(f"{self._call.app}: {loss.reason}") from exc


class _Line:
    """What lives as long as one socket: the calls that are unanswered on it, oldest first."""

    def __init__(self, socket: Socket, app: str) -> None:
        self._socket, self._app = socket, app
        self._loop = asyncio.get_running_loop()
        self._reader = AnswerReader()
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._writable = asyncio.Event()
        # What ended it, once that has happened.
        self._ended_by: FalrtError | None = None
        socket.listen(self._message, self._changed)

    @property
    def is_over(self) -> bool:
        """Whether no request can leave any more."""
        return self._ended_by is not None

    async def ask(self, frame: str) -> Answer:
        """Send a request and wait for its answer; whoever stops waiting leaves its place to the late answer."""
        while not self._socket.writable and not self.is_over:
            self._writable.clear()
            await self._writable.wait()
        if isinstance(self._ended_by, HTTPCallError):
            raise ConnectError(f"{self._app}: the connection was lost before the request was sent")
        if self._ended_by is not None:
            raise self._ended_by
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append(future)
        self._socket.write(frame)
        while not future.done():
            await asyncio.wait({future}, timeout=_PROBE_INTERVAL)
            if not future.done() and self._loop.time() - self._socket.heard_at > _SILENCE_MAX:
                self._socket.cut()
            elif not future.done():
                self._socket.probe()
        return future.result()

    async def close(self) -> None:
        """Close the socket."""
        self._fail(ConnectionClosedOK(1000, "closed by close()"))
        await self._socket.close_politely()

    def _message(self, frame: Any, size: int) -> None:
        del size
        try:
            data = frame.encode() if isinstance(frame, str) else bytes(frame)
            answer = self._reader.feed(data, is_text=isinstance(frame, str))
        except FalrtError as exc:
            # What comes after a message out of place belongs to nobody knows whom.
            self._fail(exc)
            self._socket.cut()
            return
        if answer is None:
            return
        if not self._waiting:
            self._socket.cut()
        elif not (future := self._waiting.popleft()).done():
            future.set_result(answer)

    def _changed(self) -> None:
        """The socket has room for more, or has gone."""
        if not self._socket.gone:
            self._writable.set()
            return
        reason = self._socket.loss().reason
        self._fail(
            HTTPCallError(f"{self._app}: {reason or 'connection closed'}; {MAYBE_WORKED_ON}", retryable=True)
        )

    def _fail(self, error: FalrtError) -> None:
        self._ended_by = self._ended_by or error
        self._writable.set()
        while self._waiting:
            if not (future := self._waiting.popleft()).done():
                future.set_exception(error)
                future.exception()  # its caller may have gone
