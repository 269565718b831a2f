"""RealtimeProtocol: everything we know about one logical connection. Sockets come and go under it.

Theory of operation
    The shell offers inputs (:meth:`submit`), tells what its socket does (:meth:`connecting`, :meth:`opened`,
    :meth:`received`, :meth:`lost`) and asks what may leave (:meth:`take_due`), when to ask again
    (:meth:`next_deadline`, :meth:`tick`) and what happened (:meth:`take_events`). No clock, no chance, no I/O.

    The states and their order stand in ``events.TRANSITIONS``. The decisions are taken by small machines:

    * who may leave while others are unanswered: ``admission.py``; when, as the pacing goes: ``pacing.py``
    * which answer is whose: ``in_flight.py``; what it means that none comes: ``silence.py``
    * how long requests wait: ``timeouts.py``
    * what becomes of the unanswered after a loss: ``aftermath.py``; with which error things end: ``endings.py``
    * what to do next: ``lifecycle.py``, with ``retry.py`` and, for a model that is starting, ``warming.py``
    * whether the peer lives: ``liveness.py``

    Here they are put together. Every input gets exactly one outcome, and everybody who waits is told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from falrt.exceptions import ConcurrencyError, ConnectionClosedOK, FalrtError, ServerError, UnauthorizedError
from falrt.protocol import admission, aftermath, endings
from falrt.protocol.events import Answered, Ended, Event, Failed, Noticed, Problem, Pushed, State, Stats
from falrt.protocol.figures import Figures
from falrt.protocol.in_flight import InFlight, Input, Kind, Outcome
from falrt.protocol.lane import Lane
from falrt.protocol.lifecycle import Circumstances, Step, step_after
from falrt.protocol.liveness import Liveness, Pulse
from falrt.protocol.messages import (
    Control,
    IdleTimeout,
    Notice,
    ServerFault,
    Timings,
    Unauthorized,
    classify,
    seconds_in,
)
from falrt.protocol.modes import Replay
from falrt.protocol.pacing import Pacing
from falrt.protocol.retry import Backoff, Cause, Loss, RetrySchedule
from falrt.protocol.settings import Settings
from falrt.protocol.silence import Silence
from falrt.protocol.timeouts import Timeouts
from falrt.protocol.warming import Warming

__all__ = ["RealtimeProtocol"]

# A socket that lived this long was not refused at the door; a later refusal earns a renewal of its own.
SETTLED_AFTER: Final = 5.0


class RealtimeProtocol:
    """One logical connection, without its waiting. See the module's theory of operation."""

    def __init__(self, settings: Settings, now: float, random: Callable[[], float]) -> None:
        self.settings = settings
        # The connection's own lane first, then that of a running stream.
        self.main = Lane(settings.pacing.start())
        self._lanes = [self.main]
        self.in_flight = InFlight()
        self._figures = Figures()
        self._events: list[Event] = []
        self._timeouts = Timeouts(settings.request_timeout)
        self._silence = Silence(settings.request_timeout, now)
        self._retry = RetrySchedule(settings.backoff or Backoff(), random)
        self._warming = Warming(settings.warmup_timeout, now)
        self._phase = State.IDLE if settings.lazy else State.WAITING
        # When the next socket is wanted; set while WAITING.
        self._retry_at = None if settings.lazy else now
        # Why the present socket is being given up; from then on nothing leaves and nothing counts on it.
        self.leaving: Loss | None = None
        # Why the connection is CLOSED; None until then.
        self.error: FalrtError | None = None
        # How the last session of a mode that ends was over, where no other follows; cleared by the next input.
        self.session_end: FalrtError | None = None
        # The last credential was refused and replaced; cleared by a good answer.
        self._renewed = False
        # The present or last socket: when it opened, what left and came on it.
        self._opened_at = now
        self._answers_here = self._inputs_here = 0
        self._liveness = Liveness(settings.keepalive, now)
        # The shell should ping; cleared when it has asked.
        self._ping_wanted = False
        # Several inputs were unanswered when the app failed: they go out one at a time until all have ended.
        self._suspects: list[Input] = []
        # When the newest input was offered, for idle_close.
        self._input_at = now
        # Whose inference time the next timings frame tells.
        self._last_answered: Input | None = None
        # A stream came to want a slot that it cannot get: the deadlines have changed. Cleared by wanted().
        self._news = False

    # --- what users see

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return State.WARMING if self._warming and self._phase is not State.CLOSED else self._phase

    def stats(self, now: float) -> Stats:
        """Return a snapshot of the figures."""
        return self._figures.snapshot(
            now,
            dropped=sum(lane.dropped for lane in self._lanes),
            in_flight=len(self.in_flight),
            open_seconds=now - self._opened_at if self._phase is State.OPEN else 0.0,
        )

    @property
    def quiet(self) -> bool:
        """Whether nothing waits to be sent and nothing is unanswered by anybody who still cares."""
        return not self.waits and not self.in_flight.awaited

    def take_events(self) -> list[Event]:
        """Return what happened since the last call, in order."""
        events = self._events
        if events:
            self._events = []
        return events

    # --- inputs

    def submit(self, input: Input, now: float) -> None:
        """Offer an input, already encoded.

        Raises:
            FalrtError: The connection has ended; a ``ConnectionClosed`` holds the input in ``unsent``.
            QueueFullError: Too much waits already.
        """
        if self._phase is State.CLOSED:
            raise self.closed_error(unsent=(input.value,))
        input.lane.put(input)
        if input.kind is Kind.SEND:
            input.lane.pacer.offered(now)
        elif input.kind is Kind.REQUEST:
            self._timeouts.add(input)
        self._input_at = now
        self.session_end = None
        if self._phase is State.IDLE:
            self._come_back_at(now)

    def wanted(self, now: float) -> bool:
        """A stream would send, but takes its frame only when it can leave: end the rest.

        Returns:
            Whether that changed anything, so that the deadlines have to be looked at anew.
        """
        news, self._news = self._news, False
        if self._phase is not State.IDLE:
            return news
        self._come_back_at(now)
        return True

    def abandon(self, input: Input) -> None:
        """Its caller stopped waiting: an unsent input is taken back, the answer of a sent one will be absorbed.

        A plain send that has left is nobody's to take back: its answer goes to ``recv()`` all the same.
        """
        if input.outcome is not None:
            return
        if input in input.lane.waiting:
            input.lane.remove(input, Outcome.ABANDONED)
        elif input.kind is not Kind.SEND:
            input.outcome = Outcome.ABANDONED
            # It is only here to absorb its answer: nothing of it will be needed again.
            input.frame, input.value = b"", None

    def flush(self, now: float) -> None:
        """Let everything offered so far leave without waiting for the clock."""
        for lane in self._lanes:
            lane.flush_below = now

    def flushed(self, at: float) -> bool:
        """Whether everything offered up to this instant has left or ended."""
        return not any(input.submitted_at <= at for lane in self._lanes for input in lane.waiting)

    def add_lane(self, pacing: Pacing, *, keeps_all: bool) -> Lane:
        """Open the lane of a stream.

        Raises:
            FalrtError: The connection has ended.
            ConcurrencyError: Another stream is running.
        """
        if self._phase is State.CLOSED:
            raise self.closed_error()
        if len(self._lanes) > 1:
            raise ConcurrencyError(
                "a stream is running on this connection already: end it first, or use another connection"
            )
        lane = Lane(pacing.start(), streams=True, keeps_all=keeps_all)
        self._lanes.append(lane)
        return lane

    def remove_lane(self, lane: Lane) -> None:
        """Close a stream's lane; what waits in it is given up."""
        for input in [*lane.waiting, *self.in_flight.of_lane(lane)]:
            self.abandon(input)
        self._figures.dropped += lane.dropped
        self._lanes.remove(lane)

    @property
    def waits(self) -> bool:
        """Whether any input waits to be sent."""
        if self.main.waiting:
            return True
        return len(self._lanes) > 1 and any(lane.waiting for lane in self._lanes)

    # --- sending

    def slot_at(self, lane: Lane, now: float, request_id: str | None) -> float | None:
        """Return when a stream may take its next frame; None: not before something happens.

        Requests and sends that could leave go first: a stream always has a newer frame.
        """
        if not self._sendable or lane.waiting:
            return None
        held = not self._may_leave(Kind.STREAM, lane, request_id)
        self._news = self._news or held > lane.held
        lane.held = held
        if held or (self.main.waiting and _reached(self.main.due_at(now, 0), now)):
            return None
        return lane.pacer.due_at(now, len(self.in_flight))

    def take_due(self, now: float) -> Input | None:
        """Return an input that is to be written now, or None. It counts as sent."""
        if not self._sendable:
            return None
        for lane in self._lanes:
            if not lane.waiting:
                continue
            head = lane.waiting[0]
            if not self._may_leave(head.kind, lane, head.request_id):
                continue
            due_at = lane.due_at(now, len(self.in_flight))
            if due_at is not None and due_at <= now:
                return self._sent(lane, now)
        return None

    @property
    def _sendable(self) -> bool:
        return self._phase is State.OPEN and self.leaving is None

    def _sent(self, lane: Lane, now: float) -> Input:
        input = lane.take()
        size, in_flight = len(input.frame), self.in_flight
        lane.pacer.sent(now if input.taken_at is None else input.taken_at, len(in_flight), size)
        in_flight.sent(input, lane.pacer.vouched)
        input.sent_at = now
        input.sends += 1
        self._silence.sent(now)
        self._inputs_here += 1
        self._figures.sent += 1
        self._figures.bytes_sent += size
        if self.settings.mode.replay is Replay.NEVER:
            for older in in_flight.only_newest():
                older.outcome = Outcome.DELIVERED
        return input

    def _may_leave(self, kind: Kind, lane: Lane, request_id: str | None) -> bool:
        limit = self.settings.mode.inputs_per_socket
        if limit is not None and self._inputs_here >= limit:
            return False
        if self._suspects and len(self.in_flight):
            self._suspects = [suspect for suspect in self._suspects if suspect.outcome is None]
            if self._suspects:
                return False
        return admission.may_join(self.in_flight, kind, lane, request_id)

    # --- the socket's life

    def wants_socket(self, now: float) -> bool:
        """Whether it is time to open a socket."""
        return self._retry_at is not None and now >= self._retry_at

    def connecting(self, now: float) -> None:
        """The shell begins to open a socket."""
        if self._phase is State.CLOSED:
            return
        self._phase, self._retry_at = State.CONNECTING, None
        self._answers_here = self._inputs_here = 0
        self._last_answered = None
        self._retry.connecting(now)

    def opened(self, now: float) -> None:
        """The upgrade succeeded. That proves nothing about the app."""
        if self._phase is State.CLOSED:
            return
        self._phase = State.OPEN
        self._opened_at = self._input_at = now
        self._silence.opened(now)
        self._liveness = Liveness(self.settings.keepalive, now)
        self._figures.opens += 1
        self._retry.opened()

    def heard(self, at: float) -> None:
        """Bytes came in at this instant."""
        self._liveness.heard(at)

    def received(self, message: Any, now: float, size_bytes: int = 0) -> None:
        """The server said something; a control message may be given as such or as its map."""
        self._figures.bytes_received += size_bytes
        self._liveness.heard(now)
        if not self._sendable:
            return
        control = message if isinstance(message, Control) else classify(message)
        if control is None:
            self._result(message, now)
        else:
            self._control(control, now)

    def garbled(self, error: FalrtError, now: float, size_bytes: int = 0) -> None:
        """A frame came that cannot be read.

        It may have been an answer. Where pairing matters the socket is given up, for the next frame could not be
        trusted to belong to the next input; otherwise the error is told and the connection goes on.
        """
        self._figures.bytes_received += size_bytes
        self._liveness.heard(now)
        if not self._sendable:
            return
        if self.settings.mode.pairs and self.in_flight.strict:
            self.leaving = Loss(Cause.BAD_FRAME, reason=str(error), error=error)
            return
        if self.settings.mode.pairs and (spoiled := self.in_flight.spoiled()) is not None:
            spoiled.outcome = Outcome.FAILED
        self._events.append(Problem(error))

    def _result(self, message: Any, now: float) -> None:
        self._figures.received += 1
        self._answers_here += 1
        self._silence.came(now)
        # A good answer: every budget is whole again.
        self._retry.restored()
        self._warming.answered(now)
        self._renewed = False
        if not self.settings.mode.pairs:
            self._events.append(Pushed(message))
            return
        request_id, inference_time = _marks(message)
        stranger = not self.in_flight.stale and (request_id is None or not self.in_flight.ids_trusted)
        match = self.in_flight.match(request_id)
        if match.overtaken:
            self._overtaken(match.overtaken, match.input)
        if match.ambiguous:
            self.leaving = Loss(Cause.RECYCLED, 1000, reason="answers no longer name their inputs")
        elif match.input is not None:
            if not match.late:
                input = match.input
                input.lane.pacer.answered(now, _left_at(input, now))
            self._answered(match.input, message, match.certain, now, inference_time)
        elif stranger:
            self._events.append(Pushed(message))

    def _answered(
        self, input: Input, message: Any, certain: bool, now: float, inference_time: float | None
    ) -> None:
        latency = 0.0 if input.sent_at is None else now - input.sent_at
        self._figures.answered(now, latency)
        self._silence.took(latency)
        self._last_answered = input
        if inference_time is not None:
            self._timed(inference_time, now)
        # It will not leave again: a picture need not stay in memory until the next one is answered.
        input.frame = b""
        if input.outcome is None:
            input.outcome = Outcome.ANSWERED
            self._events.append(Answered(input, message, certain, latency))

    def _overtaken(self, inputs: Sequence[Input], by: Input | None) -> None:
        """The server surely dropped these: what nothing newer stands for is sent again, the rest is over."""
        younger = [*self.in_flight.inputs] if by is None else [by, *self.in_flight.inputs]
        owed = aftermath.still_owed(inputs, younger)
        for input in reversed(owed):
            input.lane.put_back([input])
        for input in inputs:
            if input.outcome is not None or input in owed:
                continue
            input.outcome = Outcome.SUPERSEDED
            input.lane.dropped += 1
            if input.kind is Kind.REQUEST:
                self._events.append(Failed(input, endings.request_dropped()))

    def _control(self, control: Control, now: float) -> None:
        match control:
            case Timings(inference_time):
                self._timed(inference_time, now)
            case Notice():
                self._events.append(Noticed(control))
            case IdleTimeout():
                self.leaving = Loss(Cause.IDLE, 1000, reason="no inputs")
            case Unauthorized():
                error = UnauthorizedError(
                    f"the gateway refused the credential for {self.settings.app!r}: Unauthorized"
                )
                self.leaving = Loss(Cause.UNAUTHORIZED, reason="Unauthorized", error=error)
            case ServerFault(fault, reason, payload):
                told = ServerError(fault, reason, payload=payload)
                self.leaving = Loss(Cause.SERVER_FAULT, reason=reason, error=told)

    def _timed(self, inference_time: float, now: float) -> None:
        """Note an inference time; one that follows no answer, as after connecting, says nothing."""
        last, self._last_answered = self._last_answered, None
        if last is not None:
            last.inference_time = inference_time
            last.lane.pacer.timed(now, inference_time)
        if last is not None or not self.settings.mode.pairs:
            self._figures.inference_time = inference_time

    # --- losses

    def lost(self, loss: Loss, now: float) -> None:
        """The socket is gone, or none could be opened: decide what follows for everybody."""
        if self._phase is State.CLOSED:
            return
        opened = self._phase is State.OPEN
        if opened:
            self._figures.open_seconds += now - self._opened_at
        # What we were leaving for is the better explanation.
        loss, self.leaving = self.leaving or loss, None
        for lane in self._lanes:
            lane.pacer.lost(now)
        blamed = self._blame(loss)
        unanswered = [input for input in self.in_flight.clear() if input.outcome is None]
        if self.settings.backoff is None:
            self._end(loss, unanswered)
            return
        self._phase = State.WAITING
        asked = bool(unanswered)
        self._sort_out(unanswered, loss, opened=opened)
        self._come_back(loss, now, opened=opened, asked=asked, blamed=blamed)

    def _blame(self, loss: Loss) -> bool:
        """Fail the input at fault; say whether the matter is settled."""
        if self.settings.mode.ends:
            return loss.cause in aftermath.BLAMING  # the session fails, and tells of it
        if loss.cause not in aftermath.BLAMING or loss.error is None:
            return False
        # Those that were given up count too: one of them may be at fault.
        present = self.in_flight.inputs
        culprit = None if self.in_flight.stale else aftermath.guilty(list(present), loss)
        unanswered = [input for input in present if input.outcome is None]
        if culprit is not None:
            if culprit.outcome is None:
                culprit.outcome = Outcome.FAILED
                told_alone = culprit.kind is not Kind.SEND
                self._events.append(Failed(culprit, loss.error) if told_alone else Problem(loss.error))
            return True
        if not present and loss.cause is Cause.SERVER_FAULT and not loss.reason and self._answers_here:
            return True  # an app that idled out while busy says INTERNAL_ERROR without a reason: nothing is wrong
        # Several could be at fault: each will go out alone, and the one at fault will show itself.
        self._suspects = unanswered
        if not unanswered or any(input.kind is not Kind.REQUEST for input in unanswered):
            self._events.append(Problem(loss.error))
        return False

    def _sort_out(self, unanswered: list[Input], loss: Loss, *, opened: bool) -> None:
        mode, used = self.settings.mode, opened and self._inputs_here > 0
        # An app that ended its session has spoken, be it with no output at all.
        spent = self._answers_here > 0 or loss.cause in (Cause.IDLE, *aftermath.BLAMING)
        result = aftermath.sort_out(unanswered, mode, answered_here=opened and spent)
        for lane, inputs in result.again.items():
            lane.put_back(inputs)
        for input in result.superseded:
            input.lane.dropped += 1
        for input in result.failed:
            input.outcome = Outcome.DELIVERED if endings.in_order(loss) else Outcome.FAILED
        if mode.ends and used and not result.again:
            self._end_session(loss)

    def _end_session(self, loss: Loss) -> None:
        unsent: tuple[Any, ...] = ()
        if self.settings.mode.replay is Replay.NEVER and not endings.in_order(loss):
            # What still waited belongs to the session that broke off: the rest of it alone would be another one.
            unsent = self._unsent()
            self._give_back()
        error = endings.ending_of_session(loss, unsent)
        if unsent and isinstance(loss.error, FalrtError):
            self._events.append(Problem(loss.error))
        self._events.append(Ended(error))
        if not self.waits:
            self.session_end = error

    def _give_back(self) -> None:
        for input in [*self.main.waiting]:
            self.main.remove(input, Outcome.UNSENT)

    def _come_back(self, loss: Loss, now: float, *, opened: bool, asked: bool, blamed: bool) -> None:
        step = step_after(
            loss,
            Circumstances(
                waits=self.waits,
                asked=asked,
                answered=opened and self._answers_here > 0,
                blamed=blamed,
                opened=opened,
                warming=bool(self._warming),
                may_renew=self.settings.renewable
                and (not self._renewed or (opened and now - self._opened_at > SETTLED_AFTER)),
                rests=self.settings.lazy or self.session_end is not None,
            ),
        )
        at: float | None = now
        if step is Step.REST:
            self._rest()
            return
        if step is Step.RENEW:
            self._renewed = True
        elif step is Step.WARM_UP:
            at = self._warming.swallowed(now, since=self._opened_at)
            loss = loss if at is not None else self._still_cold()
        elif step is Step.BACK_OFF:
            delay = self._retry.delay_after(now, loss.retry_after)
            at = None if delay is None else now + delay
        if step is Step.END or at is None:
            self._end(loss)
        else:
            self._come_back_at(at)

    def _rest(self) -> None:
        """Nobody waits for anything: a model that was starting may go on doing so by itself."""
        self._phase, self._retry_at = State.IDLE, None
        self._warming.forgotten()
        self._retry.rested()

    def _come_back_at(self, at: float) -> None:
        self._phase, self._retry_at = State.WAITING, at

    def _still_cold(self) -> Loss:
        return Loss(Cause.SETUP, error=endings.still_cold(self.settings.app, self.settings.warmup_timeout))

    def _end(self, loss: Loss, unanswered: Sequence[Input] = ()) -> None:
        """Lost for good: every waiter hears of it at once."""
        self._close_with(endings.ending_of_connection(loss, self._unsent()), unanswered)

    def close(self, now: float) -> None:
        """Close on the user's wish. What never left is handed back in the error's ``unsent``."""
        if self._phase is State.OPEN:
            self._figures.open_seconds += now - self._opened_at
        if self._phase is not State.CLOSED:
            self._close_with(ConnectionClosedOK(1000, "closed by close()", unsent=self._unsent()))

    def _close_with(self, error: FalrtError, unanswered: Sequence[Input] = ()) -> None:
        self._phase, self._retry_at, self.error = State.CLOSED, None, error
        open_ones = [*unanswered, *self.in_flight.clear()]
        for lane in self._lanes:
            open_ones += lane.waiting
            lane.clear()
        for input in open_ones:
            if input.outcome is None:
                input.outcome = Outcome.FAILED if input.sends else Outcome.UNSENT
                if input.kind is not Kind.SEND:
                    self._events.append(Failed(input, error))

    def closed_error(self, unsent: tuple[Any, ...] = ()) -> FalrtError:
        """Return the error of a call after the end; with ``unsent`` a ``ConnectionClosed`` that holds the input."""
        error = self.error or self.session_end or ConnectionClosedOK(1000)
        return endings.with_unsent(error, unsent) if unsent else error

    def _unsent(self) -> tuple[Any, ...]:
        return tuple(input.value for lane in self._lanes for input in lane.waiting if not input.sends)

    # --- time

    def next_deadline(self, now: float, *, writable: bool = True) -> float | None:
        """Return when to call :meth:`tick` and to look again at what is due or wanted; None: on an event.

        Args:
            now: The present.
            writable: False while the socket takes no more: what is due then waits for the socket, not for time.
        """
        if self._phase is State.CLOSED:
            return None
        warming = self._warming
        earliest = _sooner(self._retry_at, warming.until)
        earliest = _sooner(earliest, self._timeouts.next_at(warming=bool(warming), warm_at=warming.warm_at))
        if not self._sendable:
            return earliest
        in_flight = self.in_flight
        earliest = _sooner(earliest, self._liveness.next_check_at())
        earliest = _sooner(earliest, self._idle_close_at)
        earliest = _sooner(earliest, self._recycle_at)
        earliest = _sooner(earliest, self._silence.settles_at(in_flight))
        earliest = _sooner(earliest, self._silence.overdue_at(in_flight))
        for lane in self._lanes:
            if writable and lane.waiting:
                head = lane.waiting[0]
                if self._may_leave(head.kind, lane, head.request_id):
                    earliest = _sooner(earliest, lane.due_at(now, len(in_flight)))
        return earliest

    def undisturbed(self, until: float) -> bool:
        """Whether nothing can be due before an instant for which a timer is set.

        Asked after every message, where :meth:`next_deadline` would be half of the work: so it is quick, and says no
        wherever it is not sure.
        """
        return (
            self._phase is State.OPEN
            and self.leaving is None
            and not self.main.waiting
            and len(self._lanes) == 1
            and self._timeouts.soonest >= until
            and not self._warming
            and self.settings.idle_close is None
            and not self.in_flight.stale
            and self._silence.settles_at(self.in_flight) is None
        )

    def tick(self, now: float) -> None:
        """Do what time alone demands."""
        if self._phase is State.CLOSED:
            return
        warming = self._warming
        for request in self._timeouts.expired(now, warming=bool(warming), warm_at=warming.warm_at):
            self._time_out(request, now)
        if _reached(warming.until, now):
            if self.quiet:
                warming.forgotten()
            else:
                self._end(self._still_cold())
        if not self._sendable:
            return
        self._give_up_the_silent(now)
        if _reached(self._recycle_at, now):
            self._silence.recycled()
            self.leaving = Loss(Cause.RECYCLED, 1000, reason="unanswered inputs made pairing unsafe")
        elif _reached(self._idle_close_at, now):
            self.leaving = Loss(Cause.RECYCLED, 1000, reason="idle_close")
        else:
            self._take_pulse(now)

    def take_ping(self) -> bool:
        """Whether a ping is to be sent now; said once."""
        wanted, self._ping_wanted = self._ping_wanted, False
        return wanted

    def _take_pulse(self, now: float) -> None:
        pulse = self._liveness.check(now)
        if pulse is Pulse.PING:
            self._ping_wanted = True
        elif pulse is Pulse.DEAD:
            self.leaving = Loss(Cause.SILENCE, reason=self._liveness.verdict(now))

    def _time_out(self, request: Input, now: float) -> None:
        error = endings.request_timeout(
            self.settings.app, now - request.submitted_at, left=request.sends > 0, state=self.state
        )
        self.abandon(request)
        self._events.append(Failed(request, error))

    def _give_up_the_silent(self, now: float) -> None:
        silence, in_flight = self._silence, self.in_flight
        if _reached(silence.overdue_at(in_flight), now):
            self._write_off(now)
        if _reached(silence.settles_at(in_flight), now):
            while len(in_flight):
                self._write_off(now)

    def _write_off(self, now: float) -> None:
        lost = self.in_flight.write_off()
        if lost is not None:
            lost.lane.pacer.written_off(now)

    @property
    def _idle_close_at(self) -> float | None:
        idle = self.settings.idle_close
        if idle is None or not self.quiet:
            return None
        return max(self._input_at, self._silence.last_at) + idle

    @property
    def _recycle_at(self) -> float | None:
        if self.settings.backoff is None or not self.settings.mode.pairs:
            return None
        return self._silence.recycles_at(self.in_flight, self._lanes)


def _sooner(one: float | None, other: float | None) -> float | None:
    if one is None or (other is not None and other < one):
        return other
    return one


def _reached(at: float | None, now: float) -> bool:
    return at is not None and now >= at


def _left_at(input: Input, now: float) -> float:
    """Return the instant from which the pacing counts: a stream's frame was taken before it was encoded."""
    if input.taken_at is not None:
        return input.taken_at
    return now if input.sent_at is None else input.sent_at


def _marks(message: Any) -> tuple[str | None, float | None]:
    """Return the request id and the inference time that a result carries, where it does."""
    if type(message) is not dict:
        return None, None
    request_id = message.get("request_id")
    timings = message.get("timings")
    inference: Any = timings.get("inference") if type(timings) is dict else None
    return (
        request_id if type(request_id) is str and request_id else None,
        seconds_in(inference),
    )
