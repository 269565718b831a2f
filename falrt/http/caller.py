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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

from falrt.auth import Key, TokenCache
from falrt.auth.pool import LOOPBACK, HTTPPool, cause_of
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
from falrt.protocol.reconnect.backoff import Backoff, RetrySchedule
from falrt.protocol.wire.endpoint import Hosts, redact
from falrt.protocol.wire.http_errors import is_safe_to_repeat, read_error
from falrt.protocol.wire.pipelined import Answer
from falrt.protocol.wire.proxies import Proxies

if TYPE_CHECKING:
    import httpx

__all__ = ["MAYBE_WORKED_ON", "REPLY_BYTES_MAX", "Ask", "Caller", "lost", "within"]

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


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes:
        method: In upper case.
        url: Without query.
        what: What is called, for messages: an endpoint id as a rule.
        body: None, bytes, or what has a length and gives its pieces anew with each try.
        headers: Beside the usual ones; names in lower case.
        query: Parameters.
        settings: The call's options.
        idempotent: Sending it twice does no more than sending it once.
        authorization: None for the key, else the header's value; empty for none.
    """

    method: str
    url: str
    what: str
    body: Any = field(default=None, repr=False)
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


@dataclass(eq=False, repr=False)
class Caller:
    """Sends the requests of one client, with what they share.

    Attributes:
        hosts: Where the services are.
        key: Returns the key.
        tokens: The client's tokens; None where it uses none.
        pool: Its HTTP connections.
        ssl_context: Returns its TLS context.
        proxies: The way to the hosts.
        proxy_url: A trusted server that adds the key.
        prefers_tokens: Whether ``stream()`` puts a token into the URL unless told otherwise.
        pipelines: Those that are open; the client closes them when it is closed.
    """

    hosts: Hosts
    key: Callable[[], Key]
    tokens: TokenCache | None
    pool: HTTPPool
    ssl_context: Callable[[], Awaitable[ssl.SSLContext]]
    proxies: Proxies
    proxy_url: str | None
    prefers_tokens: bool
    pipelines: set[Any]
    # Taken apart once: that is a twentieth of a small call.
    _urls: dict[str, httpx.URL] = field(default_factory=dict, init=False)

    async def ask(self, ask: Ask) -> Answer:
        """Send a request until it is answered for good; return the answer.

        Raises:
            HTTPStatusError: The service answered with an error status.
            HTTPCallError: The answer broke off, or is too large.
            ConnectError: The service cannot be reached.
            MissingCredentialsError: A key is needed and there is none.
        """

        async def attempt() -> Answer:
            async with aclosing(await self._send(ask)) as response:
                return await self.answer(response, ask.what)

        return await self.patiently(attempt, ask)

    async def open(self, ask: Ask) -> httpx.Response:
        """Send a request until it is answered well; the body is still to come, and the caller closes it."""
        return await self.patiently(lambda: self._send(ask), ask)

    async def patiently(self, attempt: Callable[[], Awaitable[T]], ask: Ask) -> T:
        """Make attempts until one succeeds, or trying again is useless or could cost a second result."""
        settings = ask.settings
        schedule: RetrySchedule | None = None
        while True:
            try:
                return await attempt()
            except (HTTPCallError, ConnectError) as exc:
                anyway = settings.repeatable or ask.idempotent
                if not settings.retries or not _may_repeat(exc, anyway=anyway):
                    raise
                if schedule is None:
                    schedule = RetrySchedule(Backoff(attempts=settings.retries), random.random)
                    schedule.opened()
                asked = getattr(exc, "retry_after", None) or 0.0
                delay = schedule.delay_after(asyncio.get_running_loop().time(), asked)
                if delay is None or asked > RETRY_AFTER_MAX:
                    raise
                delay = max(delay, asked)
                logger.debug("%s: trying again in %.2f s: %s", ask.what, delay, exc)
            await asyncio.sleep(delay)

    async def answer(self, response: httpx.Response, what: str) -> Answer:
        """Return a good answer, whole.

        Raises:
            HTTPCallError: It is too large, or the connection was lost.
        """
        body, headers = await self._read(response, what, REPLY_BYTES_MAX), response.headers
        return Answer(response.status_code, headers, body, headers.get("x-fal-request-id", ""))

    async def _read(self, response: httpx.Response, what: str, limit: int, *, cut: bool = False) -> bytes:
        """Return a body, up to the limit; beyond it, its beginning if it may be cut."""
        body = bytearray()
        try:
            with self.losing(what):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > limit:
                        break
        except HTTPCallError:
            if not cut:
                raise  # otherwise the status alone says enough
        if len(body) > limit and not cut:
            raise HTTPCallError(
                f"{what}: the answer is larger than {limit} bytes", status=response.status_code
            )
        return bytes(body[:limit])

    def decode(self, reply: Answer | str, what: str) -> Any:
        """Return the value of a JSON answer, or of an event's text.

        Raises:
            HTTPCallError: It is no JSON, such as the HTML page of a proxy.
        """
        body = reply if isinstance(reply, str) else reply.body
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as exc:
            text = body[:500] if isinstance(body, str) else body[:500].decode("utf-8", "replace")
            said = f"that begins {self.hide(text)[:60]!r}"
            if isinstance(reply, str):
                raise HTTPCallError(f"{what}: expected JSON, got text {said}") from exc
            kind = reply.headers.get("content-type", "no content type").partition(";")[0]
            raise HTTPCallError(
                f"{what}: expected JSON, got {kind} {said} ({reply.status})",
                status=reply.status,
                request_id=self.hide(reply.request_id) or None,
                headers=self._shown(reply.headers),
            ) from exc

    async def _send(self, ask: Ask) -> httpx.Response:
        """Send once; return a good answer."""
        transport = await self.pool.transport()
        logger.debug("> %s %s, %d bytes", ask.method, ask.what, len(ask.body or b""))
        by_proxy = self.proxy_url if ask.authorization is None else None
        with self.losing(ask.what, by_proxy or ask.url):
            response = await transport.handle_async_request(self._request(ask))
        status = response.status_code
        logger.debug("< %d %s", status, ask.what)
        if not 200 <= status < 300:
            async with aclosing(response):
                body = await self._read(response, ask.what, ERROR_BYTES_MAX, cut=True)
            raise self.refused(status, response.headers, body, ask.what)
        return response

    def _request(self, ask: Ask) -> httpx.Request:
        import httpx  # loaded with the pool

        headers = {"user-agent": USER_AGENT, "accept": "application/json", "accept-encoding": "identity"}
        headers |= ask.settings.sent
        headers |= ask.headers
        if ask.body is not None:
            headers.setdefault("content-type", "application/json")
            headers["content-length"] = str(len(ask.body))
        url = ask.url
        if query := {**ask.query, **(ask.settings.query or {})}:
            url += f"?{urlencode({name: _plain(value) for name, value in query.items()})}"
        if ask.authorization is None and self.proxy_url is not None:
            headers["x-fal-target-url"], url = url, self.proxy_url
        elif authorization := self.credential() if ask.authorization is None else ask.authorization:
            headers["authorization"] = authorization
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
            return self.key().header
        except MissingCredentialsError:
            if urlsplit(self.hosts.run).hostname in LOOPBACK:
                return ""  # a server on this machine: there is nobody to pay
            raise

    # What went wrong.

    def hide(self, text: str) -> str:
        """Return what somebody else said, without tokens and without the key or half of it."""
        with suppress(FalrtError):  # there may be no key
            text = self.key().hide(text)
        return redact(text)

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, what: str) -> HTTPCallError:
        """Return the error of an answer."""
        body = self.hide(body.decode("utf-8", "replace")).encode()
        return read_error(status, self._shown(headers), body, what=what, wall_now=time.time())

    def _shown(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {name.lower(): self.hide(value) for name, value in headers.items()}

    @contextmanager
    def losing(self, what: str, url: str = "") -> Iterator[None]:
        """Say what a failure of the network means.

        It is raised ``from None``: the chain of the HTTP libraries, sixty lines, stays in ``__context__`` for who asks.
        """
        import httpx

        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as exc:
            raise lost(exc, what, urlsplit(url).netloc, self.hide) from None


_TIMEOUTS: Final = {"timeout": {"connect": CONNECT_TIMEOUT, "read": None, "write": None, "pool": None}}


@asynccontextmanager
async def within(seconds: float | None, what: str, missing: str = "no result within") -> AsyncIterator[None]:
    """End what takes too long.

    Raises:
        RequestTimeout: After that many seconds; says what is missing.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise RequestTimeout(f"{what}: {missing} {seconds:g} s (timeout)") from exc


