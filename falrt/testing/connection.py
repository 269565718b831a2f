"""What a test sees of one connection to the fake server, and what it can do to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from falrt.testing.allowed import check
from falrt.testing.platform.runner import RunnerStats
from falrt.testing.script import Fault
from falrt.testing.wire import WireSocket

__all__ = ["ServerConnection"]


@dataclass(slots=True, eq=False)
class ServerConnection:
    """One WebSocket handshake and what followed from it.

    Attributes:
        number: Counted from 0, in the order of the handshakes; refused ones count too.
        path: Such as ``/fal-ai/flux-2/klein/realtime``.
        query: Its parameters, decoded; ``fal_jwt_token`` among them.
        headers: Of the upgrade request, names in lower case.
        opened_at: Seconds on the loop's clock, at the upgrade request.
        accepted: Whether the upgrade was answered with 101.
        refusal: Why the gateway refused it, or None.
        frames: Every message that came, undecoded, in order.
        inputs: Those that could be decoded, decoded, in order; also inputs that were dropped or swallowed later.
        answers: What was sent as answers, in order, before encoding; without what a fault spoiled.
        answered: Answers that left, spoiled ones included.
        controls: Control messages that were sent, decoded.
        faults: The faults that struck, in order.
        stats: What became of the inputs: `received`, `dropped`, `taken`, `answered`.
        socket: The wire itself.
    """

    number: int
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    opened_at: float
    socket: WireSocket = field(repr=False)
    accepted: bool = False
    refusal: str | None = None
    frames: list[bytes | str] = field(default_factory=list, repr=False)
    inputs: list[Any] = field(default_factory=list, repr=False)
    answers: list[Any] = field(default_factory=list, repr=False)
    answered: int = 0
    controls: list[Any] = field(default_factory=list, repr=False)
    faults: list[Fault] = field(default_factory=list)
    stats: RunnerStats = field(default_factory=lambda: RunnerStats(0, 0, 0, 0))

    @property
    def token(self) -> str | None:
        """The token that the client used, if any."""
        return self.query.get("fal_jwt_token")

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self.socket.is_open

    @property
    def closed(self) -> bool:
        """Whether TCP is down."""
        return self.socket.lost.is_set()

    @property
    def close_code(self) -> int | None:
        """The WebSocket close code, 1006 where no close frame came, None while open."""
        return self.socket.close_code

    @property
    def close_reason(self) -> str:
        """The reason beside the close code."""
        return self.socket.close_reason

    def send(self, frame: bytes | str | Mapping[str, Any]) -> None:
        """Send something unasked: bytes go in a binary frame, str in a text frame, a map in one as JSON."""
        self.socket.send(json.dumps(frame) if isinstance(frame, Mapping) else frame)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket now; 1006 hangs up without a close frame.

        Raises:
            ConfigurationError: A code or reason that no close frame can carry.
        """
        check({"code": code, "reason": reason})
        self.socket.close(code, reason)

    def reset(self) -> None:
        """Reset the TCP connection now."""
        self.socket.reset()

    def silence(self) -> None:
        """Answer nothing any more, pings included, while TCP stays up."""
        self.socket.silence()

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`."""
        self.socket.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self.socket.resume_reading()
