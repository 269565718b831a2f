"""A model that is starting: its sockets open, take inputs, and close in order without an answer.

One such socket is the sign. From then on the unanswered inputs are sent again after each close, with growing pauses,
until an answer comes or ``timeout`` has passed since the first of them left.

Source:
    Cold start: wire fact W15, docs/reference/wire.md.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Warming"]

# The first repeats come quickly, in case the model was nearly ready.
PAUSES: Final = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)


class Warming:
    """Whether the model is cold, and when to try again."""

    __slots__ = ("_timeout", "_tries", "since", "warm_at")

    def __init__(self, timeout: float, now: float) -> None:
        self._timeout = timeout
        # When the first swallowed input left; None while the model is not known to be cold.
        self.since: float | None = None
        self._tries = 0
        # When it last became warm, or the beginning: the clock of requests without a time-out of their own.
        self.warm_at = now

    def __bool__(self) -> bool:
        return self.since is not None

    @property
    def until(self) -> float | None:
        """When to give up; None while the model is not known to be cold."""
        return None if self.since is None else self.since + self._timeout

    def swallowed(self, now: float, since: float) -> float | None:
        """A socket ended without the answer it owed; return when to try again, None for giving up.

        Args:
            now: The present.
            since: When the socket opened.
        """
        if self.since is None:
            self.since = since
        at = now + PAUSES[min(self._tries, len(PAUSES) - 1)]
        self._tries += 1
        return at if at < self.since + self._timeout else None

    def forgotten(self) -> None:
        """Nobody waits for an answer any more: the next input starts anew."""
        self.since, self._tries = None, 0

    def answered(self, now: float) -> None:
        """The model answers: it is warm."""
        if self.since is not None:
            self.since, self._tries, self.warm_at = None, 0, now
