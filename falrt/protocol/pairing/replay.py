"""Which inputs leave again: after a socket was lost, and where the server surely dropped them.

Nothing is blamed on suspicion: where several inputs were unanswered when the app failed, they are sent again one at a
time, and the one at fault shows itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from falrt.exceptions import ServerError
from falrt.protocol import endings
from falrt.protocol.events import Failed
from falrt.protocol.inputs import REQUEST, SEND, Input, Outcome
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pairing.unanswered import BROKEN, Unanswered
from falrt.protocol.wire.modes import Mode, Replay

__all__ = ["BLAMING", "Blame", "blame", "may_replay", "sort_out", "still_owed"]

# Losses that an input itself can cause, so that sending it again would repeat them.
BLAMING: Final = frozenset({Cause.SERVER_FAULT, Cause.BAD_FRAME})


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


def blame(unanswered: Unanswered, loss: Loss, mode: Mode, *, used: bool, answered_here: bool) -> Blame:
    """Say whose fault the loss of a socket was.

    Args:
        unanswered: The inputs that were given up included: one of them may be at fault.
        loss: What happened.
        mode: In one that ends the whole session fails, and tells of it.
        used: An input had left on the lost socket.
        answered_here: The lost socket had given at least one result.
    """
    if loss.cause not in BLAMING or loss.error is None:
        return Blame()
    if mode.ends:
        return Blame(settled=used, tell=not used)
    present = unanswered.inputs
    if len(present) == 1 and unanswered.order is not BROKEN:
        culprit = present[0]
        return Blame(culprit, settled=True, tell=culprit.outcome is None and culprit.kind is SEND)
    if not present and answered_here and _idled_while_busy(loss):
        return Blame(settled=True)
    suspects = tuple(input for input in present if input.outcome is None)
    only_requests = bool(suspects) and all(input.kind is REQUEST for input in suspects)
    return Blame(suspects=suspects, tell=not only_requests)


def _idled_while_busy(loss: Loss) -> bool:
    """Whether an app says that its inference outlasted its idle time-out: an error without a reason, and harmless."""
    error = loss.error
    return isinstance(error, ServerError) and error.error == "INTERNAL_ERROR" and not loss.reason


def sort_out(unanswered: list[Input], loss: Loss, mode: Mode, *, spoke: bool) -> bool:
    """Queue what leaves again of a lost socket's unanswered inputs, and end the rest; return whether anything does.

    ``unanswered`` are those whose callers still wait, oldest first; ``spoke``: the app had given, or said, something.
    """
    if not may_replay(mode, spoke=spoke):
        for input in unanswered:
            input.end(Outcome.DELIVERED if endings.in_order(loss) else Outcome.FAILED)
        return False
    for input in unanswered:
        if not input.resend:
            input.end(Outcome.FAILED, Failed(input, endings.request_not_resent(loss)))
    again = still_owed(unanswered, alone=mode.ends)
    for input in unanswered:
        if input not in again:
            input.end(Outcome.SUPERSEDED)
    for input in reversed(again):
        input.lane.put_back(input)
    return bool(again)


def may_replay(mode: Mode, *, spoke: bool) -> bool:
    """Whether the inputs of a lost socket may leave again; ``spoke``: the app had given, or said, something."""
    return mode.replay is Replay.UNANSWERED or (mode.replay is Replay.BEFORE_OUTPUT and not spoke)


def still_owed(
    given_up: Sequence[Input], younger: Sequence[Input] = (), *, alone: bool = False
) -> list[Input]:
    """Return which inputs have to be sent again, of those that a lost socket or a drop left without an answer.

    Every request; and the newest send or frame of each lane, unless something newer stands for it.

    Args:
        given_up: Those without an answer, oldest first.
        younger: What left later on the same socket, the input that was answered included.
        alone: Each is a session of its own, and the next does not stand for it where the pacing keeps all.
    """
    later = [*given_up, *younger]
    return [
        input
        for index, input in enumerate(given_up)
        if input.outcome is None
        and (
            input.kind is REQUEST
            or input.lane.keeps_all
            or (alone and not input.lane.pacer.keeps_newest)
            or not any(_stands_for(other, input) for other in [*later[index + 1 :], *input.lane.waiting])
        )
    ]


def _stands_for(newer: Input, older: Input) -> bool:
    return newer.lane is older.lane and newer.kind is not REQUEST
