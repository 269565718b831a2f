"""fal's gateway: which keys and tokens are good, and what each form of token request is answered with.

Simulated: the key in a header, both token endpoints in every form that fal's pages and clients show, lifetimes
and caps, and what a token covers (wire facts W40 to W48). Not simulated: balances, key scopes, rate limits.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from falrt.testing.allowed import check_fields
from falrt.testing.platform.jwt import SECRET, is_signed, make_token, read_claims
from falrt.testing.platform.port import Refused, Request, Response, invalid, refused

__all__ = ["GENERAL", "REALTIME", "Gateway", "TokenReplyForm", "TokenRequest"]

TokenReplyForm: TypeAlias = Literal["string", "token", "jwt", "detail"]
"""How a token comes back: a bare JSON string as from fal, or a map with this key as from some backends."""

GENERAL: Final = "/tokens/"
REALTIME: Final = "/tokens/realtime"

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


@dataclass(slots=True)
class Gateway:
    """Makes tokens and judges credentials.

    Attributes:
        key: The only good key; None: every key that is not empty.
        auth: False lets everybody in, with or without credentials.
        strict: Play the service as its own schema has it: `/tokens/` knows apps by their alias only,
            `/tokens/realtime` takes `app` only, of a realtime endpoint that exists, for 120 s at most. By
            default, what fal's documentation shows works too.
        token_lifetime: Seconds that every token lives, whatever was asked for. None: what was asked, within
            the service's caps.
        token_reply: How tokens come back.
        secret: What tokens are signed with.
        forbidden: Apps that no key and no token may use, by their ids.
        knows: Whether a full path is a realtime endpoint; for the strict gateway.
        requests: Every token request so far.
    """

    key: str | None = None
    auth: bool = True
    strict: bool = False
    token_lifetime: float | None = None
    token_reply: TokenReplyForm = "string"  # noqa: S105  # a form, not a secret
    secret: bytes = field(default=SECRET, repr=False)
    forbidden: Collection[str] = ()
    knows: Callable[[str], bool] = field(default=lambda _: True, repr=False)
    requests: list[TokenRequest] = field(default_factory=list)
    # Ids of the tokens made here, and of those that expire_all() has ended before their time.
    _minted: list[str] = field(default_factory=list, repr=False)
    _expired: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        """Check each value."""
        check_fields(self)

    def expire_all(self) -> None:
        """Let every token made so far be too old from now on, whatever its `exp` says."""
        self._expired.update(self._minted)

    def has_good_key(self, headers: Mapping[str, str]) -> bool:
        """Whether an ``Authorization`` header holds a good key: ``Key <key>``, or ``Bearer <key>``."""
        if not self.auth:
            return True
        scheme, _, key = headers.get("authorization", "").strip().partition(" ")
        schemes = ("key",) if self.strict else ("key", "bearer")
        key = key.strip()
        if scheme.lower() not in schemes or not key:
            return False
        return self.key is None or secrets.compare_digest(key.encode(), self.key.encode())

    def check(self, request: Request, now: float) -> None:
        """Let a request or a handshake pass if it has a good key or token, and one that may use its app.

        Args:
            request: A WebSocket handshake, or an HTTP request that may carry a token.
            now: Seconds since the epoch.

        Raises:
            Refused: 401 or 403, in the service's words (wire fact W46); its text says why.
        """
        token = request.query.get("fal_jwt_token")
        if self.auth and not request.via_proxy and token is None:
            self._check_key(request)
        elif self.auth and not request.via_proxy and token is not None:
            self._check_token(token, request, now)
        self._check_app(request.path)

    def is_token_request(self, request: Request) -> bool:
        """Whether a request is for one of the token endpoints."""
        known = request.path in (GENERAL, GENERAL.rstrip("/"), REALTIME)
        return request.host == "rest.fal.ai" and request.method == "POST" and known

    def answer(
        self, request: Request, now: float, *, lifetime: float | None = None, fault: Refused | None = None
    ) -> Response:
        """Answer a call of a token endpoint and record it.

        Args:
            request: One that `is_token_request` knows.
            now: Seconds since the epoch.
            lifetime: Seconds that this token lives, for a fault; negative for one that is already too old.
            fault: What to answer instead of a token.
        """
        path = REALTIME if request.path == REALTIME else GENERAL
        token = body = None
        try:
            if fault is not None:
                raise fault
            if not request.via_proxy:
                self._check_key(request)
            body = request.json()
            token, response = self._mint(path, body, now, lifetime)
        except Refused as exc:
            response = exc.response
        self.requests.append(TokenRequest(path, body, response.status, token, request.via_proxy, now))
        return response

    # Inside.

    def _check_key(self, request: Request) -> None:
        if not self.has_good_key(request.headers):
            has_key = bool(request.headers.get("authorization", "").partition(" ")[2].strip())
            detail = "No user found for Key ID and Secret" if has_key else "Unauthorized"
            raise refused(401, detail, why="no token and no good key")

    def _check_token(self, token: str, request: Request, now: float) -> None:
        try:
            claims = read_claims(token)
        except ValueError as exc:
            raise refused(401, "Unauthorized", why=str(exc)) from None
        if not is_signed(token, secret=self.secret):
            raise refused(401, "Unauthorized", why="the token was not made here")
        if claims.get("exp", 0) <= now or claims.get("jti") in self._expired:
            raise refused(401, "Unauthorized", why="the token has expired")
        if not self._covers(claims, request.path):
            raise refused(403, "Forbidden", why="the token is for another app")

    def _check_app(self, name: str) -> None:
        """Refuse a forbidden app, by its id, by a path below it, or by its alias as token requests name it."""
        name = name.strip("/")
        for app in self.forbidden:
            if name == app.rpartition("/")[2] or f"{name}/".startswith(f"{app}/"):
                raise refused(403, "Forbidden", why=f"{app} is forbidden")

    def _mint(self, path: str, body: Any, now: float, lifetime: float | None) -> tuple[str, Response]:
        form = self.token_reply
        given = body if isinstance(body, dict) else {}
        is_documented = (
            path == REALTIME and not self.strict and "app" not in given and "allowed_apps" in given
        )
        if path == GENERAL or is_documented:
            grant: dict[str, Any] = {"allowed_apps": _names(given)}
        else:
            grant = {"app": _app(given)}
        apps = grant.get("allowed_apps") or [grant["app"]]
        for app in apps:
            self._check_app(app)
        longest = None if path == GENERAL else self._longest(apps)
        if is_documented and form == "string":
            form = "token"
        name = "duration" if is_documented and "token_expiration" not in given else "token_expiration"
        asked = given.get(name, GENERAL_LIFETIME if path == GENERAL else REALTIME_LIFETIME)
        if not isinstance(asked, int) or isinstance(asked, bool):
            raise invalid("int_type", ["body", name], "Input should be a valid integer", asked)
        if asked < 1:
            raise invalid("greater_than", ["body", name], "Input should be greater than 0", asked)
        if self.strict and path == REALTIME and asked > REALTIME_LIFETIME:
            text = f"Input should be less than or equal to {REALTIME_LIFETIME}"
            raise invalid("less_than_equal", ["body", name], text, asked)
        seconds: float = asked if longest is None else min(asked, longest)
        if self.token_lifetime is not None:
            seconds = self.token_lifetime
        token_id = uuid.uuid4().hex
        token = make_token(
            {**grant, "jti": token_id},
            lifetime=seconds if lifetime is None else lifetime,
            issued_at=now,
            secret=self.secret,
        )
        self._minted.append(token_id)
        return token, Response.json(201, token if form == "string" else {form: token})

    def _longest(self, apps: Collection[str]) -> int:
        """Return the cap of `/tokens/realtime`: short for a whole app, longer for a named endpoint."""
        if any(app.strip("/").count("/") < 2 for app in apps):
            return SHORT_FORM_LIFETIME
        for app in apps if self.strict else ():
            if not self.knows(app.strip("/")):
                raise invalid("value_error", ["body", "app"], f"{app} is not a realtime endpoint", app)
        return REALTIME_LIFETIME

    def _covers(self, claims: Mapping[str, Any], path: str) -> bool:
        """Whether a token is good for a path: by the app's alias, its id, or a path at or above this one."""
        segments = path.strip("/").split("/")
        id_length = 3 if segments[0] in ("workflows", "comfy") else 2
        names = {"/".join(segments[:length]) for length in range(id_length, len(segments) + 1)}
        if len(segments) >= id_length:
            names.add(segments[id_length - 1])
            if self.strict and "allowed_apps" in claims:
                names = {segments[id_length - 1]}
        granted = claims.get("allowed_apps", [claims.get("app", "")])
        return not names.isdisjoint(str(name).strip("/") for name in granted)


def _names(body: Mapping[str, Any]) -> list[str]:
    apps = _required(body, "allowed_apps")
    if not isinstance(apps, list) or not apps or not all(isinstance(app, str) and app for app in apps):
        raise invalid("list_type", ["body", "allowed_apps"], "Input should be a valid list of strings", apps)
    return list(apps)


def _app(body: Mapping[str, Any]) -> str:
    app = _required(body, "app")
    if not isinstance(app, str) or not app:
        raise invalid("string_type", ["body", "app"], "Input should be a valid string", app)
    return str(app)


def _required(body: Mapping[str, Any], name: str) -> Any:
    if body.get(name) is None:
        raise invalid("missing", ["body", name], "Field required", dict(body))
    return body[name]
