"""Inputs on their way, and the lanes in which they wait.

An :class:`Input` is one thing that the user wants answered. A :class:`Lane` is one queue of them with its own pacing:
the connection's own, and one for each stream. Where the policy keeps only the newest, an input that may be replaced
gives way to a newer one and is counted. Requests are never replaced: somebody waits for each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from falrt.exceptions import QueueFullError
from falrt.protocol.pacing.policies import Pacer
from falrt.typing import Frame

__all__ = ["Input", "Kind", "Lane", "Outcome", "QueueLimits", "Register"]


class Kind(StrEnum):
    """Who is waiting for the answer."""

    SEND = "send"
    """Nobody in particular: the answer goes to ``recv()``."""
    REQUEST = "request"
    """One caller, who must never get another input's answer."""
    STREAM = "stream"
    """A stream; pairing matters, and may be marked uncertain."""


# Asked for many times for each message: by the class, Python 3.11 takes three times as long to find a member.
SEND, REQUEST, STREAM = Kind


class Outcome(StrEnum):
    """How an input ended. Every input gets exactly one."""

    ANSWERED = "answered"
    SUPERSEDED = "superseded"
    """A newer input took its place, or the server dropped it; counted in ``stats.dropped``."""
    UNSENT = "unsent"
    """Handed back: it never left."""
    FAILED = "failed"
    ABANDONED = "abandoned"
    """Its caller stopped waiting; a late answer is absorbed."""
    DELIVERED = "delivered"
    """It left in a mode whose inputs have no answers of their own."""


@dataclass(slots=True, eq=False)
class Input:
    """One input on its way.

    Attributes:
        frame: As encoded, kept until the outcome is known: it may have to leave again.
        kind: Who waits for the answer.
        lane: Where it queues.
        submitted_at: When it was offered.
        request_id: The id that the answer may carry, if the input has one.
        timeout_at: The caller's own deadline, or None for the connection's default.
        value: The input as the user gave it; handed back when it never left.
        waiter: Called with the ``events.Answered`` or ``events.Failed`` that ends it; None for a plain send.
        resend: It may leave again when it was dropped or its socket was lost.
        taken_at: When a stream began to prepare it; the pacing counts from here.
        sent_at: When it last left; None while it waits.
        sends: How often it left.
        number: Counts the inputs of its connection, from 1.
        drops: How often the server surely dropped it.
        held_bytes: Size of its value, roughly, once its frame was let go.
        inference_time: Seconds the model took for it, once told.
        outcome: None until it has ended; set by :meth:`end` alone.
    """

    frame: Frame
    kind: Kind
    lane: Lane
    submitted_at: float
    request_id: str | None = None
    timeout_at: float | None = None
    value: Any = None
    waiter: Callable[[Any], None] | None = None
    resend: bool = True
    taken_at: float | None = None
    sent_at: float | None = None
    sends: int = 0
    number: int = 0
    drops: int = 0
    held_bytes: int = 0
    inference_time: float | None = None
    outcome: Outcome | None = None

    def end(self, outcome: Outcome, event: object = None) -> None:
        """End it, once: it is counted, its frame is freed, and ``event`` is told to whoever waits for it.

        Whatever comes for an input that has ended already changes nothing.
        """
        if self.outcome is not None:
            return
        self.outcome = outcome
        self.frame = b""
        if outcome is Outcome.SUPERSEDED:
            self.lane.dropped += 1
        self.lane.register(outcome, event)


Register = Callable[[Outcome, object], None]
"""Counts an input that ended, and passes on the event that tells of it, if there is one."""


class QueueLimits:
    """Bounds of the send queue, so that a lost network does not fill the memory."""

    MESSAGES: Final = 256
    BYTES: Final = 64 * 1024 * 1024


@dataclass(slots=True, eq=False, repr=False)
class Lane:
    """Inputs that wait for their turn, oldest first."""

    pacer: Pacer
    register: Register
    # A stream asks the pacer itself when to take a frame; what it submits leaves at once.
    streams: bool = False
    # After a loss, every unanswered input of this lane is sent again, not just the newest.
    keeps_all: bool = False
    waiting: list[Input] = field(default_factory=list)
    size_bytes: int = 0
    # Inputs of this lane that were superseded, or are known to have been dropped by the server.
    dropped: int = 0
    # A stream would send a frame, whose answer may carry this id; until it does, or is over.
    wants: bool = False
    wants_id: str | None = None
    # flush() was called: inputs submitted up to then do not wait for the clock.
    flush_below: float | None = None

    def has_room_for(self, size_bytes: int, giving_way: int = 0) -> bool:
        """Whether another input fits, which replaces so many; one always fits into an empty lane."""
        stay = len(self.waiting) - giving_way
        if not stay:
            return True
        return stay < QueueLimits.MESSAGES and self.size_bytes + size_bytes <= QueueLimits.BYTES

    def replaceable(self, input: Input) -> bool:
        """Whether a newer input may take this one's place."""
        if input.kind is STREAM:
            return not self.keeps_all
        return input.kind is SEND and self.pacer.keeps_newest

    def put(self, input: Input) -> None:
        """Queue an input; those that give way to it are superseded.

        Raises:
            QueueFullError: The lane is at its limit, in messages or bytes.
        """
        self.wants = False
        if self.waiting:  # seldom, where inputs leave at once
            self._make_room_for(input)
        self.waiting.append(input)
        self.size_bytes += len(input.frame)

    def _make_room_for(self, input: Input) -> None:
        replaces = self.replaceable(input)
        superseded = [old for old in self.waiting if replaces and self.replaceable(old)]
        # Looked at before anything gives way: the newest that is queued must not be lost to one that is refused.
        if not self.has_room_for(
            len(input.frame) - sum(len(old.frame) for old in superseded), len(superseded)
        ):
            raise QueueFullError(
                "send",
                f"{len(self.waiting)} inputs ({self.size_bytes} bytes) already wait to be sent: "
                "await send() before the next one, or choose a pacing that keeps only the newest",
            )
        for old in superseded:
            self.end(old, Outcome.SUPERSEDED)

    def put_back(self, input: Input) -> None:
        """Queue an input that has to leave again before all others."""
        # It starts again: what the pacing learns from it must not count the outage.
        input.sent_at = input.taken_at = None
        self.waiting.insert(0, input)
        self.size_bytes += len(input.frame)

    def take(self) -> Input:
        """Remove and return the head."""
        input = self.waiting.pop(0)
        self.size_bytes -= len(input.frame)
        return input

    def end(self, input: Input, outcome: Outcome, event: object = None) -> None:
        """End an input of this lane, which does not wait any more then."""
        if input in self.waiting:
            self.waiting.remove(input)
            self.size_bytes -= len(input.frame)
        input.end(outcome, event)

    def due_at(self, now: float, unanswered: int) -> float | None:
        """Return when the head may leave as far as the pacing is concerned; None: not before an event."""
        head = self.waiting[0]
        flushed = self.flush_below is not None and head.submitted_at <= self.flush_below
        # A request does not wait for a pause in the inputs.
        paced = head.kind is not REQUEST or self.pacer.paces_requests
        if self.streams or flushed or not paced:
            limit = self.pacer.in_flight_limit
            return now if limit is None or unanswered < limit else None
        return self.pacer.due_at(now, unanswered)
