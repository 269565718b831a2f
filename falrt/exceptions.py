"""Every error that falrt raises, and what causes it.

::

    FalrtError
    ├─ ConfigurationError (ValueError)        an argument is wrong; nothing was sent
    ├─ MissingDependencyError (ImportError)   an extra is not installed
    ├─ AuthenticationError                    the credential is missing or refused; retrying does not help
    │  ├─ MissingCredentialsError
    │  ├─ TokenRequestError                   the token endpoint or provider gave no usable token
    │  └─ UnauthorizedError                   the gateway refused the token or key
    ├─ ConnectError                           no socket could be opened
    │  ├─ ConnectTimeoutError (TimeoutError)
    │  └─ HandshakeError                      an HTTP status instead of an upgrade
    ├─ ConnectionClosed                       carries code, reason and unsent
    │  ├─ ConnectionClosedOK                  normal end: close(), end of stream, idle
    │  └─ ConnectionClosedError               failed, and will not reconnect
    ├─ CodecError
    │  ├─ EncodeError                         the input cannot be encoded
    │  └─ DecodeError                         a frame from the server cannot be decoded
    ├─ ServerError                            the app or the gateway reported an error
    ├─ ResponseValidationError                a result that does not fit the model's output type
    ├─ RequestDropped                         the server dropped this input (resend=False)
    ├─ RequestTimeout (TimeoutError)          no answer in time
    ├─ QueueFullError                         a bounded buffer overflowed
    ├─ ConcurrencyError                       two callers where only one is allowed
    └─ HTTPCallError                          a call over HTTP failed; carries status, request_id, retryable
       ├─ HTTPStatusError                     an error status instead of a result
       │  └─ HTTPAuthenticationError (UnauthorizedError)   401 or 403
       ├─ RequestFailedError                  a queued job ended in failure
       └─ UploadError                         a file could not be stored

Errors carry data and build their own text. No key or token is ever part of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AuthenticationError",
    "CodecError",
    "ConcurrencyError",
    "ConfigurationError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DecodeError",
    "EncodeError",
    "FalrtError",
    "HTTPAuthenticationError",
    "HTTPCallError",
    "HTTPStatusError",
    "HandshakeError",
    "MissingCredentialsError",
    "MissingDependencyError",
    "QueueFullError",
    "RequestDropped",
    "RequestFailedError",
    "RequestTimeout",
    "ResponseValidationError",
    "ServerError",
    "TokenRequestError",
    "UnauthorizedError",
    "UploadError",
]


class FalrtError(Exception):
    """The root of every error that falrt raises.

    Errors can be copied and pickled, so that they can be passed between threads and processes.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own method calls the class with the finished text, but the classes below take other arguments.
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[FalrtError], args: tuple[Any, ...], attributes: dict[str, Any]) -> FalrtError:
    """Return an error with the text and data of another."""
    error = kind.__new__(kind, *args)
    super(FalrtError, error).__init__(*args)
    error.__dict__.update(attributes)
    return error


class ConfigurationError(FalrtError, ValueError):
    """An argument is wrong; nothing was sent. The text names the argument and the cure."""


class MissingDependencyError(FalrtError, ImportError):
    """An optional package is absent.

    Attributes:
        package: The package that could not be imported.
        extra: The extra that installs it, as in ``pip install falrt[extra]``.
    """

    def __init__(self, package: str, extra: str, purpose: str = "") -> None:
        self.package, self.extra = package, extra
        what = f" for {purpose}" if purpose else ""
        super().__init__(f"{package} is needed{what}: pip install 'falrt[{extra}]'")


class AuthenticationError(FalrtError):
    """The credential is missing or was refused. Retrying with the same one does not help."""


class MissingCredentialsError(AuthenticationError):
    """No key was passed and the environment has none."""


class TokenRequestError(AuthenticationError):
    """The token endpoint or the token provider gave no usable token.

    Attributes:
        status: HTTP status of the last reply, or None where there was none.
        detail: What the endpoint said, shortened; never contains a token.
        passing: A temporary failure of the network or the service, not of the credential: a later request may succeed.
    """

    def __init__(
        self, message: str, *, status: int | None = None, detail: str = "", passing: bool = False
    ) -> None:
        self.status, self.detail, self.passing = status, detail, passing
        super().__init__(message)


