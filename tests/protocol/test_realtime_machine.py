"""Anything in any order: whatever the network, the server and the users do, the promises are kept."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from falrt.exceptions import FalrtError
from falrt.protocol.events import State
from falrt.protocol.inputs import Kind
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pacing.policies import Adaptive, Debounce, Immediate, Latest, Throttle
from falrt.protocol.reconnect.backoff import Backoff
from falrt.protocol.reconnect.liveness import Keepalive
from falrt.protocol.settings import Settings
from falrt.protocol.wire.messages import ServerFault, Unauthorized
from falrt.testing.platform.runner import RunnerOptions
from tests.protocol.realtime_world import Server, World

PASSING = [
    Loss(Cause.CLOSED, 1001),
    Loss(Cause.CLOSED, 1006),
    Loss(Cause.CLOSED, 1011),
    Loss(Cause.CLOSED, 1012),
    Loss(Cause.CLOSED, 1013),
    Loss(Cause.CLOSED, 1000),
    Loss(Cause.CLOSED, 1005),
    Loss(Cause.NETWORK, error=ConnectionResetError()),
    Loss(Cause.SILENCE),
    Loss(Cause.BAD_FRAME, 1009, error=FalrtError("too large")),
]
FINAL = [Loss(Cause.CLOSED, 1008), Loss(Cause.CLOSED, 4000), Loss(Cause.SETUP, error=FalrtError("moved"))]
# A vouched pacing is the caller's word; where the world must be able to keep it, the runner holds as many.
MAIN_PACINGS = [Immediate(), Immediate(), Throttle(0.2), Debounce(0.3, 1.0), Latest(1), Latest(2)]
STREAM_PACINGS = [Latest(1), Latest(2), Adaptive(), Adaptive(max_in_flight=2), Throttle(0.05)]


class Anything(RuleBasedStateMachine):
    """Users, network and server take turns at random."""

    @initialize(
        pacing=st.sampled_from(MAIN_PACINGS),
        buffering=st.sampled_from([1, 1, 2, 3, None]),
        session_timeout=st.sampled_from([None, 2.0, 30.0]),
        batch=st.sampled_from([1, 1, 3]),
        echo=st.sampled_from(["never", "never", "always", "sometimes", "own"]),
        options=st.fixed_dictionaries(
            {
                "lazy": st.booleans(),
                "idle_close": st.sampled_from([None, 5.0]),
                "request_timeout": st.sampled_from([None, 20.0]),
                "warmup_timeout": st.sampled_from([40.0, 300.0]),
                "keepalive": st.sampled_from([Keepalive(20.0, 20.0), Keepalive(None, None)]),
                "renewable": st.booleans(),
                "backoff": st.sampled_from([Backoff(), Backoff(), Backoff(attempts=3), None]),
            }
        ),
        service_time=st.sampled_from([0.05, 0.5, 4.0]),
        chance=st.sampled_from([0.0, 0.5, 0.99]),
        ids=st.sampled_from(["none", "unique", "unique", "same"]),
    )
    def begin(self, pacing: Any, buffering: int | None, session_timeout: float | None, batch: int, echo: str,
              options: dict[str, Any], service_time: float, chance: float, ids: str) -> None:  # fmt: skip
        self.vouches = buffering in (2, 3, None) and batch == 1
        if isinstance(pacing, Latest) and pacing.in_flight > 1 and not self.vouches:
            pacing = Latest(1)
        if options["backoff"] is None:
            # Nothing but its time-out ends a request whose answer a bare socket never brings.
            options["request_timeout"] = 20.0
        self.ids = ids
        self.world = World(
            Settings("acme/app", pacing=pacing, **options),
            Server(
                RunnerOptions(buffering=buffering, session_timeout=session_timeout, max_batch_size=batch),
                echo=echo,
                service_time=service_time,
            ),
            chance,
        )

    def request_id(self) -> str | None:
        number = len(self.world.inputs)
        return {"none": None, "unique": str(number), "same": "camera"}[self.ids]

    # --- users

    @rule(times=st.integers(1, 6), named=st.booleans())
    def send(self, times: int, named: bool) -> None:
        for _ in range(times):
            self.world.offer(Kind.SEND, self.request_id() if named else None)

    @rule(
        timeout=st.sampled_from([None, 0.3, 3.0, 60.0]),
        times=st.integers(1, 3),
        named=st.booleans(),
        resend=st.sampled_from([True, True, False]),
    )
    def request(self, timeout: float | None, times: int, named: bool, resend: bool) -> None:
        for _ in range(times):
            self.world.offer(Kind.REQUEST, self.request_id() if named else None, timeout, resend=resend)

    @rule(which=st.integers(0, 200))
    def cancel(self, which: int) -> None:
        if self.world.inputs:
            self.world.cancel(self.world.inputs[-1 - which % min(5, len(self.world.inputs))])

    @rule()
    def flush(self) -> None:
        self.world.protocol.flush(self.world.now)
        self.world.react()

    @precondition(lambda self: self.world.lane is None)
    @rule(pacing=st.sampled_from(STREAM_PACINGS), keeps_all=st.booleans())
    def stream(self, pacing: Any, keeps_all: bool) -> None:
        if not self.vouches and isinstance(pacing, Latest):
            pacing = Latest(1)
        self.world.start_stream(pacing, keeps_all=keeps_all)

    @precondition(lambda self: self.world.lane is not None)
    @rule(times=st.integers(1, 8), pause=st.sampled_from([0.0, 0.033, 0.2]))
    def capture(self, times: int, pause: float) -> None:
        for _ in range(times):
            self.world.capture()
            self.world.advance(pause)

    @precondition(lambda self: self.world.lane is not None)
    @rule(dice=st.integers(0, 3))
    def end_stream(self, dice: int) -> None:
        if not dice:
            self.world.stop_stream()

    @rule(dice=st.integers(0, 30))
    def close(self, dice: int) -> None:
        if not dice:
            self.world.protocol.close(self.world.now)
            self.world.react()
            assert self.world.protocol.state is State.CLOSED

    # --- the server

    @rule(times=st.integers(1, 4))
    def work(self, times: int) -> None:
        for _ in range(times):
            self.world.work()

    @rule(times=st.integers(1, 4))
    def answer(self, times: int) -> None:
        for _ in range(times):
            self.world.work()
            self.world.deliver()

    @rule(times=st.integers(1, 4))
    def deliver(self, times: int) -> None:
        self.world.deliver(times)

    @rule(reason=st.sampled_from(["", "bad input"]))
    def fail(self, reason: str) -> None:
        self.world.fail(reason)
        self.world.deliver(20)

    @rule()
    def garble(self) -> None:
        self.world.garble()

    @rule()
    def unauthorized(self) -> None:
        self.world.protocol.received(Unauthorized({}), self.world.now)
        self.world.react()

    @rule()
    def gateway_error(self) -> None:
        self.world.protocol.received(ServerFault("busy", "", {}), self.world.now)
        self.world.react()

    # --- the network

    @rule(loss=st.sampled_from(PASSING))
    def lose(self, loss: Loss) -> None:
        self.world.lose(loss)

    @rule(loss=st.sampled_from(FINAL), dice=st.integers(0, 30))
    def lose_for_good(self, loss: Loss, dice: int) -> None:
        if not dice:
            self.world.lose(loss)

    @rule(times=st.integers(1, 3))
    def refuse(self, times: int) -> None:
        self.world.refusals = times

    @rule(times=st.integers(1, 6))
    def cold(self, times: int) -> None:
        self.world.colds = times

    @precondition(lambda self: self.world.socket is not None)
    @rule(dice=st.integers(0, 3))
    def die(self, dice: int) -> None:
        # Without pings nobody would ever know.
        if not dice and self.world.settings.keepalive.interval is not None and self.world.socket is not None:
            self.world.socket.dead = True

    @rule(seconds=st.sampled_from([0.05, 0.2, 1.0, 5.0, 35.0]), working=st.booleans())
    def advance(self, seconds: float, working: bool) -> None:
        self.world.advance(seconds, working=working)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.recover()


EXAMPLES = int(os.environ.get("FALRT_MACHINE_EXAMPLES", "120"))
STEPS = int(os.environ.get("FALRT_MACHINE_STEPS", "40"))

TestAnything = Anything.TestCase
TestAnything.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
