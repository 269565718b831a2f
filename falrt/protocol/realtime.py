"""RealtimeProtocol: everything we know about one logical connection. Sockets come and go under it.

Theory of operation
    The shell offers inputs (:meth:`submit`), tells what its socket does (:meth:`connecting`, :meth:`opened`,
    :meth:`received`, :meth:`lost`), asks what may leave (:meth:`take_due`) and when to ask again
    (:meth:`next_deadline`, :meth:`tick`), and hands over what happened (``events``). No clock, no chance, no I/O.

    Three things have three lives. An :class:`Input` ends once, in ``Input.end``. A ``SocketState`` is made with each
    socket and thrown away with it: what is unanswered there, whose the next answer is, what its silence means. What is
    known of the app (``pairing/facts.py``), what waits (``send_queue.py``) and how often was tried
    (``reconnect/lifecycle.py``) lives as long as the connection.

    Here they are put together. Every input gets exactly one outcome, and everybody who waits is told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from falrt.exceptions import ConnectionClosedOK, FalrtError, RequestTimeout
from falrt.protocol import endings
from falrt.protocol.events import CLOSED, OPEN, Ended, Event, Failed, Lost, Opened, Problem, State, Stats
from falrt.protocol.inputs import REQUEST, SEND, Input, Lane, Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.numbers import NEVER
from falrt.protocol.pacing.policies import Pacing
from falrt.protocol.pairing import replay
from falrt.protocol.pairing.facts import AppFacts
from falrt.protocol.reconnect.lifecycle import SETTLED_AFTER, Circumstances, LifeCycle
from falrt.protocol.send_queue import SendQueue
from falrt.protocol.settings import Settings
from falrt.protocol.socket_state import SocketState
from falrt.protocol.stats import Counters
from falrt.protocol.wire.modes import Replay

__all__ = ["RealtimeProtocol"]


class RealtimeProtocol:
    """One logical connection, without its waiting. See the module's theory of operation.

    Attributes:
        settings: What it was asked to do.
        events: What happened, oldest first; the shell takes out what it has handed over.
        ending: Why nothing more comes: why the connection is CLOSED, or how the last session of a mode that ends was
            over, until the next input. None otherwise.
        socket: The present socket; ``socket.leaving`` says why it is being given up, if it is.
        main: The connection's own lane of waiting inputs.
    """

    __slots__ = (
        "_counters", "_facts", "_input_at", "_last_failure", "_life", "_queue", "ending", "events", "main", "settings",
        "socket",
    )  # fmt: skip

    def __init__(self, settings: Settings, now: float, random: Callable[[], float]) -> None:
        self.settings = settings
        self.events: list[Event] = []
        self.ending: FalrtError | None = None
        self._counters = Counters()
        self._facts = AppFacts()
        self._queue = SendQueue(settings.pacing, settings.mode, self._facts, self._register)
        self.main = self._queue.main
        self._life = LifeCycle(settings, now, random)
        self.socket = self._new_socket(now)
        # Why the last socket broke off, or could not be opened; None where it ended as it should, or one works again.
        self._last_failure: Loss | None = None
        # When the newest input was offered, for idle_close.
        self._input_at = now

    def _new_socket(self, now: float) -> SocketState:
        return SocketState(self.settings, self._facts, self._counters, self.events.append, now)

    def _register(self, outcome: Outcome, event: Any) -> None:
        """An input ended."""
        if outcome is Outcome.SUPERSEDED:
            self._counters.dropped += 1
        if event is not None:
            self.events.append(event)

    # --- questions

    @property
    def state(self) -> State:
        """Where the connection stands."""
        phase = self._life.phase
        return State.WARMING if self._life.warming and phase is not CLOSED else phase

    def stats(self, now: float) -> Stats:
        """Return a snapshot of the counters."""
        in_flight = len(self.socket.unanswered.inputs)
        return self._counters.snapshot(now, in_flight=in_flight, open_seconds=self._open_seconds(now))

    def _open_seconds(self, now: float) -> float:
        return now - self.socket.opened_at if self._life.phase is OPEN else 0.0

    def pending(self, lane: Lane | None = None) -> int:
        """How many inputs, of one lane or of all, wait to be sent, or are unanswered and somebody still cares.

        In sessions whose inputs have no answers of their own, only those that wait count.
        """
        inputs = self._queue.waiting
        if self.settings.mode.replay is not Replay.NEVER:
            inputs = [*inputs, *self.socket.unanswered.inputs]
        return sum(input.outcome is None and lane in (None, input.lane) for input in inputs)

    def timeout_error(self, since: float, now: float, *, left: bool = False) -> RequestTimeout:
        """Return the error of a request that was made at ``since`` and has no time left; ``left``: it was sent."""
        # A socket that has lived for a while has nothing to do with the failure of the one before it.
        last = None if self._open_seconds(now) > SETTLED_AFTER else self._last_failure
        return endings.request_timeout(self.settings.app, now - since, left=left, state=self.state, last=last)

    # --- inputs

    def submit(self, input: Input, now: float) -> None:
        """Offer an input, already encoded.

        Raises:
            FalrtError: The connection has ended; a ``ConnectionClosed`` holds the input in ``unsent``.
            QueueFullError: Too much waits already.
        """
        if self.ending is not None and self._life.phase is CLOSED:
            raise endings.with_unsent(self.ending, (input.value,))
        input.lane.put(input)
        if input.kind is SEND:
            input.lane.pacer.offered(now)
        self._input_at = now
        self.ending = None
        self._life.wake(now)

    def abandon(self, input: Input, event: Event | None = None) -> None:
        """Its caller stopped waiting: an unsent input is taken back, the answer of a sent one will be absorbed.

        A plain send that has left is nobody's to take back: its answer goes to ``recv()`` all the same.
        """
        if input.kind is not SEND or input in input.lane.waiting:
            input.lane.end(input, Outcome.ABANDONED, event)

    def flush(self, now: float) -> list[Input]:
        """Let everything that waits leave without waiting for the clock; return what that is."""
        for lane in self._queue.lanes:
            lane.flush_below = now
        return [*self._queue.waiting]

    # --- what a stream needs

    def add_lane(self, pacing: Pacing, *, keeps_all: bool) -> Lane:
        """Open the lane of a stream.

        Raises:
            FalrtError: The connection has ended.
            ConcurrencyError: Another stream is running.
        """
        if self.ending is not None and self._life.phase is CLOSED:
            raise self.ending
        return self._queue.add_lane(pacing, keeps_all=keeps_all)

    def want_slot(self, lane: Lane, request_id: str | None, now: float) -> float | None:
        """A stream would send a frame, which it takes from its source only when that can leave.

        Where it did not want to before (``lane.wants``), or no socket was wanted, the deadlines have to be looked at
        anew. Requests and sends that could leave go first: a stream always has a newer frame.

        Args:
            lane: The stream's.
            request_id: An id like the one that the frame will have; None where answers cannot name it.
            now: The present.

        Returns:
            When the stream may take its frame; None: not before something happens.
        """
        lane.wants, lane.wants_id = True, request_id
        self._life.wake(now)
        return self._queue.slot_at(lane, self.socket, now) if self._sendable else None

    def remove_lane(self, lane: Lane, skipped: int = 0) -> None:
        """Close a stream's lane; what waits in it is given up, and ``skipped`` frames were never offered."""
        self._counters.dropped += skipped
        for input in (*lane.waiting, *self.socket.unanswered.inputs):
            if input.lane is lane:
                self.abandon(input)
        self._queue.lanes.remove(lane)

    # --- the socket's life

    @property
    def _sendable(self) -> bool:
        return self._life.phase is OPEN and self.socket.leaving is None

    def connecting(self, now: float) -> bool:
        """Begin to open a socket, if it is time for one; return whether it is."""
        due = now >= self._life.retry_at
        if due:
            self._life.connecting(now)
        return due

    def opened(self, now: float) -> None:
        """The upgrade succeeded. That proves nothing about the app."""
        if self._life.phase is not CLOSED:
            self._life.opened()
            self.socket = self._new_socket(now)
            self._counters.opens += 1
            self.events.append(Opened())

    def take_due(self, now: float) -> Input | None:
        """Return an input that is to be written now, or None. It counts as sent."""
        if not self._queue.waiting or not self._sendable:
            return None
        input = self._queue.take_due(self.socket, now)
        if input is not None:
            self._counters.sent += 1
            self._counters.bytes_sent += len(input.frame)
        return input

    def received(self, message: Any, now: float, size_bytes: int = 0) -> None:
        """The server said something.

        Args:
            message: As decoded; a control message may be given as such or as its map. Of a frame that cannot be
                read, the error that says why: it may have been an answer.
            now: The present.
            size_bytes: Length of the frame.
        """
        self._counters.bytes_received += size_bytes
        if not self._sendable:
            return
        socket, results = self.socket, self.socket.results
        socket.received(message, now)
        if socket.results > results and socket.sent:  # what nobody asked for restores no budget
            self._life.answered(now)
            self._last_failure = None

    # --- losses

    def lost(self, loss: Loss, now: float) -> None:
        """The socket is gone, or none could be opened: decide what follows for everybody."""
        life, mode, socket = self._life, self.settings.mode, self.socket
        if life.phase is CLOSED:
            return
        was_open = life.phase is OPEN
        self.events.append(Lost(loss, was_open, life.retry.tries))
        if loss.cause is not Cause.SETUP and socket.leaving is not None:
            loss = socket.leaving  # what we were leaving for is the better explanation
        self._last_failure = None if endings.in_order(loss) else loss
        answered, used = socket.results > 0, socket.sent > 0
        blame = replay.blame(socket.unanswered, loss, mode, used=used, answered_here=answered)
        self._tell_fault(blame, loss)
        if loss.cause is Cause.IDLE or (loss.cause is Cause.RECYCLED and not self.pending()):
            socket.unanswered.end_unproven(Outcome.SUPERSEDED)  # in order: nothing was left undone
        unanswered = [input for input in socket.unanswered.take_all() if input.outcome is None]
        self._left(now)
        if self.settings.backoff is None:
            self._end(loss, unanswered)
            return
        # An app that ended its session or failed has spoken, be it with no output at all.
        spoke = answered or loss.cause is Cause.IDLE or loss.cause in replay.BLAMING
        went_again = replay.sort_out(unanswered, loss, mode, spoke=spoke)
        if mode.ends and used and not went_again:
            self._end_session(loss)
        case = Circumstances(
            opened_at=socket.opened_at if was_open else None,
            waits=bool(self._queue.waiting),
            asked=bool(unanswered),
            # An app that says that its session is over has spoken, be it without any output.
            answered=answered or (mode.ends and loss.cause is Cause.IDLE and used),
            blamed=blame.settled,
            rests=self.settings.lazy or self.ending is not None,
        )
        end = life.after(loss, case, now)
        if end is not None:
            self._end(end)

    def _left(self, now: float) -> None:
        """The present socket is gone: count its time, and make the state of the next."""
        self._counters.open_seconds += self._open_seconds(now)
        for lane in self._queue.lanes:
            lane.pacer.lost(now)
        self.socket = self._new_socket(now)

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
            self.events.append(Problem(error))

    def _end_session(self, loss: Loss) -> None:
        unsent: tuple[Any, ...] = ()
        if self.settings.mode.replay is Replay.NEVER:
            # What still waits belongs to the session that is over: the rest of it alone would be another one.
            unsent = self._queue.hand_back()
        if unsent and isinstance(loss.error, FalrtError):
            self.events.append(Problem(loss.error))
        error = endings.ending_of_session(loss, unsent)
        self.events.append(Ended(error))
        if not self._queue.waiting:
            self.ending = error

    def _end(self, loss: Loss, unanswered: Sequence[Input] = ()) -> None:
        """Lost for good: every waiter hears of it at once."""
        error = endings.ending_of_connection(loss, self._queue.unsent)
        unanswered = (*unanswered, *self.socket.unanswered.take_all())
        self._close_with(error, unanswered, endings.ending_of_unanswered(error))

    def close(self, now: float) -> None:
        """Close on the user's wish. What never left is handed back in the error's ``unsent``."""
        if self._life.phase is CLOSED:
            return
        unanswered = self.socket.unanswered.take_all()
        self._left(now)
        error = ConnectionClosedOK(1000, "closed by close()", unsent=self._queue.unsent)
        self._close_with(error, unanswered, error)

    def _close_with(self, error: FalrtError, unanswered: Sequence[Input], told: FalrtError) -> None:
        self._life.closed()
        self.ending = error
        for input in unanswered:
            self._give_back(input, told)
        for input in [*self._queue.waiting]:
            self._give_back(input, error)

    def _give_back(self, input: Input, error: FalrtError) -> None:
        """End an input that will get no answer any more, and tell whoever waits for it."""
        outcome = Outcome.FAILED if input.sends else Outcome.UNSENT
        input.lane.end(input, outcome, None if input.kind is SEND else Failed(input, error))

    # --- time

    def next_deadline(self, now: float, *, writable: bool = True) -> float | None:
        """Return when to call :meth:`tick` and to look again at what is due or wanted; None: on an event.

        Asked after every message: what cannot matter at present is not looked at.

        Args:
            now: The present.
            writable: False while the socket takes no more: what is due then waits for the socket, not for time.
        """
        life, socket, queue = self._life, self.socket, self._queue
        if life.phase is CLOSED:
            return None
        waiting, unanswered = queue.waiting, socket.unanswered.inputs
        deadline = min(life.retry_at, life.warming.until)
        for input in (*waiting, *unanswered) if waiting else unanswered:
            if input.kind is REQUEST:
                deadline = min(deadline, life.expires_at(input))
        if self._sendable:
            deadline = min(deadline, socket.liveness.check_at)
            if waiting or unanswered or len(queue.lanes) > 1:
                overdue = socket.overdue
                deadline = min(deadline, overdue.settles_at(), overdue.recycles_at(queue.lanes))
            if self.settings.idle_close is not None:
                deadline = min(deadline, self._idle_close_at())
            if waiting and writable:
                deadline = min(deadline, queue.next_due_at(socket, now))
        return None if deadline == NEVER else deadline

    def tick(self, now: float, heard_at: float = -NEVER) -> bool:
        """Do what time alone demands.

        Args:
            now: The present.
            heard_at: When bytes last came in, or there was another sign of life.

        Returns:
            Whether a ping is to be sent.
        """
        life, socket = self._life, self.socket
        if life.phase is CLOSED:
            return False
        for input in (*self._queue.waiting, *socket.unanswered.inputs):
            if input.kind is REQUEST and now >= life.expires_at(input):
                error = self.timeout_error(input.submitted_at, now, left=input.sends > 0)
                self.abandon(input, Failed(input, error))
        if now >= life.warming.until:
            if self.pending():
                self._end(life.still_cold())
            else:
                life.warming.forgotten()
        if not self._sendable:
            return False
        if now >= self._idle_close_at():
            socket.leaving = Loss(Cause.RECYCLED, 1000, reason="idle_close")
            return False
        socket.liveness.heard(heard_at)
        return socket.judge_silence(now, self._queue.lanes)

    def _idle_close_at(self) -> float:
        idle = self.settings.idle_close
        if idle is None or self.pending():
            return NEVER
        return max(self._input_at, self.socket.overdue.last_at) + idle
