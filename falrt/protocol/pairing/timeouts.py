"""The time-outs of requests whose callers still wait, sent or not.

A request ends at its caller's own deadline, or ``default`` seconds after it was offered. The default does not run
while a cold model is starting, which has its own, longer limit; once the model is warm, it begins anew.
"""

from __future__ import annotations

import math
from typing import Final

from falrt.protocol.inputs import Input

__all__ = ["Timeouts"]

# Requests that are watched before the ended ones among them are looked for.
PRUNE_MIN: Final = 8


class Timeouts:
    """Requests that have not ended, oldest first."""

    __slots__ = ("_default", "_open", "_prune_at", "soonest")

    def __init__(self, default: float | None) -> None:
        self._default = default
        # Ended ones are taken off when they are next looked at, or when they have become many.
        self._open: list[Input] = []
        self._prune_at = PRUNE_MIN
        # No request runs out of time before this instant; where the first has ended, none may do so long after it.
        self.soonest = math.inf

    def add(self, request: Input) -> None:
        """Watch over a request."""
        if len(self._open) >= self._prune_at:
            self._prune()
        self._open.append(request)
        if request.timeout_at is not None:
            self.soonest = min(self.soonest, request.timeout_at)
        elif self._default is not None:
            self.soonest = min(self.soonest, request.submitted_at + self._default)

    def _prune(self) -> None:
        self._open = [request for request in self._open if request.outcome is None]
        self._prune_at = PRUNE_MIN + 2 * len(self._open)

    def next_at(self, *, warming: bool, warm_at: float) -> float | None:
        """Return when the first request runs out of time; None for never.

        Args:
            warming: The model is starting: only the callers' own deadlines count.
            warm_at: When it last became warm.
        """
        earliest: float | None = None
        ended = False
        for request in self._open:
            if request.outcome is not None:
                ended = True
                continue
            at = self._at(request, warming, warm_at)
            if at is not None and (earliest is None or at < earliest):
                earliest = at
        if ended:
            self._prune()
        # While a model is starting the defaults do not run; they will when it is warm, not before they would have.
        if not warming:
            self.soonest = math.inf if earliest is None else earliest
        return earliest

    def expired(self, now: float, *, warming: bool, warm_at: float) -> list[Input]:
        """Return the requests whose time is up."""
        return [
            request
            for request in self._open
            if request.outcome is None
            and (at := self._at(request, warming, warm_at)) is not None
            and at <= now
        ]

    def _at(self, request: Input, warming: bool, warm_at: float) -> float | None:
        at = request.timeout_at
        if at is None and self._default is not None and not warming:
            at = max(request.submitted_at, warm_at) + self._default
        return at
