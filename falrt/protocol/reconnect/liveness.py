"""Finds half-open connections, and takes no stalled event loop for one.

Any byte from the peer counts as life, so a busy connection is never pinged. After ``interval`` seconds of silence a
ping is due; if silence goes on for ``timeout`` seconds after it, the peer counts as dead.

A stalled event loop looks the same from inside: bytes may have been waiting all the time. So a check that comes much
later than asked for does not judge; it grants the peer another ``timeout`` first, in which the waiting bytes are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from falrt.protocol.numbers import NEVER, SECONDS, check_number

__all__ = ["Keepalive", "Liveness", "Pulse"]

# A check this much later than asked for means that our own side stood still.
STALL: Final = 1.0


class Pulse(StrEnum):
    """What a check found."""

    FINE = "fine"
    PING = "ping"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When to ping and when to give up: set as a pair.

    Attributes:
        interval: Seconds of silence before a ping; None switches pings off, whatever the timeout says.
        timeout: Seconds of further silence before the peer counts as dead; None never gives up.

    Raises:
        ConfigurationError: A value is no number of seconds above 0; the text names the option.
    """

    interval: float | None = 20.0
    timeout: float | None = 20.0

    def __post_init__(self) -> None:
        for name, value in (("ping_interval", self.interval), ("ping_timeout", self.timeout)):
            check_number(name, value, SECONDS, optional=True)


class Liveness:
    """Watches one socket."""

    __slots__ = ("_heard_at", "_keepalive", "_pinged_at", "check_at", "stalled_for")

    def __init__(self, keepalive: Keepalive, now: float) -> None:
        self._keepalive = keepalive
        # Last instant at which a byte came in.
        self._heard_at = now
        # When the unanswered ping left; None while none is under way.
        self._pinged_at: float | None = None
        # When check() wants to be called.
        self.check_at = self._next_check_at()
        # Longest lateness of a check since the last sign of life: our own standstill, told in the error.
        self.stalled_for = 0.0

    def heard(self, at: float) -> None:
        """Note that bytes came in at this instant."""
        if at > self._heard_at:
            self._heard_at = at
            self._pinged_at = None
            self.stalled_for = 0.0
            self.check_at = self._next_check_at()

    def _next_check_at(self) -> float:
        interval, timeout = self._keepalive.interval, self._keepalive.timeout
        if interval is None:
            return NEVER
        if self._pinged_at is None:
            return self._heard_at + interval
        return NEVER if timeout is None else self._pinged_at + timeout

    def check(self, now: float) -> Pulse:
        """Say what is to be done now. ``PING`` is said once a silence; the ping counts as sent."""
        if now < self.check_at:
            return Pulse.FINE
        late = now - self.check_at
        if self._pinged_at is not None:
            if late <= STALL:
                return Pulse.DEAD
            self.stalled_for = max(self.stalled_for, late)
        self._pinged_at = now
        self.check_at = self._next_check_at()
        return Pulse.PING

    def verdict(self, now: float) -> str:
        """Return, for the error, which side stood still and for how long."""
        text = (
            f"the server stopped answering: nothing came in for {now - self._heard_at:.1f} s, pings included"
        )
        if self.stalled_for:
            text += f"; before that our own event loop stood still for {self.stalled_for:.1f} s"
        return text
