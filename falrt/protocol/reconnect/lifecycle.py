"""The life cycle: in which state a connection is, what it does after a loss, and when it wants its next socket.

The steps from state to state are those of ``events.TRANSITIONS``, which is looked up for each. :func:`step_after` says
what follows a loss; :class:`LifeCycle` takes the step, with the budgets that it costs: pauses and tries
(``backoff.py``), the patience with a model that is starting (``warming.py``), one new token for a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from falrt.protocol import endings
from falrt.protocol.events import TRANSITIONS, Change, State
from falrt.protocol.inputs import Input
from falrt.protocol.loss import Cause, Loss, Verdict, verdict_on
from falrt.protocol.numbers import NEVER
from falrt.protocol.reconnect.backoff import Backoff, RetrySchedule
from falrt.protocol.reconnect.warming import Warming
from falrt.protocol.settings import Settings

__all__ = ["Circumstances", "LifeCycle", "Step", "step_after"]

# A socket that lived this long was accepted; a later refusal is answered by a new token again.
SETTLED_AFTER: Final = 5.0
# What fal's gateway closes a socket with that leads to no realtime app, and how often and how soon it has to do so,
# before anything was ever answered, until that is believed: a runner that restarts looks the same, but not for long.
NO_APP_CODE: Final = 1011
NO_APP_TRIES: Final = 5
NO_APP_SECONDS: Final = 2.0


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
        opened_at: When the lost socket had opened; None if it had not.
        waits: Something waits to be sent, the unanswered that are asked again included.
        asked: Something was unanswered whose caller still waits.
        answered: The lost socket had given a result.
        blamed: The loss was some input's own fault, and that input's caller was told.
        rests: Without anything to send no socket is wanted: a lazy connection, a session that is over.
    """

    opened_at: float | None
    waits: bool
    asked: bool
    answered: bool
    blamed: bool
    rests: bool


def step_after(loss: Loss, case: Circumstances, *, warming: bool, may_renew: bool) -> Step:
    """Return what follows a loss: the cases from the most final to the most hopeful.

    ``warming``: the model is known to be starting; ``may_renew``: a new token can be had, and may help.
    """
    verdict = verdict_on(loss)
    if verdict is Verdict.FINAL or (verdict is Verdict.RENEW and not may_renew):
        return Step.END
    if not case.waits and (verdict is Verdict.REST or case.rests):
        return Step.REST
    if verdict is Verdict.RENEW:
        return Step.RENEW
    if verdict is Verdict.REST and (loss.cause is Cause.RECYCLED or case.blamed or case.answered):
        return Step.NOW
    ended_in_order = verdict is Verdict.REST and loss.cause is not Cause.SERVER_FAULT
    if warming or (ended_in_order and case.asked and case.opened_at is not None):
        return Step.WARM_UP
    return Step.BACK_OFF


