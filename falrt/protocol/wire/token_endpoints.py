"""What to ask fal's two token endpoints, and what their replies mean.

The general endpoint is what the released clients call, with the app's alias; it serves only apps on a list
of the service. The realtime endpoint takes the full path and knows no list, but caps the lifetime. Which of
them serves an app shows only in the asking: a refusal by one (403, 404, 422) is a reason to ask the other.

Source: wire facts W42 to W46, docs/reference/wire.md.
"""

from __future__ import annotations

import json
import math
from enum import StrEnum
from typing import Any, Final

from falrt.protocol.wire.token_schedule import looks_like_jwt

__all__ = [
    "DEFAULT_LIFETIME",
    "TokenEndpoint",
    "asked_lifetime",
    "endpoint_order",
    "is_passing",
    "may_ask_other",
    "read_token",
    "request_body",
    "token_problem",
]

DEFAULT_LIFETIME: Final = 120.0
"""Seconds asked for where the user names none: what both official clients send."""

_MAX_REALTIME_LIFETIME: Final = 120
_MAX_TOKEN_LENGTH: Final = 16_384

# Too early, too many, or the service's own trouble: the same request may succeed in a moment.
_PASSING_STATUSES: Final = frozenset({408, 425, 429})
_ASK_OTHER_STATUSES: Final = frozenset({403, 404, 422})


class TokenEndpoint(StrEnum):
    """The path of a token endpoint below ``https://rest.fal.ai``."""

    GENERAL = "/tokens/"
    REALTIME = "/tokens/realtime"


def endpoint_order(worked: TokenEndpoint | None, *, custom_path: bool) -> tuple[TokenEndpoint, TokenEndpoint]:
    """Return both endpoints, the one to ask first in front.

    The one that ``worked`` for this app before; else the general one, unless the app has another path than
    ``/realtime``, which a general token may not cover (wire fact W42).
    """
    first = worked or (TokenEndpoint.REALTIME if custom_path else TokenEndpoint.GENERAL)
    other = TokenEndpoint.GENERAL if first is TokenEndpoint.REALTIME else TokenEndpoint.REALTIME
    return first, other


def asked_lifetime(endpoint: TokenEndpoint, seconds: float) -> int:
    """Return the whole seconds to ask an endpoint for; the realtime one gives 120 at most."""
    whole = max(1, math.ceil(seconds))
    return min(whole, _MAX_REALTIME_LIFETIME) if endpoint is TokenEndpoint.REALTIME else whole


def request_body(endpoint: TokenEndpoint, *, app_path: str, alias: str, seconds: float) -> dict[str, Any]:
    """Return the JSON body of a token request, for a path such as ``a/b/realtime`` or its alias, such as ``b``."""
    lifetime = asked_lifetime(endpoint, seconds)
    if endpoint is TokenEndpoint.GENERAL:
        return {"allowed_apps": [alias], "token_expiration": lifetime}
    # The schema and the documentation name the same things differently; both sets satisfy every report.
    return {"app": app_path, "allowed_apps": [app_path], "token_expiration": lifetime, "duration": lifetime}


def may_ask_other(status: int) -> bool:
    """Whether a refusal with this status leaves hope that the other endpoint serves the app."""
    return status in _ASK_OTHER_STATUSES


def is_passing(status: int) -> bool:
    """Whether the same request may succeed a little later."""
    return status >= 500 or status in _PASSING_STATUSES


def read_token(body: str) -> str | None:
    """Return the token in a successful reply, or None where there is none.

    Known forms: a bare JSON string, ``{"token": …}``, ``{"jwt": …}``, ``{"detail": …}`` where it looks like
    a JWT (an error's text stands under the same name), and plain text from people's own backends.
    """
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        reply = body
    if isinstance(reply, dict):
        detail = reply.get("detail")
        fallback = detail if isinstance(detail, str) and looks_like_jwt(detail.strip()) else None
        reply = next((reply[name] for name in ("token", "jwt") if isinstance(reply.get(name), str)), fallback)
    if not isinstance(reply, str):
        return None
    token = reply.strip()
    return None if token_problem(token) else token


def token_problem(token: str) -> str:
    """Say why a text cannot be a token, or return ``""``.

    A token stands in a URL's query, so it is printable ASCII without spaces; the rest of the check keeps an
    error page from passing for one.
    """
    if not token:
        return "it is empty"
    if len(token) > _MAX_TOKEN_LENGTH:
        return f"it is longer than {_MAX_TOKEN_LENGTH} characters"
    if not (token.isascii() and token.isprintable()) or " " in token:
        return "it holds spaces or characters outside ASCII"
    if any(character in "<>{}\"'" for character in token):
        return "it looks like markup or JSON"
    return ""
