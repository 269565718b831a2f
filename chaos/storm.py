"""Many lives at a time, round after round, and a search of the process after each round."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from chaos.estate import Estate, tcp_sockets
from chaos.ledger import Broken, Recorder
from chaos.life import live
from chaos.plan import Target, draw_plan
from chaos.sdk import Sdk, sdk_served

__all__ = ["Report", "Storm"]

ROUND_SECONDS: Final = 20.0
# What may come and go without being a leak: caches of the interpreter, the allocator's own arenas.
OBJECTS_SLACK: Final = 4_000
RSS_SLACK_MIB: Final = 24.0


@dataclass(slots=True)
class Report:
    """What a run came to.

    Attributes:
        seed: From which everything was drawn.
        seconds: How long it took.
        lives: Connections that lived.
        counts: How often what happened.
        struck: Faults that took place, by name.
        reconnects: Sockets opened beyond the first of each connection.
        rounds: The process's estate after each round.
    """

    seed: int
    seconds: float = 0.0
    lives: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    rounds: list[Estate] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """Faults that took place."""
        return self.struck.total()

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "lives": self.lives,
            "faults": self.faults,
            "reconnects": self.reconnects,
            "struck": dict(sorted(self.struck.items())),
            "counts": dict(sorted(self.counts.items())),
            "rounds": [estate.as_dict() for estate in self.rounds],
        }

    def line(self) -> str:
        """Return how far it is, in one line."""
        counts = self.counts
        return (
            f"{self.lives} lives, {self.faults} faults, {self.reconnects} reconnects, "
            f"{counts['request: answered']} requests answered, {counts['recv: results']} results, "
            f"{counts['stream: replies']} replies"
        )


class Storm:
    """A run of many lives.

    Args:
        seed: Everything is drawn from it.
        targets: Whose server; the connections are shared out among them.
        connections: How many live at a time.

    Attributes:
        report: What it came to so far.
    """

    def __init__(self, *, seed: int, targets: tuple[Target, ...], connections: int) -> None:
        self.report = Report(seed)
        self._targets = targets
        # How many lives each slot has begun.
        self._turns = [0] * connections
        self._sdk: Sdk | None = None
        # What reached the event loop's exception handler.
        self._complaints: list[str] = []
        self._recorder = Recorder()

    async def rage(self, seconds: float) -> Report:
        """Run for a while, roughly: a life that has begun is lived to its end.

        Raises:
            Broken: A promise does not hold; the notes tell the last events of the life.
        """
        started = time.monotonic()
        asyncio.get_running_loop().set_exception_handler(self._complain)
        async with AsyncExitStack() as stack:
            stack.enter_context(self._recorder)
            if "sdk" in self._targets:
                self._sdk = await stack.enter_async_context(sdk_served())
            await self._rounds(seconds)
            if self._sdk is not None:
                self.report.struck["deployment"] = self._sdk.deployments
        self.report.seconds = time.monotonic() - started
        self._check_flat()
        return self.report

    async def one_life(self, name: str) -> Report:
        """Live a single life, by its name."""
        target, seed, slot, turn = name.split(":")
        plan = draw_plan("fake" if target == "fake" else "sdk", int(seed), int(slot), int(turn))
        async with AsyncExitStack() as stack:
            stack.enter_context(self._recorder)
            if plan.target == "sdk":
                self._sdk = await stack.enter_async_context(sdk_served())
            await self._live(plan.target, int(slot), int(turn))
        return self.report

    async def _rounds(self, seconds: float) -> None:
        rounds = max(1, round(seconds / ROUND_SECONDS))
        before = Estate.now()
        started = time.monotonic()  # counting may take seconds where the process holds much else
        for turn in range(rounds):
            ends_at = started + seconds * (turn + 1) / rounds
            try:
                async with asyncio.TaskGroup() as group:
                    for slot in range(len(self._turns)):
                        group.create_task(self._slot(slot, ends_at), name=f"chaos slot {slot}")
            except BaseExceptionGroup as several:
                raise _first(several) from None
            self.report.rounds.append(await _searched(before))
            if self._complaints:
                raise Broken("the event loop was given errors:\n" + "\n".join(self._complaints))

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Note what nobody caught."""
        error = context.get("exception")
        self._complaints.append(
            context["message"] + "\n" + "".join(traceback.format_exception(error) if error else [])
        )

    async def _slot(self, slot: int, ends_at: float) -> None:
        while time.monotonic() < ends_at:
            turn, self._turns[slot] = self._turns[slot], self._turns[slot] + 1
            await self._live(self._targets[slot % len(self._targets)], slot, turn)

    async def _live(self, target: Target, slot: int, turn: int) -> None:
        report = self.report
        plan = draw_plan(target, report.seed, slot, turn)
        lived = await live(plan, self._recorder, self._sdk.url if self._sdk else None)
        report.lives += 1
        report.counts += lived.counts
        report.struck += lived.struck
        report.reconnects += lived.reconnects

    def _check_flat(self) -> None:
        """Compare the middle of a long run with its end."""
        rounds = self.report.rounds
        if len(rounds) < 4:
            return
        middle, end = rounds[len(rounds) // 2], rounds[-1]
        if end.objects - middle.objects > OBJECTS_SLACK:
            raise Broken(f"objects grow: {[estate.objects for estate in rounds]}")
        if end.rss_mib - middle.rss_mib > RSS_SLACK_MIB:
            raise Broken(f"memory grows: {[estate.rss_mib for estate in rounds]} MiB")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the exception that ended a round; the others were cancelled for it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _searched(before: Estate) -> Estate:
    """Search the process for what the lives of a round left."""
    for _ in range(20):
        estate = Estate.now()
        if estate.tasks == before.tasks and estate.sockets <= before.sockets:
            break
        await asyncio.sleep(0.05)  # the servers' ends of sockets close a few turns after ours
    if estate.tasks != before.tasks:
        raise Broken(f"tasks are left after a round: {Counter(estate.tasks) - Counter(before.tasks)}")
    if estate.sockets > before.sockets or estate.descriptors > before.descriptors + 1:
        raise Broken(f"descriptors are left after a round: {before} then {estate}, {tcp_sockets()}")
    if left := Counter(estate.threads) - Counter(before.threads):
        raise Broken(f"threads are left after a round: {left}")
    return estate
