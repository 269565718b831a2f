"""RealtimeProtocol: everything we know about one logical connection. Sockets come and go under it.

Theory of operation
    The shell offers inputs (:meth:`submit`), tells what its socket does (:meth:`connecting`, :meth:`opened`,
    :meth:`received`, :meth:`lost`) and asks what may leave (:meth:`take_due`), when to ask again
    (:meth:`next_deadline`, :meth:`tick`) and what happened (:meth:`take_events`). No clock, no chance, no I/O.

    Three things have three lives. An :class:`Input` ends once, in ``Input.end``. A ``SocketState`` is made with each
    socket and thrown away with it: what is unanswered there, whose the next answer is, what its silence means. What is
    known of the app (``pairing/facts.py``), what waits (``send_queue.py``) and how often was tried
    (``reconnect/lifecycle.py``) lives as long as the connection.

    Here they are put together. Every input gets exactly one outcome, and everybody who waits is told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from falrt.exceptions import ConnectionClosedOK, FalrtError
from falrt.protocol import endings
from falrt.protocol.events import Ended, Event, Failed, Noticed, Problem, State, Stats
from falrt.protocol.inputs import Input, Kind, Lane, Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pacing.policies import Pacing
from falrt.protocol.pairing import replay
from falrt.protocol.pairing.facts import AppFacts
from falrt.protocol.pairing.unanswered import Order
from falrt.protocol.reconnect.lifecycle import SETTLED_AFTER, Circumstances, LifeCycle
from falrt.protocol.reconnect.liveness import Pulse
from falrt.protocol.send_queue import SendQueue
from falrt.protocol.settings import Settings
from falrt.protocol.socket_state import SocketState
from falrt.protocol.stats import Counters
from falrt.protocol.wire.messages import Control, Notice, Timings, classify
from falrt.protocol.wire.modes import Replay

__all__ = ["RealtimeProtocol"]


class RealtimeProtocol:
    """One logical connection, without its waiting. See the module's theory of operation."""

    def __init__(self, settings: Settings, now: float, random: Callable[[], float]) -> None:
        self.settings = settings
        self._counters = Counters()
        self._events: list[Event] = []
        self._facts = AppFacts()
        self._queue = SendQueue(settings.pacing, settings.mode, self._facts, self._register)
        self._life = LifeCycle(settings, now, random)
        self._socket = self._new_socket(now)
        # Why the connection is CLOSED; None until then.
        self.error: FalrtError | None = None
        # How the last session of a mode that ends was over, where no other follows; cleared by the next input.
        self.session_end: FalrtError | None = None
        # Why the last socket broke off, or could not be opened; None where it ended as it should, or one works again.
        self._last_failure: Loss | None = None
        # When the newest input was offered, for idle_close.
        self._input_at = now

    def _new_socket(self, now: float) -> SocketState:
        return SocketState(self.settings, self._facts, self._counters, self._events.append, now)

    def _register(self, outcome: Outcome, event: Any) -> None:
        """An input ended."""
        if outcome is Outcome.SUPERSEDED:
            self._counters.dropped += 1
        if event is not None:
            self._events.append(event)

    # --- questions

    @property
    def state(self) -> State:
        """Where the connection stands."""
        phase = self._life.phase
        return State.WARMING if self._life.warming and phase is not State.CLOSED else phase

    def stats(self, now: float) -> Stats:
        """Return a snapshot of the counters."""
        is_open = self._life.phase is State.OPEN
        return self._counters.snapshot(
            now,
            in_flight=len(self._socket.unanswered),
            open_seconds=now - self._socket.opened_at if is_open else 0.0,
        )

    @property
    def tries(self) -> int:
        """How many times the way back was tried since the last good answer."""
        return self._life.retry.tries

    @property
    def main(self) -> Lane:
        """The connection's own lane of waiting inputs."""
        return self._queue.main

    @property
    def leaving(self) -> Loss | None:
        """Why the present socket is being given up; from then on nothing leaves and nothing counts on it."""
        return self._socket.leaving

    @property
    def last_failure(self) -> Loss | None:
        """Why the last socket broke off, or could not be opened; None where it ended as it should, or one works."""
        return self._last_failure

    @property
    def waits(self) -> bool:
        """Whether any input waits to be sent."""
        queue = self._queue
        return bool(queue.main.waiting) or (len(queue.lanes) > 1 and queue.waits)

    @property
    def quiet(self) -> bool:
        """Whether nothing waits to be sent and nothing is unanswered by anybody who still cares.

        In sessions whose inputs have no answers of their own, whether everything was sent.
        """
        if self._queue.waits:
            return False
        return self.settings.mode.replay is Replay.NEVER or not self._socket.unanswered.awaited

    @property
    def pending(self) -> int:
        """How many inputs wait to be sent, or are unanswered and somebody still cares."""
        unanswered = self._socket.unanswered.inputs
        return len(self._queue.waiting) + sum(input.outcome is None for input in unanswered)

    def owes(self, lane: Lane) -> bool:
        """Whether an input of this lane waits to be sent or answered."""
        unanswered = self._socket.unanswered.inputs
        return bool(lane.waiting) or any(x.lane is lane and x.outcome is None for x in unanswered)

    def flushed(self, at: float) -> bool:
        """Whether everything offered up to this instant has left or ended."""
        return not any(input.submitted_at <= at for input in self._queue.waiting)

    def closed_error(self, unsent: tuple[Any, ...] = ()) -> FalrtError:
        """Return the error of a call after the end; with ``unsent`` a ``ConnectionClosed`` that holds the input."""
        error = self.error or self.session_end or ConnectionClosedOK(1000)
        return endings.with_unsent(error, unsent) if unsent else error

    def take_events(self) -> list[Event]:
        """Return what happened since the last call, in order."""
        if not self._events:
            return []
        events = self._events[:]
        self._events.clear()
        return events

    # --- inputs

    def submit(self, input: Input, now: float) -> None:
        """Offer an input, already encoded.

        Raises:
            FalrtError: The connection has ended; a ``ConnectionClosed`` holds the input in ``unsent``.
            QueueFullError: Too much waits already.
        """
        if self._life.phase is State.CLOSED:
            raise self.closed_error(unsent=(input.value,))
        self._queue.put(input, now)
        self._input_at = now
        self.session_end = None
        self._life.wake(now)

    def abandon(self, input: Input, event: Event | None = None) -> None:
        """Its caller stopped waiting: an unsent input is taken back, the answer of a sent one will be absorbed.

        A plain send that has left is nobody's to take back: its answer goes to ``recv()`` all the same.
        """
        if input in input.lane.waiting:
            input.lane.remove(input, Outcome.ABANDONED, event)
        elif input.kind is not Kind.SEND:
            input.end(Outcome.ABANDONED, event)

    def flush(self, now: float) -> None:
        """Let everything offered so far leave without waiting for the clock."""
        self._queue.flush(now)

    # --- what a stream needs

    def add_lane(self, pacing: Pacing, *, keeps_all: bool) -> Lane:
        """Open the lane of a stream.

        Raises:
            FalrtError: The connection has ended.
            ConcurrencyError: Another stream is running.
        """
        if self._life.phase is State.CLOSED:
            raise self.closed_error()
        return self._queue.add_lane(pacing, keeps_all=keeps_all)

    def want_slot(self, lane: Lane, request_id: str | None, now: float) -> bool:
        """A stream would send a frame, which it takes from its source only when that can leave; see :meth:`slot_at`.

        Args:
            lane: The stream's.
            request_id: An id like the one that the frame will have; None where answers cannot name it.
            now: The present.

        Returns:
            Whether that is news, so that the deadlines have to be looked at anew.
        """
        news = not lane.wants or self._life.phase is State.IDLE
        lane.wants, lane.wants_id = True, request_id
        self._life.wake(now)
        return news

    def slot_at(self, lane: Lane, now: float) -> float | None:
        """Return when the stream that wants to send may take its frame; None: not before something happens.

        Requests and sends that could leave go first: a stream always has a newer frame.
        """
        return self._queue.slot_at(lane, self._socket, now) if self._sendable else None

    def skipped(self, count: int) -> None:
        """A stream that ends has skipped so many frames before they were offered."""
        self._counters.dropped += count

    def remove_lane(self, lane: Lane) -> None:
        """Close a stream's lane; what waits in it is given up."""
        for input in (*lane.waiting, *self._socket.unanswered.inputs):
            if input.lane is lane:
                self.abandon(input)
        self._queue.lanes.remove(lane)

    # --- the socket's life

    @property
    def _sendable(self) -> bool:
        return self._life.phase is State.OPEN and self._socket.leaving is None

    def wants_socket(self, now: float) -> bool:
        """Whether it is time to open a socket."""
        return _reached(self._life.retry_at, now)

    def connecting(self, now: float) -> None:
        """The shell begins to open a socket."""
        if self._life.phase is not State.CLOSED:
            self._life.connecting(now)

    def opened(self, now: float) -> None:
        """The upgrade succeeded. That proves nothing about the app."""
        if self._life.phase is not State.CLOSED:
            self._life.opened()
            self._socket = self._new_socket(now)
            self._counters.opens += 1

    def take_due(self, now: float) -> Input | None:
        """Return an input that is to be written now, or None. It counts as sent."""
        if not self._sendable:
            return None
        input = self._queue.take_due(self._socket, now)
        if input is not None:
            self._counters.left(len(input.frame))
        return input

    def heard(self, at: float) -> None:
        """Bytes came in at this instant."""
        self._socket.liveness.heard(at)

    def received(self, message: Any, now: float, size_bytes: int = 0) -> None:
        """The server said something; a control message may be given as such or as its map."""
        socket = self._socket
        self._counters.bytes_received += size_bytes
        socket.liveness.heard(now)
        if not self._sendable:
            return
        control = message if type(message) is not dict and isinstance(message, Control) else classify(message)
        if control is None:
            if socket.sent:  # what nobody asked for restores no budget
                self._life.answered(now)
                self._last_failure = None
            socket.leaving = socket.answers.result(message, now)
        elif isinstance(control, Timings):
            socket.answers.timed(control.inference_time, now)
        elif isinstance(control, Notice):
            self._events.append(Noticed(control))
        else:
            socket.leaving = endings.leaving_for(control, self.settings.app)

    def garbled(self, error: FalrtError, now: float, size_bytes: int = 0) -> None:
        """A frame came that cannot be read: the socket is given up where pairing matters, else the error is told."""
        self._counters.bytes_received += size_bytes
        self._socket.liveness.heard(now)
        if self._sendable:
            self._socket.leaving = self._socket.answers.garbled(error, now)

    # --- losses

    def lost(self, loss: Loss, now: float) -> None:
        """The socket is gone, or none could be opened: decide what follows for everybody."""
        life, mode, socket = self._life, self.settings.mode, self._socket
        if life.phase is State.CLOSED:
            return
        if loss.cause is not Cause.SETUP and socket.leaving is not None:
            loss = socket.leaving  # what we were leaving for is the better explanation
        self._last_failure = None if endings.in_order(loss) else loss
        answered, used, was_open = socket.answers.count > 0, socket.sent > 0, life.phase is State.OPEN
        blame = replay.blame(socket.unanswered, loss, mode, used=used, answered_here=answered)
        self._tell_fault(blame, loss)
        if loss.cause is Cause.IDLE or (loss.cause is Cause.RECYCLED and self.quiet):
            socket.unanswered.end_unproven(Outcome.SUPERSEDED)  # in order: nothing was left undone
        unanswered = [input for input in socket.unanswered.take_all() if input.outcome is None]
        self._left(now)
        if self.settings.backoff is None:
            self._end(loss, unanswered)
            return
        # An app that ended its session or failed has spoken, be it with no output at all.
        spoke = answered or loss.cause is Cause.IDLE or loss.cause in replay.BLAMING
        went_again = self._sort_out(unanswered, loss, spoke=spoke)
        if mode.ends and used and not went_again:
            self._end_session(loss)
        case = Circumstances(
            opened_at=socket.opened_at if was_open else None,
            waits=self._queue.waits,
            asked=bool(unanswered),
            # An app that says that its session is over has spoken, be it without any output.
            answered=answered or (mode.ends and loss.cause is Cause.IDLE and used),
            blamed=blame.settled,
            rests=self.settings.lazy or self.session_end is not None,
        )
        end = life.after(loss, case, now)
        if end is not None:
            self._end(end)

    def _left(self, now: float) -> None:
        """The present socket is gone: count its time, and make the state of the next."""
        if self._life.phase is State.OPEN:
            self._counters.open_seconds += now - self._socket.opened_at
        for lane in self._queue.lanes:
            lane.pacer.lost(now)
        self._socket = self._new_socket(now)

    def _tell_fault(self, blame: replay.Blame, loss: Loss) -> None:
        """Tell the error of a fault to whoever sent the input; several suspects will leave one at a time."""
        culprit, error = blame.culprit, loss.error
        if blame.suspects:
            self._queue.suspect(blame.suspects)
        if error is None:
            return
        if culprit is not None:
            culprit.end(Outcome.FAILED, None if blame.tell else Failed(culprit, error))
        if blame.tell:
            self._events.append(Problem(error))

    def _sort_out(self, unanswered: list[Input], loss: Loss, *, spoke: bool) -> bool:
        """Queue what leaves again of the unanswered, and end the rest; return whether anything leaves again."""
        if not replay.may_replay(self.settings.mode, spoke=spoke):
            for input in unanswered:
                input.end(Outcome.DELIVERED if endings.in_order(loss) else Outcome.FAILED)
            return False
        for input in unanswered:
            if not input.resend:
                input.end(Outcome.FAILED, Failed(input, endings.request_not_resent(loss)))
        again, superseded = replay.split((x for x in unanswered if x.outcome is None), self.settings.mode)
        for input in superseded:
            input.end(Outcome.SUPERSEDED)
        for lane, inputs in again.items():
            lane.put_back(inputs)
        return any(again.values())

    def _end_session(self, loss: Loss) -> None:
        unsent: tuple[Any, ...] = ()
        if self.settings.mode.replay is Replay.NEVER:
            # What still waits belongs to the session that is over: the rest of it alone would be another one.
            unsent = self._queue.hand_back()
        if unsent and isinstance(loss.error, FalrtError):
            self._events.append(Problem(loss.error))
        error = endings.ending_of_session(loss, unsent)
        self._events.append(Ended(error))
        if not self._queue.waits:
            self.session_end = error

    def _end(self, loss: Loss, unanswered: Sequence[Input] = ()) -> None:
        """Lost for good: every waiter hears of it at once."""
        error = endings.ending_of_connection(loss, self._queue.unsent)
        for input in unanswered:
            self._give_back(input, endings.ending_of_unanswered(error))
        self._close_with(error)

    def close(self, now: float) -> None:
        """Close on the user's wish. What never left is handed back in the error's ``unsent``."""
        if self._life.phase is State.CLOSED:
            return
        unanswered = self._socket.unanswered.take_all()
        self._left(now)
        error = ConnectionClosedOK(1000, "closed by close()", unsent=self._queue.unsent)
        for input in unanswered:
            self._give_back(input, error)
        self._close_with(error)

    def _close_with(self, error: FalrtError) -> None:
        self._life.closed()
        self.error = error
        for input in (*self._socket.unanswered.take_all(), *self._queue.clear()):
            self._give_back(input, error)

    def _give_back(self, input: Input, error: FalrtError) -> None:
        """End an input that will get no answer any more, and tell whoever waits for it."""
        outcome = Outcome.FAILED if input.sends else Outcome.UNSENT
        input.end(outcome, None if input.kind is Kind.SEND else Failed(input, error))

    # --- time

    def next_deadline(self, now: float, *, writable: bool = True) -> float | None:
        """Return when to call :meth:`tick` and to look again at what is due or wanted; None: on an event.

        Args:
            now: The present.
            writable: False while the socket takes no more: what is due then waits for the socket, not for time.
        """
        life, warming, socket = self._life, self._life.warming, self._socket
        if life.phase is State.CLOSED:
            return None
        deadlines = [
            *(self._expires_at(input) for input in (*self._queue.waiting, *socket.unanswered.inputs)),
            life.retry_at,
            warming.until,
        ]
        if self._sendable:
            deadlines += [socket.liveness.next_check_at(), self._idle_close_at()]
            if self.settings.mode.pairs:
                deadlines += [self._recycle_at(), socket.overdue.settles_at()]
            if writable and self._queue.waits:
                deadlines.append(self._queue.next_due_at(socket, now))
        return min((at for at in deadlines if at is not None), default=None)

    def undisturbed(self, until: float) -> bool:
        """Whether nothing can be due before an instant for which a timer is set.

        Asked after every message, where :meth:`next_deadline` would be half of the work: so it is quick, and says no
        wherever it is not sure. ``tests/protocol/realtime_world.py`` compares the two at each step of its walks.
        """
        socket, queue, life = self._socket, self._queue, self._life
        if (
            life.phase is not State.OPEN
            or socket.leaving is not None
            or queue.main.waiting
            or len(queue.lanes) > 1
            or life.warming.since is not None
            or self.settings.idle_close is not None
            or socket.unanswered.order is Order.BROKEN
        ):
            return False
        # The timer may stem from before this socket opened, when nobody was to be pinged.
        check_at = socket.liveness.next_check_at()
        if check_at is not None and check_at < until:
            return False
        if not len(socket.unanswered):
            return True
        if not socket.overdue.is_patient(until):
            return False
        for input in socket.unanswered.inputs:
            expires_at = self._expires_at(input)
            if expires_at is not None and expires_at < until:
                return False
        return True

    def tick(self, now: float) -> None:
        """Do what time alone demands."""
        warming = self._life.warming
        if self._life.phase is State.CLOSED:
            return
        for input in (*self._queue.waiting, *self._socket.unanswered.inputs):
            if _reached(self._expires_at(input), now):
                self._time_out(input, now)
        if _reached(warming.until, now):
            if self.quiet:
                warming.forgotten()
            else:
                self._end(self._life.still_cold())
        if self._sendable:
            self._give_up_the_silent(now)

    def take_ping(self) -> bool:
        """Whether a ping is to be sent now; said once."""
        wanted, self._socket.ping_wanted = self._socket.ping_wanted, False
        return wanted

    def _expires_at(self, input: Input) -> float | None:
        """Return when a request runs out of time; None for other inputs, and for never.

        It ends at its caller's own deadline, or ``request_timeout`` after it was offered. That does not run while a
        cold model is starting, which has its own, longer limit; once the model is warm, it begins anew.
        """
        if input.kind is not Kind.REQUEST or input.outcome is not None:
            return None
        default, warming = self.settings.request_timeout, self._life.warming
        if input.timeout_at is not None or default is None or warming:
            return input.timeout_at
        return max(input.submitted_at, warming.warm_at) + default

    def _time_out(self, request: Input, now: float) -> None:
        waited, socket = now - request.submitted_at, self._socket
        # A socket that has lived for a while has nothing to do with the failure of the one before it.
        works = self._life.phase is State.OPEN and now - socket.opened_at > SETTLED_AFTER
        error = endings.request_timeout(
            self.settings.app,
            waited,
            left=request.sends > 0,
            state=self.state,
            last=None if works else self._last_failure,
        )
        self.abandon(request, Failed(request, error))

    def _give_up_the_silent(self, now: float) -> None:
        """Do what follows from the silence of a socket."""
        socket = self._socket
        # The outputs of a session come as the app likes: a pause between them says nothing.
        if self.settings.mode.pairs and _reached(socket.overdue.settles_at(), now):
            socket.unanswered.settle()
        if _reached(self._recycle_at(), now):
            self._recycle(now)
        elif _reached(self._idle_close_at(), now):
            socket.leaving = Loss(Cause.RECYCLED, 1000, reason="idle_close")
        else:
            pulse = socket.liveness.check(now)
            socket.ping_wanted = socket.ping_wanted or pulse is Pulse.PING
            if pulse is Pulse.DEAD:
                socket.leaving = Loss(Cause.SILENCE, reason=socket.liveness.verdict(now))

    def _recycle(self, now: float) -> None:
        self._facts.recycled += 1
        for lane in self._queue.lanes:
            if _reached(lane.pacer.overdue_at(), now):
                lane.pacer.dropped(now)
        self._socket.leaving = Loss(Cause.RECYCLED, 1000, reason="unanswered inputs made pairing unsafe")

    def _idle_close_at(self) -> float | None:
        idle = self.settings.idle_close
        if idle is None or not self.quiet:
            return None
        return max(self._input_at, self._socket.overdue.last_at) + idle

    def _recycle_at(self) -> float | None:
        if self.settings.backoff is None or not self.settings.mode.pairs:
            return None
        return self._socket.overdue.recycles_at(self._queue.lanes)


def _reached(at: float | None, now: float) -> bool:
    return at is not None and now >= at
