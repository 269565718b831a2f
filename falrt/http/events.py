"""Results that come in parts: server-sent events over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from falrt.auth import TokenCache
from falrt.exceptions import HTTPAuthenticationError, HTTPCallError, RequestFailedError, RequestTimeout
from falrt.http.caller import REPLY_BYTES_MAX, Ask, Caller, lost
from falrt.http.options import CallSettings
from falrt.http.target import Target
from falrt.protocol.wire.endpoint import redact
from falrt.protocol.wire.http_errors import read_error, recast
from falrt.protocol.wire.server_events import EventDecoder
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    import httpx

__all__ = ["StreamAuth", "events_in", "is_event_stream", "stream"]

StreamAuth: TypeAlias = Literal["key", "token"]


def is_event_stream(response: httpx.Response) -> bool:
    """Whether an answer consists of server-sent events."""
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == "text/event-stream"


async def stream(
    caller: Caller,
    target: Target[InputT, OutputT],
    input: InputT | Mapping[str, Any],
    settings: CallSettings,
    *,
    path: str,
    tokens: TokenCache | None,
) -> AsyncGenerator[Any, None]:
    """Call an endpoint and yield its result in parts; see ``Client.stream``.

    Args:
        caller: Sends it.
        target: The endpoint.
        input: Its input.
        settings: The options.
        path: Behind the id, not twice.
        tokens: Where the token in the URL comes from; None to send the key.
    """
    body = await target.dump(input)
    full = target.endpoint.realtime_path(path) if path.strip("/") else target.app
    async with contextlib.AsyncExitStack() as stack:
        async with _silence(settings.timeout, target.app):
            response = await _opened(
                caller, target, f"{caller.hosts.run}/{full}", body, settings, tokens, stack
            )
            parts = _loaded(response, target) if is_event_stream(response) else _other(response, target)
            await stack.enter_async_context(contextlib.aclosing(parts))
        while True:
            async with _silence(settings.timeout, target.app):
                part = await anext(parts, _END)
            if part is _END:
                return
            yield part


_END: Any = object()


async def _opened(
    caller: Caller,
    target: Target[Any, Any],
    url: str,
    body: bytes,
    settings: CallSettings,
    tokens: TokenCache | None,
    stack: contextlib.AsyncExitStack,
) -> httpx.Response:
    headers = {"accept": "text/event-stream, */*;q=0.5", "cache-control": "no-store"}
    if tokens is None:
        return await stack.enter_async_context(
            caller.open(Ask("POST", url, target.app, body, headers, {}, settings))
        )
    for attempt in ("cached", "renewed"):
        token = await tokens.get(target.app, target.endpoint.alias)
        query = {"fal_jwt_token": token.value}
        ask = Ask("POST", url, target.app, body, headers, query, settings, authorization="")
        try:
            return await stack.enter_async_context(caller.open(ask))
        except HTTPAuthenticationError:
            tokens.refused(target.app, token)
            if attempt == "renewed":
                raise
    raise AssertionError("the last turn of the loop returns or raises")


@contextlib.asynccontextmanager
async def _silence(seconds: float | None, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise RequestTimeout(f"{what}: no event for {seconds:g} s (timeout)") from exc


async def _loaded(response: httpx.Response, target: Target[Any, OutputT]) -> AsyncGenerator[OutputT, None]:
    async with contextlib.aclosing(events_in(response, target.app)) as events:
        async for _, value in events:
            yield target.load(value)


async def _other(response: httpx.Response, target: Target[Any, OutputT]) -> AsyncGenerator[Any, None]:
    """Yield the one JSON result of an endpoint that has no parts, or the bytes of any other body."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/html":
        raise HTTPCallError(f"{target.app}: expected events, got an HTML page", status=response.status_code)
    is_json = kind.endswith("json")
    whole = bytearray()
    import httpx

    try:
        async for chunk in response.aiter_bytes():
            if is_json:
                whole += chunk
                if len(whole) > REPLY_BYTES_MAX:
                    raise HTTPCallError(f"{target.app}: the answer is larger than {REPLY_BYTES_MAX} bytes")
            elif chunk:
                yield chunk
    except (httpx.HTTPError, httpx.StreamError) as exc:
        raise lost(exc, target.app, "") from None
    if is_json:
        yield target.load(_json(bytes(whole), target.app))


async def events_in(response: httpx.Response, what: str) -> AsyncGenerator[tuple[str, Any], None]:
    """Yield kind and value of each event.

    Raises:
        RequestFailedError: An event tells of a failure.
        HTTPCallError: The connection was lost, in the middle of an event too; or an event is no JSON.
        DecodeError: An event has no end.
    """
    import httpx

    decoder = EventDecoder()
    try:
        async for chunk in response.aiter_bytes():
            for event in decoder.feed(chunk):
                if event.data == "[DONE]":
                    return
                if event.event == "error":
                    raise _failed(event.data, response, what)
                value = _json(event.data, what)
                if isinstance(value, dict) and _tells_failure(value):
                    raise _failed(event.data, response, what)
                yield event.event, value
    except (httpx.HTTPError, httpx.StreamError) as exc:
        raise lost(exc, what, "") from None
    if decoder.is_cut:
        raise HTTPCallError(f"{what}: the stream ended in the middle of an event", retryable=True)


def _tells_failure(value: Mapping[str, Any]) -> bool:
    """Whether a map is one of the forms in which fal's services report a failure; no result has them."""
    if value.get("type") == "x-fal-error" or (value.get("status") == "error" and "error" in value):
        return True
    return "detail" in value and ("error_type" in value or value.keys() == {"detail"})


def _failed(data: str, response: httpx.Response, what: str) -> RequestFailedError:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = {}
    status = value.get("status_code", value.get("status")) if isinstance(value, dict) else None
    status = status if isinstance(status, int) else 500
    headers = {name.lower(): text for name, text in response.headers.items()}
    return recast(read_error(status, headers, data.encode(), what=what), RequestFailedError)


def _json(data: str | bytes, what: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as exc:
        begin = redact(data[:60] if isinstance(data, str) else data[:60].decode("utf-8", "replace"))
        raise HTTPCallError(f"{what}: expected JSON, got text that begins {begin!r}") from exc
