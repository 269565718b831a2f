"""How the sockets of one connection are opened: with which token or key, at which address, and what a failure means."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from falrt.exceptions import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    FalrtError,
    MissingDependencyError,
    TokenRequestError,
)
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.wire.endpoint import Endpoint, Hosts, redact
from falrt.protocol.wire.proxies import Proxies
from falrt.version import __version__

if TYPE_CHECKING:
    from falrt.auth import Key, Token, TokenCache
    from falrt.connection.transport import Socket
    from falrt.options import ConnectionSettings

__all__ = ["Opening"]

USER_AGENT = f"falrt/{__version__} (python)"


class Opening:
    """The way to one app.

    Args:
        endpoint: The app.
        path: Its WebSocket path; None for the usual one.
        settings: Name the limits of a socket.
        hosts: Where fal is.
        key: What goes in the header, where tokens are not used.
        tokens: Where tokens come from, where they are.
        ssl_context: Returns the TLS context.
        proxies: The way there.

    Attributes:
        app: The endpoint id.
        full_path: The app's path, with that of its WebSocket.
    """

    __slots__ = (
        "_alias", "_hosts", "_key", "_proxies", "_settings", "_ssl", "_token", "_tokens", "app", "full_path",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        path: str | None,
        settings: ConnectionSettings,
        *,
        hosts: Hosts,
        key: Key | None,
        tokens: TokenCache | None,
        ssl_context: Callable[[], Awaitable[tls.SSLContext]],
        proxies: Proxies,
    ) -> None:
        self._alias, self._settings, self._hosts = endpoint.alias, settings, hosts
        self.app, self.full_path = endpoint.app_id, endpoint.realtime_path(path)
        # Either the key goes in the header, or tokens are fetched.
        self._key, self._tokens = key, tokens
        self._token: Token | None = None
        self._ssl, self._proxies = ssl_context, proxies

    @property
    def renewable(self) -> bool:
        """Whether a refused credential can be replaced by a new one."""
        return self._tokens is not None

    async def open(self) -> Socket:
        """Open a socket, with a token fetched if need be.

        Raises:
            Exception: :meth:`loss_of_opening` says what it means.
        """
        from falrt.connection.dialing import open_socket

        settings = self._settings
        async with asyncio.timeout(settings.open_timeout) as limit:
            headers = {}
            if self._tokens is not None:
                self._token = await self._get_token(self._tokens, limit)
            elif self._key is not None:
                headers["Authorization"] = self._key.header
            url = self._hosts.realtime_url(
                self.full_path,
                token=None if self._token is None else self._token.value,
                max_buffering=settings.max_buffering,
            )
            proxy = self._proxies.to(url)
            return await open_socket(
                url,
                headers=headers,
                ssl=await self._ssl() if self._hosts.secure or (proxy and proxy.scheme == "https") else None,
                max_size=settings.max_size,
                proxy=proxy,
                compression=settings.compression,
                user_agent=USER_AGENT,
            )

    async def _get_token(self, tokens: TokenCache, limit: asyncio.Timeout) -> Token:
        custom_path = self._settings.path is not None
        try:
            return await tokens.get(self.full_path, self._alias, custom_path=custom_path)
        except asyncio.CancelledError:
            if not limit.expired():
                raise
            # Said here, where it is known what was waited for: no handshake had begun.
            raise ConnectTimeoutError(f"{tokens.source} returned no token in time (open_timeout)") from None

    def loss_of_opening(self, exc: Exception) -> Loss:
        """Say what a failed :meth:`open` means."""
        if isinstance(exc, TokenRequestError):
            return Loss(Cause.TOKEN, status=exc.status, error=exc, passing=exc.passing)
        if isinstance(exc, ConnectError):
            # The way to the token, which passes like that to the app.
            if isinstance(exc.__cause__, tls.SSLCertVerificationError):
                return Loss(Cause.SETUP, error=exc)
            return Loss(Cause.TIMEOUT if isinstance(exc, TimeoutError) else Cause.NETWORK, error=exc)
        if isinstance(exc, AuthenticationError | ConfigurationError | MissingDependencyError):
            return Loss(Cause.SETUP, error=exc)
        if isinstance(exc, FalrtError):
            return Loss(Cause.TOKEN, error=exc)
        from falrt.connection.losses import loss_of_opening

        return loss_of_opening(exc, self.app, urlsplit(self._hosts.socket).netloc, self._hide)

    def _hide(self, text: str) -> str:
        return redact(text if self._key is None else self._key.hide(text))

    def refused(self) -> None:
        """The gateway refused the present token: the next opening needs another."""
        if self._tokens is not None and self._token is not None:
            self._tokens.refused(self.full_path, self._token)

    def begin(self) -> None:
        """Keep the token fresh from now on."""
        if self._tokens is not None:
            self._tokens.in_use(self.full_path)

    def end(self) -> None:
        """The token need not be kept fresh any more."""
        if self._tokens is not None:
            self._tokens.release(self.full_path)