class LifeCycle:
    """Where a connection stands between its sockets."""

    __slots__ = (
        "_answered",
        "_closed_at_once",
        "_renewed",
        "_settings",
        "phase",
        "retry",
        "retry_at",
        "warming",
    )

    def __init__(self, settings: Settings, now: float, random: Callable[[], float]) -> None:
        self._settings = settings
        self.phase = State.IDLE if settings.lazy else State.WAITING
        # When the next socket is wanted; set while WAITING.
        self.retry_at = NEVER if settings.lazy else now
        self.retry = RetrySchedule(settings.backoff or Backoff(), random)
        self.warming = Warming(settings.warmup_timeout, now)
        # The last credential was refused and replaced; cleared by a good answer.
        self._renewed = False
        # Whether the app ever gave a good answer, and how many sockets in a row were closed at once before that.
        self._answered, self._closed_at_once = False, 0

    def _go(self, change: Change, retry_at: float = NEVER) -> None:
        self.phase, self.retry_at = TRANSITIONS[self.phase, change], retry_at

    def wake(self, now: float) -> None:
        """Something is to be sent: where no socket was wanted, one is."""
        if self.phase is State.IDLE:
            self._go(Change.INPUT, now)

    def connecting(self, now: float) -> None:
        """A socket is being opened."""
        self._go(Change.PAUSE_OVER)
        self.retry.connecting(now)

    def opened(self) -> None:
        """A socket opened."""
        self._go(Change.OPENED)
        self.retry.opened()

    def answered(self, now: float) -> None:
        """A good answer: every budget is whole again."""
        self.retry.restored()
        if self.warming.until != NEVER:
            self.warming.answered(now)
        self._renewed, self._answered = False, True

    def expires_at(self, request: Input) -> float:
        """Return when a request runs out of time; never, where its caller waits no more.

        It ends at its caller's own deadline, or ``request_timeout`` after it was offered. That does not run while a
        cold model is starting, which has its own, longer limit; once the model is warm, it begins anew.
        """
        if request.outcome is not None:
            return NEVER
        if request.timeout_at is not None:
            return request.timeout_at
        default, warming = self._settings.request_timeout, self.warming
        if default is None or warming.until != NEVER:
            return NEVER
        return max(request.submitted_at, warming.warm_at) + default

    def closed(self) -> None:
        """It is over."""
        self._go(Change.OVER)

    def after(self, loss: Loss, case: Circumstances, now: float) -> Loss | None:
        """Decide what follows a loss; return the loss with which the connection ends, or None where it goes on."""
        lived = -1.0 if case.opened_at is None else now - case.opened_at
        if self._is_no_app(loss, lived):
            return Loss(Cause.SETUP, loss.code, error=endings.no_such_app(self._settings.app, loss))
        settled = lived > SETTLED_AFTER
        if settled and not case.asked:
            self.retry.restored()  # a socket that lived and owed nothing has not failed: the hours are not counted
        may_renew = self._may_renew(loss, settled)
        match step_after(loss, case, warming=bool(self.warming), may_renew=may_renew):
            case Step.END:
                return loss
            case Step.REST:
                self._rest()
                return None
            case Step.NOW:
                return self._go_on(now, loss)
            case Step.RENEW:
                self._renewed = True
                return self._go_on(now, loss)
            case Step.WARM_UP:
                since = now if case.opened_at is None else case.opened_at
                return self._go_on(self.warming.swallowed(now, since), self.still_cold())
            case _:  # Step.BACK_OFF
                delay = self.retry.delay_after(now, loss.retry_after)
                return self._go_on(None if delay is None else now + delay, loss)

    def _may_renew(self, loss: Loss, settled: bool) -> bool:
        """Whether a new token may help: after a refusal, once; after a close that may be one, if the old one did."""
        return self._settings.renewable and (
            settled or (loss.cause is Cause.UNAUTHORIZED and not self._renewed)
        )

    def _is_no_app(self, loss: Loss, lived: float) -> bool:
        """Whether an app that never answered has closed so many sockets at once that there can be none."""
        at_once = loss.cause is Cause.CLOSED and loss.code == NO_APP_CODE and 0 <= lived < NO_APP_SECONDS
        self._closed_at_once = 0 if self._answered or not at_once else self._closed_at_once + 1
        return self._closed_at_once >= NO_APP_TRIES

    def _go_on(self, at: float | None, otherwise: Loss) -> Loss | None:
        if at is None:
            return otherwise
        self._go(Change.LOST, at)
        return None

    def _rest(self) -> None:
        """Nobody waits for anything: a model that was starting may go on doing so by itself."""
        self._go(Change.LOST_IDLE)
        self.warming.forgotten()
        self.retry.restored()
        self.retry.rested()

    def still_cold(self) -> Loss:
        """Return the loss with which a model ends that did not become warm in time."""
        settings = self._settings
        return Loss(Cause.SETUP, error=endings.still_cold(settings.app, settings.warmup_timeout))
