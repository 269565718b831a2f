"""Tokens for tests: shaped like fal's, signed with a secret that everybody may know.

They are JWTs of three parts (wire fact W48), so clients that read `exp` from a token can be tested with them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

__all__ = ["is_signed", "make_token", "read_claims"]

SECRET = b"falrt-testing"


def make_token(
    claims: Mapping[str, Any] | str | None = None,
    *,
    lifetime: float = 120.0,
    issued_at: float | None = None,
    secret: bytes = SECRET,
) -> str:
    """Return a JWT (HS256) that expires.

    Args:
        claims: What it says besides `iat` and `exp`; these win over ours. A string is an app's path, such as
            ``acme/app``, for which the token is then good.
        lifetime: Seconds from `issued_at` to `exp`; negative for a token that has already expired.
        issued_at: Seconds since the epoch; now by default.
        secret: What it is signed with.

    Returns:
        Three base64url parts. `exp` is in whole seconds, except for lifetimes below ten seconds, which tests
        of expiry use and which rounding would spoil.
    """
    if isinstance(claims, str):
        claims = {"app": claims}
    issued_at = time.time() if issued_at is None else issued_at
    expires_at = issued_at + lifetime
    body = {"iat": int(issued_at), "exp": int(expires_at) if abs(lifetime) >= 10 else expires_at}
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part({**body, **(claims or {})})}"
    return f"{signed}.{_base64url(_signature(signed, secret))}"


def read_claims(token: str) -> dict[str, Any]:
    """Return what a token says, without looking at its signature.

    Raises:
        ValueError: It is not a JWT.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError(f"not a JWT: {len(parts)} parts instead of 3")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError as exc:
        raise ValueError("not a JWT: its second part is not base64url JSON") from exc
    if not isinstance(claims, dict):
        raise ValueError("not a JWT: its claims are not a map")
    return claims


def is_signed(token: str, *, secret: bytes = SECRET) -> bool:
    """Whether `make_token` signed this token with this secret."""
    signed, _, signature = token.rpartition(".")
    return hmac.compare_digest(_base64url(_signature(signed, secret)).encode(), signature.encode())


def _part(value: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _signature(signed: str, secret: bytes) -> bytes:
    return hmac.new(secret, signed.encode(), hashlib.sha256).digest()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
