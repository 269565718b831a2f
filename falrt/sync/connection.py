"""A connection whose methods block."""

from __future__ import annotations

import asyncio
import functools
import inspect
import weakref
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from falrt.connection.connection import RealtimeConnection
from falrt.exceptions import ConcurrencyError, ConfigurationError, ConnectionClosedOK
from falrt.protocol.events import State, Stats
from falrt.sync.loop_thread import LoopEnded, LoopThread
from falrt.threads import Worker
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.connection.consumer import Replies
    from falrt.connection.replies import Reply
    from falrt.connection.stream import Inputs
    from falrt.protocol.pacing.policies import Pacing

__all__ = ["PATIENCE_AT_EXIT", "Connection"]

T = TypeVar("T")

PATIENCE_AT_EXIT = 1.0
"""Seconds for the closing handshake of what a program forgot to close, when it exits."""


class Connection(Generic[InputT, OutputT]):
    """A blocking :class:`falrt.RealtimeConnection`, with the same methods; made by :func:`falrt.sync.connect`.

    Its methods may be called from any thread, also from several, but not from a callback: ``on_result`` and
    ``on_error`` are called in the background thread, which must go on; only :meth:`close` may be, and does not wait
    there. An interrupt (Ctrl-C) cancels a waiting call and leaves the connection usable. A connection that is
    forgotten while open is closed when it is collected, or when the program exits. A forked process cannot use a
    connection of its parent: connect again there.
    """

    def __init__(
        self,
        connection: RealtimeConnection[InputT, OutputT],
        loop: LoopThread | None = None,
        owner: object = None,
    ) -> None:
        self._connection = connection
        # The client's, which goes on afterwards; without one the connection makes its own when it is opened.
        self._given_loop = loop
        # The client is not collected, and with it the loop ended, while one of its connections is held.
        self._owner = owner
        # Set by open().
        self._loop: LoopThread | None = None
        # Threads in which streams ask their functions.
        self._workers: set[Worker] = set()
        # recv() calls whose caller was interrupted; what one of them got is the next caller's.
        self._interrupted: deque[asyncio.Task[OutputT]] = deque()
        # Holds neither self nor what leads to it: it is run when self is collected.
        self._end = functools.partial(_end, connection, self._workers)

    def __repr__(self) -> str:
        return repr(self._connection)

    def __enter__(self) -> Self:
        if self._loop is not None:
            raise ConcurrencyError("this connection has already been used: call connect() again for another")
        self._loop = loop = self._given_loop or LoopThread("falrt loop")
        weakref.finalize(
            self, loop.finish, self._end, stop=self._given_loop is None, timeout=PATIENCE_AT_EXIT
        )
        try:
            self._call(self._connection.__aenter__)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> Self:
        """Open without a ``with`` block; call :meth:`close` when done."""
        return self.__enter__()

    def close(self) -> None:
        """As :meth:`falrt.RealtimeConnection.close`; may be called from every thread, and more than once.

        In a callback it does not wait: the closing begins when the callback has returned.
        """
        if self._loop is not None:
            self._loop.finish(self._end, stop=self._given_loop is None)

    def send(self, input: InputT | Mapping[str, Any]) -> None:
        """As :meth:`falrt.RealtimeConnection.send`."""
        self._call(lambda: self._connection.send(input), unsent=(input,))

    def recv(self) -> OutputT:
        """As :meth:`falrt.RealtimeConnection.recv`."""

        async def recv() -> OutputT:
            while self._interrupted:
                await asyncio.wait({task := self._interrupted[0]})
                self._interrupted.popleft()
                if not task.cancelled():
                    return task.result()
            return await self._connection.recv()

        return self._call(recv, interrupted=self._interrupted.append)

    def request(
        self, input: InputT | Mapping[str, Any], timeout: float | None = None, *, resend: bool = True
    ) -> OutputT:
        """As :meth:`falrt.RealtimeConnection.request`."""
        return self._call(lambda: self._connection.request(input, timeout, resend=resend), unsent=(input,))

    def flush(self) -> None:
        """As :meth:`falrt.RealtimeConnection.flush`."""
        self._call(self._connection.flush)

    def drain(self, timeout: float | None = None) -> None:
        """As :meth:`falrt.RealtimeConnection.drain`."""
        self._call(lambda: self._connection.drain(timeout))

    def latest(self) -> Reply[InputT, OutputT] | None:
        """As :meth:`falrt.RealtimeConnection.latest`."""

        async def latest() -> Reply[InputT, OutputT] | None:
            return self._connection.latest()

        return self._call(latest)

    def __iter__(self) -> Iterator[OutputT]:
        """Yield results as :meth:`recv` returns them; ends on ``ConnectionClosedOK``."""
        while True:
            try:
                output = self.recv()
            except ConnectionClosedOK:
                return
            yield output

    def stream(
        self,
        inputs: Inputs[InputT],
        pacing: Pacing | None = None,
        *,
        every: bool = False,
        gate: Callable[[Any, Any], bool] | None = None,
    ) -> Iterator[Reply[InputT, OutputT]]:
        """As :meth:`falrt.RealtimeConnection.stream`; its source is closed when the loop has been left.

        A function is asked in a thread of its own, so it may wait for its camera.
        """
        worker = Worker()

        async def begin() -> Replies[InputT, OutputT]:
            source = inputs
            if callable(source) and not isinstance(source, type | Iterable | AsyncIterable):
                source = _asked_in(worker, source)
            return self._connection.stream(source, pacing, every=every, gate=gate)

        async def step() -> Reply[InputT, OutputT] | None:
            return await anext(replies, None)

        async def end() -> None:
            await replies.aclose()
            worker.close()
            self._workers.discard(worker)

        replies = self._call(begin)
        self._workers.add(worker)
        try:
            while (reply := self._call(step)) is not None:
                yield reply
        except ConnectionClosedOK:
            return
        finally:
            if self._loop is not None:
                self._loop.finish(end, stop=False)

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._connection.state

    @property
    def stats(self) -> Stats:
        """A snapshot of the figures so far."""
        return self._connection.stats

    @property
    def app(self) -> str:
        """The full path of the app."""
        return self._connection.app

    def _call(
        self,
        make: Callable[[], Awaitable[T]],
        *,
        unsent: tuple[Any, ...] = (),
        interrupted: Callable[[asyncio.Task[T]], None] | None = None,
    ) -> T:
        loop = self._loop
        if loop is None:
            raise ConfigurationError("the connection is not open: use it inside 'with' or call open() first")
        loop.check_caller("connection")
        try:
            return loop.call(make, interrupted=interrupted)
        except LoopEnded:
            raise ConnectionClosedOK(1000, "closed by close()", unsent=unsent) from None


async def _end(connection: RealtimeConnection[Any, Any], workers: set[Worker]) -> None:
    try:
        await connection.close()
    finally:
        for worker in list(workers):
            worker.close()


def _asked_in(worker: Worker, function: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    def ask() -> Any:
        try:
            return function()
        except StopIteration:  # the end, as None is; it cannot cross from a thread as what it is
            return None

    async def asked() -> Any:
        frame = await worker.run(ask)
        return await frame if inspect.isawaitable(frame) else frame

    return asked
