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

from falrt.protocol.inputs import REQUEST, SEND, STREAM, Kind, Lane
from falrt.protocol.pairing.facts import AppFacts
from falrt.protocol.pairing.unanswered import BROKEN, PROVEN, Unanswered

__all__ = ["held_up", "may_join"]


def may_join(unanswered: Unanswered, facts: AppFacts, kind: Kind, lane: Lane, request_id: str | None) -> bool:
    """Whether an input of this kind, lane and id may leave now as far as pairing is concerned."""
    if not unanswered.inputs:
        return kind is SEND or unanswered.order is not BROKEN or unanswered.names(request_id)
    if unanswered.strict and unanswered.repeats:
        return False  # what the server dropped before goes as the newest, which it surely keeps
    if lane.keeps_all and unanswered.count_of(lane) >= lane.pacer.vouched:
        return False  # nothing of this lane may be skipped, and the server keeps no more for sure
    if kind is SEND and not unanswered.strict:
        return True
    if unanswered.names(request_id):
        unbounded = kind is REQUEST or lane.pacer.in_flight_limit is None
        return kind is SEND or not unbounded or len(unanswered.inputs) < facts.window
    if lane.streams and unanswered.all_of(lane):
        return lane.pacer.overlaps or len(unanswered.inputs) < lane.pacer.vouched
    return len(unanswered.inputs) < lane.pacer.vouched and unanswered.order is PROVEN


def _head_may_join(unanswered: Unanswered, facts: AppFacts, lane: Lane) -> bool:
    """Whether what a lane would send next may leave as far as pairing is concerned."""
    if lane.waiting:
        head = lane.waiting[0]
        return may_join(unanswered, facts, head.kind, lane, head.request_id)
    return may_join(unanswered, facts, STREAM, lane, lane.wants_id)


def held_up(unanswered: Unanswered, facts: AppFacts, lanes: Sequence[Lane]) -> bool:
    """Whether an input waits for answers that may never come, and that nobody with a timeout of their own waits for."""
    if unanswered.strict:
        for input in unanswered.inputs:
            if input.kind is not SEND and input.outcome is None:
                return False  # somebody waits for this answer, and has a timeout of their own
    for lane in lanes:
        if (lane.waiting or lane.wants) and (
            not _head_may_join(unanswered, facts, lane) or _blocks_requests(unanswered, lane)
        ):
            return True
    return False


def _blocks_requests(unanswered: Unanswered, lane: Lane) -> bool:
    """Whether a send waits for room among the unanswered: that can wait, but a request behind it cannot."""
    limit = lane.pacer.in_flight_limit
    return (
        limit is not None
        and len(unanswered.inputs) >= limit
        and any(input.kind is REQUEST for input in lane.waiting)
    )
