"""Tokens from fal's token endpoints, directly with a key or through the user's proxy.

``falrt.protocol.wire.token_endpoints`` decides what to send and what a reply means; this module does the HTTP.

Source: wire facts W42 to W46, docs/reference/wire.md; through a proxy, fal's own proxy protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from falrt.auth.credentials import Key, Token
from falrt.auth.pool import LOOPBACK, HTTPPool, cause_of
from falrt.exceptions import (
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    MissingCredentialsError,
    TokenRequestError,
)
from falrt.protocol.wire.endpoint import Hosts, redact, split_url
from falrt.protocol.wire.http_errors import read_detail
from falrt.protocol.wire.proxies import NO_PROXIES, Proxies
from falrt.protocol.wire.token_endpoints import (
    TokenEndpoint,
    asked_lifetime,
    endpoint_order,
    is_passing,
    may_ask_other,
    read_token,
    request_body,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["TokenRequests"]

logger = logging.getLogger("falrt.auth")

_TIMEOUT: Final = 10.0
# Longer waits are left to the supervisor, which reports them to the user.
_MAX_RETRY_AFTER: Final = 10.0
_MAX_REPLY_BYTES: Final = 65_536

_CURES: Final = {
    400: "check the app id",
    401: "the key was refused: check FAL_KEY or key=... against https://fal.ai/dashboard/keys",
    402: "the account has no balance: see https://fal.ai/dashboard/billing",
    403: "this key may not use the app: check the app id, the key's scope (API) and the account; "
    'auth="key" does without tokens',
    404: "check the app id",
    422: 'check the app id; auth="key" does without tokens',
}
_PROXY_CURES: Final = {
    401: "the proxy refused the request: it requires its own login or has no fal key",
    405: "the proxy does not accept POST: check proxy_url",
}
_PROXY_CURE: Final = "check proxy_url, and that the proxy allows the token URL named here"


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: str
    retry_after: float | None = None


class TokenRequests:
    """Asks the token endpoints for one client; the arguments are those of ``TokenCache``.

    The key is read for each request that needs one. A server on this machine at ``base_url`` needs none.

    Raises:
        ConfigurationError: A URL is not valid, or contains a password.
    """

    def __init__(
        self,
        *,
        key: Callable[[], Key],
        base_url: str | None = None,
        proxy_url: str | None = None,
        http: Callable[[], Awaitable[httpx.AsyncClient]] | None = None,
        ssl_context: Callable[[], Awaitable[ssl.SSLContext]] | None = None,
        proxies: Proxies = NO_PROXIES,
        retry_delays: tuple[float, ...] = (0.25, 1.0),
    ) -> None:
        _refuse_password("base_url", base_url)
        _refuse_password("proxy_url", proxy_url)
        proxy = None if proxy_url is None else split_url(proxy_url)
        if proxy_url is not None and (proxy is None or proxy.scheme not in ("http", "https")):
            raise ConfigurationError(
                f"proxy_url {redact(proxy_url)!r} must begin with http:// or https:// and a host, "
                "such as 'https://me.example/api/fal/proxy'"
            )
        self._key = key
        self._rest = Hosts.at(base_url).rest
        self._proxy_url = proxy_url
        # The pool made here, when none was given.
        self._own_pool = HTTPPool(proxy_url or self._rest, ssl_context, proxies) if http is None else None
        self._http = http or self._own_pool.client  # type: ignore[union-attr]  # made where http is None
        self._retry_delays = retry_delays

    @property
    def description(self) -> str:
        """What the client waits for, for error texts."""
        return f"the token request to {urlsplit(self._proxy_url or self._rest).netloc}"

    async def ask(
        self, app_path: str, alias: str, *, seconds: float, worked: TokenEndpoint | None, custom_path: bool
    ) -> tuple[Token, TokenEndpoint]:
        """Return a token for ``seconds`` and the endpoint that gave it; ``worked`` is the one that did so before.

        Raises:
            MissingCredentialsError: A key is needed and there is none.
            ConnectError: The network failed: no endpoint could be reached, or none answered in time
                (:class:`falrt.ConnectTimeoutError`).
            TokenRequestError: No endpoint gave a token; ``passing`` where the service failed.
        """
        refusals: list[tuple[TokenEndpoint, _Reply]] = []
        for endpoint in endpoint_order(worked, custom_path=custom_path):
            body = request_body(endpoint, app_path=app_path, alias=alias, seconds=seconds)
            reply = await self._post_patiently(endpoint, body)
            if 200 <= reply.status < 300:
                return Token(self._token_in(endpoint, reply), asked_lifetime(endpoint, seconds)), endpoint
            refusals.append((endpoint, reply))
            if not may_ask_other(reply.status):
                break
        raise self._refusal(app_path, refusals)

    async def aclose(self) -> None:
        """Close the HTTP client, where it was made here."""
        if self._own_pool is not None:
            await self._own_pool.aclose()

    # One request.

    async def _post_patiently(self, endpoint: TokenEndpoint, body: dict[str, object]) -> _Reply:
        """Post until the reply is final, with a few retries within a few seconds."""
        for delay in (*self._retry_delays, None):
            wait = 0.0
            try:
                reply = await self._post(endpoint, body)
                if not is_passing(reply.status):
                    return reply
                said, detail = self._said(endpoint, reply)
                wait = reply.retry_after or 0.0
                if delay is None or wait > _MAX_RETRY_AFTER:
                    raise TokenRequestError(said, status=reply.status, detail=detail, passing=True)
            except ConnectError as exc:
                if delay is None or self._is_final(exc):
                    raise
                said = str(exc)
            logger.debug("trying again after: %s", said)
            await asyncio.sleep(max(wait, delay * random.uniform(0.5, 1.0)))
        raise AssertionError("the last turn of the loop returns or raises")

    async def _post(self, endpoint: TokenEndpoint, body: dict[str, object]) -> _Reply:
        client = await self._http()
        import httpx

        url = self._rest + endpoint
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",  # A small compressed reply could become large.
            "user-agent": "falrt (python)",
        }
        if self._proxy_url is None:
            headers |= self._authorization()
        else:
            headers["x-fal-target-url"], url = url, self._proxy_url
        what = self._describe(endpoint)
        logger.debug("> %s", what)
        try:
            async with client.stream(
                "POST", url, json=body, headers=headers, follow_redirects=False, timeout=_TIMEOUT
            ) as response:
                content = await _read(response)
        except httpx.TransportError as exc:
            mistrust = cause_of(ssl.SSLCertVerificationError, exc)
            if mistrust is not None:
                host = urlsplit(url).netloc
                text = f"the certificate of {host} cannot be trusted: {mistrust.verify_message}"
                raise ConnectError(text) from mistrust
            # Not an error of the credential: another key would not help.
            kind = ConnectTimeoutError if isinstance(exc, httpx.TimeoutException) else ConnectError
            is_tls = cause_of(ssl.SSLError, exc) is not None
            if isinstance(exc, httpx.ConnectError) and not is_tls and urlsplit(url).hostname in LOOPBACK:
                option = "FALRT_BASE_URL or base_url" if self._proxy_url is None else "proxy_url"
                raise ConnectError(
                    f"nothing listens at {urlsplit(url).netloc} ({option}); is `falrt serve` running?"
                ) from None
            # The library's own chain of errors, sixty lines, stays in __context__.
            raise kind(f"{what} failed: {type(exc).__name__} {self._hide(str(exc))}".rstrip()) from None
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise TokenRequestError(f"{what} failed: {type(exc).__name__}") from None
        logger.debug("< %d, %d bytes", response.status_code, len(content))
        if 300 <= response.status_code < 400:
            host = urlsplit(response.headers.get("location", "")).netloc.rpartition("@")[2] or "another path"
            option = "base_url" if self._proxy_url is None else "proxy_url"
            raise TokenRequestError(
                f"{what} redirects to {host}; credentials are not sent there: set {option} to the final address",
                status=response.status_code,
            )
        return _Reply(
            response.status_code,
            content.decode("utf-8", "replace"),
            _seconds_in(response.headers.get("retry-after")),
        )

    def _is_final(self, failure: ConnectError) -> bool:
        """Whether another try is useless: a bad certificate, or a server on this machine that is not running."""
        is_here = urlsplit(self._proxy_url or self._rest).hostname in LOOPBACK
        mistrusts = isinstance(failure.__cause__, ssl.SSLCertVerificationError)
        return mistrusts or (is_here and type(failure) is ConnectError)

    def _authorization(self) -> dict[str, str]:
        try:
            return {"authorization": self._key().header}
        except MissingCredentialsError:
            if urlsplit(self._rest).hostname in LOOPBACK:
                return {}
            raise

    # What the replies mean.

    def _token_in(self, endpoint: TokenEndpoint, reply: _Reply) -> str:
        token = read_token(reply.body)
        if token is None:
            raise TokenRequestError(
                f"{self._describe(endpoint)} answered {reply.status} without a token in {len(reply.body)} "
                'characters: expected a JSON string, {"token": ...} or {"jwt": ...}',
                status=reply.status,
            )
        return token

    def _refusal(self, app_path: str, refusals: list[tuple[TokenEndpoint, _Reply]]) -> TokenRequestError:
        """Make one error from the answers of all endpoints."""
        said, details = zip(*(self._said(*refusal) for refusal in refusals), strict=True)
        # The second endpoint does not exist everywhere; if it does not, the first one's answer counts.
        index = -1 if refusals[-1][1].status not in (404, 405) else 0
        status = refusals[index][1].status
        if self._proxy_url is None:
            cure = _CURES.get(status, "check the app id and the key")
        else:
            cure = _PROXY_CURES.get(status, _PROXY_CURE)
        return TokenRequestError(
            f"no token for {app_path!r}: {'; '.join(said)} ({cure})", status=status, detail=details[index]
        )

    def _said(self, endpoint: TokenEndpoint, reply: _Reply) -> tuple[str, str]:
        """Return an endpoint's answer as a sentence, and its own text alone."""
        detail = self._hide(read_detail(reply.body))
        return f"{self._describe(endpoint)} answered {reply.status}{f': {detail}' if detail else ''}", detail

    def _describe(self, endpoint: TokenEndpoint) -> str:
        target = f"POST {self._rest}{endpoint}"
        if self._proxy_url is None:
            return target
        proxy = urlsplit(self._proxy_url)
        return f"{target} by way of {proxy.scheme}://{proxy.netloc}{proxy.path}"

    def _hide(self, text: str) -> str:
        """Remove the key from someone else's text, in case it is quoted there."""
        with contextlib.suppress(MissingCredentialsError):
            if self._proxy_url is None:
                text = self._key().hide(text)
        return redact(text)


async def _read(response: httpx.Response) -> bytes:
    """Return the beginning of a body; tokens and explanations are short."""
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _MAX_REPLY_BYTES:
            break
    return bytes(content[:_MAX_REPLY_BYTES])


def _seconds_in(retry_after: str | None) -> float | None:
    """Return a ``Retry-After`` in seconds; for one with a date our own delays are used."""
    return float(retry_after) if retry_after and retry_after.isdecimal() and retry_after.isascii() else None


def _refuse_password(option: str, url: str | None) -> None:
    parts = None if url is None else split_url(url)
    if parts is not None and "@" in parts.netloc:
        raise ConfigurationError(
            f"{option} contains a user name or password, which would appear in logs: remove it"
        )
