"""RealtimeProtocol: everything we know about one logical connection. Sockets come and go under it.

Theory of operation
    The shell offers inputs (:meth:`submit`), tells what its socket does (:meth:`connecting`, :meth:`opened`,
    :meth:`received`, :meth:`lost`) and asks what may leave (:meth:`take_due`), when to ask again
    (:meth:`next_deadline`, :meth:`tick`) and what happened (:meth:`take_events`). The decisions are here and in
    the small machines beside; no clock, no chance, no I/O.

    The states and their order stand in ``events.TRANSITIONS``.

    *Strict* inputs are those whose pairing matters: requests and stream frames. While one is unanswered, nothing
    else leaves unless the answer will name its input, or the caller vouched that the server keeps more. When a
    strict input is held up by inputs whose answers nobody can tell apart any more, the socket is *recycled*:
    a new one has no stale answers.

    *Warming*: a cold model opens sockets, swallows inputs and closes cleanly. A socket that ends in order without
    having answered what it was asked is such a sign; the inputs are sent again with growing pauses until
    ``warmup_timeout``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from falrt.protocol import aftermath
from falrt.protocol.events import (
    Answered,
    Ended,
    Event,
    Failed,
    Latency,
    Noticed,
    Problem,
    Pushed,
    State,
    Stats,
)
from falrt.protocol.in_flight import Figures, InFlight, Input, Kind, Outcome
from falrt.protocol.lane import Lane
from falrt.protocol.liveness import Keepalive, Liveness, Pulse
from falrt.protocol.messages import Control, IdleTimeout, Notice, ServerFault, Timings, Unauthorized, classify
from falrt.protocol.modes import MODES, Mode
from falrt.protocol.pacing import Immediate, Pacing
from falrt.protocol.retry import Backoff, Cause, Loss, RetrySchedule, Verdict, verdict_on

__all__ = ["RealtimeProtocol", "Settings"]

# A cold model needs minutes; the first repeats come quickly in case it was nearly ready.
WARMING_PAUSES: Final = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
# How long an unanswered input that nobody waits for may hold up a strict one: several latencies, within these bounds.
GRACE_MIN, GRACE_MAX, GRACE_UNKNOWN, GRACE_LATENCIES = 1.0, 10.0, 3.0, 4.0
# A socket that lived this long was not refused; a later refusal earns a renewal of its own.
SETTLED_AFTER: Final = 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What one connection was asked to do; checked by the front door.

    Attributes:
        app: The endpoint id, for messages.
        mode: How the app takes inputs and gives outputs.
        pacing: The send queue's policy.
        backoff: How to come back; None for a bare socket that ends with its first loss.
        lazy: Open at the first input.
        idle_close: Seconds without input after which we close; None for never.
        warmup_timeout: Seconds that a cold model may take.
        request_timeout: Seconds a request waits, where its caller names none; None for no limit of its own.
        keepalive: Pings.
        renewable: A refused credential can be replaced by a new token.
    """

    app: str
    mode: Mode = MODES["unary"]
    pacing: Pacing = Immediate()
    backoff: Backoff | None = Backoff()
    lazy: bool = False
    idle_close: float | None = None
    warmup_timeout: float = 300.0
    request_timeout: float | None = 120.0
    keepalive: Keepalive = Keepalive()
    renewable: bool = True


