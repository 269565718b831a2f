"""What an app's answers have told about it so far; it outlives sockets.

How many requests may be unanswered at once, where answers name their inputs, is learned from what the server drops: up
slowly while all are kept, down at once. Nothing is lost by a drop, for a dropped request is sent again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["AppFacts", "Ids"]

# fal recommends `max_buffering` 2, and a server's buffer holds 60 at the most.
WINDOW_FIRST: Final = 2
WINDOW_MAX: Final = 64
# After a drop the window grows this many times more slowly: each try beyond the buffer costs a drop.
CAUTION: Final = 16
# A latency is forgotten by this part with each faster answer.
FORGETTING: Final = 1 / 64


class Ids(StrEnum):
    """Whether answers name their inputs."""

    UNSEEN = "unseen"
    """No answer has named one so far."""
    ECHOED = "echoed"
    """Answers name their inputs."""
    REFUTED = "refuted"
    """Some answers did and others did not: names are not relied on any more."""


UNSEEN, ECHOED, REFUTED = Ids


class AppFacts:
    """Facts about one app."""

    __slots__ = ("_caution", "_kept", "ids", "recycled", "slow_latency", "window")

    def __init__(self) -> None:
        self.ids = UNSEEN
        # A slow answer's latency, seconds: the greatest of late, forgotten slowly. None before the first.
        self.slow_latency: float | None = None
        # Sockets given up for their silence since the last answer.
        self.recycled = 0
        # Requests that may be unanswered at once where their answers name them.
        self.window = WINDOW_FIRST
        # Answers since the window last changed, with as many unanswered as it allows.
        self._kept = 0
        self._caution = 1

    def took(self, latency: float) -> None:
        """An input was answered after so many seconds."""
        slow = self.slow_latency
        longer = slow is None or latency >= slow
        self.slow_latency = latency if longer or slow is None else slow + (latency - slow) * FORGETTING

    def kept(self, unanswered: int) -> None:
        """An input was answered by name while so many were unanswered, itself included."""
        if unanswered < self.window:
            return  # this says nothing about how many more the server would have kept
        self._kept += 1
        if self._kept >= self.window * self._caution:
            self.window, self._kept = min(WINDOW_MAX, self.window + 1), 0

    def dropped(self) -> None:
        """The server dropped a request."""
        self.window, self._kept, self._caution = max(1, self.window // 2), 0, CAUTION
