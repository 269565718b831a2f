"""Faults by name: what can go wrong between an app and fal, for `FakeServer(faults=...)`.

Every fault takes three more arguments by name: `times` (how often it happens in all; None: always),
`connection` (only on the connection of this number, counted from 0 as in `FakeServer.connections`) and
`probability` (each time it could happen, drawn from the server's seed). By default a fault happens once, at
the first chance.

Where in a connection's life a fault strikes depends on its family:

- `Refuse`, `Hang`: when TCP comes up; HTTP calls of the token endpoints are spared.
- `RefuseHandshake`, `Unauthorized`, `SlowHandshake`: at the WebSocket upgrade.
- `ColdStart`: instead of a session.
- `CloseWith`, `Reset`, `HangUp`, `HalfOpen`, `StopReading`, `GatewayError`: at a *moment*. ``after=0`` (the
  default) is right after the handshake, ``after=k`` as soon as k answers have left, ``after=None`` after any
  answer, ``inputs=k`` as soon as the k-th input has arrived, before anything is answered to it.
- `Delay`, `Jitter`, `Stall`, `Garbage`, `Truncated`, `Huge`, `CutFrame`: at an answer. ``after=k`` means the
  answer that follows k others, ``after=None`` (the default) any. The last four take the place of the answer.
- `Swallow`: at an input; ``input=k`` means the one of this number, counted from 0.
- `RefuseToken`, `ExpiredToken`, `SlowToken`: at a token endpoint; `connection` then counts token requests.

The faults of the *moment* and *answer* families can also stand in a list of scripted answers, in place of an
answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from falrt.testing.allowed import check_fields, meant
from falrt.testing.platform.app import Instead

__all__ = [
    "AcceptFault",
    "AnswerFault",
    "CloseWith",
    "ColdStart",
    "CutFrame",
    "Delay",
    "ExpiredToken",
    "Fault",
    "Garbage",
    "GatewayError",
    "HalfOpen",
    "HandshakeFault",
    "Hang",
    "HangUp",
    "Huge",
    "Jitter",
    "LateAnswer",
    "MomentFault",
    "Refuse",
    "RefuseHandshake",
    "RefuseToken",
    "Reset",
    "SlowHandshake",
    "SlowToken",
    "Stall",
    "StopReading",
    "Swallow",
    "TokenFault",
    "Truncated",
    "Unauthorized",
]

if not TYPE_CHECKING:  # type checkers find a mistyped name themselves

    def __getattr__(name: str) -> Any:
        raise AttributeError(f"{__name__} has no {meant(name, __all__, 'it has')}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Instead):
    """Something that goes wrong; the families below say when.

    Attributes:
        times: How often in all; None: whenever it can.
        connection: Only on the connection of this number, from 0.
        probability: Of happening, each time it could.

    Raises:
        ConfigurationError: A value is invalid; the text names it and what is allowed.
    """

    stands_for_an_answer: ClassVar[bool] = False
    times: int | None = 1
    connection: int | None = None
    probability: float = 1.0

    def __post_init__(self) -> None:
        """Check each value."""
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptFault(Fault):
    """Strikes when a client has sent its upgrade request and before anything is answered."""


@dataclass(frozen=True, slots=True)
class Refuse(AcceptFault):
    """Reset the TCP connection instead of answering, as a dead port or a killed proxy does."""


@dataclass(frozen=True, slots=True)
class Hang(AcceptFault):
    """Accept TCP and never answer the handshake: what an `open_timeout` is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeFault(Fault):
    """Strikes at the WebSocket upgrade."""


@dataclass(frozen=True, slots=True)
class RefuseHandshake(HandshakeFault):
    """Answer the upgrade with an HTTP status, such as 401, 403, 429, 502 or 503, and ``{"detail": detail}``."""

    status: int
    detail: str = "refused by a fault"


@dataclass(frozen=True, slots=True)
class Unauthorized(HandshakeFault):
    """Upgrade, then say Unauthorized in a text frame, as fal's gateway does (wire fact W24).

    With `close`, the socket is then closed by us; fal's JavaScript client has to close it itself.
    """

    close: bool = False


