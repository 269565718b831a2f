"""Tokens for browsers: minted for allowed apps only, for as long as the server's owner says."""

from __future__ import annotations

from typing import Any, Final

from falrt.auth import Key
from falrt.auth.pool import HTTPPool
from falrt.auth.token_requests import TokenRequests
from falrt.exceptions import AuthenticationError, ConfigurationError, ConnectError
from falrt.protocol.numbers import Rule, check_number, finite
from falrt.protocol.wire.endpoint import Endpoint
from falrt.server.allowed import Allowed
from falrt.server.targets import Refused

__all__ = ["TokenDesk"]

_LIFETIME: Final = Rule("1 to 3600 seconds", 1, 3600)


class TokenDesk:
    """Mints tokens.

    Args:
        key: Pays for them.
        base_url: Where fal is; None for fal itself.
        pool: The connections to it.
        allowed: Apps that visitors may use.
        seconds: The longest lifetime.
    """

    def __init__(
        self, key: Key, base_url: str | None, pool: HTTPPool, allowed: Allowed, seconds: float
    ) -> None:
        check_number("token_seconds", seconds, _LIFETIME)
        self._requests = TokenRequests(key=lambda: key, base_url=base_url, http=pool.client)
        self._allowed, self._seconds = allowed, seconds

    async def mint(self, app: object, seconds: object = None) -> str:
        """Return a token for one app.

        Args:
            app: Its id, with or without its realtime path.
            seconds: The lifetime wanted; a longer one than ours, or none, gets ours.

        Raises:
            Refused: 422 for what is no id, 403 for an app that is not on the list, 502 or 503 where fal gives none.
        """
        try:
            endpoint = Endpoint.parse(app)  # type: ignore[arg-type]  # it says so itself
        except ConfigurationError as exc:
            raise Refused(422, str(exc)) from None
        if not self._allowed.admits(endpoint):
            raise Refused(403, f"App {endpoint.app_id} is not allowed here")
        path = endpoint.realtime_path()
        # A path behind the usual one, such as /realtime/bidi or /ws, wants the endpoint that knows paths.
        custom = path != endpoint.app_id and "realtime" in endpoint.path.split("/")
        wanted = finite(seconds)
        lifetime = self._seconds if wanted is None else max(1.0, min(wanted, self._seconds))
        try:
            token, _ = await self._requests.ask(
                path, endpoint.alias, seconds=lifetime, worked=None, custom_path=custom
            )
        except (AuthenticationError, ConnectError) as exc:
            # Whether our key or fal's service is at fault is the owner's business: it is in the cause and the log.
            passing = isinstance(exc, ConnectError) or getattr(exc, "passing", False)
            status = 503 if passing else 502
            raise Refused(status, "No token could be made", retry_after=1.0 if passing else None) from exc
        return token.value

    async def mint_as_asked(self, asked: dict[str, Any]) -> str:
        """Answer a call of one of fal's own token endpoints, which came through the proxy.

        Args:
            asked: The caller's body; its one app must be on our list, whatever else it asks for.

        Raises:
            Refused: As :meth:`mint`, and 422 for a body that names no app, or several.
        """
        names = asked.get("allowed_apps", [])
        names = [*(names if isinstance(names, list) else [names]), asked.get("app")]
        apps = [name for name in names if name is not None]
        if not apps or any(name != apps[0] for name in apps):
            raise Refused(422, "Name one app in allowed_apps: tokens are made for one at a time")
        app = apps[0]
        return await self.mint(self._app_named(app), asked.get("token_expiration", asked.get("duration")))

    def _app_named(self, name: Any) -> Any:
        """Return the app that a caller means: the general endpoint is asked with the alias alone."""
        if not isinstance(name, str) or "/" in name:
            return name
        app = self._allowed.app_with_alias(name)
        if app is None:
            raise Refused(403, f"App {name[:100]!r} is not allowed here")
        return app
