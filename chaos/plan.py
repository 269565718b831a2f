"""What one connection of a chaos run is: its app, its options, its weather and its workers, all drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final, Literal

import falrt
from falrt import pacing
from falrt.typing import ModeName

__all__ = ["FINAL_ERRORS", "Plan", "Target", "draw_plan"]

Target = Literal["fake", "sdk"]
Ending = Literal["calm", "close", "cancel"]

# Faults that every connection rides out, faults that cost an input its answer, and faults that may end it.
PASSING: Final = (
    "Refuse", "Hang", "Busy", "SlowHandshake", "ColdStart", "CloseWith", "Reset", "HangUp", "HalfOpen",
    "StopReading", "Delay", "Jitter", "Stall", "CutFrame", "SlowToken", "TokensDown",
)  # fmt: skip
HURTING: Final = ("Swallow", "Garbage", "Truncated", "Huge", "GatewayError")
ENDING: Final = ("Forbidden", "Unauthorized", "ExpiredToken", "NoToken", "CloseForGood")
NETWORK: Final = ("Cut", "BlackHole", "Latency", "Bandwidth", "Gone")
# What a final error may be; any of them only where something may end the connection.
FINAL_ERRORS: Final = frozenset({
    "AuthenticationError", "TokenRequestError", "UnauthorizedError", "ConnectError", "ConnectTimeoutError",
    "HandshakeError", "ConnectionClosedError", "ConnectionClosedOK",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """One connection's life.

    Attributes:
        name: ``target:seed:slot:turn``; the same name draws the same plan.
        target: Whose server.
        seconds: How long the storm lasts.
        mode: As of the app.
        app: Buffering, echo and so on.
        options: For ``connect()``.
        faults: Names of what may strike, from the tuples above.
        fault_pause: Mean seconds between two strikes.
        workers: Names of the workers.
        fails: Share of inputs that the app refuses.
        ending: Whether it ends in calm weather, is closed in the storm, or cancelled in it.
        through_proxy: A `FaultProxy` stands before the server.
    """

    name: str
    target: Target
    seconds: float
    mode: ModeName
    app: dict[str, Any]
    options: dict[str, Any]
    faults: tuple[str, ...]
    fault_pause: float
    workers: tuple[str, ...]
    fails: float
    ending: Ending
    through_proxy: bool
    excuses: frozenset[str] = field(default=frozenset())

    @property
    def echoes(self) -> bool:
        """Whether the app's answers name their inputs, always or at times."""
        return bool(self.app["echo"] != "never")


def draw_plan(target: Target, seed: int, slot: int, turn: int) -> Plan:
    """Return the plan of a name: always the same one."""
    name = f"{target}:{seed}:{slot}:{turn}"
    rng = Random(name)
    mode: ModeName = "unary"
    if rng.random() < 0.15:
        mode = rng.choice(("server_streaming", "client_streaming", "bidi"))
    faults, through_proxy = _draw_faults(rng, target)
    if mode != "unary":
        # A swallowed input of a session looks like an app that thinks: recv() waits for it as long as its caller.
        faults = _without(faults, "Swallow")
    app = _draw_app(rng, target, mode)
    workers = _draw_workers(rng, mode)
    options = _draw_options(rng, mode, faults)
    plan = Plan(
        name=name,
        target=target,
        seconds=rng.uniform(0.5, 4.0),
        mode=mode,
        app=app,
        options=options,
        faults=faults,
        fault_pause=rng.choice((0.02, 0.06, 0.2)),
        workers=workers,
        fails=rng.choice((0.0, 0.0, 0.02, 0.1)),
        ending=rng.choice(("calm", "calm", "calm", "calm", "close", "cancel")),
        through_proxy=through_proxy,
    )
    return _with_excuses(plan)


