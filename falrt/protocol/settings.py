"""What one connection was asked to do, as the pure core needs it; checked at the front door."""

from __future__ import annotations

from dataclasses import dataclass, field

from falrt.protocol.pacing.policies import Immediate, Pacing
from falrt.protocol.reconnect.backoff import Backoff
from falrt.protocol.reconnect.liveness import Keepalive
from falrt.protocol.wire.modes import MODES, Mode

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that decide.

    Attributes:
        app: The endpoint id, for messages.
        mode: How the app takes inputs and gives outputs.
        pacing: The send queue's policy.
        backoff: How to come back; None for a bare socket that ends with its first loss.
        lazy: Open at the first input.
        idle_close: Seconds without input after which we close; None for never.
        warmup_timeout: Seconds that a cold model may take.
        request_timeout: Seconds a request waits, where its caller names none; None for no limit of its own.
        keepalive: Pings.
        renewable: A refused credential can be replaced by a new token.
    """

    app: str
    mode: Mode = MODES["unary"]
    pacing: Pacing = field(default_factory=Immediate)
    backoff: Backoff | None = field(default_factory=Backoff)
    lazy: bool = False
    idle_close: float | None = None
    warmup_timeout: float = 300.0
    request_timeout: float | None = 120.0
    keepalive: Keepalive = field(default_factory=Keepalive)
    renewable: bool = True
