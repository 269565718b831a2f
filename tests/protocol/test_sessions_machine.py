"""Sessions in any order: the modes in which an app ends the stream keep their inputs together and hang nobody."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from falrt.exceptions import FalrtError
from falrt.protocol.events import Ended, State
from falrt.protocol.inputs import Input, Outcome
from falrt.protocol.loss import Cause
from falrt.protocol.pacing.policies import Immediate, Throttle
from falrt.protocol.reconnect.backoff import Backoff
from tests.protocol.line import TIMEOUT, UNAUTHORIZED, Line, fault


class Sessions(RuleBasedStateMachine):
    """A user, an app and a network around one connection."""

    @initialize(
        mode=st.sampled_from(["server_streaming", "client_streaming", "bidi"]),
        pacing=st.sampled_from([Immediate(), Throttle(0.5)]),
        lazy=st.booleans(),
        backoff=st.sampled_from([Backoff(), Backoff(), None]),
    )
    def begin(self, mode: str, pacing: Immediate | Throttle, lazy: bool, backoff: Backoff | None) -> None:
        self.mode, self.now, self.heard_at = mode, 0.0, 0.0
        self.line = Line(mode, pacing=pacing, lazy=lazy, backoff=backoff, warmup_timeout=100_000.0)
        self.inputs: list[Input] = []
        self.left: list[tuple[int, str]] = []
        # How many sessions had ended when an input was offered, and when it left.
        self.offered_in: dict[str, int] = {}
        self.left_in: dict[str, int] = {}
        self.sockets = self.ends = 0
        self.react()

    def react(self) -> None:
        """What the shell does."""
        protocol = self.line.protocol
        self.ends += sum(isinstance(event, Ended) for event in self.line.events())
        if protocol.socket.leaving is not None:
            self.line.lose(self.now, code=1000)
            self.react()
        elif protocol.connecting(self.now):
            protocol.opened(self.now)
            self.sockets += 1
        left = self.line.leave(self.now)
        self.left += [(self.sockets, name) for name in left]
        self.left_in |= dict.fromkeys(left, self.ends)

    @rule(times=st.integers(1, 4))
    def send(self, times: int) -> None:
        for _ in range(times):
            name = str(len(self.inputs))
            try:
                self.inputs.append(self.line.send(name, self.now))
                self.offered_in[name] = self.ends
            except FalrtError:
                assert self.line.protocol.state is State.CLOSED
            self.react()

    @rule(message=st.sampled_from([{"seed": 1}, TIMEOUT, UNAUTHORIZED, fault()]))
    def hear(self, message: dict[str, object]) -> None:
        self.line.protocol.received(message, self.now)
        self.react()

    @rule(code=st.sampled_from([1000, 1006, 1011]))
    def lose(self, code: int) -> None:
        if self.line.protocol._life.phase is State.OPEN and self.line.protocol.socket.leaving is None:
            self.line.lose(self.now, Cause.CLOSED, code)
            self.react()

    @rule(seconds=st.sampled_from([0.05, 0.6, 5.0, 60.0]))
    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while (at := self.line.protocol.next_deadline(self.now)) is not None and at <= until:
            self.now = max(self.now, at)
            if self.line.protocol.tick(self.now, self.heard_at):
                self.heard_at = self.now
            self.react()
        self.now = until
        self.react()

    @invariant()
    def nobody_hangs_after_the_end(self) -> None:
        if hasattr(self, "line") and self.ends and self.line.protocol.state is State.IDLE:
            assert self.line.protocol.ending is not None

    @invariant()
    def half_a_session_is_never_repeated(self) -> None:
        if hasattr(self, "line"):
            names = [name for _, name in self.left]
            if self.mode != "server_streaming":
                assert len(names) == len(set(names))
            else:
                per_socket = [socket for socket, _ in self.left]
                assert len(per_socket) == len(set(per_socket)), "one input a socket"

    @invariant()
    def an_input_leaves_in_its_own_session_or_not_at_all(self) -> None:
        if hasattr(self, "line") and self.mode != "server_streaming":
            assert all(self.offered_in[name] == ends for name, ends in self.left_in.items())

    def teardown(self) -> None:
        """The app ends each session that is left: then every input has one outcome, and none is superseded."""
        if not hasattr(self, "line"):
            return
        throttled = self.line.protocol.main.pacer.keeps_newest
        for _ in range(len(self.inputs) + 3):
            self.advance(20.0)
            self.line.protocol.received({"seed": 1}, self.now)
            self.line.protocol.received(TIMEOUT, self.now)
            self.react()
        assert all(input.outcome is not None for input in self.inputs)
        assert throttled or not any(input.outcome is Outcome.SUPERSEDED for input in self.inputs)


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
