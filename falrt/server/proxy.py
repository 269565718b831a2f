"""The HTTP proxy: carries out what ``targets.py`` accepted, with our key instead of the caller's credentials."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from falrt.auth import Key
from falrt.server.bodies import pieces_of, small_json
from falrt.server.limits import Limit
from falrt.server.targets import Refused, Service, Target
from falrt.server.tokens import TokenDesk

if TYPE_CHECKING:
    import httpx
    from starlette.types import Receive, Scope, Send

__all__ = ["Proxy"]

logger = logging.getLogger("falrt.server")

# What a caller may say to fal; everything else stays here, above all Authorization and Cookie.
_HEADERS_IN: Final = frozenset(
    {
        "accept",
        "content-type",
        "x-app-fal-disable-fallback",
        "x-fal-no-retry",
        "x-fal-object-lifecycle",
        "x-fal-object-lifecycle-preference",
        "x-fal-queue-priority",
        "x-fal-request-timeout",
        "x-fal-runner-hint",
        "x-fal-store-io",
    }
)
# What fal may say to a caller, beside its own x-fal-... headers; no cookie, no redirect, no lengths of another body.
_HEADERS_OUT: Final = frozenset({"content-type", "retry-after"})
_PRIVATE: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}

_CONNECT_TIMEOUT: Final = 10.0
# A model may think for minutes before the first byte; a queue's stream may be silent as long.
_ANSWER_TIMEOUT: Final = 600.0
_ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
_ERROR_BYTES_MAX: Final = 64 * 1024
_SECRET_LENGTH: Final = 8
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Proxy:
    """Forwards calls.

    Args:
        key: Goes with every call, and never comes back.
        bases: Where each service is, such as ``https://queue.fal.run``.
        desk: Mints the tokens that callers ask for.
        limit: For the size of bodies.
    """

    def __init__(self, key: Key, bases: Mapping[Service, str], desk: TokenDesk, limit: Limit) -> None:
        self._key, self._bases, self._desk, self._limit = key, bases, desk, limit
        self._client: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close the connections to fal."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def forward(
        self, request: Request, target: Target, place: contextlib.AbstractAsyncContextManager[None]
    ) -> Response:
        """Carry out an accepted call; the visitor's place is held until its answer has been passed on.

        Raises:
            Refused: No place is free (429), the body is too large (413), too slow (408) or not JSON (415), or fal
                does not answer as it should (502, 504).
        """
        if request.method == "POST" and not _is_json(request.headers.get("content-type", "")):
            raise Refused(415, "The body must be JSON, and content-type must say so")
        if target.service is Service.TOKENS:
            token = await self._desk.mint_as_asked(await small_json(request))
            return JSONResponse(token, 201, _PRIVATE)
        stack = contextlib.AsyncExitStack()
        try:
            await stack.enter_async_context(place)
            answer = await stack.enter_async_context(self._asked(request, target))
            return await self._answer(answer, stack)
        except BaseException:
            await stack.aclose()
            raise

    @contextlib.asynccontextmanager
    async def _asked(self, request: Request, target: Target) -> AsyncIterator[httpx.Response]:
        import httpx

        url = self._bases[target.service] + target.path + (f"?{target.query}" if target.query else "")
        has_body = request.method == "POST"
        client = self._http()
        outgoing = client.build_request(
            request.method,
            url,
            headers=self._headers_in(request, has_body),
            content=pieces_of(request, self._limit.body_bytes) if has_body else None,
        )
        try:
            # No redirect is followed: our key would go with it.
            answer = await client.send(outgoing, stream=True, follow_redirects=False)
        except httpx.TimeoutException as exc:
            raise Refused(504, "fal did not answer in time") from exc
        except httpx.HTTPError as exc:
            logger.warning("%s could not be reached: %s", target.service, type(exc).__name__)
            raise Refused(502, "fal could not be reached") from exc
        try:
            yield answer
        finally:
            await answer.aclose()

    async def _answer(self, answer: httpx.Response, stack: contextlib.AsyncExitStack) -> Response:
        if not answer.is_success and answer.status_code < 400:
            raise Refused(502, f"fal answered {answer.status_code}, which is not forwarded")
        headers = self._headers_out(answer)
        if answer.is_success:
            return _Passing(_pieces(answer), answer.status_code, headers, stack)
        # An error's text could quote what it was asked with; it is short enough to be looked through.
        content = bytearray()
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > _ERROR_BYTES_MAX:
                break
        await stack.aclose()
        return Response(self._hidden(bytes(content[:_ERROR_BYTES_MAX])), answer.status_code, headers)

    def _headers_in(self, request: Request, has_body: bool) -> dict[str, str]:
        headers = {name: value for name, value in request.headers.items() if name in _HEADERS_IN}
        headers["authorization"] = self._key.header
        headers["user-agent"] = "falrt.server (python)"
        # Passed on as it comes: unpacking here would make the caller's limits ours.
        headers["accept-encoding"] = "identity"
        headers.setdefault("accept", "application/json")
        length = request.headers.get("content-length", "")
        # Where both were given, the chunks have told the length, and the other may be a lie.
        if has_body and length.isdigit() and "transfer-encoding" not in request.headers:
            headers["content-length"] = length
        return headers

    def _headers_out(self, answer: httpx.Response) -> dict[str, str]:
        headers = {
            name: value
            for name, value in answer.headers.items()
            if (name in _HEADERS_OUT or name.startswith("x-fal-")) and not self._is_secret(value)
        }
        # nginx, where it stands in front of us, would hold events back.
        return {**headers, **_PRIVATE, "x-accel-buffering": "no"}

    def _is_secret(self, text: str) -> bool:
        return any(part in text for part in self._secrets())

    def _hidden(self, content: bytes) -> bytes:
        for part in self._secrets():
            content = content.replace(part.encode(), b"***")
        return content

    def _secrets(self) -> list[str]:
        value = self._key.value
        return [part for part in (value, *value.split(":")) if len(part) >= _SECRET_LENGTH]

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            self._client = httpx.AsyncClient(
                # What is on this machine is not reached through the environment's proxy.
                trust_env=all(urlsplit(base).hostname not in _LOOPBACK for base in self._bases.values()),
                timeout=httpx.Timeout(_ANSWER_TIMEOUT, connect=_CONNECT_TIMEOUT, pool=_CONNECT_TIMEOUT),
                limits=httpx.Limits(max_connections=200, max_keepalive_connections=20),
            )
        return self._client


class _Passing(StreamingResponse):
    """Passes on a body as it comes, and lets go of fal's side however the caller's ends."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        status: int,
        headers: Mapping[str, str],
        stack: contextlib.AsyncExitStack,
    ) -> None:
        super().__init__(pieces, status, headers)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    """Yield a body as it comes: an event that fal sends is not kept back for the next."""
    import httpx

    size = 0
    try:
        async for piece in answer.aiter_bytes():
            size += len(piece)
            if size > _ANSWER_BYTES_MAX:
                raise ConnectionAbortedError("the answer is too large to forward")
            yield piece
    except httpx.HTTPError as exc:
        # Raised into the server, which then breaks the line: a body that just ends would pass for whole.
        raise ConnectionAbortedError(f"fal broke off the answer: {type(exc).__name__}") from exc


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"
