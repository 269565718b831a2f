"""Which faults are still to come, and which of them strikes now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Literal, TypeAlias, TypeVar

from falrt.exceptions import ConfigurationError
from falrt.testing.script import AnswerFault, Delay, Fault, Jitter, LateAnswer, MomentFault, Stall

__all__ = ["FaultPlan"]

FaultT = TypeVar("FaultT", bound=Fault)
Moment: TypeAlias = Literal["answer", "input"]


class FaultPlan:
    """Which faults are still to come.

    Args:
        faults: In order of precedence where several could strike at once.
        rng: For `probability` and `Jitter`.
    """

    def __init__(self, faults: Iterable[Fault], rng: Random) -> None:
        self.rng = rng
        # (the fault, how often it may still strike or None); a list, so that the counts can change.
        self._armed: list[list[Any]] = []
        if isinstance(faults, Fault) or not isinstance(faults, Iterable):
            raise ConfigurationError(
                f"faults must be a list of faults, such as [script.Reset()], not {faults!r}"
            )
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Arm one more fault, now."""
        if not isinstance(fault, Fault):
            raise ConfigurationError(f"faults must come from falrt.testing.script, not {fault!r}")
        self._armed.append([fault, fault.times])

    def clear(self) -> None:
        """Disarm all."""
        self._armed.clear()

    def draw(
        self, family: type[FaultT], connection: int, suits: Callable[[FaultT], bool] = lambda _: True
    ) -> FaultT | None:
        """Return the first fault of a family that strikes now, and count it; None where none does."""
        for armed in self._armed:
            fault, left = armed
            if not isinstance(fault, family) or left == 0 or fault.connection not in (None, connection):
                continue
            if suits(fault) and self.rng.random() < fault.probability:
                armed[1] = None if left is None else left - 1
                return fault
        return None

    def at_moment(self, connection: int, moment: Moment, count: int) -> MomentFault | None:
        """Return the moment fault that strikes when this many answers have left, or inputs arrived."""

        def suits(fault: MomentFault) -> bool:
            if fault.inputs is not None or moment == "input":
                return moment == "input" and fault.inputs == count
            return fault.after == count or (fault.after is None and count > 0)

        return self.draw(MomentFault, connection, suits)

    def at_answer(self, connection: int, count: int) -> tuple[float, AnswerFault | None]:
        """Return how late an answer is that follows `count` others, and what replaces it."""

        def late(fault: LateAnswer) -> bool:
            return fault.after in (None, count)

        def other(fault: AnswerFault) -> bool:
            return fault.after in (None, count) and not isinstance(fault, LateAnswer)

        seconds = 0.0
        for kind in (Delay, Jitter, Stall):
            fault = self.draw(kind, connection, late)
            if fault is not None:
                seconds += self.rng.random() * fault.seconds if isinstance(fault, Jitter) else fault.seconds
        return seconds, self.draw(AnswerFault, connection, other)

    def at_token(self, family: type[FaultT], number: int, endpoint: str) -> FaultT | None:
        """Return the token fault of this family that strikes at this request."""
        return self.draw(family, number, lambda fault: getattr(fault, "endpoint", None) in (None, endpoint))