@dataclass(frozen=True, slots=True)
class SlowHandshake(HandshakeFault):
    """Answer the upgrade this many `seconds` late."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ColdStart(Fault):
    """No machine is warm: the socket opens, ignores inputs, and closes with 1000 after `seconds` (wire fact W15).

    At fal about 30. Use `times` for how many connections it lasts.
    """

    seconds: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentFault(Fault):
    """Strikes at a moment of an open connection.

    Attributes:
        after: As soon as this many answers have left (0: right after the handshake); None: after any answer.
        inputs: Instead: as soon as this many inputs have arrived.
    """

    stands_for_an_answer: ClassVar[bool] = True
    after: int | None = 0
    inputs: int | None = None


@dataclass(frozen=True, slots=True)
class CloseWith(MomentFault):
    """Close the WebSocket with a code: 1000, 1001, 1011, 1012, 1013, or any that may be sent.

    Attributes:
        code: The close code; 1005 is a close frame without one, 1006 no close frame at all.
        reason: At most 123 bytes; without a code there is no reason either.
    """

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reset(MomentFault):
    """Send a TCP reset: the client sees a broken connection, without a close frame."""


@dataclass(frozen=True, slots=True)
class HangUp(MomentFault):
    """End the TCP stream without a close frame (1006 at the client)."""


@dataclass(frozen=True, slots=True)
class HalfOpen(MomentFault):
    """Never answer anything again, pings included, while TCP stays up."""


@dataclass(frozen=True, slots=True)
class StopReading(MomentFault):
    """Stop reading for `seconds` (None: forever): the client's sends fill the kernel's buffers, and then block."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class GatewayError(MomentFault):
    """Send the gateway's error frame, ``{"status": "error", "error": ...}`` (wire fact W25).

    Attributes:
        error: The text; ``Unauthorized`` is the only one known, others exist.
        close: Whether the socket is then closed, with 1000.
    """

    error: str = "Something went wrong"
    close: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFault(Fault):
    """Strikes at an answer.

    Attributes:
        after: At the answer that follows this many others on its connection; None: at any.
    """

    stands_for_an_answer: ClassVar[bool] = True
    after: int | None = None


@dataclass(frozen=True, slots=True)
class LateAnswer(AnswerFault):
    """An answer that comes `seconds` late, and holds up those behind it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Delay(LateAnswer):
    """Send every answer late; unlike `service_time` this does not keep the worker busy."""

    times: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Jitter(LateAnswer):
    """Send every answer late by a random time of up to `seconds`, evenly drawn from the server's seed."""

    times: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Stall(LateAnswer):
    """Hold one answer, and all behind it, for a while; then go on."""


@dataclass(frozen=True, slots=True)
class Garbage(AnswerFault):
    """Send `data`, a frame that the codec cannot decode; by default bytes that msgpack refuses."""

    data: bytes | str = b"\xc1 this is not msgpack"


@dataclass(frozen=True, slots=True)
class Truncated(AnswerFault):
    """Send only the first `keep` bytes of the answer (None: half), in a whole WebSocket frame."""

    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Huge(AnswerFault):
    """Send a well-formed answer of a great size: the default picture and `size` bytes of padding."""

    size: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CutFrame(AnswerFault):
    """End the connection in the middle of the answer's WebSocket frame.

    By a TCP ``"reset"``, with which the half that was sent may get lost too, or by the ``"end"`` of the stream.
    """

    how: Literal["reset", "end"] = "reset"


@dataclass(frozen=True, slots=True)
class Swallow(Fault):
    """Silently lose the `input` of this number on its connection, from 0 (None: any): it never reaches the app."""

    input: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFault(Fault):
    """Strikes at a token endpoint: ``"general"`` is ``/tokens/``, ``"realtime"`` is ``/tokens/realtime``."""

    endpoint: Literal["general", "realtime"] | None = None


@dataclass(frozen=True, slots=True)
class RefuseToken(TokenFault):
    """Answer with an error instead of a token.

    Attributes:
        status: The HTTP status; with 2xx a client meets a success without a token.
        body: The JSON body; fal's errors are ``{"detail": "..."}``.
    """

    status: int = 403
    body: Any = None


@dataclass(frozen=True, slots=True)
class ExpiredToken(TokenFault):
    """Return a token that expired `age` seconds ago."""

    age: float = 60.0


@dataclass(frozen=True, slots=True)
class SlowToken(TokenFault):
    """Answer this many `seconds` late."""

    seconds: float
