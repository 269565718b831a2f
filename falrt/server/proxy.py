"""The HTTP proxy: carries out what ``targets.py`` accepted, with our key instead of the caller's credentials."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from falrt.auth import Key
from falrt.auth.pool import HTTPPool
from falrt.protocol.wire.endpoint import Hosts
from falrt.server.bodies import pieces_of
from falrt.server.limits import Limit
from falrt.server.targets import Refused, Service, Target

if TYPE_CHECKING:
    import httpx
    from starlette.types import Receive, Scope, Send

__all__ = ["HEADERS_IN", "PRIVATE", "Proxy"]

logger = logging.getLogger("falrt.server")

# What a caller may say to fal; everything else stays here, above all Authorization and Cookie.
HEADERS_IN: Final = frozenset(
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
PRIVATE: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}

# A model may think for minutes before the first byte; a queue's stream may be silent as long.
_TIMEOUTS: Final = {"timeout": {"connect": 10.0, "read": 600.0, "write": 600.0, "pool": 10.0}}
_ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
# Of an error, and of the answer to a submission.
_SHORT_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """Forwards calls.

    Attributes:
        key: Goes with every call, and never comes back.
        hosts: Where fal's services are.
        pool: The connections to them.
        limit: For the size of bodies.
    """

    key: Key
    hosts: Hosts
    pool: HTTPPool
    limit: Limit

    async def forward(
        self,
        request: Request,
        target: Target,
        submitted: Callable[[str], Awaitable[None]],
        stack: AsyncExitStack,
    ) -> Response:
        """Carry out an accepted call.

        Args:
            request: The caller's.
            target: Where it goes.
            submitted: Told the id of a request that went into the queue.
            stack: What the caller holds until the answer has been passed on.

        Raises:
            Refused: The body is too large (413) or too slow (408), or fal does not answer as it should (502, 504).
        """
        answer = await self._ask(request, target)
        stack.push_async_callback(answer.aclose)
        if not answer.is_success and answer.status_code < 400:
            raise Refused(502, f"fal answered {answer.status_code}, which is not forwarded")
        headers = self._headers_out(answer)
        if answer.is_success and not target.submits:
            return _Passing(_pieces(answer), answer.status_code, headers, stack.pop_all())
        content = await _beginning(answer)
        if not answer.is_success:
            # An error's text could quote what it was asked with.
            content = self.key.hide(content.decode("latin-1")).encode("latin-1")
        elif request_id := _request_id(content):
            await submitted(request_id)
        return Response(content, answer.status_code, headers)

    async def _ask(self, request: Request, target: Target) -> httpx.Response:
        """Send a call; no redirect is followed, for our key would go with it."""
        transport = await self.pool.transport()
        import httpx  # loaded with the pool

        bases = {
            Service.RUN: self.hosts.run,
            Service.QUEUE: self.hosts.queue,
            Service.STORAGE: self.hosts.rest,
        }
        has_body = request.method == "POST"
        asked = httpx.Request(
            request.method,
            bases[target.service] + target.path + (f"?{target.query}" if target.query else ""),
            headers=self._headers_in(request, has_body),
            content=pieces_of(request, self.limit.body_bytes) if has_body else None,
            extensions=_TIMEOUTS,
        )
        try:
            return await transport.handle_async_request(asked)
        except httpx.TimeoutException as exc:
            raise Refused(504, "fal did not answer in time") from exc
        except httpx.HTTPError as exc:
            logger.warning("%s could not be reached: %s", target.service, type(exc).__name__)
            raise Refused(502, "fal could not be reached") from exc

    def _headers_in(self, request: Request, has_body: bool) -> dict[str, str]:
        headers = {name: value for name, value in request.headers.items() if name in HEADERS_IN}
        headers["authorization"] = self.key.header
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
            if (name in _HEADERS_OUT or name.startswith("x-fal-")) and self.key.hide(value) == value
        }
        # nginx, where it stands in front of us, would hold events back.
        return {**headers, **PRIVATE, "x-accel-buffering": "no"}


class _Passing(StreamingResponse):
    """Passes on a body as it comes, and lets go of fal's side however the caller's ends."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        status: int,
        headers: Mapping[str, str],
        stack: AsyncExitStack,
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


async def _beginning(answer: httpx.Response) -> bytes:
    content = bytearray()
    async for piece in _pieces(answer):
        content += piece
        if len(content) > _SHORT_BYTES_MAX:
            break
    return bytes(content[:_SHORT_BYTES_MAX])


def _request_id(content: bytes) -> str | None:
    """Return the id in the answer to a submission, if it has one."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return None
    request_id = told.get("request_id") if isinstance(told, dict) else None
    return request_id if isinstance(request_id, str) else None
