"""Who may come in: keys, and the tokens that stand for them.

Source: wire facts W40 to W46, docs/reference/wire.md.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from falrt.testing.tokens import is_signed, make_token, read_claims

if TYPE_CHECKING:
    from collections.abc import Iterable

    from falrt.local.options import LocalOptions

__all__ = ["Gate"]

_DEFAULT_SECONDS = 60
_REALTIME_SECONDS = 120
_LONGEST_REALTIME_SECONDS = 120
_LONGEST_SHORT_FORM_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Gate:
    """Checks keys and tokens. Its tokens are good for this server only, until it ends.

    Attributes:
        options: Whether keys are looked at, and which one is good.
        secret: What tokens are signed with.
    """

    options: LocalOptions
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def admits_key(self, authorization: str | None) -> bool:
        """Whether an ``Authorization`` header opens the door: ``Key <key>`` or ``Bearer <key>``."""
        if not self.options.check_keys:
            return True
        scheme, _, key = (authorization or "").strip().partition(" ")
        key = key.strip()
        if scheme.lower() not in ("key", "bearer") or not key:
            return False
        return self.options.key is None or secrets.compare_digest(key.encode(), self.options.key.encode())

    def admits_token(self, token: str | None, path: str) -> bool:
        """Whether a token is ours, has not expired and was made for this path.

        Args:
            token: The query's ``fal_jwt_token``.
            path: ``owner/alias/...``, the socket's path.
        """
        if not self.options.check_keys:
            return True
        if not token or not is_signed(token, secret=self.secret):
            return False
        claims = read_claims(token)
        return claims["exp"] > time.time() and _covers(claims["allowed_apps"], path)

    def mint(self, body: Any) -> str:
        """Make a token for ``POST /tokens/`` (wire fact W42).

        Raises:
            ValueError: The body is wrong; the one argument is the list that becomes ``detail``.
        """
        apps = body.get("allowed_apps") if isinstance(body, dict) else None
        if apps is None:
            raise ValueError([_wrong("allowed_apps", "missing", "Field required")])
        if not isinstance(apps, list) or not apps or not all(isinstance(app, str) and app for app in apps):
            raise ValueError([_wrong("allowed_apps", "list_type", "Input should be a valid list of strings")])
        return self._token(apps, _seconds(body, _DEFAULT_SECONDS))

    def mint_realtime(self, body: Any, known: Iterable[str]) -> str:
        """Make a token for ``POST /tokens/realtime`` (wire fact W43, as the service's own schema has it).

        Args:
            body: The decoded request.
            known: Full paths of the realtime endpoints there are.

        Raises:
            ValueError: As `mint`'s.
        """
        app = body.get("app") if isinstance(body, dict) else None
        if app is None:
            raise ValueError([_wrong("app", "missing", "Field required")])
        if not isinstance(app, str) or not app:
            raise ValueError([_wrong("app", "string_type", "Input should be a valid string")])
        seconds = _seconds(body, _REALTIME_SECONDS)
        if app.count("/") < 2:
            return self._token([app], min(seconds, _LONGEST_SHORT_FORM_SECONDS))
        if app not in known:
            raise ValueError([_wrong("app", "value_error", f"{app} is not a realtime endpoint")])
        if seconds > _LONGEST_REALTIME_SECONDS:
            raise ValueError(
                [_wrong("token_expiration", "less_than_equal", "Input should be less than or equal to 120")]
            )
        return self._token([app], seconds)

    def _token(self, apps: list[str], seconds: int) -> str:
        return make_token({"allowed_apps": apps}, lifetime=seconds, secret=self.secret)


def _covers(apps: list[str], path: str) -> bool:
    """Whether a list of aliases, ``owner/alias`` ids or full paths includes a path."""
    segments = path.strip("/").split("/")
    names = {"/".join(segments), "/".join(segments[:2])}
    if len(segments) > 1:
        names.add(segments[1])
    return not names.isdisjoint(apps)


def _seconds(body: dict[str, Any], default: int) -> int:
    seconds = body.get("token_expiration", default)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < 1:
        raise ValueError([_wrong("token_expiration", "int_type", "Input should be a valid integer above 0")])
    return seconds


def _wrong(name: str, kind: str, message: str) -> dict[str, Any]:
    """One entry of a 422's ``detail``, as fal's services write it."""
    return {"loc": ["body", name], "msg": message, "type": kind}
