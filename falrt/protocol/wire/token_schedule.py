"""When a token is good for a handshake, when to renew it, and when to try again.

A token matters at one moment only: the next handshake. So the machine answers two questions: may this token
be shown to the gateway now (``usable``), and when should another be fetched in the background so that a
reconnect finds one ready (``next_deadline``)? With a lifetime L counted from the arrival::

    0 ............................ 0.90 L .......... L - margin ...... L
      usable                       renew             not shown any     expired
                                                     more

    margin: 5 % of L, at least 2 s, at most 10 % of L

After a failed renewal the next try is 5 % of L later, at least one second, but always once more before the
token expires; after that the pauses double, up to a minute, for as long as the trouble is passing. A refusal
that is final stops the machine: whoever needs a token next asks again, and is told.

``now`` is monotonic seconds. ``wall_now`` is seconds since the epoch; it is compared with the JWT's ``exp``
and notices what the monotonic clock sleeps through: a laptop that was closed for an hour.

Source: wire facts W48 and W49, docs/reference/wire.md.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from typing import Final

from falrt.protocol.numbers import finite

__all__ = ["TokenClaims", "TokenSchedule", "looks_like_jwt", "read_claims", "token_lifetime"]

_RENEW_FRACTION: Final = 0.9
_RETRY_FRACTION: Final = 0.05
_MIN_RETRY_DELAY: Final = 1.0
_MAX_RETRY_DELAY: Final = 60.0
# A handshake takes up to a few seconds; a token that ends on the way is refused at the far end.
_MIN_MARGIN: Final = 2.0
_MAX_MARGIN_FRACTION: Final = 0.1
# Closer to the end than this, one more try before expiry could not finish.
_LAST_TRY_ROOM: Final = 0.2

_BASE64URL: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a JWT says about its own time, in seconds since the epoch; None where it says nothing usable.

    Attributes:
        expires_at: The ``exp`` claim.
        issued_at: The ``iat`` claim.
    """

    expires_at: float | None = None
    issued_at: float | None = None


def looks_like_jwt(text: str) -> bool:
    """Whether a text is three non-empty base64url parts joined by dots."""
    parts = text.split(".")
    return len(parts) == 3 and all(part and _BASE64URL.issuperset(part) for part in parts)


def read_claims(token: str) -> TokenClaims:
    """Read a JWT's times without its key; anything unreadable gives empty claims.

    The signature is not checked: the gateway does that, and a wrong time here costs one refused handshake.
    """
    if not looks_like_jwt(token):
        return TokenClaims()
    middle = token.split(".")[1]
    try:
        padded = middle.replace("-", "+").replace("_", "/") + "=" * (-len(middle) % 4)
        claims = json.loads(binascii.a2b_base64(padded))
    except (ValueError, RecursionError):  # binascii's, json's and Unicode's errors are ValueErrors.
        return TokenClaims()
    if not isinstance(claims, dict):
        return TokenClaims()
    return TokenClaims(expires_at=finite(claims.get("exp")), issued_at=finite(claims.get("iat")))


def token_lifetime(token: str, *, wall_now: float, configured: float | None) -> float | None:
    """Return for how many seconds a token that has just arrived will be good.

    Args:
        token: The token; a JWT with an ``exp`` claim speaks for itself.
        wall_now: Seconds since the epoch at its arrival.
        configured: What to assume of a token that does not say, in seconds.

    Returns:
        Positive seconds; None where neither the token nor the configuration tells. A token that seems to have
        expired on arrival more likely shows that this machine's clock is wrong, and gets the lifetime between
        its ``iat`` and ``exp``, else the configured one, so that the gateway may judge.
    """
    claims = read_claims(token)
    if claims.expires_at is None:
        return configured
    left = claims.expires_at - wall_now
    whole = None if claims.issued_at is None else claims.expires_at - claims.issued_at
    if whole is not None and whole > 0:
        # With a clock that is behind, `left` is longer than the token ever was.
        return min(left, whole) if left > 0 else whole
    return left if left > 0 else configured


class TokenSchedule:
    """The time-table of one token at a time.

    A fresh machine holds no token: ``usable`` is False and nothing is due.
    """

    def __init__(self) -> None:
        # Monotonic and wall-clock end of the token; None without a token or where its lifetime is unknown.
        self.expires_at: float | None = None
        self._wall_expires_at: float | None = None
        # Seconds between the token's arrival and its end.
        self._lifetime = 0.0
        # When the next background fetch is due; set by fetched() and failed().
        self._renew_at: float | None = None
        # Failed renewals since the token expired.
        self._failures = 0

    def fetched(self, lifetime: float | None, now: float, wall_now: float) -> None:
        """A token has arrived that is good for ``lifetime`` seconds.

        With None it is good for those who waited for it and nobody later, since it may expire at any moment.
        """
        self.dropped()
        if lifetime is None:
            return
        self._lifetime = lifetime
        self.expires_at = now + lifetime
        self._wall_expires_at = wall_now + lifetime
        # However short a life a token claims, its renewals do not become a stream of requests.
        self._renew_at = now + max(_RENEW_FRACTION * lifetime, _MIN_RETRY_DELAY)

    def failed(self, now: float, *, passing: bool) -> None:
        """A fetch has failed; the token at hand stays. Unless that is ``passing``, the background renewal stops."""
        self._renew_at = None
        if not passing or self.expires_at is None:
            return
        delay = max(_RETRY_FRACTION * self._lifetime, _MIN_RETRY_DELAY)
        left = self.expires_at - now
        if left <= _LAST_TRY_ROOM:
            self._failures += 1
            delay = min(delay * 2.0 ** min(self._failures, 10), max(delay, _MAX_RETRY_DELAY))
        elif delay > 0.9 * left:
            # Not `>= left`: rounding could put a try at the very instant of the end.
            delay = left / 2
        self._renew_at = now + delay

    def dropped(self) -> None:
        """The token is no good any more: refused by the gateway, or replaced."""
        self.expires_at = self._wall_expires_at = self._renew_at = None
        self._failures = 0

    def usable(self, now: float, wall_now: float) -> bool:
        """Whether a handshake may start with the token: it is not about to expire."""
        if self.expires_at is None or self._wall_expires_at is None:
            return False
        left = min(self.expires_at - now, self._wall_expires_at - wall_now)
        share = _RETRY_FRACTION * self._lifetime
        return left > min(max(share, _MIN_MARGIN), _MAX_MARGIN_FRACTION * self._lifetime)

    def next_deadline(self) -> float | None:
        """Monotonic time of the next background fetch; None where none is planned."""
        return self._renew_at
