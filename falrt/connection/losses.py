"""What the failure or the end of a socket means: one :class:`Loss` for each, in words that name a cure."""

from __future__ import annotations

import ssl as tls
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from falrt.auth.pool import LOOPBACK
from falrt.connection.handshake import NotAnUpgrade, Refused
from falrt.exceptions import (
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    DecodeError,
    HandshakeError,
    MissingDependencyError,
    ServerError,
    UnauthorizedError,
)
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.wire.endpoint import redact

__all__ = ["End", "loss_of_end", "loss_of_opening"]

TOO_BIG: Final = 1009
OUR_COMPLAINTS: Final = frozenset({1002, 1007, TOO_BIG})


@dataclass(frozen=True, slots=True)
class End:
    """How an open socket ended.

    Attributes:
        received: Code and reason of the peer's close frame, where one came.
        complaint: Code and reason of our close frame, where we sent ours first and blamed the peer.
        size: Bytes of the message that was too large, where that was the complaint and the frame told.
        max_size: Bytes that a message may have.
        cause: The error of the network, or what made us give up; None where the stream just ended.
    """

    received: tuple[int, str] | None = None
    complaint: tuple[int, str] | None = None
    size: int = 0
    max_size: int | None = None
    cause: Exception | None = None


def loss_of_end(end: End) -> Loss:
    """Say what the end of an open socket means."""
    if end.complaint is not None and end.complaint[0] in OUR_COMPLAINTS:
        code, reason = end.complaint
        if code == TOO_BIG:
            size = f" of {end.size} bytes," if end.size else ""
            text = f"the server sent a frame{size} larger than max_size={end.max_size} bytes: "
            text += "raise max_size to receive it"
        else:
            text = f"the server broke the WebSocket protocol: {redact(reason) or 'no detail'}"
        return Loss(Cause.BAD_FRAME, code, reason=text, error=DecodeError(text, size=end.size))
    if end.received is None:
        text = "connection lost without a close frame"
        return Loss(Cause.CLOSED, reason=f"{text}: {end.cause}" if end.cause else text)
    code, reason = (
        end.received[0],
        redact(end.received[1]),
    )  # a gateway may quote the URL, which holds the token
    if code == TOO_BIG:
        error = ServerError("MESSAGE_TOO_BIG", reason or "the server accepts only smaller frames")
        return Loss(Cause.SERVER_FAULT, code, reason=reason, error=error)
    return Loss(Cause.CLOSED, code, reason=reason)


def loss_of_opening(exc: Exception, app: str, where: str, hide: Callable[[str], str] = redact) -> Loss:
    """Say what a failed opening means. ``where`` names the host, and ``hide`` removes secrets, for messages."""
    if isinstance(exc, Refused):
        return _loss_of_status(exc, app, where, hide)
    if isinstance(exc, TimeoutError):
        timeout = ConnectTimeoutError(f"timed out waiting for {where} to answer the handshake (open_timeout)")
        return Loss(Cause.TIMEOUT, error=_because(timeout, exc))
    if isinstance(exc, tls.SSLCertVerificationError):
        refused = ConnectError(f"the certificate of {where} cannot be trusted: {exc.verify_message}")
        return Loss(Cause.SETUP, error=_because(refused, exc))
    if isinstance(exc, NotAnUpgrade | EOFError):
        said = hide(str(exc))
        broken = HandshakeError(f"{where} did not answer the upgrade as a WebSocket server: {said}")
        return Loss(Cause.HANDSHAKE, error=broken)
    if isinstance(exc, OSError):
        text = f"cannot reach {where}: {exc}"
        if isinstance(exc, ConnectionRefusedError) and urlsplit(f"//{where}").hostname in LOOPBACK:
            text = f"nothing listens at {where} (FALRT_BASE_URL or base_url); is `falrt serve` running?"
        return Loss(Cause.NETWORK, error=_because(ConnectError(text), exc))
    if isinstance(exc, ConfigurationError | MissingDependencyError | ConnectError):
        return Loss(Cause.SETUP, error=exc)
    said = repr(exc)
    odd = ConnectError(f"cannot connect to {where}: {hide(said)}")
    # Who asks for the cause may log it: one that holds the credential is left out.
    return Loss(Cause.SETUP, error=_because(odd, exc) if hide(said) == said else odd)


def _loss_of_status(exc: Refused, app: str, where: str, hide: Callable[[str], str]) -> Loss:
    status = exc.answer.status
    said = hide(exc.body[:500].decode(errors="replace").strip())[:200]
    if exc.proxy:
        return _loss_by_proxy(exc, where)
    if status in (401, 403):
        refused = UnauthorizedError(
            f"{where} refused the credential for {app!r} with HTTP {status}"
            + (f": {said}" if said else "")
            + "; check FAL_KEY or key=... against https://fal.ai/dashboard/keys, its scope (API), and the app id",
            status=status,
        )
        return Loss(Cause.UNAUTHORIZED, status=status, error=refused)
    text = f"{where} answered the upgrade for {app!r} with HTTP {status}"
    if 300 <= status < 400:
        text += "; redirects are not followed, because the credential is meant for one host: set base_url"
    elif said:
        text += f": {said}"
    retry_after = exc.answer.header("retry-after")
    return Loss(
        Cause.HANDSHAKE,
        status=status,
        error=HandshakeError(text, status=status),
        retry_after=float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else None,
    )


def _loss_by_proxy(exc: Refused, where: str) -> Loss:
    status = exc.answer.status
    if status == 407:
        text = f"the proxy {exc.proxy} refused the user name and password: correct them in its URL (HTTP 407)"
        return Loss(Cause.SETUP, status=status, error=ConfigurationError(text))
    text = f"the proxy {exc.proxy} did not connect to {where}: HTTP {status}"
    return Loss(Cause.HANDSHAKE, status=status, error=HandshakeError(text, status=status))


def _because(error: Exception, cause: Exception) -> Exception:
    """Keep the cause in ``__context__``, for who asks, as ``raise … from None`` would.

    In ``__cause__`` it would be printed with every traceback: dozens of lines of other libraries before the one that
    helps.
    """
    error.__context__, error.__suppress_context__ = cause, True
    return error