class RealtimeProtocol:
    """One logical connection, without its waiting. See the module's theory of operation."""

    def __init__(self, settings: Settings, now: float, random: Callable[[], float]) -> None:
        self.settings = settings
        self.main = Lane(settings.pacing.start())
        # The connection's own lane first, then one for each running stream.
        self._lanes = [self.main]
        self.in_flight = InFlight()
        self._retry = RetrySchedule(settings.backoff or Backoff(), random)
        self._figures = Figures()
        self._events: list[Event] = []
        self._phase = State.IDLE
        # When the next try is due; set while WAITING, and at once where the connection is eager.
        self._retry_at: float | None = None if settings.lazy else now
        if not settings.lazy:
            self._phase = State.WAITING
        # Why the present socket is being given up; from then on nothing leaves or counts on it.
        self.leaving: Loss | None = None
        # Why the connection is CLOSED; None until then.
        self.error: FalrtError | None = None
        # How the last session of a mode that ends was over; cleared by the next input.
        self.session_end: Exception | None = None
        # The next handshake needs a new token: the last one was refused.
        self.renew_token = False
        self._renewed = False
        # Present socket: when it opened, what it did.
        self._opened_at = 0.0
        self._answers_here = 0
        self._inputs_here = 0
        self._last_activity_at = now
        self._liveness = Liveness(settings.keepalive, now)
        # The shell should ping; reset when it has asked.
        self._ping_wanted = False
        # Several inputs were unanswered when the app failed: they go out one at a time until all have ended.
        self._suspects: list[Input] = []
        # When the unanswered inputs of a cold model first left; None while the model is not known to be cold.
        self._warming_since: float | None = None
        self._warming_tries = 0
        self._warm_at = now
        # Last input offered, for idle_close.
        self._input_at = now
        self._last_answered: Input | None = None
        self._sent = self._received = self._bytes_sent = self._bytes_received = self._opens = 0
        self._open_seconds = 0.0
        self._lanes_dropped = 0

    # --- what users see

    @property
    def state(self) -> State:
        """Where the connection stands."""
        if self._warming_since is not None and self._phase is not State.CLOSED:
            return State.WARMING
        return self._phase

    def stats(self, now: float) -> Stats:
        """Return a snapshot of the figures."""
        figures = self._figures
        open_now = now - self._opened_at if self._phase is State.OPEN else 0.0
        return Stats(
            sent=self._sent,
            received=self._received,
            dropped=self._lanes_dropped + sum(lane.dropped for lane in self._lanes),
            in_flight=len(self.in_flight),
            reconnects=max(0, self._opens - 1),
            bytes_sent=self._bytes_sent,
            bytes_received=self._bytes_received,
            latency=Latency(figures.percentile(0.5), figures.percentile(0.95), figures.last),
            fps=figures.rate(now),
            inference_time=figures.inference_time,
            open_seconds=self._open_seconds + open_now,
        )

    @property
    def quiet(self) -> bool:
        """Whether nothing waits to be sent and nothing is unanswered by anybody who still cares."""
        return not any(lane.waiting for lane in self._lanes) and all(i.outcome for i in self.in_flight.inputs)

    def take_events(self) -> list[Event]:
        """Return what happened since the last call, in order."""
        if not self._events:
            return []
        events, self._events = self._events, []
        return events

    # --- inputs

    def submit(self, input: Input, now: float) -> None:
        """Offer an input, already encoded.

        Raises:
            ConnectionClosed: The connection has ended; ``unsent`` holds the input.
            QueueFullError: Too much waits already.
        """
        if self._phase is State.CLOSED:
            raise self.closed_error(unsent=(input.value,))
        lane = input.lane
        if input.kind is Kind.SEND:
            lane.pacer.offered(now)
        lane.put(input)
        self._input_at = now
        self.session_end = None
        if self._phase is State.IDLE:
            self._phase, self._retry_at = State.WAITING, now

    def has_room_for(self, lane: Lane, size_bytes: int) -> bool:
        """Whether :meth:`submit` would take an input of this size now, without replacing any."""
        return lane.has_room_for(size_bytes)

    def abandon(self, input: Input) -> None:
        """Its caller stopped waiting: an unsent input is taken back, the answer of a sent one will be absorbed."""
        if input.outcome is not None:
            return
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
        """Open a lane for a stream."""
        if any(lane.streams for lane in self._lanes):
            raise ConcurrencyError(
                "a stream is running on this connection already: end it first, or use a second one"
            )
        lane = Lane(pacing.start(), streams=True, keeps_all=keeps_all)
        self._lanes.append(lane)
        return lane

    def remove_lane(self, lane: Lane) -> None:
        """Close a stream's lane; what waits in it is given up."""
        for input in [*lane.waiting, *self.in_flight.inputs]:
            if input.lane is lane:
                self.abandon(input)
        self._lanes_dropped += lane.dropped
        self._lanes.remove(lane)

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
                return self._sent_now(lane, now)
        return None

    @property
    def _sendable(self) -> bool:
        return self._phase is State.OPEN and self.leaving is None

    def _sent_now(self, lane: Lane, now: float) -> Input:
        input = lane.take()
        size = len(input.frame)
        lane.pacer.sent(now if input.taken_at is None else input.taken_at, len(self.in_flight), size)
        self.in_flight.sent(input, lane.pacer.vouched)
        input.sent_at = now
        input.sends += 1
        self._sent += 1
        self._inputs_here += 1
        self._bytes_sent += size
        self._last_activity_at = now
        return input

    def _may_leave(self, kind: Kind, lane: Lane, request_id: str | None) -> bool:
        """Whether an input could be told from those that are unanswered."""
        in_flight, limit = self.in_flight, self.settings.mode.inputs_per_socket
        if limit is not None and self._inputs_here >= limit:
            return False
        if not len(in_flight):
            return kind is Kind.SEND or not in_flight.doubt
        if self._isolating:
            return False
        strict = kind is not Kind.SEND or any(other.kind is not Kind.SEND for other in in_flight.inputs)
        if not strict or in_flight.trusts(request_id):
            return True
        if lane.streams and all(other.lane is lane for other in in_flight.inputs):
            return True  # a stream may go beyond what is proven, and says so in Reply.certain
        return len(in_flight) < lane.pacer.vouched and not in_flight.doubt

    @property
    def _isolating(self) -> bool:
        if self._suspects and all(suspect.outcome is not None for suspect in self._suspects):
            self._suspects = []
        return bool(self._suspects)

    # --- the socket's life

    def wants_socket(self, now: float) -> bool:
        """Whether it is time to open a socket."""
        return self._phase is State.WAITING and self._retry_at is not None and now >= self._retry_at

    def connecting(self, now: float) -> None:
        """The shell begins to open a socket."""
        self._phase, self._retry_at = State.CONNECTING, None

    def opened(self, now: float) -> None:
        """The upgrade succeeded. That proves nothing about the app."""
        self._phase = State.OPEN
        self._opens += 1
        self._opened_at = self._last_activity_at = self._input_at = now
        self._answers_here = self._inputs_here = 0
        self._liveness = Liveness(self.settings.keepalive, now)
        self._retry.opened()
        self.renew_token = False

    def heard(self, at: float) -> None:
        """Bytes came in at this instant."""
        self._liveness.heard(at)

    def received(self, message: Any, now: float, size_bytes: int = 0) -> None:
        """The server said something; a control message may be given as such or as its map."""
        self._bytes_received += size_bytes
        self._liveness.heard(now)
        if self.leaving is not None or self._phase is not State.OPEN:
            return
        control = message if isinstance(message, Control) else classify(message)
        if control is None:
            self._result(message, now)
        else:
            self._control(control, now)

    def _result(self, message: Any, now: float) -> None:
        self._received += 1
        self._answers_here += 1
        self._last_activity_at = now
        self._works(now)
        if not self.settings.mode.pairs:
            self._events.append(Pushed(message))
            return
        request_id, inference_time = _marks(message)
        doubtful = self.in_flight.doubt
        match = self.in_flight.match(request_id)
        for old in match.overtaken:
            self._dropped_by_server(old)
        if match.ambiguous:
            self.leaving = Loss(Cause.RECYCLED, 1000, reason="answers no longer name their inputs")
        elif match.input is not None:
            self._answered(match.input, message, match.certain, now, inference_time)
        elif not doubtful and request_id is None:
            self._events.append(Pushed(message))

    def _answered(
        self, input: Input, message: Any, certain: bool, now: float, inference_time: float | None
    ) -> None:
        sent_at = now if input.sent_at is None else input.sent_at
        latency = now - sent_at
        self._figures.answered(now, latency)
        pacer = input.lane.pacer
        pacer.answered(now, sent_at if input.taken_at is None else input.taken_at)
        self._last_answered = input
        if inference_time is not None:
            self._timed(inference_time, now)
        if input.outcome is None:
            input.outcome = Outcome.ANSWERED
            self._events.append(Answered(input, message, certain, latency))

    def _dropped_by_server(self, input: Input) -> None:
        input.lane.dropped += 1
        if input.outcome is not None:
            return
        input.outcome = Outcome.SUPERSEDED
        if input.kind is Kind.REQUEST:
            error = RequestDropped("the server answered a later input first: it silently dropped this one")
            self._events.append(Failed(input, error))

    def _works(self, now: float) -> None:
        """A good answer: every budget is whole again."""
        self._retry.restored()
        self._renewed = False
        if self._warming_since is not None:
            self._warming_since, self._warming_tries, self._warm_at = None, 0, now

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
                server_error = ServerError(fault, reason, payload=payload)
                self.leaving = Loss(Cause.SERVER_FAULT, reason=reason, error=server_error)

    def _timed(self, inference_time: float, now: float) -> None:
        self._figures.inference_time = inference_time
        if (last := self._last_answered) is not None:
            last.inference_time = inference_time
            last.lane.pacer.timed(now, inference_time)

    def garbled(self, error: FalrtError, now: float, size_bytes: int = 0) -> None:
        """A frame came that cannot be read.

        It may have been an answer. Where pairing matters the socket is given up, for the next frame could not be
        trusted to belong to the next input; otherwise the error is told and the connection goes on.
        """
        self._bytes_received += size_bytes
        self._liveness.heard(now)
        if self.leaving is not None:
            return
        unanswered = self.in_flight.inputs
        if self.settings.mode.pairs and any(input.kind is not Kind.SEND for input in unanswered):
            self.leaving = Loss(Cause.BAD_FRAME, reason=str(error), error=error)
            return
        if self.settings.mode.pairs and (oldest := self.in_flight.write_off()) is not None:
            oldest.outcome = oldest.outcome or Outcome.FAILED
        self._events.append(Problem(error))

    # --- losses

    def lost(self, loss: Loss, now: float) -> None:
        """The socket is gone, or none could be opened: decide what follows for everybody."""
        if self._phase is State.CLOSED:
            return
        was_open = self._phase is State.OPEN
        if was_open:
            self._open_seconds += now - self._opened_at
        loss, self.leaving = self.leaving or loss, None
        for lane in self._lanes:
            lane.pacer.lost(now)
        unanswered = [input for input in self.in_flight.clear() if input.outcome is None]
        blamed = self._blame(unanswered, loss)
        if self.settings.backoff is None:
            self._end(loss, now)
            return
        asked = bool(unanswered)
        self._sort_out(unanswered, loss, was_open)
        self._decide(loss, now, was_open=was_open, asked=asked, blamed=blamed)

    def _blame(self, unanswered: list[Input], loss: Loss) -> bool:
        """Fail the input at fault and remove it from the list; say whether somebody was told of the error."""
        if loss.cause not in aftermath.BLAMING or loss.error is None:
            return False
        culprit = aftermath.guilty(unanswered, loss)
        if culprit is not None:
            unanswered.remove(culprit)
            self._fail(culprit, loss.error)
            return True
        if unanswered:
            self._suspects = list(unanswered)
        elif loss.cause is Cause.SERVER_FAULT and not loss.reason and self._answers_here:
            return True  # an app that idled out while busy says INTERNAL_ERROR without a reason: nothing was asked
        if any(input.kind is not Kind.REQUEST for input in unanswered) or not unanswered:
            self._events.append(Problem(loss.error))
        return False

    def _fail(self, input: Input, error: Exception) -> None:
        input.outcome = Outcome.FAILED
        if input.kind is Kind.SEND:
            self._events.append(Problem(error))
        else:
            self._events.append(Failed(input, error))

    def _sort_out(self, unanswered: list[Input], loss: Loss, was_open: bool) -> None:
        mode = self.settings.mode
        result = aftermath.sort_out(
            unanswered, mode, answered_here=was_open and self._answers_here > 0, reconnects=True
        )
        for lane, inputs in result.again.items():
            lane.put_back(inputs)
        for input in result.superseded:
            input.lane.dropped += 1
        for input in result.failed:
            input.outcome = Outcome.FAILED
        if mode.ends and was_open and self._inputs_here and not (result.again and mode.inputs_per_socket):
            self._end_session(loss)

    def _end_session(self, loss: Loss) -> None:
        if verdict_on(loss) is Verdict.REST and loss.cause is not Cause.SERVER_FAULT:
            self.session_end = ConnectionClosedOK(1000, "the app ended the stream")
        else:
            self.session_end = ConnectionClosedError(loss.code, loss.reason or "the session was lost")
            self.session_end.__cause__ = loss.error
        self._events.append(Ended(self.session_end))

    def _decide(self, loss: Loss, now: float, *, was_open: bool, asked: bool, blamed: bool) -> None:
        """Choose between resting, coming back, and the end."""
        verdict, waits = verdict_on(loss), any(lane.waiting for lane in self._lanes)
        if verdict is Verdict.FINAL or (verdict is Verdict.RENEW and not self._may_renew(now, was_open)):
            self._end(loss, now)
        elif not waits and (verdict is Verdict.REST or self._rests_when_idle):
            self._phase, self._retry_at = State.IDLE, None
        elif verdict is Verdict.RENEW:
            self.renew_token = self._renewed = True
            self._come_back_at(now)
        elif verdict is Verdict.REST and (
            loss.cause is Cause.RECYCLED or blamed or self._answers_here or not was_open
        ):
            self._come_back_at(now)
        elif self._warming_since is not None or (
            verdict is Verdict.REST and loss.cause is not Cause.SERVER_FAULT and asked
        ):
            self._warm_up(loss, now, asked=asked)
        else:
            delay = self._retry.delay_after(now, loss.retry_after)
            if delay is None:
                self._end(loss, now)
            else:
                self._come_back_at(now + delay)

    @property
    def _rests_when_idle(self) -> bool:
        # A session that ended has no successor until the next input; a lazy connection none without one.
        return self.settings.lazy or (self.settings.mode.ends and self.session_end is not None)

    def _may_renew(self, now: float, was_open: bool) -> bool:
        if not self.settings.renewable:
            return False
        return not self._renewed or (was_open and now - self._opened_at > SETTLED_AFTER)

    def _come_back_at(self, at: float) -> None:
        self._phase, self._retry_at = State.WAITING, at

    def _warm_up(self, loss: Loss, now: float, *, asked: bool) -> None:
        if self._warming_since is None:
            self._warming_since = self._opened_at
        pause = WARMING_PAUSES[min(self._warming_tries, len(WARMING_PAUSES) - 1)]
        self._warming_tries += 1
        if now + pause >= self._warming_since + self.settings.warmup_timeout:
            self._give_up_warming(now)
        else:
            self._come_back_at(now + pause)

    def _give_up_warming(self, now: float) -> None:
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
        self._end(Loss(Cause.SETUP, error=error), now)

    def _end(self, loss: Loss, now: float) -> None:
        """Lost for good: every waiter hears of it at once."""
        error = loss.error
        ordinary = verdict_on(loss) is Verdict.REST and loss.cause is not Cause.SERVER_FAULT
        if not isinstance(error, FalrtError) or ordinary:
            kind = ConnectionClosedOK if ordinary else ConnectionClosedError
            error = kind(loss.code, loss.reason, unsent=self._unsent())
            error.__cause__ = loss.error
        self._close_with(error, now)

    def close(self, now: float) -> None:
        """Close on the user's wish. What never left is handed back in the error's ``unsent``."""
        if self._phase is not State.CLOSED:
            self._close_with(ConnectionClosedOK(1000, "closed by close()", unsent=self._unsent()), now)

    def _close_with(self, error: FalrtError, now: float) -> None:
        if self._phase is State.OPEN:
            self._open_seconds += now - self._opened_at
        self._phase, self._retry_at, self.error = State.CLOSED, None, error
        unsent = error.unsent if isinstance(error, ConnectionClosed) else self._unsent()
        for input in [
            *self.in_flight.clear(),
            *(waiting for lane in self._lanes for waiting in lane.waiting),
        ]:
            if input.outcome is not None:
                continue
            input.outcome = Outcome.FAILED if input.sends else Outcome.UNSENT
            if input.kind is not Kind.SEND:
                self._events.append(Failed(input, error))
        for lane in self._lanes:
            lane.waiting.clear()
            lane.size_bytes = 0
        self._closed_unsent = unsent

    def closed_error(self, unsent: tuple[Any, ...] = ()) -> FalrtError:
        """Return the error of any call after the end."""
        error = self.error
        if unsent or error is None:
            closed: ConnectionClosed = ConnectionClosedError(1006, "the connection has ended", unsent=unsent)
            if isinstance(error, ConnectionClosed):
                closed = type(error)(error.code, error.reason, unsent=unsent)
            closed.__cause__ = error
            return closed
        return error

    def _unsent(self) -> tuple[Any, ...]:
        return tuple(input.value for lane in self._lanes for input in lane.waiting if not input.sends)

    # --- time

    def next_deadline(self, now: float) -> float | None:
        """Return when :meth:`tick`, :meth:`take_due` or :meth:`wants_socket` should be asked again; None: on an event."""
        candidates = [self._retry_at, self._warming_until]
        if self._phase is State.OPEN and self.leaving is None:
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
        candidates += [self._timeout_at(input) for input in self._requests()]
        times = [at for at in candidates if at is not None]
        return min(times) if times else None

    def tick(self, now: float) -> None:
        """Do what time alone demands."""
        for request in [r for r in self._requests() if (at := self._timeout_at(r)) is not None and at <= now]:
            self._time_out(request, now)
        if self._reached(self._warming_until, now):
            self._give_up_warming(now)
        if self._phase is not State.OPEN or self.leaving is not None:
            return
        if self._reached(self._overdue_at, now):
            self._write_off(now)
        if self._reached(self._recycle_at, now):
            self.leaving = Loss(Cause.RECYCLED, 1000, reason="unanswered inputs made pairing unsafe")
        elif self._reached(self._idle_close_at, now):
            self.leaving = Loss(Cause.RECYCLED, 1000, reason="idle_close")
        else:
            self._take_pulse(now)

    def take_ping(self) -> bool:
        """Whether a ping is to be sent now; said once."""
        wanted, self._ping_wanted = self._ping_wanted, False
        return wanted

    @staticmethod
    def _reached(at: float | None, now: float) -> bool:
        return at is not None and now >= at

    def _take_pulse(self, now: float) -> None:
        pulse = self._liveness.check(now)
        if pulse is Pulse.PING:
            self._ping_wanted = True
        elif pulse is Pulse.DEAD:
            self.leaving = Loss(Cause.SILENCE, reason=self._liveness.verdict(now))

    def _requests(self) -> list[Input]:
        """Requests that still wait, sent or not."""
        waiting = [input for input in self.main.waiting if input.kind is Kind.REQUEST]
        return waiting + [i for i in self.in_flight.inputs if i.kind is Kind.REQUEST and i.outcome is None]

    def _timeout_at(self, request: Input) -> float | None:
        if request.timeout_at is not None:
            return request.timeout_at
        # A cold model has its own, longer limit; once warm, the request's time begins anew.
        timeout = self.settings.request_timeout
        if timeout is None or self._warming_since is not None:
            return None
        return max(request.submitted_at, self._warm_at) + timeout

    def _time_out(self, request: Input, now: float) -> None:
        waited = now - request.submitted_at
        where = "was not answered" if request.sends else f"could not be sent (the connection is {self.state})"
        error = RequestTimeout(f"the request to {self.settings.app!r} {where} within {waited:.3g} s")
        self.abandon(request)
        self._events.append(Failed(request, error))

    @property
    def _warming_until(self) -> float | None:
        if self._warming_since is None or self._phase is State.CLOSED:
            return None
        return self._warming_since + self.settings.warmup_timeout

    @property
    def _idle_close_at(self) -> float | None:
        idle = self.settings.idle_close
        if idle is None or len(self.in_flight) or any(lane.waiting for lane in self._lanes):
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
        held = next(
            (lane for lane in self._lanes if (head := lane.head) and head.kind is not Kind.SEND), None
        )
        streaming = any(lane.streams for lane in self._lanes)
        if held is None and not streaming:
            return None
        unanswered = self.in_flight.inputs
        if not unanswered:
            return self._last_activity_at if self.in_flight.doubt and held is not None else None
        if any(input.kind is not Kind.SEND and input.outcome is None for input in unanswered):
            return None
        latency = self._figures.percentile(0.95)
        grace = (
            GRACE_UNKNOWN if latency is None else min(GRACE_MAX, max(GRACE_MIN, GRACE_LATENCIES * latency))
        )
        return self._last_activity_at + grace


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
