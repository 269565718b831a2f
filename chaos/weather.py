"""The faults of a chaos run: drawn from a seed, struck all the time, and at last called off."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

from chaos.ledger import Ledger
from chaos.plan import Plan
from falrt.testing import FakeServer, FaultProxy, script

__all__ = ["Weather"]

BUSY_STATUSES: Final = (408, 429, 500, 502, 503, 504)
PASSING_CODES: Final = (1000, 1001, 1005, 1006, 1011, 1012, 1013)
FINAL_CODES: Final = (1002, 1003, 1007, 1008, 1010)
# More than a few armed at once is no fault any more but an outage.
ARMED_MAX: Final = 4


class Weather:
    """Strikes one life's server and network.

    Args:
        plan: What may strike, and how often.
        rng: The plan's chance.
        server: The fake server, where the target is one.
        proxy: The network before it, where there is one.
        ledger: Where every strike is written down.

    Attributes:
        struck: How often each fault took place, by name.
    """

    def __init__(
        self, plan: Plan, rng: Random, server: FakeServer | None, proxy: FaultProxy | None, ledger: Ledger
    ) -> None:
        self._plan, self._rng, self._ledger = plan, rng, ledger
        self._server, self._proxy = server, proxy
        self.struck: Counter[str] = Counter()

    async def storm(self) -> None:
        """Strike until cancelled."""
        network: dict[str, Callable[[], Awaitable[None]]] = {
            "Cut": self._cut,
            "BlackHole": self._black_hole,
            "Latency": self._latency,
            "Bandwidth": self._bandwidth,
            "Gone": self._gone,
        }
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / self._plan.fault_pause))
            name = self._rng.choice(self._plan.faults)
            if name in network:
                await network[name]()
            else:
                self._arm(name)

    async def calm(self) -> None:
        """Call everything off; what lies half-open stays so."""
        self._ledger.note("calm")
        if self._server is not None:
            self._disarm()
        if self._proxy is not None:
            await self._proxy.accept()
            self._proxy.shape(latency=0.0, jitter=0.0, bandwidth=1e9)
            self._proxy.restore()

    def count(self) -> Counter[str]:
        """Return what took place, by name."""
        if self._server is not None:
            for connection in self._server.connections:
                self.struck.update(type(fault).__name__ for fault in connection.faults)
        return self.struck

    def chronicle(self) -> str:
        """Tell what the fake server saw of its last connections."""
        if self._server is None:
            return ""
        return "\n".join(
            f"server: {each!r} {each.stats} refused: {each.refusal} code {each.close_code}"
            for each in self._server.connections[-12:]
        )

    # --- the fake server's faults

    def _arm(self, name: str) -> None:
        server = self._server
        if server is None:
            return
        # The plan of faults is the server's own affair; here it is asked how much is still to come.
        if sum(1 for _, left in server._plan._armed if left != 0) >= ARMED_MAX:
            self._disarm()
        fault = _fault(name, self._rng)
        self._ledger.note(f"armed {fault}")
        server.add_fault(fault)

    def _disarm(self) -> None:
        server = self._server
        if server is None:
            return
        # Late answers and token faults stand in no connection's list.
        for fault, left in server._plan._armed:
            if isinstance(fault, script.LateAnswer | script.TokenFault) and left != fault.times:
                self.struck[type(fault).__name__] += (fault.times or 0) - (left or 0)
        server.clear_faults()

    # --- the network's

    async def _cut(self) -> None:
        self._network("cut")
        if self._proxy is not None:
            self._proxy.cut()

    async def _black_hole(self) -> None:
        seconds = self._rng.uniform(0.05, 1.2)
        self._network(f"black hole {seconds:.2f} s")
        if self._proxy is not None:
            self._proxy.black_hole(self._rng.choice(("up", "down", "both")), seconds=seconds)
            await asyncio.sleep(seconds)

    async def _latency(self) -> None:
        latency = self._rng.choice((0.0, 0.005, 0.03, 0.1))
        self._network(f"latency {latency}")
        if self._proxy is not None:
            self._proxy.shape(latency=latency, jitter=latency / 2)

    async def _bandwidth(self) -> None:
        bandwidth = self._rng.choice((20e3, 300e3, 1e9))
        self._network(f"bandwidth {bandwidth:.0f}")
        if self._proxy is not None:
            self._proxy.shape(bandwidth=bandwidth)

    async def _gone(self) -> None:
        seconds = self._rng.uniform(0.01, 0.5)
        self._network(f"refuse {seconds:.2f} s")
        if self._proxy is not None:
            self._proxy.refuse()
            if self._rng.random() < 0.7:
                self._proxy.cut()
            try:
                await asyncio.sleep(seconds)
            finally:
                await self._proxy.accept()

    def _network(self, what: str) -> None:
        self._ledger.note(f"network: {what}")
        self.struck[f"network {what.split()[0]}"] += 1


def _fault(name: str, rng: Random) -> script.Fault:
    """Return a fault of this name, with a moment of its own."""
    if name in SPECIAL:
        return SPECIAL[name](rng)
    family: type[script.Fault] = getattr(script, name)
    if issubclass(family, script.MomentFault):
        return family(**_moment(rng))
    if issubclass(family, script.LateAnswer):
        return family(seconds=rng.uniform(0.005, 0.3), times=rng.randint(1, 3))
    return family()


def _moment(rng: Random) -> dict[str, Any]:
    moments: tuple[dict[str, Any], ...] = (
        {"after": None},
        {"after": 0},
        {"after": rng.randint(1, 3)},
        {"inputs": rng.randint(1, 3)},
    )
    return rng.choice(moments)


# Faults that take more than a moment, and those that go by a name of the plan's own.
SPECIAL: Final[dict[str, Callable[[Random], script.Fault]]] = {
    "Busy": lambda rng: script.RefuseHandshake(rng.choice(BUSY_STATUSES), times=rng.randint(1, 2)),
    "TokensDown": lambda rng: script.RefuseToken(rng.choice((429, 500, 503)), times=rng.randint(1, 2)),
    "Forbidden": lambda rng: script.RefuseHandshake(rng.choice((401, 403, 404)), times=rng.randint(1, 3)),
    "NoToken": lambda rng: script.RefuseToken(rng.choice((401, 403, 422)), times=rng.randint(1, 2)),
    "CloseForGood": lambda rng: script.CloseWith(rng.choice(FINAL_CODES), after=None),
    "CloseWith": lambda rng: script.CloseWith(rng.choice(PASSING_CODES), **_moment(rng)),
    "SlowHandshake": lambda rng: script.SlowHandshake(rng.uniform(0.01, 0.3)),
    "SlowToken": lambda rng: script.SlowToken(rng.uniform(0.01, 0.3)),
    "ColdStart": lambda rng: script.ColdStart(rng.uniform(0.01, 0.2), times=rng.randint(1, 2)),
    "StopReading": lambda rng: script.StopReading(rng.choice((0.05, 0.4, None)), **_moment(rng)),
    "CutFrame": lambda rng: script.CutFrame(rng.choice(("reset", "end"))),
    "Huge": lambda rng: script.Huge(3 * 1024 * 1024),
}
