"""One HTTP request for one client: the credential, the way there, what went wrong, and whether to try again.

What an answer means is decided in ``falrt.protocol.wire.http_errors``, and how long to wait by the schedule that the
sockets use too; here it is carried out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

from falrt.auth.pool import LOOPBACK
from falrt.connection.opening import USER_AGENT
from falrt.exceptions import (
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    FalrtError,
    HandshakeError,
    HTTPCallError,
    MissingCredentialsError,
    RequestTimeout,
)
from falrt.http.options import DEFAULTS, CallSettings
from falrt.http.services import Services
from falrt.protocol.reconnect.backoff import Backoff, RetrySchedule
from falrt.protocol.wire.endpoint import redact
from falrt.protocol.wire.http_errors import is_safe_to_repeat, read_error

if TYPE_CHECKING:
    import httpx

__all__ = ["MAYBE_WORKED_ON", "REPLY_BYTES_MAX", "Ask", "Caller", "Reply", "SizedPieces", "lost", "within"]

logger = logging.getLogger("falrt.http")

T = TypeVar("T")

CONNECT_TIMEOUT: Final = 10.0
# Pictures inside a result are tens of megabytes at most; without a bound a hostile server fills the memory.
REPLY_BYTES_MAX: Final = 256 * 1024 * 1024
# An explanation is short; what is longer is shortened for the message anyway.
ERROR_BYTES_MAX: Final = 256 * 1024
# TLS libraries take less than 2 GiB in one piece, and the service far less.
BODY_BYTES_MAX: Final = 1024 * 1024 * 1024
MAYBE_WORKED_ON: Final = "the request may have been worked on: repeatable=True sends it again"
_URLS_KEPT: Final = 64
# Whoever is told to wait longer than this decides himself.
RETRY_AFTER_MAX: Final = 60.0


class SizedPieces(Protocol):
    """A body that is made while it is sent."""

    def __len__(self) -> int:
        """Return its bytes."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Begin at its beginning."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes:
        method: In upper case.
        url: Without query.
        what: What is called, for messages: an endpoint id as a rule.
        body: Content, or None; may be asked for its pieces again with each try.
        headers: Beside the usual ones; names in lower case.
        query: Parameters.
        settings: The call's options.
        idempotent: Sending it twice does no more than sending it once.
        authorization: None for the key, else the header's value; empty for none.
    """

    method: str
    url: str
    what: str
    body: bytes | SizedPieces | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str | int | float | bool] = field(default_factory=dict, repr=False)
    settings: CallSettings = DEFAULTS
    idempotent: bool = False
    authorization: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.body, bytes) and len(self.body) > BODY_BYTES_MAX:
            raise ConfigurationError(
                f"{self.what}: the input is {len(self.body)} bytes, more than {BODY_BYTES_MAX}: "
                "upload() large files and pass their URLs"
            )


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer, whole."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self, what: str) -> Any:
        """Return the decoded body.

        Raises:
            HTTPCallError: It is no JSON, such as the HTML page of a proxy.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as exc:
            kind = self.headers.get("content-type", "no content type").partition(";")[0]
            begin = redact(self.body[:60].decode("utf-8", "replace"))
            raise HTTPCallError(
                f"{what}: expected JSON, got {kind} that begins {begin!r} ({self.status})",
                status=self.status,
                request_id=self.headers.get("x-fal-request-id"),
                headers=self.headers,
            ) from exc


