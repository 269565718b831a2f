"""The send queue: lanes of waiting inputs, and what may leave next while others are unanswered.

The connection's own lane goes first, then that of a running stream: a stream always has a newer frame, a request is
waited for. Within a lane the order is kept. Two things decide whether a lane's head may leave: its pacing says when,
and ``admission.py`` whether its answer could be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from falrt.exceptions import ConcurrencyError
from falrt.protocol.inputs import REQUEST, STREAM, Input, Kind, Lane, Outcome, Register
from falrt.protocol.numbers import NEVER
from falrt.protocol.pacing.policies import Pacing
from falrt.protocol.pairing.admission import may_join
from falrt.protocol.pairing.facts import AppFacts
from falrt.protocol.socket_state import SocketState
from falrt.protocol.wire.modes import Mode, Replay

__all__ = ["SendQueue"]

# Frames of a stream that may be unanswered, however quick its policy is: fal lets an app keep no more waiting (W17).
UNANSWERED_MAX: Final = 60


class SendQueue:
    """What waits to be sent, and which of it may leave on the present socket."""

    __slots__ = ("_facts", "_limit", "_register", "_session", "_suspects", "lanes", "main")

    def __init__(self, pacing: Pacing, mode: Mode, facts: AppFacts, register: Register) -> None:
        self._facts, self._register = facts, register
        self.main = Lane(pacing.start(), register)
        # The connection's own lane first, then that of a running stream.
        self.lanes = [self.main]
        # Most inputs that one socket takes; None for no limit.
        self._limit = mode.inputs_per_socket
        # Inputs have no answers of their own: only the newest counts as unanswered.
        self._session = mode.replay is Replay.NEVER
        # Several inputs were unanswered when the app failed: they go out one at a time until all have ended.
        self._suspects: tuple[Input, ...] = ()

    # --- what waits

    @property
    def waiting(self) -> Sequence[Input]:
        """Everything that waits to be sent."""
        if len(self.lanes) == 1:
            return self.main.waiting  # asked several times for each message
        return [input for lane in self.lanes for input in lane.waiting]

    @property
    def unsent(self) -> tuple[Any, ...]:
        """The values of the inputs that never left, oldest first."""
        return tuple(input.value for input in self.waiting if not input.sends)

    def hand_back(self) -> tuple[Any, ...]:
        """End what waits in the connection's own lane; return the values of the inputs that never left."""
        values = self.unsent
        for input in [*self.main.waiting]:
            self.main.end(input, Outcome.UNSENT)
        return values

    def suspect(self, inputs: tuple[Input, ...]) -> None:
        """One of these inputs made the app fail: they go out one at a time."""
        self._suspects = inputs

    # --- streams

    def add_lane(self, pacing: Pacing, *, keeps_all: bool) -> Lane:
        """Open the lane of a stream.

        Raises:
            ConcurrencyError: Another stream is running.
        """
        if len(self.lanes) > 1:
            raise ConcurrencyError(
                "a stream is already running on this connection: end it first, or use another connection"
            )
        lane = Lane(pacing.start(), self._register, streams=True, keeps_all=keeps_all)
        self.lanes.append(lane)
        return lane

    def slot_at(self, lane: Lane, socket: SocketState, now: float) -> float | None:
        """Return when the stream that wants to send may take its next frame; None: not before something happens."""
        main, unanswered, limit = self.main, len(socket.unanswered.inputs), lane.pacer.in_flight_limit
        if lane.waiting or unanswered >= (UNANSWERED_MAX if limit is None else limit):
            return None  # a frame taken now would be old when it leaves
        if main.waiting and (due_at := main.due_at(now, 0)) is not None and due_at <= now:
            return None
        if not self._may_leave(STREAM, lane, lane.wants_id, socket):
            return None
        return lane.pacer.due_at(now, unanswered)

    # --- what leaves

    def take_due(self, socket: SocketState, now: float) -> Input | None:
        """Return an input that is to be written now, or None. It counts as sent."""
        for lane in self.lanes:
            if self._due_at(lane, socket, now) <= now:
                return self._sent(lane, socket, now)
        return None

    def next_due_at(self, socket: SocketState, now: float) -> float:
        """Return when something may leave, unless something happens before."""
        return min(self._due_at(lane, socket, now) for lane in self.lanes)

    def _due_at(self, lane: Lane, socket: SocketState, now: float) -> float:
        if not lane.waiting:
            return NEVER
        head = lane.waiting[0]
        if not self._may_leave(head.kind, lane, head.request_id, socket):
            return NEVER
        due_at = lane.due_at(now, len(socket.unanswered.inputs))
        return NEVER if due_at is None else due_at

    def _sent(self, lane: Lane, socket: SocketState, now: float) -> Input:
        input, unanswered, pacer = lane.take(), socket.unanswered, lane.pacer
        if input.kind is not REQUEST or pacer.paces_requests:
            # A stream's frame was taken before it was encoded; the pacing counts from there.
            pacer.sent(
                now if input.taken_at is None else input.taken_at, len(unanswered.inputs), len(input.frame)
            )
        unanswered.sent(input, pacer.vouched)
        input.sent_at = now
        input.sends += 1
        socket.sent += 1
        socket.overdue.sent(now)
        if self._session:
            unanswered.end_older(Outcome.DELIVERED)
        return input

    def _may_leave(self, kind: Kind, lane: Lane, request_id: str | None, socket: SocketState) -> bool:
        if self._limit is not None and socket.sent >= self._limit:
            return False
        if self._suspects and socket.unanswered.awaited and any(x.outcome is None for x in self._suspects):
            return False
        return may_join(socket.unanswered, self._facts, kind, lane, request_id)