def _draw_faults(rng: Random, target: Target) -> tuple[tuple[str, ...], bool]:
    network = tuple(rng.sample(NETWORK, rng.randint(1, len(NETWORK))))
    if target == "sdk":
        return network, True
    faults = tuple(rng.sample(PASSING, rng.randint(1, len(PASSING))))
    if rng.random() < 0.5:
        faults += tuple(rng.sample(HURTING, rng.randint(1, len(HURTING))))
    if rng.random() < 0.15:
        faults += tuple(rng.sample(ENDING, rng.randint(1, len(ENDING))))
    if {"ColdStart", "CloseWith"} & {*faults}:
        # A model that seems to be starting may swallow inputs for as long as warmup_timeout, which is minutes.
        faults = _without(faults, "Swallow")
    through_proxy = rng.random() < 0.3
    return faults + (network if through_proxy else ()), through_proxy


def _without(faults: tuple[str, ...], unwanted: str) -> tuple[str, ...]:
    return tuple(name for name in faults if name != unwanted) or ("Reset",)


def _draw_app(rng: Random, target: Target, mode: ModeName) -> dict[str, Any]:
    echo = rng.choice(("never", "never", "always")) if mode == "unary" else "never"
    app: dict[str, Any] = {
        "echo": echo,
        "buffering": rng.choice((None, 1, 2)) if mode == "unary" else None,
        "session_timeout": rng.choice((None, None, 0.25)),
        "max_batch_size": rng.choice((1, 1, 4)) if mode == "unary" and echo == "never" else 1,
        "emit_timings": rng.random() < 0.4,
        "work": rng.choice((0.001, 0.004, 0.015, 0.05)),
    }
    if mode == "client_streaming":
        app["session_timeout"] = 0.15
    if target == "sdk" and app["max_batch_size"] > 1:
        app["buffering"], app["session_timeout"] = None, None  # one path for each thing, not for each mixture
    if target == "sdk" and echo == "always":
        app["session_timeout"] = None
    return app


def _draw_options(rng: Random, mode: ModeName, faults: tuple[str, ...]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "open_timeout": 1.0,
        "auth": rng.choice(("key", "token")),
        "reconnect": falrt.Backoff(initial=0.02, maximum=0.25),
        "ping_interval": 0.3,
        "ping_timeout": 0.6,
        "max_size": 2 * 1024 * 1024,
        "request_timeout": 8.0 if {"Swallow", "GatewayError"} & {*faults} else rng.choice((None, 60.0)),
    }
    if rng.random() < 0.25:
        options["lazy"] = True
    if rng.random() < 0.2:
        options["idle_close"] = rng.choice((0.05, 0.3))
    if mode != "unary":
        options.pop("idle_close", None)  # it would end sessions whose app is only slow
    else:
        options["pacing"] = rng.choice((
            pacing.Immediate(), pacing.Immediate(), pacing.Throttle(0.02), pacing.Throttle(0.05, leading=False),
            pacing.Debounce(0.02, max_wait=0.1), pacing.Latest(), pacing.Adaptive(),
        ))  # fmt: skip
    return options


def _draw_workers(rng: Random, mode: ModeName) -> tuple[str, ...]:
    if mode != "unary":
        return ("sessions",)
    workers = rng.choice((
        ("asker",), ("asker",) * 3, ("asker",) * 8, ("sender", "receiver"), ("streamer",),
        ("sender", "receiver", "asker"), ("streamer", "asker"), ("streamer", "asker", "sender", "receiver"),
        ("sender", "sender", "receiver", "asker", "asker"),
    ))  # fmt: skip
    return workers if "receiver" in workers else (*workers, "listener")


def _with_excuses(plan: Plan) -> Plan:
    """Say which errors have a reason in this life."""
    faults, excuses = {*plan.faults}, set()
    if faults & {"Garbage", "Truncated", "Huge"}:
        excuses.add("DecodeError")
    if "GatewayError" in faults or plan.app["session_timeout"] is not None:
        excuses.add("ServerError")
    if faults & {"Swallow", "Garbage", "Truncated", "Huge", "GatewayError"}:
        excuses |= {"swallowed", "timeout"}
    if faults & {*ENDING}:
        excuses |= {"end", *FINAL_ERRORS}
    return replace(plan, excuses=frozenset(excuses))
