"""Figures of the server, in the text form that Prometheus reads."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

__all__ = ["Metrics"]

# Seconds; from a warm model nearby to a cold one.
_BUCKETS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)

_HELP: Final = {
    "falrt_requests_total": "Requests by route and status.",
    "falrt_sockets": "Open sockets by kind.",
    "falrt_sockets_closed_total": "Closed sockets by kind and close code.",
    "falrt_frames_received_total": "Frames from relayed browsers.",
    "falrt_pictures_total": "Answers sent to relayed browsers.",
    "falrt_skipped_total": "Frames superseded by newer ones before the model was free.",
    "falrt_watched_total": "Pictures sent to viewers.",
    "falrt_open_seconds_total": "Seconds that sockets to fal were open; what fal bills.",
}


class Metrics:
    """Counters of one process."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        self._latencies = [0] * (len(_BUCKETS) + 1)
        self._latency_sum = 0.0

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Add to a counter, or take from one that goes up and down."""
        self._counts[name, tuple(sorted(labels.items()))] += by  # type: ignore[assignment]  # a float counts too

    def latency(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._latencies[bisect_left(_BUCKETS, seconds)] += 1
        self._latency_sum += seconds

    def text(self) -> str:
        """Return everything as Prometheus reads it."""
        lines: list[str] = []
        for name, text in _HELP.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            found = sorted((labels, value) for (each, labels), value in self._counts.items() if each == name)
            lines += [f"{name}{_labels(labels)} {value:g}" for labels, value in found]
            if not found:
                lines.append(f"{name} 0")
        return "\n".join([*lines, *self._histogram()]) + "\n"

    def _histogram(self) -> list[str]:
        name, total = "falrt_latency_seconds", 0
        lines = [f"# HELP {name} From a frame's leaving for fal to its answer.", f"# TYPE {name} histogram"]
        for bound, found in zip((*map(str, _BUCKETS), "+Inf"), self._latencies, strict=True):
            total += found
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self._latency_sum:g}", f"{name}_count {total}"]


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""
