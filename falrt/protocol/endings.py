"""The errors with which connections, sessions and requests end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from falrt.exceptions import (
    ConnectError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    FalrtError,
    RequestDropped,
    RequestTimeout,
    ServerError,
    UnauthorizedError,
)
from falrt.protocol.loss import Cause, Loss, Verdict, verdict_on
from falrt.protocol.wire.endpoint import redact
from falrt.protocol.wire.messages import IdleTimeout, ServerFault, Unauthorized

__all__ = [
    "ending_of_connection",
    "ending_of_session",
    "ending_of_unanswered",
    "in_order",
    "leaving_for",
    "no_such_app",
    "request_dropped",
    "request_not_resent",
    "request_timeout",
    "still_cold",
    "with_unsent",
]


def in_order(loss: Loss) -> bool:
    """Whether a socket ended as it should."""
    return verdict_on(loss) is Verdict.REST and loss.cause is not Cause.SERVER_FAULT


def leaving_for(control: IdleTimeout | Unauthorized | ServerFault, app: str) -> Loss:
    """Return the loss that a terminal control message announces."""
    if isinstance(control, IdleTimeout):
        return Loss(Cause.IDLE, 1000, reason="no inputs")
    if isinstance(control, Unauthorized):
        refused = UnauthorizedError(
            f"the gateway refused the credential for {app!r}: Unauthorized; "
            "check FAL_KEY or key=... against https://fal.ai/dashboard/keys, its scope (API), and the app id"
        )
        return Loss(Cause.UNAUTHORIZED, reason="Unauthorized", error=refused)
    # A server may quote the request: its URL holds the token. The payload is shown in no text, and stays as it came.
    reason = redact(control.reason)
    fault = ServerError(redact(control.error), reason, payload=control.payload)
    return Loss(Cause.SERVER_FAULT, reason=reason, error=fault)


def ending_of_connection(loss: Loss, unsent: Sequence[Any]) -> FalrtError:
    """Return what everybody is told when a loss ends a connection for good."""
    if isinstance(loss.error, FalrtError) and not in_order(loss):
        return loss.error
    kind = ConnectionClosedOK if in_order(loss) else ConnectionClosedError
    error = kind(loss.code, loss.reason, unsent=unsent)
    error.__cause__ = loss.error
    return error


def ending_of_unanswered(error: FalrtError) -> FalrtError:
    """Return what the caller of an unanswered request, or a stream, is told when its connection ends."""
    if not isinstance(error, ConnectionClosedOK):
        return error
    return ConnectionClosedError(
        error.code, error.reason or "closed before the answer came", unsent=error.unsent
    )


def ending_of_session(loss: Loss, unsent: Sequence[Any]) -> FalrtError:
    """Return how a session of a mode that ends was over."""
    if in_order(loss):
        ours = loss.cause is Cause.RECYCLED
        return ConnectionClosedOK(1000, loss.reason if ours else "the app ended the stream", unsent=unsent)
    if isinstance(loss.error, FalrtError) and not unsent:
        return loss.error
    error = ConnectionClosedError(loss.code, loss.reason or "the session was lost", unsent=unsent)
    error.__cause__ = loss.error
    return error


def with_unsent(error: FalrtError | None, unsent: tuple[Any, ...]) -> ConnectionClosed:
    """Return why nothing more comes in the form that hands inputs back; None: a session has ended."""
    if error is None:
        return ConnectionClosedOK(1000, unsent=unsent)
    kind = ConnectionClosedOK if isinstance(error, ConnectionClosedOK) else ConnectionClosedError
    code, reason = (error.code, error.reason) if isinstance(error, ConnectionClosed) else (1006, str(error))
    closed = kind(code, reason, unsent=unsent)
    closed.__cause__ = error
    return closed


def no_such_app(app: str, loss: Loss) -> ConnectError:
    """Return the error of an app that never answered and whose sockets are all closed at once."""
    said = f" {loss.reason!r}" if loss.reason else ""
    return ConnectError(
        f"no such realtime app? check the id {app!r} and its path: "
        f"each socket was closed at once (code {loss.code}{said})"
    )


def still_cold(app: str, warmup_timeout: float) -> RequestTimeout:
    """Return the error of a model that did not become warm in time."""
    hint = "" if "klein" in app else "; of fal's models, fal-ai/flux-2/klein/realtime is known to answer"
    return RequestTimeout(
        f"{app!r} did not answer within {warmup_timeout:g} s (warmup_timeout): "
        f"its sockets open, take inputs and close{hint}"
    )


def request_timeout(app: str, waited: float, *, left: bool, state: str, last: Loss | None) -> RequestTimeout:
    """Return the error of a request whose time is up; ``last``: why the last socket broke off, if it did."""
    where = "was not answered" if left else f"could not be sent (the connection is {state})"
    text = f"the request to {app!r} {where} within {waited:.3g} s"
    if last is None:
        return RequestTimeout(text)
    error = RequestTimeout(
        f"{text}; the last socket: {last.error or last.reason or 'lost'} (code {last.code})"
    )
    error.__cause__ = last.error
    return error


def request_dropped() -> RequestDropped:
    """Return the error of a request that the server dropped, and that may leave only once."""
    return RequestDropped(
        "the server silently dropped this input (it answered a later one first), "
        "and resend=False keeps it from being sent again"
    )


def request_not_resent(loss: Loss) -> RequestDropped:
    """Return the error of a request whose socket was lost, and that may leave only once."""
    error = RequestDropped(
        f"the connection was lost before the answer came ({loss.error or loss.reason or 'no reason given'}, "
        f"code {loss.code}), and resend=False keeps the request from being sent again"
    )
    error.__cause__ = loss.error
    return error
