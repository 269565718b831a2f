"""One call and its result; and many of them, some at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sized
from typing import Any, Final, Generic

from falrt import tasks
from falrt.exceptions import ConfigurationError, HTTPCallError
from falrt.http.call import Call
from falrt.http.caller import within
from falrt.options import check_function
from falrt.typing import InputT, OutputT

__all__ = ["run", "run_many"]

# Results may wait for a slow one in front of them; this many for each call that runs.
_AHEAD: Final = 16
_END: Final = object()


async def run(call: Call[InputT, OutputT], input: InputT | Mapping[str, Any]) -> OutputT:
    """Call an endpoint and wait for its result; see ``Client.run``."""
    method = call.settings.method
    async with within(call.settings.timeout, call.app):
        body = None if method == "GET" else await call.dump(input)
        url = f"{call.caller.hosts.run}/{call.app}"
        return call.result(await call.caller.ask(call.ask(method, url, body, idempotent=method == "GET")))


def run_many(
    call: Call[InputT, OutputT],
    inputs: Iterable[Any] | AsyncIterable[Any],
    *,
    concurrency: int,
    ordered: bool,
    on_progress: Callable[[int, int | None], object] | None,
) -> AsyncGenerator[OutputT | Exception, None]:
    """Call an endpoint with each of the inputs; see ``Client.map``."""
    if type(concurrency) is not int or concurrency < 1:
        raise ConfigurationError(f"concurrency must be a whole number from 1, got {concurrency!r:.50}")
    if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Iterable | AsyncIterable):
        raise ConfigurationError(f"inputs must be an iterable of inputs, not {type(inputs).__name__}")
    check_function("on_progress", on_progress)
    return _Many(call, inputs, concurrency, ordered, on_progress).results()


class _Many(Generic[OutputT]):
    """Calls with many inputs, so many at a time."""

    def __init__(
        self,
        call: Call[Any, OutputT],
        inputs: Iterable[Any] | AsyncIterable[Any],
        concurrency: int,
        ordered: bool,
        on_progress: Callable[[int, int | None], object] | None,
    ) -> None:
        self._call, self._inputs, self._ordered, self._on_progress = call, inputs, ordered, on_progress
        self._room, self._ahead = asyncio.Semaphore(concurrency), asyncio.Semaphore(concurrency * _AHEAD)
        # The calls, and the task that begins them.
        self._running: set[asyncio.Task[Any]] = set()
        # Those of them that have ended and are not noted yet.
        self._ended: asyncio.Queue[asyncio.Task[Any]] = asyncio.Queue()
        # Those not handed out yet: in the order of the inputs, or of their ends.
        self._waiting: deque[asyncio.Task[OutputT]] = deque()
        self._count = 0
        # Of the callback. Nothing new begins, but what runs was paid for and is handed out first.
        self._failure: Exception | None = None

    async def results(self) -> AsyncGenerator[OutputT | Exception, None]:
        """Yield what comes of each call; then raise the error of the source or of the callback, if there was one."""
        beginning = self._started(tasks.begin(self._begin(), name="falrt map inputs"))
        try:
            while self._running:
                self._running.remove(task := await self._ended.get())
                if task is beginning:
                    continue
                self._room.release()
                if not self._ordered:
                    self._waiting.append(task)
                await self._tell()
                if self._failure is not None:
                    beginning.cancel()
                while self._waiting and self._waiting[0].done():
                    yield _outcome(self._waiting.popleft())
                    self._ahead.release()
            if self._failure is not None:
                raise self._failure
            beginning.result()
        finally:
            for task in self._running:
                task.cancel()
            await tasks.settle(self._running)

    def _started(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self._running.add(task)
        task.add_done_callback(self._ended.put_nowait)
        return task

    async def _begin(self) -> None:
        step = _stepping(self._inputs)
        while True:
            await self._ahead.acquire()
            await self._room.acquire()
            if (input := await step()) is _END:
                return
            call = self._started(tasks.begin(run(self._call, input), name="falrt map"))
            if self._ordered:
                self._waiting.append(call)

    async def _tell(self) -> None:
        self._count += 1
        total = len(self._inputs) if isinstance(self._inputs, Sized) else None
        try:
            if self._failure is None:
                await tasks.told(self._on_progress, self._count, total)
        except Exception as exc:
            self._failure = exc


def _outcome(call: asyncio.Future[Any]) -> Any:
    if call.cancelled():  # not by us: something that the call waited for was
        return HTTPCallError("the call was cancelled by something that it waited for")
    exc = call.exception()
    if exc is None:
        return call.result()
    if not isinstance(exc, Exception):
        raise exc
    return exc


def _stepping(inputs: Iterable[Any] | AsyncIterable[Any]) -> Callable[[], Awaitable[Any]]:
    if isinstance(inputs, AsyncIterable):
        others = aiter(inputs)
        return lambda: anext(others, _END)
    iterator = iter(inputs)

    async def step() -> Any:
        return next(iterator, _END)

    return step