class Caller:
    """Sends the requests of one client."""

    def __init__(self, services: Services) -> None:
        self.services, self.hosts, self.proxy_url = services, services.hosts, services.proxy_url
        # Taken apart once: that is a twentieth of a small call.
        self._urls: dict[str, httpx.URL] = {}

    async def ask(self, ask: Ask) -> Reply:
        """Send a request until it is answered for good; return the answer.

        Raises:
            HTTPStatusError: The service answered with an error status.
            HTTPCallError: The answer broke off, or is too large.
            ConnectError: The service cannot be reached.
            MissingCredentialsError: A key is needed and there is none.
        """

        async def attempt() -> Reply:
            async with self._answer(ask) as response:
                body = await _read(response, ask.what, REPLY_BYTES_MAX)
                return Reply(response.status_code, response.headers, body)

        return await self.patiently(attempt, ask)

    @asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[httpx.Response]:
        """Send a request until it is answered well; give the answer with its body still to come."""
        opened: list[Any] = []

        async def attempt() -> httpx.Response:
            answer = self._answer(ask)
            response = await answer.__aenter__()
            opened.append(answer)
            return response

        response = await self.patiently(attempt, ask)
        try:
            yield response
        finally:
            await opened.pop().__aexit__(None, None, None)

    async def patiently(self, attempt: Callable[[], Awaitable[T]], ask: Ask) -> T:
        """Make attempts until one succeeds, or trying again is useless or could cost a second result."""
        settings = ask.settings
        if not settings.retries:
            return await attempt()
        schedule: RetrySchedule | None = None
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await attempt()
            except (HTTPCallError, ConnectError) as exc:
                if not _may_repeat(exc, anyway=settings.repeatable or ask.idempotent):
                    raise
                if schedule is None:
                    schedule = RetrySchedule(Backoff(attempts=settings.retries), random.random)
                    schedule.opened()
                asked = getattr(exc, "retry_after", None)
                delay = schedule.delay_after(loop.time(), asked)
                if delay is None or (asked is not None and asked > RETRY_AFTER_MAX):
                    raise
                delay = max(delay, asked or 0.0)
                logger.debug("%s: trying again in %.2f s: %s", ask.what, delay, exc)
            await asyncio.sleep(delay)

    @asynccontextmanager
    async def _answer(self, ask: Ask) -> AsyncIterator[httpx.Response]:
        """Send once; give a good answer."""
        transport = await self.services.pool.transport()
        import httpx

        logger.debug("> %s %s, %d bytes", ask.method, ask.what, len(ask.body or b""))
        try:
            response = await transport.handle_async_request(self._request(ask))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as exc:
            by_proxy = self.proxy_url if ask.authorization is None else None
            raise lost(exc, ask.what, urlsplit(by_proxy or ask.url).netloc) from None
        try:
            status = response.status_code
            logger.debug("< %d %s", status, ask.what)
            if not 200 <= status < 300:
                body = await _read(response, ask.what, ERROR_BYTES_MAX, cut=True)
                raise self.refused(status, response.headers, body, ask.what)
            yield response
        finally:
            await response.aclose()

    def _request(self, ask: Ask) -> httpx.Request:
        import httpx  # loaded with the pool

        headers = {"user-agent": USER_AGENT, "accept": "application/json", "accept-encoding": "identity"}
        headers |= ask.settings.sent
        headers |= ask.headers
        if ask.body is not None and "content-type" not in headers:
            headers["content-type"] = "application/json"
        query = {**ask.query, **(ask.settings.query or {})}
        url = (
            f"{ask.url}?{urlencode({name: _plain(value) for name, value in query.items()})}"
            if query
            else ask.url
        )
        if ask.authorization is None:
            if self.proxy_url is not None:
                headers["x-fal-target-url"], url = url, self.proxy_url
            elif credential := self.credential():
                headers["authorization"] = credential
        elif ask.authorization:
            headers["authorization"] = ask.authorization
        if ask.body is not None:
            headers["content-length"] = str(len(ask.body))
        parsed = self._urls.get(url)
        if parsed is None:
            if len(self._urls) > _URLS_KEPT:
                self._urls.clear()
            parsed = self._urls[url] = httpx.URL(url)
        return httpx.Request(ask.method, parsed, headers=headers, content=ask.body, extensions=_TIMEOUTS)

    def credential(self) -> str:
        """Return the header's value; empty where a server on this machine needs none.

        Raises:
            MissingCredentialsError: A key is needed and there is none.
        """
        try:
            return self.services.key().header
        except MissingCredentialsError:
            if urlsplit(self.hosts.run).hostname in LOOPBACK:
                return ""  # a server on this machine: there is nobody to pay
            raise

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, what: str) -> HTTPCallError:
        """Make the error of an answer, without the key, in case the service quotes it."""
        try:
            key = self.services.key().value
        except FalrtError:
            key = ""
        for part in {key, *key.split(":")}:
            if len(part) >= 8:  # shorter ones, such as "test", are no secrets but ordinary words
                body = body.replace(part.encode(), b"***")
        lower = {name.lower(): value for name, value in headers.items()}
        return read_error(status, lower, body, what=what, wall_now=time.time())


