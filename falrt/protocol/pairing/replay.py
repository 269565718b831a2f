"""What becomes of the unanswered inputs of a lost socket.

Three questions, each a pure function: which input is to blame (:func:`blame`), which may be asked again
(:func:`sort_out`), and what the rest is told. Nothing is blamed on suspicion: where several inputs were unanswered
when the app failed, they are sent again one at a time, and the one at fault shows itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from falrt.exceptions import ServerError
from falrt.protocol.inputs import Input, Kind, Lane, Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pairing.in_flight import InFlight
from falrt.protocol.wire.modes import Mode, Replay

__all__ = ["Aftermath", "Blame", "blame", "guilty", "sort_out", "still_owed"]

# Losses that an input itself can cause, so that sending it again would repeat them.
BLAMING: Final = frozenset({Cause.SERVER_FAULT, Cause.BAD_FRAME})


@dataclass(slots=True)
class Aftermath:
    """The unanswered inputs of a lost socket, sorted.

    Attributes:
        again: Inputs to send again, by lane, oldest first.
        superseded: Inputs that a newer one stands for.
        failed: Inputs that can be neither answered nor asked again.
    """

    again: dict[Lane, list[Input]] = field(default_factory=dict)
    superseded: list[Input] = field(default_factory=list)
    failed: list[Input] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Blame:
    """Whose fault a loss was.

    Attributes:
        culprit: The input that surely caused it.
        suspects: Those of which one may have caused it: each is to go out alone.
        settled: Nobody is left who could cause it again.
        tell: The error is to be told to whoever receives, for no caller waits for the input at fault.
    """

    culprit: Input | None = None
    suspects: tuple[Input, ...] = ()
    settled: bool = False
    tell: bool = False


def blame(in_flight: InFlight, loss: Loss, mode: Mode, *, used: bool, answered_here: bool) -> Blame:
    """Say whose fault the loss of a socket was.

    Args:
        in_flight: What is unanswered, the inputs that were given up included: one of them may be at fault.
        loss: What happened.
        mode: In one that ends the whole session fails, and tells of it.
        used: An input had left on the lost socket.
        answered_here: The lost socket had given at least one result.
    """
    if loss.cause not in BLAMING or loss.error is None:
        return Blame()
    if mode.ends:
        return Blame(settled=used, tell=not used)
    present = in_flight.inputs
    culprit = None if in_flight.stale else guilty(list(present), loss)
    if culprit is not None:
        return Blame(culprit, settled=True, tell=culprit.outcome is None and culprit.kind is Kind.SEND)
    if not present and answered_here and _idled_while_busy(loss):
        return Blame(settled=True)
    suspects = tuple(input for input in present if input.outcome is None)
    only_requests = bool(suspects) and all(input.kind is Kind.REQUEST for input in suspects)
    return Blame(suspects=suspects, tell=not only_requests)


def _idled_while_busy(loss: Loss) -> bool:
    """Whether an app says that its inference outlasted its idle time-out: an error without a reason, and harmless."""
    error = loss.error
    return isinstance(error, ServerError) and error.error == "INTERNAL_ERROR" and not loss.reason


def guilty(unanswered: list[Input], loss: Loss) -> Input | None:
    """Return the input that caused a loss, where that is beyond doubt."""
    if loss.cause in BLAMING and len(unanswered) == 1:
        return unanswered[0]
    return None


def sort_out(unanswered: Iterable[Input], mode: Mode, *, answered_here: bool) -> Aftermath:
    """Decide what becomes of unanswered inputs.

    Args:
        unanswered: Those of the lost socket whose outcome is open, oldest first.
        mode: Says whether anything may be asked again.
        answered_here: The lost socket had given at least one result.
    """
    aftermath = Aftermath()
    replayable = mode.replay is Replay.UNANSWERED or (
        mode.replay is Replay.BEFORE_OUTPUT and not answered_here
    )
    if not replayable:
        aftermath.failed = list(unanswered)
        return aftermath
    by_lane: dict[Lane, list[Input]] = {}
    for input in unanswered:
        by_lane.setdefault(input.lane, []).append(input)
    for lane, inputs in by_lane.items():
        if mode.ends and not lane.pacer.keeps_newest:
            aftermath.again[lane] = (
                inputs  # each is a session of its own: the next in line does not stand for it
            )
            continue
        again, superseded = _newest_and_owed(lane, inputs)
        if again:
            aftermath.again[lane] = again
        aftermath.superseded += superseded
    return aftermath


def _newest_and_owed(lane: Lane, inputs: list[Input]) -> tuple[list[Input], list[Input]]:
    """Split into what is sent again (requests, and the newest of the rest) and what is superseded."""
    loose = [input for input in inputs if not (input.kind is Kind.REQUEST or lane.keeps_all)]
    newer_waits = any(waiting.kind is not Kind.REQUEST for waiting in lane.waiting)
    newest = loose[-1] if loose and not newer_waits else None
    superseded = [input for input in loose if input is not newest]
    for input in superseded:
        input.outcome = Outcome.SUPERSEDED
    return [input for input in inputs if input.outcome is None], superseded


def still_owed(overtaken: Sequence[Input], younger: Sequence[Input]) -> list[Input]:
    """Return which inputs have to be sent again of those that the server surely dropped on a socket that lives.

    A request that was dropped is its caller's affair. The newest send or frame is not to be lost, and it is where
    something of another kind came behind it that the server drops it although nothing newer stands for it.

    Args:
        overtaken: The dropped inputs, oldest first.
        younger: What left later on the same socket, the input that was answered included.
    """
    later = [*overtaken, *younger]
    return [
        input
        for index, input in enumerate(overtaken)
        if input.outcome is None
        and input.kind is not Kind.REQUEST
        and (
            input.lane.keeps_all
            or not any(map(_stands_for(input), [*later[index + 1 :], *input.lane.waiting]))
        )
    ]


def _stands_for(input: Input) -> Callable[[Input], bool]:
    return lambda other: other.lane is input.lane and other.kind is not Kind.REQUEST
