"""A model that is starting: its sockets open, take inputs, and close in order without an answer.

One such socket is the sign. From then on the unanswered inputs are sent again after each close, with growing pauses,
until an answer comes or ``timeout`` has passed since the first of them left.

Source:
    Cold start: wire fact W15, docs/reference/wire.md.
"""

from __future__ import annotations

from typing import Final

from falrt.protocol.numbers import NEVER

__all__ = ["Warming"]

# The first repeats come quickly, in case the model was nearly ready.
PAUSES: Final = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)


class Warming:
    """Whether the model is cold, and when to try again."""

    __slots__ = ("_timeout", "_tries", "until", "warm_at")

    def __init__(self, timeout: float, now: float) -> None:
        self._timeout = timeout
        # When to give up; never, while the model is not known to be cold.
        self.until = NEVER
        self._tries = 0
        # When it last became warm, or the beginning: the clock of requests without a time-out of their own.
        self.warm_at = now

    def __bool__(self) -> bool:
        return self.until != NEVER

    def swallowed(self, now: float, since: float) -> float | None:
        """A socket that opened at ``since`` owed an answer; return when to try again, None for giving up."""
        if not self:
            self.until = since + self._timeout
        at = now + PAUSES[min(self._tries, len(PAUSES) - 1)]
        self._tries += 1
        return at if at < self.until else None

    def forgotten(self) -> None:
        """Nobody waits for an answer any more: the next input starts anew."""
        self.until, self._tries = NEVER, 0

    def answered(self, now: float) -> None:
        """The model answers: it is warm."""
        self.until, self._tries, self.warm_at = NEVER, 0, now