class UnauthorizedError(AuthenticationError):
    """The gateway refused the token or key, by handshake status or by frame.

    Attributes:
        status: 401 or 403 where the handshake was refused, else None.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class ConnectError(FalrtError):
    """No socket could be opened."""


class ConnectTimeoutError(ConnectError, TimeoutError):
    """The handshake did not finish within ``open_timeout``."""


class HandshakeError(ConnectError):
    """The server answered the upgrade with an HTTP status other than 101.

    Attributes:
        status: The HTTP status, or None where the reply was not HTTP.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class ConnectionClosed(FalrtError):
    """The connection has ended.

    Attributes:
        code: WebSocket close code; 1006 where no close frame came.
        reason: The close frame's reason, or falrt's description.
        unsent: Inputs that were never sent, oldest first, as they were passed to ``send()`` or ``request()``.
    """

    def __init__(self, code: int, reason: str = "", *, unsent: Sequence[Any] = ()) -> None:
        self.code, self.reason, self.unsent = code, reason, tuple(unsent)
        text = f"connection closed with code {code}"
        if reason:
            text += f": {reason}"
        if self.unsent:
            text += f" ({len(self.unsent)} unsent)"
        super().__init__(text)


class ConnectionClosedOK(ConnectionClosed):
    """The connection ended normally: by ``close()``, at the end of a stream, or idle with ``reconnect=False``."""


class ConnectionClosedError(ConnectionClosed):
    """The connection failed and will not reconnect; ``__cause__`` holds the last failure, if there was one."""


class CodecError(FalrtError):
    """A message could not be encoded, or a frame could not be decoded."""


class EncodeError(CodecError):
    """The input cannot be encoded. Nothing was sent."""


class DecodeError(CodecError):
    """A frame from the server cannot be decoded.

    Attributes:
        size: Length of the frame in bytes (characters for text).
    """

    def __init__(self, message: str, *, size: int = 0) -> None:
        self.size = size
        super().__init__(message)


class ServerError(FalrtError):
    """The app or the gateway reported an error.

    Attributes:
        error: The error code as sent, such as ``INTERNAL_ERROR``.
        reason: The server's explanation; may be empty.
        payload: The whole control message.
    """

    def __init__(self, error: str, reason: str = "", *, payload: Any = None) -> None:
        self.error, self.reason, self.payload = error, reason, payload
        super().__init__(f"{error}: {reason}" if reason else error)


class ResponseValidationError(FalrtError):
    """A result does not fit the model's output type.

    Attributes:
        payload: The result as decoded.
    """

    def __init__(self, message: str, *, payload: Any = None) -> None:
        self.payload = payload
        super().__init__(message)


class RequestDropped(FalrtError):
    """With ``resend=False``: the server dropped this input, or the connection was lost before the answer."""


class RequestTimeout(FalrtError, TimeoutError):
    """The timeout passed without an answer; a late one is not given to another request."""


class QueueFullError(FalrtError):
    """A bounded buffer overflowed.

    Attributes:
        queue: ``"send"`` or ``"receive"``.
        dropped: Results discarded, oldest first, since the last one handed out.
    """

    def __init__(self, queue: str, message: str, *, dropped: int = 0) -> None:
        self.queue, self.dropped = queue, dropped
        super().__init__(message)


class ConcurrencyError(FalrtError):
    """Two callers use something that allows only one, or the call comes from another event loop or process."""


class HTTPCallError(FalrtError):
    """A call over HTTP failed.

    Attributes:
        status: HTTP status of the answer, or None where there was none.
        detail: What the service said: text, a list of problems, or a map, as it came.
        errors: The problems one by one, each a map with ``loc``, ``msg`` and ``type``; empty where it named none.
        error_type: The service's name for the failure, such as ``"runner_disconnected"``; or None.
        request_id: The service's id of the request, for its support; or None.
        retryable: Whether the same request may succeed later.
        retry_after: Seconds that the service asked to wait, or None.
        headers: Headers of the answer, names in lower case.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        detail: Any = None,
        errors: Sequence[Mapping[str, Any]] = (),
        error_type: str | None = None,
        request_id: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        # First, because another parent class may set its own status.
        super().__init__(message)
        self.status, self.detail, self.errors = status, detail, tuple(errors)
        self.error_type, self.request_id = error_type, request_id
        self.retryable, self.retry_after = retryable, retry_after
        self.headers = dict(headers or {})


class HTTPStatusError(HTTPCallError):
    """The service answered with an error status."""


class HTTPAuthenticationError(HTTPStatusError, UnauthorizedError):
    """The service refused the key or token with 401 or 403."""


class RequestFailedError(HTTPCallError):
    """A queued job, or a stream that had begun, failed."""


class UploadError(HTTPCallError):
    """A file could not be stored."""
