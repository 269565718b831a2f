"""fal's gateway as the fake server plays it: who may connect, and who gets a token.

Simulated, after wire facts W41 to W46 and W14: the key in a header, both token endpoints with their bodies,
lifetimes, caps and status codes, and what a token allows. Not simulated: balances, key scopes, rate limits
(use faults).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from falrt.testing.http11 import HttpReply, HttpRequest
from falrt.testing.tokens import is_signed, make_token, read_claims

__all__ = ["Gateway", "TokenReplyForm", "TokenRequest"]

TokenReplyForm: TypeAlias = Literal["string", "token", "jwt", "detail"]
"""How a token comes back: a bare JSON string as from fal, or a map with this key as from some backends."""

GENERAL: Final = "/tokens/"
REALTIME: Final = "/tokens/realtime"
PROXY: Final = "/api/fal/proxy"

GENERAL_LIFETIME: Final = 60
REALTIME_LIFETIME: Final = 120
SHORT_FORM_LIFETIME: Final = 10
"""Cap for `/tokens/realtime` where `app` names no endpoint, only an app (wire fact W43)."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One call of a token endpoint.

    Attributes:
        path: ``/tokens/`` or ``/tokens/realtime``.
        body: The JSON that was sent, or None where it was none.
        status: What was answered.
        token: The token that was made, or None.
        via_proxy: Whether it came through the proxy URL.
        received_at: Seconds since the epoch.
    """

    path: str
    body: Any
    status: int
    token: str | None = field(repr=False)
    via_proxy: bool
    received_at: float


class Gateway:
    """Mints tokens and judges credentials.

    Args:
        key: The only key that is good; None for any.
        auth: False lets everybody in, with or without credentials.
        token_lifetime: Seconds that every token lives, whatever was asked for. None: what was asked, within
        the
            service's own defaults and caps.
        token_reply: How tokens come back.
    """

    def __init__(
        self, *, key: str | None, auth: bool, token_lifetime: float | None, token_reply: TokenReplyForm
    ) -> None:
        self._key = key
        self._auth = auth
        self._lifetime = token_lifetime
        self._reply_form = token_reply
        # Ids of the tokens that expire() has ended before their time.
        self._expired: set[str] = set()
        self._minted: list[str] = []
        self.requests: list[TokenRequest] = []

    def expire(self) -> None:
        """Let every token made so far be too old from now on, whatever its `exp` says."""
        self._expired.update(self._minted)

    def answer(
        self, request: HttpRequest, *, lifetime: float | None = None, reply: HttpReply | None = None
    ) -> HttpReply | None:
        """Answer a call of a token endpoint and record it.

        Args:
            request: Any HTTP request.
            lifetime: Seconds that this token lives, for a fault; negative for one that is already too old.
            reply: What to answer instead of a token, for a fault.

        Returns:
            The reply, or None where the request is not for a token endpoint.
        """
        path = urlsplit(request.target).path
        via_proxy = path == PROXY
        if via_proxy:
            path = urlsplit(request.headers.get("x-fal-target-url", "")).path
        if path not in (GENERAL, REALTIME) or request.method != "POST":
            return None
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        token = None
        if reply is None:
            reply, token = self._mint(path, body, request.headers, via_proxy=via_proxy, lifetime=lifetime)
        self.requests.append(TokenRequest(path, body, reply.status, token, via_proxy, time.time()))
        return reply

    def refusal(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        """Why a handshake must be refused, or None where it may pass.

        Args:
            path: The WebSocket path, such as ``/fal-ai/flux-2/klein/realtime``.
            query: Its parameters.
            headers: Of the upgrade request, names in lower case.
        """
        if not self._auth:
            return None
        token = query.get("fal_jwt_token")
        if token is None:
            return None if self._is_key(headers) else "no token and no good key"
        try:
            claims = read_claims(token)
        except ValueError as exc:
            return str(exc)
        if not is_signed(token):
            return "the token was not made here"
        if claims.get("exp", 0) <= time.time() or claims.get("jti") in self._expired:
            return "the token has expired"
        if not _covers(claims, path.strip("/")):
            return "the token is for another app"
        return None

    def _is_key(self, headers: Mapping[str, str]) -> bool:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        return scheme == "Key" and bool(value) and self._key in (None, value)

    def _mint(
        self, path: str, body: Any, headers: Mapping[str, str], *, via_proxy: bool, lifetime: float | None
    ) -> tuple[HttpReply, str | None]:
        if self._auth and not via_proxy and not self._is_key(headers):
            return HttpReply.json(401, {"detail": "Unauthorized"}), None
        required = "allowed_apps" if path == GENERAL else "app"
        kind = list if path == GENERAL else str
        value = body.get(required) if isinstance(body, dict) else None
        if not isinstance(value, kind) or not value:
            return _invalid("missing", required, "Field required", body), None
        asked = body.get("token_expiration", GENERAL_LIFETIME if path == GENERAL else REALTIME_LIFETIME)
        if not isinstance(asked, (int, float)):
            return _invalid("int_type", "token_expiration", "Input should be a valid integer", asked), None
        if path == REALTIME:
            cap = REALTIME_LIFETIME if value.strip("/").count("/") > 1 else SHORT_FORM_LIFETIME
            asked = min(asked, cap)
        seconds = lifetime if lifetime is not None else asked if self._lifetime is None else self._lifetime
        token_id = uuid.uuid4().hex
        token = make_token({required: value, "jti": token_id}, lifetime=seconds)
        self._minted.append(token_id)
        wrapped = token if self._reply_form == "string" else {self._reply_form: token}
        return HttpReply.json(201, wrapped), token


def _invalid(kind: str, field_name: str, message: str, value: Any) -> HttpReply:
    error = {"type": kind, "loc": ["body", field_name], "msg": message, "input": value}
    return HttpReply.json(422, {"detail": [error]})


def _covers(claims: Mapping[str, Any], path: str) -> bool:
    """Whether a token is good for a path: an alias for its app, a full path for itself and what is below."""
    segments = path.split("/")
    alias = segments[2:3] if segments[0] in ("workflows", "comfy") else segments[1:2]
    if "allowed_apps" in claims:
        return bool(alias) and alias[0] in claims["allowed_apps"]
    app = str(claims.get("app", "")).strip("/")
    return path == app or path.startswith(f"{app}/") or alias == [app]
