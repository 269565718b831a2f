"""What happened during a stream: one shot for each answer, and the figures over all of them."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Record", "Shot", "counted", "percentile", "rate_of", "spread"]

T = TypeVar("T")

_SAMPLES_MAX = 24


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One answer, as it came.

    Attributes:
        number: 1 for the first.
        at: Seconds since the stream began, when the answer arrived.
        age: Seconds since its frame was captured, at that moment.
        latency: Seconds from send to receive.
        inference_time: Seconds the model took, where it told.
        dropped: Frames skipped since the answer before.
        prompt: What the frame was sent with.
        frame: The frame, before it was fitted to the model.
        pictures: Encoded pictures of the answer, the newest last.
    """

    number: int
    at: float
    age: float
    latency: float
    inference_time: float | None
    dropped: int
    prompt: str
    frame: Image
    pictures: tuple[bytes, ...]


@dataclass(slots=True, eq=False)
class Record:
    """The figures of a stream; a night of them fits into memory.

    Attributes:
        title: What was streamed where, for reports.
        began_at: The `time.monotonic` of its beginning.
        at: Seconds since the beginning of each answer.
        ages: Age of each answer's frame on arrival, seconds.
        latencies: Send to receive, seconds.
        inference_times: Seconds; 0 where the model did not tell.
        dropped: Frames skipped before each answer.
        reconnects: Seconds since the beginning at which a reconnect was noticed.
        prompts: When each prompt was first seen in an answer.
        samples: Some shots, evenly spread over the stream, pictures included.
        open_seconds: How long sockets were open in all: what is billed.
        bytes_sent: Payload.
        bytes_received: Payload.
        price_per_second: Of an open socket, in dollars; 0 where no cost is to be told.
    """

    title: str = ""
    began_at: float = field(default_factory=time.monotonic)
    at: array[float] = field(default_factory=lambda: array("d"))
    ages: array[float] = field(default_factory=lambda: array("d"))
    latencies: array[float] = field(default_factory=lambda: array("d"))
    inference_times: array[float] = field(default_factory=lambda: array("d"))
    dropped: array[int] = field(default_factory=lambda: array("q"))
    reconnects: list[float] = field(default_factory=list)
    prompts: list[tuple[float, str]] = field(default_factory=list)
    samples: list[Shot] = field(default_factory=list)
    open_seconds: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0
    price_per_second: float = 0.0
    # Every how many shots one is kept as a sample; doubles whenever there are too many.
    _stride: int = 1

    def add(self, shot: Shot) -> None:
        """Take one answer down."""
        self.at.append(shot.at)
        self.ages.append(shot.age)
        self.latencies.append(shot.latency)
        self.inference_times.append(shot.inference_time or 0.0)
        self.dropped.append(shot.dropped)
        if not self.prompts or self.prompts[-1][1] != shot.prompt:
            self.prompts.append((shot.at, shot.prompt))
        if (shot.number - 1) % self._stride == 0:
            self.samples.append(shot)
            if len(self.samples) > _SAMPLES_MAX:
                self.samples = self.samples[::2]
                self._stride *= 2

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began_at

    @property
    def count(self) -> int:
        """Answers so far."""
        return len(self.at)

    @property
    def dropped_frames(self) -> int:
        """Frames skipped so far."""
        return sum(self.dropped)

    @property
    def rate(self) -> float:
        """Answers per second between the first and the last."""
        return rate_of(self.at)

    @property
    def inference_time(self) -> float | None:
        """Median seconds the model took, or None where it never told."""
        told = [seconds for seconds in self.inference_times if seconds]
        return percentile(told, 50) if told else None

    @property
    def cost(self) -> float:
        """What the open sockets cost, in dollars."""
        return self.open_seconds * self.price_per_second

    def summary(self) -> list[tuple[str, str]]:
        """Return what there is to say at the end, as names and values."""
        rows = [("pictures", f"{self.count} in {self.at[-1]:.1f} s" if self.count else "none")]
        if self.count:
            rows += [
                ("rate", f"{self.rate:.1f} pictures/s"),
                ("latency, send to picture", _milliseconds(self.latencies)),
                ("age of the picture", _milliseconds(self.ages)),
            ]
        if self.inference_time is not None:
            rows.append(("inference", f"p50 {self.inference_time * 1000:.0f} ms"))
        rows += [
            ("frames skipped for newer ones", str(self.dropped_frames)),
            ("reconnects", str(len(self.reconnects))),
            ("sent, received", f"{self.bytes_sent / 1e6:.1f} MB, {self.bytes_received / 1e6:.1f} MB"),
            ("socket open", f"{self.open_seconds:.1f} s"),
        ]
        if self.price_per_second:
            rows.append(("cost", f"${self.cost:.4f}"))
        return rows


def _milliseconds(values: Sequence[float]) -> str:
    return f"p50 {percentile(values, 50) * 1000:.0f} ms   p95 {percentile(values, 95) * 1000:.0f} ms"


def rate_of(at: Sequence[float]) -> float:
    """Return how many came per second between the first and the last of these instants."""
    return (len(at) - 1) / (at[-1] - at[0]) if len(at) > 1 and at[-1] > at[0] else 0.0


def spread(items: Sequence[T], most: int) -> list[T]:
    """Return so many at the most, evenly spread, the first among them."""
    count = min(most, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile; 0 for no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = round(percent / 100 * (len(ordered) - 1))
    return ordered[rank]


def counted(number: int, noun: str) -> str:
    """Return a count in words: ``1 picture``, ``2 pictures``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
