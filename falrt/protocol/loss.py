"""What happened to a socket, and what follows from it.

Source:
    Close codes and handshakes: wire facts W10 to W16, docs/reference/wire.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["Cause", "Loss", "Verdict", "verdict_on"]


class Cause(StrEnum):
    """Why a socket is gone, or never came."""

    CLOSED = "closed"
    """A close frame, or the end of the stream without one (code 1006)."""
    NETWORK = "network"
    """An operating system error: refused, reset, unreachable, name not found."""
    TIMEOUT = "timeout"
    """The handshake did not finish in time."""
    HANDSHAKE = "handshake"
    """An HTTP status instead of an upgrade, or a reply that is not HTTP."""
    SILENCE = "silence"
    """The peer answers no ping: half-open."""
    UNAUTHORIZED = "unauthorized"
    """Token or key refused, by frame or by status."""
    TOKEN = "token"  # noqa: S105 - a cause, not a credential
    """No token could be had."""
    SERVER_FAULT = "server_fault"
    """The app or the gateway reported an error; the socket is done with."""
    BAD_FRAME = "bad_frame"
    """A frame that cannot be read, or is too large."""
    IDLE = "idle"
    """TIMEOUT from the server: nothing came in for a while, or the stream is at its end."""
    RECYCLED = "recycled"
    """We closed it ourselves, to start with clean pairing or to save money."""
    SETUP = "setup"
    """Trying again cannot help: certificate, address, redirect."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What happened to a socket.

    Attributes:
        cause: The kind of event.
        code: WebSocket close code; 1006 where no close frame came.
        status: HTTP status of a refused handshake or token request.
        reason: The peer's words, or ours; holds no credential.
        error: What to raise if this loss is final or is an input's own fault.
        passing: For ``TOKEN``: the failure may pass. Elsewhere decided by :func:`verdict_on`.
        retry_after: Seconds that the server asked us to wait, if it did.
    """

    cause: Cause
    code: int = 1006
    status: int | None = None
    reason: str = ""
    error: Exception | None = None
    passing: bool = False
    retry_after: float | None = None


class Verdict(StrEnum):
    """What follows a loss."""

    REST = "rest"
    """An ordinary end: reopen when there is something to send."""
    RETRY = "retry"
    """Passing: come back, with backoff."""
    RENEW = "renew"
    """The credential was refused: try once with a new token."""
    FINAL = "final"
    """Trying again cannot help."""


# RFC 6455 and its registry. 1000 and 1005 are ordinary ends; 1001, 1006 and 1011 to 1014 are restarts and failures
# of the runner or the way to it. 1008, 3000, 3003 and an app's own codes may mean a token that has expired, which the
# service is not known to say otherwise. The others say that what we sent cannot be taken, which does not pass.
_REST_CODES: Final = frozenset({1000, 1005})
_PASSING_CODES: Final = frozenset({1001, 1006, 1011, 1012, 1013, 1014, 1015})
_REFUSING_CODES: Final = frozenset({1008, 3000, 3003, *range(4000, 5000)})
_PASSING_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_PASSING_CAUSES: Final = frozenset({Cause.NETWORK, Cause.TIMEOUT, Cause.SILENCE, Cause.BAD_FRAME})
_REST_CAUSES: Final = frozenset({Cause.IDLE, Cause.RECYCLED, Cause.SERVER_FAULT})


def verdict_on(loss: Loss) -> Verdict:
    """Return what follows a loss, by cause, close code or status."""
    if loss.cause in _REST_CAUSES:
        return Verdict.REST
    if loss.cause in _PASSING_CAUSES or loss.passing:
        return Verdict.RETRY
    if loss.cause is Cause.UNAUTHORIZED:
        return Verdict.RENEW
    if loss.cause is Cause.CLOSED:
        return _verdict_on_code(loss.code)
    if loss.cause is Cause.HANDSHAKE and (loss.status is None or loss.status in _PASSING_STATUSES):
        return Verdict.RETRY
    return Verdict.FINAL


def _verdict_on_code(code: int) -> Verdict:
    if code in _REST_CODES:
        return Verdict.REST
    if code in _REFUSING_CODES:
        return Verdict.RENEW
    return Verdict.RETRY if code in _PASSING_CODES else Verdict.FINAL
