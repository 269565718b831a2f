"""One call and its result; and many of them, some at a time."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Final

from falrt.exceptions import ConfigurationError, HTTPCallError
from falrt.http.caller import Ask, Caller, within
from falrt.http.options import CallSettings
from falrt.http.target import Target
from falrt.typing import EndpointModel, InputT, OutputT

__all__ = ["run", "run_many"]

# Results may wait for a slow one in front of them; this many for each call that runs.
_AHEAD: Final = 16
_END: Final = object()


async def run(
    caller: Caller,
    target: Target[InputT, OutputT],
    input: InputT | Mapping[str, Any],
    settings: CallSettings,
) -> OutputT:
    """Call an endpoint and wait for its result; see ``Client.run``."""
    async with within(settings.timeout, target.app):
        body = None if settings.method == "GET" else await target.dump(input)
        url = f"{caller.hosts.run}/{target.app}"
        reply = await caller.ask(
            Ask(
                settings.method, url, target.app, body, settings=settings, idempotent=settings.method == "GET"
            )
        )
        return target.load(reply.json(target.app))


def run_many(
    caller: Caller,
    app: str | EndpointModel[InputT, OutputT],
    inputs: Iterable[Any] | AsyncIterable[Any],
    *,
    concurrency: int,
    ordered: bool,
    on_progress: Callable[[int, int | None], object] | None,
    settings: CallSettings,
) -> AsyncGenerator[OutputT | Exception, None]:
    """Call an endpoint with each of the inputs; see ``Client.map``."""
    if type(concurrency) is not int or concurrency < 1:
        raise ConfigurationError(f"concurrency must be a whole number from 1, got {concurrency!r:.50}")
    if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Iterable | AsyncIterable):
        raise ConfigurationError(f"inputs must be an iterable of inputs, not {type(inputs).__name__}")
    if on_progress is not None and not callable(on_progress):
        raise ConfigurationError(f"on_progress must be a function, got {type(on_progress).__name__}")
    target: Target[InputT, OutputT] = Target(app)

    def one(input: Any) -> Awaitable[OutputT]:
        return run(caller, target, input, settings)

    total = len(inputs) if isinstance(inputs, Sized) else None
    return _each(one, inputs, concurrency, ordered, Progress(on_progress, total))


async def _each(
    one: Callable[[Any], Awaitable[OutputT]],
    inputs: Iterable[Any] | AsyncIterable[Any],
    concurrency: int,
    ordered: bool,
    progress: Progress,
) -> AsyncGenerator[OutputT | Exception, None]:
    """Keep that many calls running, and yield what comes of them."""
    source = _next_of(inputs)
    # The wait for the next input; None where there is no room for one, or none is left.
    pulling: asyncio.Future[Any] | None = None
    running: set[asyncio.Future[OutputT]] = set()
    # Those not handed out yet: in the order of the inputs, or of their ends.
    waiting: deque[asyncio.Future[OutputT]] = deque()
    more = True
    # An error of the source or of the callback: nothing new begins, but what runs was paid and is delivered first.
    failure: Exception | None = None
    try:
        while more or running or waiting:
            if (
                more
                and pulling is None
                and len(running) < concurrency
                and len(waiting) < concurrency * _AHEAD
            ):
                pulling = asyncio.ensure_future(source())
            done = await _first_of(running, pulling)
            if pulling is not None and pulling.done():
                try:
                    input = pulling.result() if more else _END
                except Exception as exc:
                    failure, input = exc, _END
                pulling = None
                if more := input is not _END:
                    running.add(call := asyncio.ensure_future(one(input)))
                    if ordered:
                        waiting.append(call)
            running -= done
            if not ordered:
                waiting.extend(done)
            try:
                await progress.ended(len(done) if failure is None else 0)
            except Exception as exc:
                failure, more = exc, False
            while waiting and waiting[0].done():
                yield _outcome(waiting.popleft())
    finally:
        await _stop(running if pulling is None else {*running, pulling})
    if failure is not None:
        raise failure


@dataclass(slots=True)
class Progress:
    """Tells the caller how many calls have ended, of how many."""

    callback: Callable[[int, int | None], object] | None
    total: int | None
    count: int = 0

    async def ended(self, calls: int) -> None:
        """Note that so many more have ended."""
        for _ in range(calls):
            self.count += 1
            if self.callback is not None and inspect.isawaitable(
                told := self.callback(self.count, self.total)
            ):
                await told


async def _first_of(
    running: set[asyncio.Future[OutputT]], pulling: asyncio.Future[Any] | None
) -> set[asyncio.Future[OutputT]]:
    """Wait until a call has ended, or the next input is there; return the calls that have ended."""
    awaited = running if pulling is None else {*running, pulling}
    done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    return done & running


async def _stop(futures: set[asyncio.Future[Any]]) -> None:
    for future in futures:
        future.cancel()
    if futures:
        await asyncio.wait(futures)


def _outcome(call: asyncio.Future[Any]) -> Any:
    if call.cancelled():  # not by us: something that the call waited for was
        return HTTPCallError("the call was cancelled by something that it waited for")
    exc = call.exception()
    if exc is None:
        return call.result()
    if not isinstance(exc, Exception):
        raise exc
    return exc


def _next_of(inputs: Iterable[Any] | AsyncIterable[Any]) -> Callable[[], Awaitable[Any]]:
    if isinstance(inputs, AsyncIterable):
        others = aiter(inputs)

        async def step() -> Any:
            return await anext(others, _END)

        return step
    iterator = iter(inputs)

    async def quick() -> Any:
        return next(iterator, _END)

    return quick
