"""Results that come in parts: server-sent events over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, Final

from falrt.auth import TokenCache
from falrt.exceptions import HTTPAuthenticationError, HTTPCallError, RequestFailedError
from falrt.http.call import Call
from falrt.http.caller import Caller, within
from falrt.protocol.wire.http_errors import recast, tells_failure
from falrt.protocol.wire.server_events import EventDecoder
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    import httpx

__all__ = ["events_in", "is_event_stream", "stream"]

_END: Final[Any] = object()


def _kind(response: httpx.Response) -> str:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


def is_event_stream(response: httpx.Response) -> bool:
    """Whether an answer consists of server-sent events."""
    return _kind(response) == "text/event-stream"


async def stream(
    call: Call[InputT, OutputT],
    input: InputT | Mapping[str, Any],
    *,
    path: str,
    tokens: TokenCache | None,
) -> AsyncGenerator[Any, None]:
    """Call an endpoint and yield its result in parts; see ``Client.stream``.

    Args:
        call: The endpoint.
        input: Its input.
        path: Behind the id, not twice.
        tokens: Where the token in the URL comes from; None to send the key.
    """
    body = await call.dump(input)
    full = call.endpoint.realtime_path(path) if path.strip("/") else call.app
    timeout = call.settings.timeout
    async with AsyncExitStack() as stack:
        async with within(timeout, call.app, "no event for"):
            response = await _opened(call, f"{call.caller.hosts.run}/{full}", body, tokens)
            await stack.enter_async_context(aclosing(response))
            parts = await stack.enter_async_context(aclosing(_parts(call, response)))
        while True:
            async with within(timeout, call.app, "no event for"):
                part = await anext(parts, _END)
            if part is _END:
                return
            yield part


async def _opened(call: Call[Any, Any], url: str, body: bytes, tokens: TokenCache | None) -> httpx.Response:
    headers = {"accept": "text/event-stream, */*;q=0.5", "cache-control": "no-store"}
    if tokens is None:
        return await call.caller.open(call.ask("POST", url, body, headers=headers))
    is_renewed = False
    while True:
        token = await tokens.get(call.app, call.endpoint.alias)
        query = {"fal_jwt_token": token.value}
        try:
            ask = call.ask("POST", url, body, headers=headers, query=query, authorization="")
            return await call.caller.open(ask)
        except HTTPAuthenticationError:
            tokens.refused(call.app, token)
            if is_renewed:
                raise
            is_renewed = True


async def _parts(call: Call[Any, OutputT], response: httpx.Response) -> AsyncGenerator[Any, None]:
    """Yield the parts of a result; the one JSON of an endpoint that has none, or the bytes of any other body."""
    kind = _kind(response)
    if kind == "text/html":
        raise HTTPCallError(f"{call.app}: expected events, got an HTML page", status=response.status_code)
    if is_event_stream(response):
        async with aclosing(events_in(call.caller, response, call.app)) as events:
            async for value in events:
                yield call.load(value)
    elif kind.endswith("json"):
        yield call.result(await call.caller.answer(response, call.app))
    else:
        with call.caller.losing(call.app):
            async for chunk in response.aiter_bytes():
                if chunk:
                    yield chunk


async def events_in(caller: Caller, response: httpx.Response, what: str) -> AsyncGenerator[Any, None]:
    """Yield the value of each event.

    Raises:
        RequestFailedError: An event tells of a failure.
        HTTPCallError: The connection was lost, in the middle of an event too; or an event is no JSON.
        DecodeError: An event has no end.
    """
    decoder = EventDecoder()
    with caller.losing(what):
        async for chunk in response.aiter_bytes():
            for event in decoder.feed(chunk):
                if event.data == "[DONE]":
                    return
                value = None if event.event == "error" else caller.decode(event.data, what)
                if event.event == "error" or tells_failure(value):
                    raise _failed(caller, event.data, response, what)
                yield value
    if decoder.is_cut:
        raise HTTPCallError(f"{what}: the stream ended in the middle of an event", retryable=True)


def _failed(caller: Caller, data: str, response: httpx.Response, what: str) -> RequestFailedError:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = {}
    status = value.get("status_code", value.get("status")) if isinstance(value, dict) else None
    status = status if isinstance(status, int) else 500
    return recast(caller.refused(status, response.headers, data.encode(), what), RequestFailedError)
