"""What a connection has done so far, in numbers."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Final

from falrt.protocol.events import Latency, Stats

__all__ = ["Counters"]

# Enough for steady percentiles over the last minute of a fast model.
_SAMPLES_MAX: Final = 256
# A rate over this long follows a change of the model within seconds.
_RATE_WINDOW: Final = 5.0


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
    inference_time: float | None = None
    # Instant and latency of each recent answer, in turn; made with the first: a server holds many connections.
    _answers: array[float] | None = None

    def answered(self, now: float, latency: float) -> None:
        """Note an answer."""
        if self._answers is None:
            self._answers = array("d")  # 8 bytes for a number, where a list takes 32
        self._answers.extend((now, latency))
        if len(self._answers) > 4 * _SAMPLES_MAX:
            del self._answers[: -2 * _SAMPLES_MAX]

    def snapshot(self, now: float, *, in_flight: int, open_seconds: float) -> Stats:
        """Return the counters as users see them; the present socket has been open for ``open_seconds``."""
        recent = [] if self._answers is None else self._answers[-2 * _SAMPLES_MAX :].tolist()
        instants = [at for at in recent[::2] if at > now - _RATE_WINDOW]
        seconds = instants[-1] - instants[0] if instants else 0.0
        return Stats(
            sent=self.sent,
            received=self.received,
            dropped=self.dropped,
            in_flight=in_flight,
            reconnects=max(0, self.opens - 1),
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            latency=_latency_of(recent[1::2]),
            fps=(len(instants) - 1) / seconds if seconds > 0 else 0.0,
            inference_time=self.inference_time,
            open_seconds=self.open_seconds + open_seconds,
        )


def _latency_of(latencies: list[float]) -> Latency:
    if not latencies:
        return Latency()
    ordered, count = sorted(latencies), len(latencies)
    return Latency(ordered[int(0.5 * count)], ordered[int(0.95 * count)], latencies[-1])
