"""A world for RealtimeProtocol without waiting: a shell, a network and a fal runner, all in virtual time.

The shell does what ``falrt/connection.py`` and ``falrt/stream.py`` do, in their order. The runner is the project's
own model of fal's (``falrt/protocol/runner.py``): it buffers, drops silently, batches and idles out. The world knows
the truth (which inputs an answer was made of) and checks every event against it.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from falrt.exceptions import DecodeError, FalrtError
from falrt.protocol.events import Answered, Event, Failed, Problem, Pushed, State
from falrt.protocol.inputs import Input, Kind, Lane, Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pacing.policies import Pacing
from falrt.protocol.realtime import RealtimeProtocol
from falrt.protocol.reconnect.lifecycle import SETTLED_AFTER
from falrt.protocol.settings import Settings
from falrt.protocol.wire.messages import control_in
from falrt.testing.platform.runner import Answer, Close, Control, Runner, RunnerOptions
from tests.protocol.line import taken

# Asked again and again at one instant, the protocol spins.
TURNS_MAX = 300


@dataclass(frozen=True)
class Server:
    """What is at the other end."""

    options: RunnerOptions
    # "always", "never", "sometimes" (every third answer names nothing) or "own" (ids of the app's own making).
    echo: str = "never"
    service_time: float = 0.1


@dataclass
class Socket:
    """One socket: what left on it, and what is on its way back."""

    number: int
    runner: Runner
    coming: deque[Any] = field(default_factory=deque)
    working: tuple[int, ...] = ()
    done_at: float = 0.0
    # It takes inputs and says nothing: a model that is starting.
    swallows: bool = False
    # It does not even answer pings.
    dead: bool = False


class World:
    """One connection and everything around it."""

    def __init__(self, settings: Settings, server: Server, chance: float = 0.5) -> None:
        self.now, self.server, self.settings = 1000.0, server, settings
        self.protocol = RealtimeProtocol(settings, self.now, lambda: chance)
        self.socket: Socket | None = None
        self.sockets = 0
        # Faults to come: openings refused; sockets that swallow; sockets that are dead.
        self.refusals = self.colds = 0
        self.inputs: list[Input] = []
        self.cancelled: set[int] = set()
        self.outcomes: dict[int, Outcome] = {}
        self.told: Counter[int] = Counter()
        self.problems: list[Exception] = []
        # Inputs whose answers reached the user, as the truth knows them.
        self.seen: set[int] = set()
        self.uncertain = self.wrong = 0
        # Inputs by socket: how often each left; which the runner began to work on.
        self.left: Counter[tuple[int, int]] = Counter()
        self.taken: set[tuple[int, int]] = set()
        self.lane: Lane | None = None
        # The newest frame of the camera that has not been taken, and how many were passed over.
        self.frame: int | None = None
        # For when the shell's one timer is set.
        self.timer: float | None = None
        # When the shell last saw a sign of life.
        self.heard_at = self.now
        self.answers = 0
        self.tries_seen = self.received_seen = 0
        # The last loss was that of a socket that had lived, or left nobody waiting.
        self.may_begin_anew = False
        self.react()

    # --- the user

    def input(self, kind: Kind, request_id: str | None, timeout: float | None = None) -> Input:
        number = len(self.inputs)
        frame = json.dumps({"n": number, "id": request_id}).encode()
        lane = self.lane if kind is Kind.STREAM and self.lane is not None else self.protocol.main
        input = Input(frame, kind, lane, self.now, request_id, value=number)
        input.timeout_at = None if timeout is None else self.now + timeout
        return input

    def offer(
        self,
        kind: Kind,
        request_id: str | None = None,
        timeout: float | None = None,
        *,
        resend: bool = True,
    ) -> Input | None:
        """Submit an input; None where the connection refuses it with an error, as it must when it is over."""
        input = self.input(kind, request_id, timeout)
        input.resend = resend
        closed = self.protocol.state is State.CLOSED
        try:
            self.protocol.submit(input, self.now)
        except FalrtError:
            assert closed or len(input.lane.waiting) >= 256
            return None
        assert not closed
        self.inputs.append(input)
        self.react()
        return input

    def cancel(self, input: Input) -> None:
        if input.outcome is None:
            self.cancelled.add(input.value)
            self.protocol.abandon(input)
            self.react()

    def start_stream(self, pacing: Pacing, *, keeps_all: bool = False) -> None:
        if self.lane is None and self.protocol.state is not State.CLOSED:
            self.lane = self.protocol.add_lane(pacing, keeps_all=keeps_all)

    def stop_stream(self) -> None:
        if self.lane is not None:
            lane, self.lane, self.frame = self.lane, None, None
            self.protocol.remove_lane(lane)
            self.react()

    def capture(self) -> None:
        if self.lane is not None:
            self.frame = 1 if self.frame is None else self.frame + 1
            self.lane.pacer.offered(self.now)
            self.react()

    # --- the shell

    def react(self) -> None:
        for _ in range(TURNS_MAX):
            if not self.turn():
                self.arm()
                return
        raise AssertionError("the protocol spins")

    def arm(self) -> None:
        """Set the shell's timer, which is left alone where the protocol says that nothing can be due before it."""
        deadline = self.protocol.next_deadline(self.now)
        if deadline is None or self.timer is None or deadline < self.timer:
            self.timer = deadline

    def turn(self) -> bool:
        """Do what follows, once; return whether anything happened."""
        protocol = self.protocol
        happened = self.pump()
        for event in taken(protocol):
            self.tell(event)
            happened = True
        happened |= self.drive()
        if protocol.socket.leaving is not None:
            if self.socket is not None and self.socket.coming:
                self.receive_one(self.socket)  # what comes while a socket is given up must not count
                assert not taken(protocol)
            self.lose(Loss(Cause.CLOSED, 1000))
            return True
        if protocol.state is State.CLOSED:
            self.socket = None
        elif self.socket is None and protocol.connecting(self.now):
            self.connect()
            return True
        self.check()
        return happened

    def pump(self) -> bool:
        socket, read = self.socket, False
        while socket is not None and (input := self.protocol.take_due(self.now)) is not None:
            # Again on one socket only what an answer to a younger one proves to have been dropped.
            key = (socket.number, input.value)
            # What went into another's output cannot be told from what was dropped.
            merged = self.server.options.max_batch_size > 1
            assert not self.left[key] or key not in self.taken or merged, "sent twice on one socket"
            assert input.outcome is None, "sent after its end"
            assert input.resend or input.sends == 1, "sent again against its wish"
            self.left[key] += 1
            message = json.loads(input.frame)
            if not socket.swallows:
                socket.runner.received((message["n"], message["id"]), self.now)
            read = True
        if read and socket is not None:
            self.take(socket)
        return read

    def drive(self) -> bool:
        """Let the stream take its newest frame, if one can leave."""
        lane, protocol = self.lane, self.protocol
        if lane is None or self.frame is None or protocol.state is State.CLOSED:
            return False
        probe = "" if self.server.echo == "always" else None
        news = not lane.wants or protocol.state is State.IDLE
        at = protocol.want_slot(lane, probe, self.now)
        if at is not None and at <= self.now:
            self.frame = None
            input = self.input(Kind.STREAM, f"f{len(self.inputs)}" if self.server.echo != "never" else None)
            input.taken_at = self.now
            protocol.submit(input, self.now)
            self.inputs.append(input)
            return True
        return news

    def connect(self) -> None:
        protocol = self.protocol
        if self.refusals:
            self.refusals -= 1
            protocol.lost(Loss(Cause.NETWORK, error=FalrtError("refused")), self.now)
            self.may_begin_anew |= protocol._life.phase is State.IDLE
            return
        self.sockets += 1
        self.socket = Socket(self.sockets, Runner(self.server.options, self.now))
        if self.colds:
            self.colds -= 1
            self.socket.swallows = True
            self.socket.done_at = self.now + 30.0
        protocol.opened(self.now)

    def lose(self, loss: Loss) -> None:
        if self.socket is None:
            return
        answered = self.protocol.socket.results > 0
        self.socket = None
        before = self.protocol.state
        life = self.protocol._life
        self.may_begin_anew |= self.now - self.protocol.socket.opened_at > SETTLED_AFTER
        self.protocol.lost(loss, self.now)
        self.may_begin_anew |= life.phase is State.IDLE
        retry_at = self.protocol._life.retry_at
        if answered and life.phase is State.WAITING and before is State.OPEN:
            assert retry_at <= self.now + 0.1, "the first try comes within 100 ms"
        self.react()

    # --- the server

    def take(self, socket: Socket) -> None:
        if not socket.working:
            batch = socket.runner.take(self.now)
            if isinstance(batch, tuple):
                # A batch may swallow the mark of the end, which the app is given as one more input: it ignores that.
                socket.working = tuple(input for input in batch if input is not None)
                self.taken.update((socket.number, number) for number, _ in socket.working)
                socket.done_at = self.now + self.server.service_time

    def work(self) -> None:
        """The app finishes what it works on, and takes the next."""
        socket = self.socket
        if socket is None or socket.swallows or socket.dead:
            return
        self.take(socket)
        if socket.working:
            batch, socket.working = socket.working, ()
            self.answers += 1
            answer: dict[str, Any] = {"of": [number for number, _ in batch]}
            if self.server.echo == "always" or (self.server.echo == "sometimes" and self.answers % 3):
                if batch[0][1] is not None:
                    answer["request_id"] = batch[0][1]
            elif self.server.echo == "own":
                answer["request_id"] = f"app {self.answers}"
            socket.runner.produced(answer)
            socket.runner.finished(self.now)
            self.take(socket)
            socket.coming.extend(socket.runner.take_outgoing())

    def deliver(self, times: int = 1) -> None:
        for _ in range(times):
            if self.socket is not None and self.socket.coming:
                self.receive_one(self.socket)
                self.react()

    def receive_one(self, socket: Socket) -> None:
        item = socket.coming.popleft()
        self.heard_at = self.now
        match item:
            case Answer(output):
                self.protocol.received(output, self.now, 10)
            case Control(text):
                self.protocol.received(control_in(text), self.now, 10)
            case Close(code):
                self.lose(Loss(Cause.CLOSED, code))

    def fail(self, reason: str = "bad input") -> None:
        """The app fails on what it works on."""
        socket = self.socket
        if socket is not None and socket.working and not socket.swallows and not socket.dead:
            socket.working = ()
            socket.runner.failed(reason)
            socket.coming.extend(socket.runner.take_outgoing())

    def garble(self) -> None:
        """The oldest message on its way is damaged."""
        socket = self.socket
        if socket is not None and socket.coming and isinstance(socket.coming[0], Answer):
            self.seen.update(socket.coming.popleft().output["of"])
            self.protocol.received(DecodeError("garbage"), self.now, 10)
            self.react()

    # --- time

    def advance(self, seconds: float, *, working: bool = True) -> None:
        """Let time pass, from deadline to deadline; the server works and the network delivers, or nothing does."""
        until, turns = self.now + seconds, 0
        while True:
            at = min(until, *self.deadlines(working))
            turns = turns + 1 if at <= self.now else 0
            assert turns < TURNS_MAX, "a deadline that does not move"
            self.now = max(self.now, at)
            self.happen(working)
            if self.now >= until:
                return

    def deadlines(self, working: bool) -> list[float]:
        candidates = [self.protocol.next_deadline(self.now)]
        if (socket := self.socket) is not None and not socket.dead:
            if socket.swallows:
                candidates.append(socket.done_at)
            else:
                candidates.append(socket.runner.next_deadline())
            if working and socket.working:
                candidates.append(socket.done_at)
            if working and socket.coming:
                candidates.append(self.now)
        if self.lane is not None and self.frame is not None:
            candidates.append(self.protocol.want_slot(self.lane, self.lane.wants_id, self.now))
        return [at for at in candidates if at is not None] or [float("inf")]

    def happen(self, working: bool) -> None:
        socket = self.socket
        if socket is not None and not socket.dead:
            if socket.swallows and self.now >= socket.done_at:
                self.lose(Loss(Cause.CLOSED, 1000))
            elif not socket.swallows:
                deadline = socket.runner.next_deadline()
                if deadline is not None and self.now >= deadline:
                    socket.runner.wake(self.now)
                    self.take(socket)
                    socket.coming.extend(socket.runner.take_outgoing())
                if working and socket.working and self.now >= socket.done_at:
                    self.work()
                if working and socket.coming:
                    self.deliver()
        if self.timer is not None and self.now >= self.timer:
            self.timer = None
        pings = self.protocol.tick(self.now, self.heard_at)
        if pings and self.socket is not None and not self.socket.dead:
            self.heard_at = self.now
        self.react()

    # --- the truth

    def tell(self, event: Event) -> None:
        match event:
            case Answered(input, message, certain, _):
                self.told[input.value] += 1
                self.seen.update(message["of"])
                assert self.told[input.value] == 1
                assert input.outcome is Outcome.ANSWERED
                right = input.value in message["of"]
                if input.kind is Kind.REQUEST:
                    assert right, f"request {input.value} got the answer of {message['of']}"
                    assert certain
                elif input.kind is Kind.STREAM:
                    assert right or not certain, f"frame {input.value} surely got {message['of']}"
                    self.uncertain += not certain
                    self.wrong += not right
            case Failed(input, _):
                self.told[input.value] += 1
                assert self.told[input.value] == 1
                assert input.kind is not Kind.SEND
            case Pushed(message):
                self.seen.update(message["of"])
            case Problem(error):
                self.problems.append(error)

    def check(self) -> None:
        protocol = self.protocol
        for input in self.inputs:
            known = self.outcomes.get(input.value)
            if known is not None:
                assert input.outcome is known, f"{input.value} was {known}, is {input.outcome}"
            elif input.outcome is not None:
                self.outcomes[input.value] = input.outcome
        stats = protocol.stats(self.now)
        assert stats.sent == self.left.total()
        assert stats.in_flight == len(protocol.socket.unanswered.inputs)
        assert stats.dropped == sum(o is Outcome.SUPERSEDED for o in self.outcomes.values())
        assert stats.reconnects == max(0, self.sockets - 1)
        if protocol.state is State.CLOSED:
            assert protocol.next_deadline(self.now) is None
            assert protocol.ending is not None
            assert all(input.outcome is not None for input in self.inputs)
        if protocol.state is State.WARMING:
            assert protocol._life.warming
            assert self.now <= protocol._life.warming.until
        tries = protocol._life.retry.tries
        assert tries >= self.tries_seen or stats.received > self.received_seen or self.may_begin_anew, (
            "only answers restore the budget of a run of failures"
        )
        self.may_begin_anew = False
        self.received_seen = stats.received
        self.tries_seen = tries

    def recover(self) -> None:
        """All faults stop; in the end everything has settled, and the newest was answered."""
        self.refusals = self.colds = 0
        if self.socket is not None and (self.socket.dead or self.socket.swallows):
            self.lose(Loss(Cause.CLOSED, 1006))
        for _ in range(400):
            self.advance(1.0)
            if self.protocol.state is State.CLOSED or (not self.protocol.pending() and self.at_rest):
                break
        else:
            raise AssertionError("it does not settle")
        if self.protocol.state is not State.CLOSED:
            self.newest_was_seen(Kind.SEND)
            self.newest_was_seen(Kind.STREAM)
        for input in self.inputs:
            if input.kind is Kind.REQUEST and input.value not in self.cancelled:
                assert self.told[input.value] == 1, (
                    f"request {input.value} was told {self.told[input.value]} times"
                )

    @property
    def at_rest(self) -> bool:
        """Whether neither the camera nor the server has anything on its way: an answer may be late."""
        socket = self.socket
        return self.frame is None and (socket is None or not (socket.working or socket.coming))

    def newest_was_seen(self, kind: Kind) -> None:
        newest = next((input for input in reversed(self.inputs) if input.kind is kind), None)
        if newest is not None and newest.value not in self.cancelled:
            over = {Outcome.FAILED, Outcome.ABANDONED}
            if self.settings.idle_close is not None or self.server.options.session_timeout is not None:
                # A server that stands still for long after an answer looks as if it had dropped the rest; where the
                # socket then ends for idleness, nothing is sent again.
                over.add(Outcome.SUPERSEDED)
            assert newest.value in self.seen or newest.outcome in over, (
                f"the newest {kind} ({newest.value}) was never answered: {newest.outcome}"
            )
