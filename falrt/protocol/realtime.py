"""RealtimeProtocol: everything we know about one logical connection. Sockets come and go under it.

Theory of operation
    The shell offers inputs (:meth:`submit`), tells what its socket does (:meth:`connecting`, :meth:`opened`,
    :meth:`received`, :meth:`lost`) and asks what may leave (:meth:`take_due`), when to ask again
    (:meth:`next_deadline`, :meth:`tick`) and what happened (:meth:`take_events`). No clock, no chance, no I/O.

    The states and their order stand in ``events.TRANSITIONS``. The decisions are taken by small machines:

    * what may leave while others are unanswered: ``send_queue.py``, with ``admission.py`` and ``pacing.py``
    * which answer is whose: ``in_flight.py``, and what follows: ``answers.py``; what silence means: ``silence.py``
    * how long requests wait: ``timeouts.py``; whether the peer lives: ``liveness.py``
    * what becomes of the unanswered after a loss: ``aftermath.py``; with which error things end: ``endings.py``
    * when the next socket comes: ``comeback.py``, with ``lifecycle.py``, ``retry.py`` and ``warming.py``

    Here they are put together. Every input gets exactly one outcome, and everybody who waits is told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from falrt.exceptions import ConnectionClosedOK, FalrtError
from falrt.protocol import endings
from falrt.protocol.events import Ended, Event, Failed, Noticed, Problem, State, Stats
from falrt.protocol.inputs import Input, Kind, Lane, Outcome, supersede
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pacing.policies import Pacing
from falrt.protocol.pairing import replay as aftermath
from falrt.protocol.pairing.answers import Answers
from falrt.protocol.pairing.in_flight import InFlight
from falrt.protocol.pairing.overdue import Silence
from falrt.protocol.pairing.timeouts import Timeouts
from falrt.protocol.reconnect.comeback import Comeback
from falrt.protocol.reconnect.liveness import Liveness, Pulse
from falrt.protocol.send_queue import SendQueue
from falrt.protocol.settings import Settings
from falrt.protocol.stats import Counters
from falrt.protocol.wire.messages import Control, Notice, Timings, classify
from falrt.protocol.wire.modes import Replay

__all__ = ["RealtimeProtocol"]


class RealtimeProtocol:
    """One logical connection, without its waiting. See the module's theory of operation."""

    def __init__(self, settings: Settings, now: float, random: Callable[[], float]) -> None:
        self.settings = settings
        # One output for each processed input: what is unanswered, and for how long, means something.
        self._pairs = settings.mode.pairs
        self.in_flight = InFlight()
        self._queue = SendQueue(settings.pacing, settings.mode, self.in_flight)
        self._counters = Counters()
        self._events: list[Event] = []
        self._timeouts = Timeouts(settings.request_timeout)
        self._silence = Silence(settings.request_timeout, now)
        self._comeback = Comeback(settings, now, random)
        self._answers = Answers(
            self.in_flight, self._counters, self._silence, self._timeouts, settings.mode, self._events.append
        )
        # Why the present socket is being given up; from then on nothing leaves and nothing counts on it.
        self.leaving: Loss | None = None
        # Why the connection is CLOSED; None until then.
        self.error: FalrtError | None = None
        # How the last session of a mode that ends was over, where no other follows; cleared by the next input.
        self.session_end: FalrtError | None = None
        self._liveness = Liveness(settings.keepalive, now)
        # Why the last socket broke off, or could not be opened; None where it ended as it should.
        self.last_failure: Loss | None = None
        # The shell should ping; cleared when it has asked.
        self._ping_wanted = False
        # When the newest input was offered, for idle_close.
        self._input_at = now

    # --- what users see

    @property
    def state(self) -> State:
        """Where the connection stands."""
        phase = self._comeback.phase
        return State.WARMING if self._comeback.warming and phase is not State.CLOSED else phase

    def stats(self, now: float) -> Stats:
        """Return a snapshot of the figures."""
        comeback = self._comeback
        return self._counters.snapshot(
            now,
            dropped=self._queue.dropped,
            in_flight=len(self.in_flight),
            open_seconds=now - comeback.opened_at if comeback.phase is State.OPEN else 0.0,
        )

    @property
    def tries(self) -> int:
        """How many times the way back was tried since the last good answer."""
        return self._comeback.retry.tries

    @property
    def main(self) -> Lane:
        """The connection's own lane of waiting inputs."""
        return self._queue.main

    @property
    def quiet(self) -> bool:
        """Whether nothing waits to be sent and nothing is unanswered by anybody who still cares."""
        return not self._queue.waits and not self.in_flight.awaited

    @property
    def waits(self) -> bool:
        """Whether any input waits to be sent."""
        return self._queue.waits

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
        phase = self._comeback.phase
        if phase is State.CLOSED:
            raise self.closed_error(unsent=(input.value,))
        self._queue.put(input, now)
        if input.kind is Kind.REQUEST:
            self._timeouts.add(input)
        self._input_at = now
        self.session_end = None
        if phase is State.IDLE:
            self._comeback.at(now)

    def wanted(self, now: float) -> bool:
        """A stream would send, but takes its frame only when it can leave: end the rest.

        Returns:
            Whether that changed anything, so that the deadlines have to be looked at anew.
        """
        news = self._queue.take_news()
        if self._comeback.phase is not State.IDLE:
            return news
        self._comeback.at(now)
        return True

    def abandon(self, input: Input) -> None:
        """Its caller stopped waiting: an unsent input is taken back, the answer of a sent one will be absorbed.

        A plain send that has left is nobody's to take back: its answer goes to ``recv()`` all the same.
        """
        self._queue.abandon(input)

    def flush(self, now: float) -> None:
        """Let everything offered so far leave without waiting for the clock."""
        self._queue.flush(now)

    def flushed(self, at: float) -> bool:
        """Whether everything offered up to this instant has left or ended."""
        return self._queue.flushed(at)

    def add_lane(self, pacing: Pacing, *, keeps_all: bool) -> Lane:
        """Open the lane of a stream.

        Raises:
            FalrtError: The connection has ended.
            ConcurrencyError: Another stream is running.
        """
        if self._comeback.phase is State.CLOSED:
            raise self.closed_error()
        return self._queue.add_lane(pacing, keeps_all=keeps_all)

    def skipped(self, count: int) -> None:
        """A stream that ends has skipped so many frames before they were offered."""
        self._counters.dropped += count

    def remove_lane(self, lane: Lane) -> None:
        """Close a stream's lane; what waits in it is given up."""
        self._queue.remove_lane(lane)
        self._counters.dropped += lane.dropped

    # --- sending

    @property
    def _sendable(self) -> bool:
        return self.leaving is None and self._comeback.phase is State.OPEN

    def slot_at(self, lane: Lane, now: float, request_id: str | None) -> float | None:
        """Return when a stream may take its next frame; None: not before something happens.

        Requests and sends that could leave go first: a stream always has a newer frame.
        """
        return self._queue.slot_at(lane, now, request_id) if self._sendable else None

    def take_due(self, now: float) -> Input | None:
        """Return an input that is to be written now, or None. It counts as sent."""
        if self.leaving is not None or self._comeback.phase is not State.OPEN:
            return None
        queue = self._queue
        if not queue.waits:
            return None
        input = queue.take_due(now)
        if input is not None:
            self._silence.sent(now)
            self._counters.left(len(input.frame))
        return input

    # --- the socket's life

    def wants_socket(self, now: float) -> bool:
        """Whether it is time to open a socket."""
        return _reached(self._comeback.retry_at, now)

    def connecting(self, now: float) -> None:
        """The shell begins to open a socket."""
        if self._comeback.phase is State.CLOSED:
            return
        self._comeback.connecting(now)
        self._queue.left_here = 0
        self._answers.begin()

    def opened(self, now: float) -> None:
        """The upgrade succeeded. That proves nothing about the app."""
        if self._comeback.phase is State.CLOSED:
            return
        self._comeback.opened(now)
        self._silence.opened(now)
        self._input_at = now
        self._liveness = Liveness(self.settings.keepalive, now)
        self._counters.opens += 1

    def heard(self, at: float) -> None:
        """Bytes came in at this instant."""
        self._liveness.heard(at)

    def received(self, message: Any, now: float, size_bytes: int = 0) -> None:
        """The server said something; a control message may be given as such or as its map."""
        self._counters.bytes_received += size_bytes
        self._liveness.heard(now)
        if self.leaving is not None or self._comeback.phase is not State.OPEN:
            return
        control = message if isinstance(message, Control) else classify(message)
        if control is None:
            if self._queue.left_here:  # what nobody asked for restores no budget
                self._comeback.answered(now)
            self.leaving = self._answers.result(message, now)
        else:
            self._control(control, now)

    def garbled(self, error: FalrtError, now: float, size_bytes: int = 0) -> None:
        """A frame came that cannot be read: the socket is given up where pairing matters, else the error is told."""
        self._counters.bytes_received += size_bytes
        self._liveness.heard(now)
        if not self._sendable:
            return
        self.leaving = self._answers.garbled(error, now)

    def _control(self, control: Control, now: float) -> None:
        if isinstance(control, Timings):
            self._answers.timed(control.inference_time, now)
        elif isinstance(control, Notice):
            self._events.append(Noticed(control))
        else:
            self.leaving = endings.leaving_for(control, self.settings.app)

    # --- losses

    def lost(self, loss: Loss, now: float) -> None:
        """The socket is gone, or none could be opened: decide what follows for everybody."""
        comeback, mode = self._comeback, self.settings.mode
        if comeback.phase is State.CLOSED:
            return
        if comeback.phase is State.OPEN:
            self._counters.open_seconds += now - comeback.opened_at
        # What we were leaving for is the better explanation.
        loss, self.leaving = self.leaving or loss, None
        self.last_failure = None if endings.in_order(loss) else loss
        for lane in self._queue.lanes:
            lane.pacer.lost(now)
        answered = self._answers.here > 0
        used = self._queue.left_here > 0
        blame = aftermath.blame(self.in_flight, loss, mode, used=used, answered_here=answered)
        self._accuse(blame, loss)
        unanswered = self._unanswered(loss)
        if self.settings.backoff is None:
            self._end(loss, unanswered)
            return
        asked = bool(unanswered)
        self._sort_out(unanswered, loss)
        end = comeback.after(
            loss,
            now,
            waits=self._queue.waits,
            asked=asked,
            # An app that says that its session is over has spoken, be it without any output.
            answered=answered or (mode.ends and loss.cause is Cause.IDLE and used),
            blamed=blame.settled,
            rests=self.settings.lazy or self.session_end is not None,
        )
        if end is not None:
            self._end(end)

    def _unanswered(self, loss: Loss) -> list[Input]:
        """Take what the lost socket has left unanswered, and somebody still wants."""
        # After an orderly idle end nothing was left undone: what was written off is gone.
        idle = loss.cause is Cause.IDLE or (loss.cause is Cause.RECYCLED and self.quiet)
        unproven = [] if idle else self.in_flight.take_unproven()
        return unproven + [input for input in self.in_flight.clear() if input.outcome is None]

    def _accuse(self, blame: aftermath.Blame, loss: Loss) -> None:
        """Tell the error of a fault to whom it concerns; several suspects will go out one at a time."""
        culprit, error = blame.culprit, loss.error
        if blame.suspects:
            self._queue.suspects = list(blame.suspects)
        if error is None:
            return
        if culprit is not None and culprit.outcome is None:
            culprit.outcome = Outcome.FAILED
            if not blame.tell:
                self._events.append(Failed(culprit, error))
        if blame.tell:
            self._events.append(Problem(error))

    def _sort_out(self, unanswered: list[Input], loss: Loss) -> None:
        mode = self.settings.mode
        # An app that ended its session or failed has spoken, be it with no output at all.
        spoke = self._answers.here > 0 or loss.cause is Cause.IDLE or loss.cause in aftermath.BLAMING
        result = aftermath.sort_out(unanswered, mode, answered_here=spoke)
        for lane, inputs in result.again.items():
            lane.put_back(inputs)
        for input in result.superseded:
            input.lane.dropped += 1
        for input in result.failed:
            input.outcome = Outcome.DELIVERED if endings.in_order(loss) else Outcome.FAILED
        if mode.ends and self._queue.left_here and not result.again:
            self._end_session(loss)

    def _end_session(self, loss: Loss) -> None:
        unsent: tuple[Any, ...] = ()
        if self.settings.mode.replay is Replay.NEVER:
            # What still waits belongs to the session that is over: the rest of it alone would be another one.
            unsent = self._queue.hand_back()
        if unsent and isinstance(loss.error, FalrtError):
            self._events.append(Problem(loss.error))
        error = endings.ending_of_session(loss, unsent)
        self._events.append(Ended(error))
        self._queue.left_here = 0
        if not self._queue.waits:
            self.session_end = error

    def _end(self, loss: Loss, unanswered: Sequence[Input] = ()) -> None:
        """Lost for good: every waiter hears of it at once."""
        self._close_with(endings.ending_of_connection(loss, self._queue.unsent), unanswered)

    def close(self, now: float) -> None:
        """Close on the user's wish. What never left is handed back in the error's ``unsent``."""
        comeback = self._comeback
        if comeback.phase is State.OPEN:
            self._counters.open_seconds += now - comeback.opened_at
        if comeback.phase is not State.CLOSED:
            self._close_with(ConnectionClosedOK(1000, "closed by close()", unsent=self._queue.unsent))

    def _close_with(self, error: FalrtError, unanswered: Sequence[Input] = ()) -> None:
        self._comeback.closed()
        self.error = error
        for input in (*unanswered, *self.in_flight.clear(), *self._queue.clear()):
            if input.outcome is None:
                input.outcome = Outcome.FAILED if input.sends else Outcome.UNSENT
                if input.kind is not Kind.SEND:
                    self._events.append(Failed(input, error))

    def closed_error(self, unsent: tuple[Any, ...] = ()) -> FalrtError:
        """Return the error of a call after the end; with ``unsent`` a ``ConnectionClosed`` that holds the input."""
        error = self.error or self.session_end or ConnectionClosedOK(1000)
        return endings.with_unsent(error, unsent) if unsent else error

    # --- time

    def next_deadline(self, now: float, *, writable: bool = True) -> float | None:
        """Return when to call :meth:`tick` and to look again at what is due or wanted; None: on an event.

        Args:
            now: The present.
            writable: False while the socket takes no more: what is due then waits for the socket, not for time.
        """
        comeback, warming = self._comeback, self._comeback.warming
        if comeback.phase is State.CLOSED:
            return None
        earliest = self._timeouts.next_at(warming=bool(warming), warm_at=warming.warm_at)
        earliest = _sooner(_sooner(earliest, comeback.retry_at), warming.until)
        if self.leaving is not None or comeback.phase is not State.OPEN:
            return earliest
        earliest = _sooner(earliest, self._liveness.next_check_at())
        if self.settings.idle_close is not None:
            earliest = _sooner(earliest, self._idle_close_at())
        in_flight, silence = self.in_flight, self._silence
        if self._pairs and (len(in_flight) or in_flight.doubt):
            earliest = _sooner(earliest, self._recycle_at())
            earliest = _sooner(earliest, silence.dropped_at(in_flight))
        if writable and self._queue.waits:
            earliest = _sooner(earliest, self._queue.next_due_at(now))
        return earliest

    def undisturbed(self, until: float) -> bool:
        """Whether nothing can be due before an instant for which a timer is set.

        Asked after every message, where :meth:`next_deadline` would be half of the work: so it is quick, and says no
        wherever it is not sure.
        """
        check_at = self._liveness.next_check_at()
        return (
            self.leaving is None
            and self._comeback.phase is State.OPEN
            # The timer may stem from before this socket opened, when nobody was to be pinged.
            and (check_at is None or check_at >= until)
            and not self._queue.main.waiting
            and len(self._queue.lanes) == 1
            and self._timeouts.soonest >= until
            and not self._comeback.warming
            and self.settings.idle_close is None
            and not self.in_flight.stale
            and self._silence.is_patient(self.in_flight, until)
        )

    def tick(self, now: float) -> None:
        """Do what time alone demands."""
        warming = self._comeback.warming
        if self._comeback.phase is State.CLOSED:
            return
        for request in self._timeouts.expired(now, warming=bool(warming), warm_at=warming.warm_at):
            self._time_out(request, now)
        if _reached(warming.until, now):
            if self.quiet:
                warming.forgotten()
            else:
                self._end(self._comeback.still_cold())
        if self._sendable:
            self._give_up_the_silent(now)
            self._give_up_the_socket(now)

    def take_ping(self) -> bool:
        """Whether a ping is to be sent now; said once."""
        wanted, self._ping_wanted = self._ping_wanted, False
        return wanted

    def _time_out(self, request: Input, now: float) -> None:
        if request.dropped_at is not None:
            supersede(request)
            request.frame = b""  # it is only here to absorb its answer
            self._events.append(Failed(request, endings.request_dropped()))
            return
        waited, left = now - request.submitted_at, request.sends > 0
        error = endings.request_timeout(
            self.settings.app, waited, left=left, state=self.state, last=self.last_failure
        )
        self.abandon(request)
        self._events.append(Failed(request, error))

    def _give_up_the_silent(self, now: float) -> None:
        if not self._pairs:
            return  # the outputs of a session come in their own rhythm: a pause between them says nothing
        if not _reached(self._silence.dropped_at(self.in_flight), now):
            return
        # The newest is never dropped, and an answer came since it left: that was its own, so nothing more comes.
        lanes: set[Lane] = set()
        while (lost := self.in_flight.write_off()) is not None:
            lanes.add(lost.lane)
        for lane in lanes:
            lane.pacer.written_off(now)

    def _give_up_the_socket(self, now: float) -> None:
        if _reached(self._recycle_at(), now):
            self._silence.recycled()
            self.leaving = Loss(Cause.RECYCLED, 1000, reason="unanswered inputs made pairing unsafe")
            return
        if _reached(self._idle_close_at(), now):
            self.leaving = Loss(Cause.RECYCLED, 1000, reason="idle_close")
            return
        pulse = self._liveness.check(now)
        if pulse is Pulse.PING:
            self._ping_wanted = True
        elif pulse is Pulse.DEAD:
            self.leaving = Loss(Cause.SILENCE, reason=self._liveness.verdict(now))

    def _idle_close_at(self) -> float | None:
        idle = self.settings.idle_close
        if idle is None or not self.quiet:
            return None
        return max(self._input_at, self._silence.last_at) + idle

    def _recycle_at(self) -> float | None:
        if self.settings.backoff is None or not self._pairs:
            return None
        return self._silence.recycles_at(self.in_flight, self._queue.lanes)


def _sooner(one: float | None, other: float | None) -> float | None:
    if one is None or (other is not None and other < one):
        return other
    return one


def _reached(at: float | None, now: float) -> bool:
    return at is not None and now >= at
