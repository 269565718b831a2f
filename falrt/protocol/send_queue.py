"""The send queue: lanes of waiting inputs, and what may leave next while others are unanswered.

The connection's own lane goes first, then that of a running stream: a stream always has a newer frame, a request is
waited for. Within a lane the order is kept. Two things decide whether a lane's head may leave: its pacing says when,
and ``admission.py`` whether its answer could be told apart.
"""

from __future__ import annotations

from typing import Any

from falrt.exceptions import ConcurrencyError
from falrt.protocol.inputs import Input, Kind, Lane, Outcome
from falrt.protocol.pacing.policies import Pacing
from falrt.protocol.pairing.admission import may_join
from falrt.protocol.pairing.in_flight import InFlight
from falrt.protocol.wire.modes import Mode, Replay

__all__ = ["SendQueue"]


class SendQueue:
    """What waits to be sent, and which of it may leave on the present socket."""

    __slots__ = ("_limit", "_news", "_session", "in_flight", "lanes", "left_here", "main", "suspects")

    def __init__(self, pacing: Pacing, mode: Mode, in_flight: InFlight) -> None:
        self.main = Lane(pacing.start())
        # The connection's own lane first, then that of a running stream.
        self.lanes = [self.main]
        self.in_flight = in_flight
        # Most inputs that one socket takes; None for no limit.
        self._limit = mode.inputs_per_socket
        # Inputs have no answers of their own: only the newest counts as unanswered.
        self._session = mode.replay is Replay.NEVER
        # How many inputs left on the present or last socket.
        self.left_here = 0
        # Several inputs were unanswered when the app failed: they go out one at a time until all have ended.
        self.suspects: list[Input] = []
        # A stream came to want a slot that it cannot get: the deadlines have changed.
        self._news = False

    # --- what waits

    @property
    def waits(self) -> bool:
        """Whether anything waits to be sent."""
        if self.main.waiting:
            return True
        return len(self.lanes) > 1 and any(lane.waiting for lane in self.lanes)

    @property
    def unsent(self) -> tuple[Any, ...]:
        """The values of the inputs that never left, oldest first."""
        return tuple(input.value for lane in self.lanes for input in lane.waiting if not input.sends)

    @property
    def dropped(self) -> int:
        """How many inputs of the present lanes were superseded, or are known to have been dropped."""
        return sum(lane.dropped for lane in self.lanes)

    def put(self, input: Input, now: float) -> None:
        """Queue an input.

        Raises:
            QueueFullError: Too much waits already.
        """
        lane = input.lane
        lane.put(input)
        if input.kind is Kind.SEND:
            lane.pacer.offered(now)

    def abandon(self, input: Input) -> None:
        """Take an unsent input back; the answer of a sent one will be absorbed.

        A plain send that has left is nobody's to take back: its answer goes to ``recv()`` all the same.
        """
        if input.outcome is not None:
            return
        if input in input.lane.waiting:
            input.lane.remove(input, Outcome.ABANDONED)
        elif input.kind is not Kind.SEND:
            input.outcome = Outcome.ABANDONED
            # It is only here to absorb its answer, and will not leave again.
            input.frame = b""

    def hand_back(self) -> tuple[Any, ...]:
        """End what waits in the connection's own lane; return the values of the inputs that never left."""
        values = self.unsent
        for input in [*self.main.waiting]:
            self.main.remove(input, Outcome.UNSENT)
        return values

    def clear(self) -> list[Input]:
        """Empty all lanes and return what waited; the caller sees to its outcome."""
        waiting = [input for lane in self.lanes for input in lane.waiting]
        for lane in self.lanes:
            lane.clear()
        return waiting

    def flush(self, now: float) -> None:
        """Let everything offered so far leave without waiting for the clock."""
        for lane in self.lanes:
            lane.flush_below = now

    def flushed(self, at: float) -> bool:
        """Whether everything offered up to this instant has left or ended."""
        return not any(input.submitted_at <= at for lane in self.lanes for input in lane.waiting)

    # --- streams

    def add_lane(self, pacing: Pacing, *, keeps_all: bool) -> Lane:
        """Open the lane of a stream.

        Raises:
            ConcurrencyError: Another stream is running.
        """
        if len(self.lanes) > 1:
            raise ConcurrencyError(
                "a stream is running on this connection already: end it first, or use another connection"
            )
        lane = Lane(pacing.start(), streams=True, keeps_all=keeps_all)
        self.lanes.append(lane)
        return lane

    def remove_lane(self, lane: Lane) -> None:
        """Close a stream's lane; what waits in it is given up."""
        for input in [*lane.waiting, *self.in_flight.of_lane(lane)]:
            self.abandon(input)
        self.lanes.remove(lane)

    def slot_at(self, lane: Lane, now: float, request_id: str | None) -> float | None:
        """Return when a stream may take its next frame; None: not before something happens."""
        if lane.waiting:
            return None
        held = not self._may_leave(Kind.STREAM, lane, request_id)
        if held is not lane.held:
            lane.held = held
            self._news = self._news or held
        main = self.main
        limit = lane.pacer.in_flight_limit
        if limit is not None and len(self.in_flight) >= limit:
            return None  # a frame that was taken now would only grow old
        if held or (main.waiting and (due_at := main.due_at(now, 0)) is not None and due_at <= now):
            return None
        return lane.pacer.due_at(now, len(self.in_flight))

    def take_news(self) -> bool:
        """Whether a stream came to be held up since the last call."""
        news, self._news = self._news, False
        return news

    # --- what leaves

    def take_due(self, now: float) -> Input | None:
        """Return an input that is to be written now, or None. It counts as sent."""
        for lane in self.lanes:
            if lane.waiting:
                head = lane.waiting[0]
                if self._may_leave(head.kind, lane, head.request_id):
                    due_at = lane.due_at(now, len(self.in_flight))
                    if due_at is not None and due_at <= now:
                        return self._sent(lane, now)
        return None

    def next_due_at(self, now: float) -> float | None:
        """Return when something may leave; None: not before something happens."""
        earliest: float | None = None
        for lane in self.lanes:
            if lane.waiting:
                head = lane.waiting[0]
                if self._may_leave(head.kind, lane, head.request_id):
                    due_at = lane.due_at(now, len(self.in_flight))
                    if due_at is not None and (earliest is None or due_at < earliest):
                        earliest = due_at
        return earliest

    def _sent(self, lane: Lane, now: float) -> Input:
        input, in_flight, pacer = lane.take(), self.in_flight, lane.pacer
        # A stream's frame was taken before it was encoded; the pacing counts from there.
        pacer.sent(now if input.taken_at is None else input.taken_at, len(in_flight), len(input.frame))
        in_flight.sent(input, pacer.vouched)
        input.sent_at = now
        input.sends += 1
        self.left_here += 1
        if self._session:
            for older in in_flight.only_newest():
                older.outcome = Outcome.DELIVERED
        return input

    def _may_leave(self, kind: Kind, lane: Lane, request_id: str | None) -> bool:
        if self._limit is not None and self.left_here >= self._limit:
            return False
        if self.suspects and self.in_flight.awaited:
            self.suspects = [suspect for suspect in self.suspects if suspect.outcome is None]
            if self.suspects:
                return False
        return may_join(self.in_flight, kind, lane, request_id)