_TIMEOUTS: Final = {"timeout": {"connect": CONNECT_TIMEOUT, "read": None, "write": None, "pool": None}}


@asynccontextmanager
async def within(seconds: float | None, what: str, option: str = "timeout") -> AsyncIterator[None]:
    """End what takes too long.

    Raises:
        RequestTimeout: After that many seconds.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise RequestTimeout(f"{what}: no result within {seconds:g} s ({option})") from exc


async def _read(response: httpx.Response, what: str, limit: int, *, cut: bool = False) -> bytes:
    """Return a body, up to the limit; beyond it, its beginning if it may be cut."""
    import httpx

    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > limit:
                break
    except (httpx.HTTPError, httpx.StreamError) as exc:
        if cut:
            return bytes(body)  # the status alone says enough
        raise lost(exc, what, "") from None
    if len(body) > limit and not cut:
        raise HTTPCallError(f"{what}: the answer is larger than {limit} bytes", status=response.status_code)
    return bytes(body[:limit])


def lost(exc: Exception, what: str, where: str) -> FalrtError:
    """Say what a failure of the network means.

    Raise it ``from None``: the chain of the HTTP libraries, sixty lines, stays in ``__context__`` for who asks.
    """
    import httpx

    said = redact(str(exc)) or type(exc).__name__
    if isinstance(exc, httpx.ConnectTimeout):
        return ConnectTimeoutError(f"{what}: cannot reach {where} within {CONNECT_TIMEOUT:g} s")
    if isinstance(exc, httpx.ConnectError | httpx.PoolTimeout | httpx.ProxyError):
        is_here = urlsplit(f"//{where}").hostname in LOOPBACK
        if is_here and isinstance(exc, httpx.ConnectError) and not _finds(ssl.SSLError, exc):
            option = "FALRT_BASE_URL, base_url or proxy_url"
            return ConnectError(f"{what}: nothing listens at {where} ({option}); is `falrt serve` running?")
        return ConnectError(f"{what}: cannot reach {where}: {said}")
    if isinstance(exc, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.LocalProtocolError):
        return ConfigurationError(f"{what}: the request cannot be sent: {said}")
    return HTTPCallError(
        f"{what}: the connection was lost before the answer was complete ({said}); {MAYBE_WORKED_ON}",
        retryable=True,
    )


def _may_repeat(exc: HTTPCallError | ConnectError, *, anyway: bool) -> bool:
    if isinstance(exc, HandshakeError):
        return exc.status is None or exc.status == 429 or exc.status >= 500
    if isinstance(exc, ConnectError):
        # Nothing was sent. A certificate that cannot be trusted will not be trusted in a second.
        return not _finds(ssl.SSLCertVerificationError, exc)
    return is_safe_to_repeat(exc) or (anyway and exc.retryable)


def _finds(kind: type[BaseException], exc: BaseException) -> bool:
    """Whether an error is of a kind, or something that led to it."""
    root: BaseException | None = exc
    while root is not None and not isinstance(root, kind):
        root = root.__cause__ or root.__context__
    return root is not None


def _plain(value: str | int | float | bool) -> str | int | float:
    return str(value).lower() if isinstance(value, bool) else value
