"""What a connection does after a loss: one table of cases, from the most final to the most hopeful."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from falrt.protocol.loss import Cause, Loss, Verdict, verdict_on

__all__ = ["Circumstances", "Step", "step_after"]


class Step(StrEnum):
    """What to do next."""

    END = "end"
    """It is over, and everybody is told."""
    REST = "rest"
    """No socket until the next input."""
    NOW = "now"
    """Open another at once: the loss was in order."""
    RENEW = "renew"
    """Open another at once, with a new token."""
    WARM_UP = "warm_up"
    """A model that is starting swallowed its inputs: again, with growing pauses."""
    BACK_OFF = "back_off"
    """Open another after a pause, as long as the budget lasts."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What matters besides the loss itself.

    Attributes:
        waits: Something waits to be sent, the unanswered that are asked again included.
        asked: Something was unanswered whose caller still waits.
        answered: The lost socket had given a result.
        blamed: The loss was some input's own fault, and that input's caller was told.
        opened: The socket had been open.
        warming: The model is known to be starting.
        may_renew: A new token can be had, and the last refusal was not just answered by one.
        rests: Without anything to send no socket is wanted: a lazy connection, a session that is over.
    """

    waits: bool
    asked: bool
    answered: bool
    blamed: bool
    opened: bool
    warming: bool
    may_renew: bool
    rests: bool


def step_after(loss: Loss, case: Circumstances) -> Step:
    """Return what follows a loss."""
    verdict = verdict_on(loss)
    if verdict is Verdict.FINAL:
        return Step.END
    if verdict is Verdict.RENEW:
        return _after_refusal(case)
    if not case.waits and (verdict is Verdict.REST or case.rests):
        return Step.REST
    if verdict is Verdict.REST and (loss.cause is Cause.RECYCLED or case.blamed or case.answered):
        return Step.NOW
    ended_in_order = verdict is Verdict.REST and loss.cause is not Cause.SERVER_FAULT
    if case.warming or (ended_in_order and case.asked and case.opened):
        return Step.WARM_UP
    return Step.BACK_OFF


def _after_refusal(case: Circumstances) -> Step:
    if not case.may_renew:
        return Step.END
    return Step.RENEW if case.waits or not case.rests else Step.REST