def lost(exc: Exception, what: str, where: str, hide: Callable[[str], str] = redact) -> FalrtError:
    """Return what a failure of the network means.

    Args:
        exc: httpx's error.
        what: What was called.
        where: The host.
        hide: Removes secrets from a text.
    """
    import httpx

    said = hide(str(exc)) or type(exc).__name__
    if isinstance(exc, httpx.ConnectTimeout):
        return ConnectTimeoutError(f"{what}: cannot reach {where} within {CONNECT_TIMEOUT:g} s")
    if isinstance(exc, httpx.ProxyError) and said.startswith("407"):
        return ConfigurationError(
            f"{what}: the proxy refused the user name and password: correct them in its URL (HTTP 407)"
        )
    if isinstance(exc, httpx.ConnectError | httpx.PoolTimeout | httpx.ProxyError):
        is_here = urlsplit(f"//{where}").hostname in LOOPBACK
        if is_here and isinstance(exc, httpx.ConnectError) and not cause_of(ssl.SSLError, exc):
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
        return not cause_of(ssl.SSLCertVerificationError, exc)
    return is_safe_to_repeat(exc) or (anyway and exc.retryable)


def _plain(value: str | int | float | bool) -> str | int | float:
    return str(value).lower() if isinstance(value, bool) else value
