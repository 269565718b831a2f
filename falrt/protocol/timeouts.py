"""The time-outs of requests whose callers still wait, sent or not.

A request ends at its caller's own deadline, or ``default`` seconds after it was offered. The default does not run
while a cold model is starting, which has its own, longer limit; once the model is warm, it begins anew.
"""

from __future__ import annotations

from falrt.protocol.in_flight import Input

__all__ = ["Timeouts"]


class Timeouts:
    """Requests that have not ended, oldest first."""

    __slots__ = ("_default", "_open")

    def __init__(self, default: float | None) -> None:
        self._default = default
        # Ended ones are taken off when they are next looked at.
        self._open: list[Input] = []

    def add(self, request: Input) -> None:
        """Watch over a request."""
        self._open.append(request)

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
            self._open = [request for request in self._open if request.outcome is None]
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
        if request.timeout_at is not None:
            return request.timeout_at
        if self._default is None or warming:
            return None
        return max(request.submitted_at, warm_at) + self._default
