"""What a connection has done so far, in numbers."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Final

from falrt.protocol.events import Latency, Stats

__all__ = ["Counters"]

# Enough for steady percentiles over the last minute of a fast model.
_SAMPLES_MAX: Final = 256
# A rate over this long follows a change of the model within seconds.
_RATE_WINDOW: Final = 5.0


def _numbers() -> array[float]:
    """Make a list of numbers that takes 8 bytes for each instead of 32: a server holds many connections."""
    return array("d")


@dataclass(slots=True)
class Counters:
    """Counts since the beginning; latency and rate over a sliding window."""

    sent: int = 0
    received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    opens: int = 0
    open_seconds: float = 0.0
    # Inputs superseded, skipped before they were offered, or known to have been dropped by the server.
    dropped: int = 0
    last: float | None = None
    inference_time: float | None = None
    _latencies: array[float] = field(default_factory=_numbers)
    _answered_at: array[float] = field(default_factory=_numbers)

    def answered(self, now: float, latency: float) -> None:
        """Note an answer."""
        self.last = latency
        self._latencies.append(latency)
        self._answered_at.append(now)
        if len(self._latencies) > 2 * _SAMPLES_MAX:
            del self._latencies[:-_SAMPLES_MAX], self._answered_at[:-_SAMPLES_MAX]

    def percentile(self, share: float) -> float | None:
        """Return the latency that ``share`` (0 to 1) of the recent answers stayed within, in seconds."""
        recent = sorted(self._latencies[-_SAMPLES_MAX:])
        return recent[min(len(recent) - 1, int(share * len(recent)))] if recent else None

    def rate(self, now: float) -> float:
        """Return answers per second over the last five seconds."""
        recent = [at for at in self._answered_at[-_SAMPLES_MAX:] if at > now - _RATE_WINDOW]
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return 0.0
        return (len(recent) - 1) / (recent[-1] - recent[0])

    def snapshot(self, now: float, *, in_flight: int, open_seconds: float) -> Stats:
        """Return the counters as users see them.

        Args:
            now: The present, for the rate.
            in_flight: Inputs unanswered.
            open_seconds: How long the present socket has been open.
        """
        return Stats(
            sent=self.sent,
            received=self.received,
            dropped=self.dropped,
            in_flight=in_flight,
            reconnects=max(0, self.opens - 1),
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            latency=Latency(self.percentile(0.5), self.percentile(0.95), self.last),
            fps=self.rate(now),
            inference_time=self.inference_time,
            open_seconds=self.open_seconds + open_seconds,
        )
