"""RealtimeProtocol: everything we know about one logical connection. Sockets come and go under it.

Theory of operation
    The shell offers inputs (:meth:`submit`), tells what its socket does (:meth:`connecting`, :meth:`opened`,
    :meth:`received`, :meth:`lost`) and asks what may leave (:meth:`take_due`), when to ask again
    (:meth:`next_deadline`, :meth:`tick`) and what happened (:meth:`take_events`). No clock, no chance, no I/O.

    The states and their order stand in ``events.TRANSITIONS``. The decisions are taken by small machines:

    * who may leave while others are unanswered: ``admission.py``; when, as the pacing goes: ``pacing.py``
    * which answer is whose: ``in_flight.py``
    * what becomes of the unanswered after a loss: ``aftermath.py``
    * what to do next: ``lifecycle.py``, with ``retry.py`` and, for a model that is starting, ``warming.py``
    * whether the peer lives: ``liveness.py``

    Here they are put together. Every input gets exactly one outcome, and everybody who waits is told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from falrt.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    FalrtError,
    RequestDropped,
    RequestTimeout,
    ServerError,
    UnauthorizedError,
)
from falrt.protocol import admission, aftermath
from falrt.protocol.events import Answered, Ended, Event, Failed, Noticed, Problem, Pushed, State, Stats
from falrt.protocol.figures import Figures
from falrt.protocol.in_flight import InFlight, Input, Kind, Outcome
from falrt.protocol.lane import Lane
from falrt.protocol.lifecycle import Circumstances, Step, step_after
from falrt.protocol.liveness import Liveness, Pulse
from falrt.protocol.messages import Control, IdleTimeout, Notice, ServerFault, Timings, Unauthorized, classify
from falrt.protocol.pacing import Pacing
from falrt.protocol.retry import Backoff, Cause, Loss, RetrySchedule, Verdict, verdict_on
from falrt.protocol.settings import Settings
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
        self._retry = RetrySchedule(settings.backoff or Backoff(), random)
        self._warming = Warming(settings.warmup_timeout, now)
        self._phase = State.IDLE if settings.lazy else State.WAITING
        # When the next socket is wanted; set while WAITING.
        self._retry_at = None if settings.lazy else now
        # Why the present socket is being given up; from then on nothing leaves and nothing counts on it.
        self.leaving: Loss | None = None
        # Why the connection is CLOSED; None until then.
        self.error: FalrtError | None = None
        # How the last session of a mode that ends was over; cleared by the next input.
        self.session_end: FalrtError | None = None
        # The last credential was refused and replaced; cleared by a good answer.
        self._renewed = False
        # The present or last socket: when it opened, what left and came on it.
        self._opened_at = self._last_activity_at = now
        self._answers_here = self._inputs_here = 0
        self._liveness = Liveness(settings.keepalive, now)
        # The shell should ping; cleared when it has asked.
        self._ping_wanted = False
        # Several inputs were unanswered when the app failed: they go out one at a time until all have ended.
        self._suspects: list[Input] = []
        # When the newest input was offered, for idle_close.
        self._input_at = now
        # Whose inference time a timings frame tells.
        self._last_answered: Input | None = None

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
        return not self._waits and all(input.outcome for input in self.in_flight.inputs)

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
        if input.kind is Kind.SEND:
            input.lane.pacer.offered(now)
        input.lane.put(input)
        self._input_at = now
        self.session_end = None
        if self._phase is State.IDLE:
            self._come_back_at(now)

    def wanted(self, now: float) -> bool:
        """A stream would send, but takes its frame only when it can leave: end the rest; say whether there was one."""
        if self._phase is not State.IDLE:
            return False
        self._come_back_at(now)
        return True

    def abandon(self, input: Input) -> None:
        """Its caller stopped waiting: an unsent input is taken back, the answer of a sent one will be absorbed."""
        if input.outcome is None:
            if input in input.lane.waiting:
                input.lane.remove(input, Outcome.ABANDONED)
            input.outcome = Outcome.ABANDONED

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
            ConcurrencyError: Another stream is running.
        """
        if len(self._lanes) > 1:
            raise ConcurrencyError(
                "a stream is running on this connection already: end it first, or use another connection"
            )
        lane = Lane(pacing.start(), streams=True, keeps_all=keeps_all)
        self._lanes.append(lane)
        return lane

    def remove_lane(self, lane: Lane) -> None:
        """Close a stream's lane; what waits in it is given up."""
        for input in [*lane.waiting, *self.in_flight.inputs]:
            if input.lane is lane:
                self.abandon(input)
        self._figures.dropped += lane.dropped
        self._lanes.remove(lane)

    @property
    def _waits(self) -> bool:
        return any(lane.waiting for lane in self._lanes)

    # --- sending

    def slot_at(self, lane: Lane, now: float, request_id: str | None) -> float | None:
        """Return when a stream may take its next frame; None: not before something happens.

        Requests and sends that wait go first: a stream always has a newer frame.
        """
        if not self._sendable or lane.waiting or self.main.waiting:
            return None
        if not self._may_leave(Kind.STREAM, lane, request_id):
            return None
        return lane.pacer.due_at(now, len(self.in_flight))

    def take_due(self, now: float) -> Input | None:
        """Return an input that is to be written now, or None. It counts as sent."""
        if not self._sendable:
            return None
        for lane in self._lanes:
            head = lane.head
            if head is None or not self._may_leave(head.kind, lane, head.request_id):
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
        size = len(input.frame)
        lane.pacer.sent(now if input.taken_at is None else input.taken_at, len(self.in_flight), size)
        self.in_flight.sent(input, lane.pacer.vouched)
        input.sent_at = self._last_activity_at = now
        input.sends += 1
        self._inputs_here += 1
        self._figures.sent += 1
        self._figures.bytes_sent += size
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
        self._phase, self._retry_at = State.CONNECTING, None
        self._answers_here = self._inputs_here = 0

    def opened(self, now: float) -> None:
        """The upgrade succeeded. That proves nothing about the app."""
        self._phase = State.OPEN
        self._opened_at = self._last_activity_at = self._input_at = now
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
        if self.settings.mode.pairs and (oldest := self.in_flight.write_off()) is not None:
            oldest.outcome = oldest.outcome or Outcome.FAILED
        self._events.append(Problem(error))

    def _result(self, message: Any, now: float) -> None:
        self._figures.received += 1
        self._answers_here += 1
        self._last_activity_at = now
        self._works(now)
        if not self.settings.mode.pairs:
            self._events.append(Pushed(message))
            return
        request_id, inference_time = _marks(message)
        stale = self.in_flight.stale or (request_id is not None and self.in_flight.ids_trusted)
        match = self.in_flight.match(request_id)
        for old in match.overtaken:
            self._dropped_by_server(old)
        if match.ambiguous:
            self.leaving = Loss(Cause.RECYCLED, 1000, reason="answers no longer name their inputs")
        elif match.input is not None:
            self._answered(match.input, message, match.certain, now, inference_time)
        elif not stale:
            self._events.append(Pushed(message))

    def _answered(
        self, input: Input, message: Any, certain: bool, now: float, inference_time: float | None
    ) -> None:
        sent_at = now if input.sent_at is None else input.sent_at
        self._figures.answered(now, now - sent_at)
        input.lane.pacer.answered(now, sent_at if input.taken_at is None else input.taken_at)
        self._last_answered = input
        if inference_time is not None:
            self._timed(inference_time, now)
        if input.outcome is None:
            input.outcome = Outcome.ANSWERED
            self._events.append(Answered(input, message, certain, now - sent_at))

    def _dropped_by_server(self, input: Input) -> None:
        input.lane.dropped += 1
        if input.outcome is None:
            input.outcome = Outcome.SUPERSEDED
            if input.kind is Kind.REQUEST:
                error = RequestDropped(
                    "the server answered a later input first: it silently dropped this one"
                )
                self._events.append(Failed(input, error))

    def _works(self, now: float) -> None:
        """A good answer: every budget is whole again."""
        self._retry.restored()
        self._warming.answered(now)
        self._renewed = False

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
        self._figures.inference_time = inference_time
        if (last := self._last_answered) is not None:
            last.inference_time = inference_time
            last.lane.pacer.timed(now, inference_time)

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
        unanswered = [input for input in self.in_flight.clear() if input.outcome is None]
        asked = bool(unanswered)
        blamed = self._blame(unanswered, loss)
        if self.settings.backoff is None:
            self._end(loss, unanswered)
            return
        self._phase = State.WAITING
        self._sort_out(unanswered, loss, opened=opened)
        self._come_back(loss, now, opened=opened, asked=asked, blamed=blamed)

    def _blame(self, unanswered: list[Input], loss: Loss) -> bool:
        """Fail the input at fault and take it off the list; say whether the matter is settled."""
        if loss.cause not in aftermath.BLAMING or loss.error is None:
            return False
        culprit = aftermath.guilty(unanswered, loss)
        if culprit is not None:
            unanswered.remove(culprit)
            culprit.outcome = Outcome.FAILED
            told_alone = culprit.kind is not Kind.SEND
            self._events.append(Failed(culprit, loss.error) if told_alone else Problem(loss.error))
            return True
        if not unanswered and loss.cause is Cause.SERVER_FAULT and not loss.reason and self._answers_here:
            return True  # an app that idled out while busy says INTERNAL_ERROR without a reason: nothing is wrong
        # Several could be at fault: each will go out alone, and the one at fault will show itself.
        self._suspects = list(unanswered)
        if not unanswered or any(input.kind is not Kind.REQUEST for input in unanswered):
            self._events.append(Problem(loss.error))
        return False

    def _sort_out(self, unanswered: list[Input], loss: Loss, *, opened: bool) -> None:
        mode, used = self.settings.mode, opened and self._inputs_here > 0
        result = aftermath.sort_out(unanswered, mode, answered_here=opened and self._answers_here > 0)
        for lane, inputs in result.again.items():
            lane.put_back(inputs)
        for input in result.superseded:
            input.lane.dropped += 1
        for input in result.failed:
            input.outcome = Outcome.FAILED
        if mode.ends and used and not result.again:
            self._end_session(loss)

    def _end_session(self, loss: Loss) -> None:
        if _in_order(loss):
            self.session_end = ConnectionClosedOK(1000, "the app ended the stream")
        else:
            self.session_end = ConnectionClosedError(loss.code, loss.reason or "the session was lost")
            self.session_end.__cause__ = loss.error
        self._events.append(Ended(self.session_end))

    def _come_back(self, loss: Loss, now: float, *, opened: bool, asked: bool, blamed: bool) -> None:
        step = step_after(
            loss,
            Circumstances(
                waits=self._waits,
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
            self._phase, self._retry_at = State.IDLE, None
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

    def _come_back_at(self, at: float) -> None:
        self._phase, self._retry_at = State.WAITING, at

    def _still_cold(self) -> Loss:
        settings = self.settings
        hint = (
            ""
            if "klein" in settings.app
            else "; of fal's models, fal-ai/flux-2/klein/realtime is known to answer"
        )
        error = RequestTimeout(
            f"{settings.app!r} answered nothing within {settings.warmup_timeout:g} s (warmup_timeout): "
            f"its sockets open, take inputs and close{hint}"
        )
        return Loss(Cause.SETUP, error=error)

    def _end(self, loss: Loss, unanswered: Sequence[Input] = ()) -> None:
        """Lost for good: every waiter hears of it at once."""
        error = loss.error
        if not isinstance(error, FalrtError) or _in_order(loss):
            kind = ConnectionClosedOK if _in_order(loss) else ConnectionClosedError
            error = kind(loss.code, loss.reason, unsent=self._unsent())
            error.__cause__ = loss.error
        self._close_with(error, unanswered)

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
        error = self.error or ConnectionClosedOK(1000)
        if not unsent:
            return error
        kind = ConnectionClosedOK if isinstance(error, ConnectionClosedOK) else ConnectionClosedError
        code, reason = (
            (error.code, error.reason) if isinstance(error, ConnectionClosed) else (1006, str(error))
        )
        closed = kind(code, reason, unsent=unsent)
        closed.__cause__ = error
        return closed

    def _unsent(self) -> tuple[Any, ...]:
        return tuple(input.value for lane in self._lanes for input in lane.waiting if not input.sends)

    # --- time

    def next_deadline(self, now: float) -> float | None:
        """Return when to call :meth:`tick` and to look again at what is due or wanted; None: on an event."""
        candidates = [self._retry_at, self._warming.until]
        if self._sendable:
            candidates += [
                self._liveness.next_check_at(),
                self._idle_close_at,
                self._recycle_at,
                self._overdue_at,
            ]
            for lane in self._lanes:
                head = lane.head
                if head is not None and self._may_leave(head.kind, lane, head.request_id):
                    candidates.append(lane.due_at(now, len(self.in_flight)))
        candidates += [self._timeout_at(request) for request in self._requests()]
        return min((at for at in candidates if at is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what time alone demands."""
        if self._phase is State.CLOSED:
            return
        for request in self._requests():
            if _reached(self._timeout_at(request), now):
                self._time_out(request, now)
        if _reached(self._warming.until, now):
            self._end(self._still_cold())
        if not self._sendable:
            return
        if _reached(self._overdue_at, now):
            self._write_off(now)
        if _reached(self._recycle_at, now):
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

    def _requests(self) -> list[Input]:
        """Requests whose callers wait, sent or not."""
        return [
            input
            for inputs in (self.main.waiting, self.in_flight.inputs)
            for input in inputs
            if input.kind is Kind.REQUEST and input.outcome is None
        ]

    def _timeout_at(self, request: Input) -> float | None:
        if request.timeout_at is not None:
            return request.timeout_at
        # A cold model has its own, longer limit; once it is warm, the request's time begins anew.
        timeout = self.settings.request_timeout
        if timeout is None or self._warming:
            return None
        return max(request.submitted_at, self._warming.warm_at) + timeout

    def _time_out(self, request: Input, now: float) -> None:
        waited = now - request.submitted_at
        where = "was not answered" if request.sends else f"could not be sent (the connection is {self.state})"
        error = RequestTimeout(f"the request to {self.settings.app!r} {where} within {waited:.3g} s")
        self.abandon(request)
        self._events.append(Failed(request, error))

    @property
    def _idle_close_at(self) -> float | None:
        idle = self.settings.idle_close
        if idle is None or self._waits or not all(input.outcome for input in self.in_flight.inputs):
            return None
        return max(self._input_at, self._last_activity_at) + idle

    @property
    def _overdue_at(self) -> float | None:
        oldest = self.in_flight.oldest
        if oldest is None or not oldest.lane.streams or oldest.request_id is not None:
            return None
        return oldest.lane.pacer.overdue_at()

    def _write_off(self, now: float) -> None:
        lost = self.in_flight.write_off()
        if lost is not None:
            lost.lane.pacer.written_off(now)
            self._dropped_by_server(lost)

    @property
    def _recycle_at(self) -> float | None:
        """When a strict input has been held up long enough by answers that nobody can tell apart."""
        if self.settings.backoff is None or not self.settings.mode.pairs:
            return None
        if not admission.held_up(self.in_flight, self._lanes):
            return None
        if len(self.in_flight):
            return self._last_activity_at + admission.patience(self._figures.percentile(0.95))
        # Nothing is unanswered as far as we know, but a late answer may come: no request may meet it.
        head = self.main.head
        awaited = head is not None and head.kind is Kind.REQUEST
        return self._last_activity_at if self.in_flight.doubt and awaited else None


def _in_order(loss: Loss) -> bool:
    return verdict_on(loss) is Verdict.REST and loss.cause is not Cause.SERVER_FAULT


def _reached(at: float | None, now: float) -> bool:
    return at is not None and now >= at


def _marks(message: Any) -> tuple[str | None, float | None]:
    """Return the request id and the inference time that a result carries, where it does."""
    if type(message) is not dict:
        return None, None
    request_id = message.get("request_id")
    timings = message.get("timings")
    inference: Any = timings.get("inference") if type(timings) is dict else None
    return (
        request_id if type(request_id) is str and request_id else None,
        float(inference) if type(inference) in (int, float) else None,
    )
