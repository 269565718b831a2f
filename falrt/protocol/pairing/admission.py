"""Which input may join those that are unanswered, so that every answer can be told apart.

*Strict* inputs are those whose pairing matters: requests and stream frames. While one is unanswered, nothing else
leaves, unless the answer will name its input or the caller vouched that the server keeps more. A stream alone may go
beyond that with its own frames, where frames may be skipped and its pacing times them so that the one before is
surely being worked on; its replies then say that they are not certain.

A strict input may be held up by inputs whose answers may never come: plain sends that the server dropped, or requests
that their callers gave up. After a while the socket is *recycled*: a new one has no stale answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from falrt.protocol.inputs import Input, Kind, Lane
from falrt.protocol.pairing.in_flight import InFlight

__all__ = ["held_up", "may_join", "patience"]

# How long an answer that nobody waits for may hold up a strict input: several latencies, within bounds, seconds.
PATIENCE_MIN: Final = 1.0
PATIENCE_MAX: Final = 10.0
PATIENCE_UNKNOWN: Final = 2.0
PATIENCE_LATENCIES: Final = 4.0


def may_join(in_flight: InFlight, kind: Kind, lane: Lane, request_id: str | None) -> bool:
    """Whether an input of this kind, lane and id may leave now as far as pairing is concerned."""
    if not len(in_flight):
        if kind is Kind.SEND:
            return not in_flight.frames_late  # recv() is not to be given a stream's picture
        return kind is not Kind.REQUEST or not in_flight.doubt or in_flight.trusts(request_id)
    if lane.keeps_all and in_flight.count_of(lane) >= lane.pacer.vouched:
        return False  # nothing of this lane may be skipped, and the server keeps no more for sure
    if kind is Kind.SEND and not in_flight.strict:
        return True
    if in_flight.trusts(request_id):
        return True
    if lane.streams and in_flight.all_of(lane):
        return lane.pacer.overlaps or len(in_flight) < lane.pacer.vouched
    return len(in_flight) < lane.pacer.vouched and not in_flight.doubt


def held_up(in_flight: InFlight, lanes: Sequence[Lane]) -> bool:
    """Whether an input waits for answers that may never come, and that nobody with a clock of his own waits for."""
    if not any(lane.held or (lane.waiting and _held_back(in_flight, lane)) for lane in lanes):
        return False
    return not in_flight.strict or not any(_owed(input) for input in in_flight.inputs)


def _held_back(in_flight: InFlight, lane: Lane) -> bool:
    head = lane.waiting[0]
    if head.kind is not Kind.SEND:
        return True
    if in_flight.strict:  # a plain send, behind a request that was given up
        return not may_join(in_flight, head.kind, lane, head.request_id)
    # A send that waits for the pacing alone has no hurry, but a request behind it has.
    limit = lane.pacer.in_flight_limit
    return (
        limit is not None
        and len(in_flight) >= limit
        and any(input.kind is not Kind.SEND for input in lane.waiting)
    )


def _owed(input: Input) -> bool:
    """Whether somebody waits for this answer, and has a clock of his own."""
    return input.kind is not Kind.SEND and input.outcome is None


def patience(latency: float | None) -> float:
    """Return how many seconds of silence to grant, given a slow answer's latency; None before the first answer."""
    if latency is None:
        return PATIENCE_UNKNOWN
    return min(PATIENCE_MAX, max(PATIENCE_MIN, PATIENCE_LATENCIES * latency))
