"""A valid token for every handshake: requested once for all waiters, renewed before it expires.

``falrt.protocol.wire.token_schedule`` decides when. There is one task per request in progress and one timer per app
in use; between requests there is no task.

Source: wire facts W40 to W49, docs/reference/wire.md.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from falrt.auth.credentials import Key, Token, find_key
from falrt.auth.token_providers import TokenProvider, ask_provider
from falrt.auth.token_requests import TokenRequests
from falrt.exceptions import (
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    FalrtError,
    TokenRequestError,
)
from falrt.protocol.numbers import SECONDS, check_number
from falrt.protocol.wire.proxies import NO_PROXIES, Proxies
from falrt.protocol.wire.token_endpoints import DEFAULT_LIFETIME, TokenEndpoint
from falrt.protocol.wire.token_schedule import TokenSchedule, token_lifetime
from falrt.tasks import begin, is_own_cancellation

if TYPE_CHECKING:
    import httpx

__all__ = ["TokenCache"]

logger = logging.getLogger("falrt.auth")


@dataclass(slots=True, eq=False)
class _Entry:
    """The token of one app."""

    app_path: str
    alias: str = ""
    custom_path: bool = False
    # The newest token; None before the first and after a refusal.
    value: str | None = field(default=None, repr=False)
    schedule: TokenSchedule = field(default_factory=TokenSchedule)
    # The endpoint that issued the newest token.
    worked: TokenEndpoint | None = None
    # The request in progress; everyone who needs a token waits for it.
    task: asyncio.Task[Token] | None = None
    # How many connections need the token renewed, and the timer for that.
    uses: int = 0
    timer: asyncio.TimerHandle | None = None


class TokenCache:
    """The tokens of one client, by app path.

    All methods belong to one event loop; none of them blocks it.

    Args:
        key: The key, or a function that returns it when it is needed; ``find_key`` by default. Not used
            with ``token_provider`` or ``proxy_url``.
        base_url: A URL used instead of all of fal's hosts, such as a local server's.
        proxy_url: A trusted server that adds the key to the token request.
        token_provider: The user's own source of tokens, used instead of fal's endpoints.
        token_expiration_seconds: The lifetime to request, 120 by default, and to assume for tokens without an
            expiry. A provider's token with neither is requested again for every handshake.
        http: Returns the HTTP client to use; by default one is created with the first request.
        ssl_context: Returns the TLS context of the default client.
        proxies: The proxies of the default client.
        retry_delays: Seconds before each retry of a request that failed temporarily.
        fetch_timeout: Seconds for one token, including retries and the provider.
        wall_clock: Seconds since the epoch.

    Raises:
        ConfigurationError: A wrong URL or lifetime.
    """

    def __init__(
        self,
        *,
        key: Key | Callable[[], Key] | None = None,
        base_url: str | None = None,
        proxy_url: str | None = None,
        token_provider: TokenProvider | None = None,
        token_expiration_seconds: float | None = None,
        http: Callable[[], Awaitable[httpx.AsyncClient]] | None = None,
        ssl_context: Callable[[], Awaitable[ssl.SSLContext]] | None = None,
        proxies: Proxies = NO_PROXIES,
        retry_delays: tuple[float, ...] = (0.25, 1.0),
        fetch_timeout: float = 30.0,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        check_number("token_expiration_seconds", token_expiration_seconds, SECONDS, optional=True)
        if token_provider is not None and not callable(token_provider):
            raise ConfigurationError(
                f"token_provider must be a function of the app's path, got {type(token_provider).__name__}"
            )
        self._provider = token_provider
        self._seconds = token_expiration_seconds
        self._requests = TokenRequests(
            key=(lambda: key) if isinstance(key, Key) else key or find_key,
            base_url=base_url,
            proxy_url=proxy_url,
            http=http,
            ssl_context=ssl_context,
            proxies=proxies,
            retry_delays=retry_delays,
        )
        self._fetch_timeout = fetch_timeout
        self._wall_clock = wall_clock
        self._entries: dict[str, _Entry] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"TokenCache({len(self._entries)} apps)"

    @property
    def source(self) -> str:
        """Where tokens come from, for error texts."""
        return "the token provider" if self._provider is not None else self._requests.description

    async def get(
        self, app_path: str, alias: str, *, custom_path: bool = False, force: bool = False
    ) -> Token:
        """Return a token that is valid for a handshake now.

        A cached one that does not expire soon is returned at once. Otherwise one request is made for all
        waiters; if one of them is cancelled, the others still get the token.

        Args:
            app_path: Full path of the app, such as ``fal-ai/flux-2/klein/realtime``.
            alias: The app's alias, which the general endpoint needs.
            custom_path: Whether the app is reached by another path than ``/realtime``.
            force: Do not use the cached token. After a refused handshake call ``refused()`` and then ``get()``
                without it, so that many connections with the same refused token share one renewal.

        Returns:
            The token; ``expires_in`` is its remaining lifetime.

        Raises:
            MissingCredentialsError: A key is needed and there is none.
            ConnectError: The network failed before fal's endpoint or the proxy was reached.
            TokenRequestError: No token was issued; ``passing`` says whether a later request may succeed.
        """
        if self._closed:
            raise TokenRequestError("the client is closed: it requests no more tokens")
        entry = self._entry(app_path)
        entry.alias, entry.custom_path = alias, custom_path
        if force:
            self._drop(entry)
        cached = self._cached(entry)
        if cached is not None:
            return cached
        task = entry.task or self._start(entry)
        # Not `await task`: that would cancel the request for all waiters when one of them is cancelled.
        await asyncio.wait({task})
        if task.cancelled():
            raise TokenRequestError("the token request was cancelled, for example by closing the client")
        return task.result()

    def refused(self, app_path: str, token: Token) -> None:
        """Drop a token that the gateway refused, unless a newer one has already replaced it."""
        entry = self._entries.get(app_path)
        if entry is not None and entry.value == token.value:
            self._drop(entry)

    def in_use(self, app_path: str) -> None:
        """Renew the app's token in the background until ``release`` was called as often."""
        entry = self._entry(app_path)
        entry.uses += 1
        self._arm(entry)

    def release(self, app_path: str) -> None:
        """Undo one ``in_use``. The token is kept until it expires."""
        entry = self._entry(app_path)
        entry.uses = max(entry.uses - 1, 0)
        self._arm(entry)

    async def aclose(self) -> None:
        """Stop every renewal and request and close the default client; waiters get a ``TokenRequestError``."""
        self._closed = True
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for entry in self._entries.values():
            self._arm(entry)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._entries.clear()
        await self._requests.aclose()

    def _entry(self, app_path: str) -> _Entry:
        return self._entries.setdefault(app_path, _Entry(app_path))

    def _cached(self, entry: _Entry) -> Token | None:
        now = asyncio.get_running_loop().time()
        ends_at = entry.schedule.expires_at
        if entry.value is None or ends_at is None or not entry.schedule.usable(now, self._wall_clock()):
            return None
        return Token(entry.value, ends_at - now)

    def _drop(self, entry: _Entry) -> None:
        entry.value = None
        entry.schedule.dropped()
        self._arm(entry)

    def _arm(self, entry: _Entry) -> None:
        """Set the timer of the next renewal as the schedule says."""
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        deadline = entry.schedule.next_deadline()
        if deadline is None or self._closed or not entry.uses or entry.task is not None:
            return
        loop = asyncio.get_running_loop()
        entry.timer = loop.call_at(max(deadline, loop.time()), self._start, entry)

    def _start(self, entry: _Entry) -> asyncio.Task[Token]:
        entry.task = begin(self._fetch(entry), name=f"falrt token {entry.app_path}")
        entry.task.add_done_callback(_note_failure)
        self._arm(entry)
        return entry.task

    async def _fetch(self, entry: _Entry) -> Token:
        """Get a new token and report the outcome to the schedule."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._fetch_timeout):
                token = await self._ask(entry)
        except FalrtError as exc:
            # Before TimeoutError, because one of ours is one. ConnectError means the network.
            passing = getattr(exc, "passing", isinstance(exc, ConnectError))
            entry.schedule.failed(loop.time(), passing=passing)
            raise
        except TimeoutError:
            entry.schedule.failed(loop.time(), passing=True)
            text = f"{self.source} gave no token for {entry.app_path!r} within {self._fetch_timeout:g} s"
            if self._provider is None:
                raise ConnectTimeoutError(text) from None
            raise TokenRequestError(text, passing=True) from None
        except asyncio.CancelledError as exc:
            if is_own_cancellation():
                raise
            # Something that the provider awaited was cancelled, not this task. If the schedule did not know, it would
            # ask again at once, without end.
            entry.schedule.failed(loop.time(), passing=True)
            raise TokenRequestError(
                f"no token for {entry.app_path!r}: the provider or the request was cancelled", passing=True
            ) from exc
        except Exception as exc:  # The HTTP client or the TLS context could not be created.
            entry.schedule.failed(loop.time(), passing=False)
            raise TokenRequestError(f"no token for {entry.app_path!r}: {type(exc).__name__}") from exc
        else:
            entry.value = token.value
            entry.schedule.fetched(token.expires_in, loop.time(), self._wall_clock())
            return token
        finally:
            entry.task = None
            self._arm(entry)

    async def _ask(self, entry: _Entry) -> Token:
        """Return a new token with its lifetime from now."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        if self._provider is not None:
            token = await ask_provider(self._provider, entry.app_path)
            if token.expires_in is not None:
                return token
            assumed = self._seconds
        else:
            token, entry.worked = await self._requests.ask(
                entry.app_path,
                entry.alias,
                seconds=self._seconds or DEFAULT_LIFETIME,
                worked=entry.worked,
                custom_path=entry.custom_path,
            )
            assumed = token.expires_in
        if assumed is not None:
            # The lifetime started when the token was issued, at some time during the request.
            assumed = max(assumed - (loop.time() - asked_at), 1.0)
        return Token(
            token.value, token_lifetime(token.value, wall_now=self._wall_clock(), configured=assumed)
        )


def _note_failure(task: asyncio.Task[Token]) -> None:
    """Log a failed request; this also marks its error as seen, since a renewal in the background has no waiter."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.info("no new token: %s", error)
