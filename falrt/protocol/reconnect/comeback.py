"""The way back: in which state a connection is, and when it wants its next socket.

``lifecycle.py`` says which step follows a loss; here it is taken, with the budgets that it costs: pauses and tries
(``retry.py``), the patience with a model that is starting (``warming.py``), one new token for a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from falrt.protocol import endings
from falrt.protocol.events import State
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.reconnect.backoff import Backoff, RetrySchedule
from falrt.protocol.reconnect.lifecycle import Circumstances, Step, step_after
from falrt.protocol.reconnect.warming import Warming
from falrt.protocol.settings import Settings

__all__ = ["Comeback"]

# A socket that lived this long was not refused at the door; a later refusal earns a renewal of its own.
SETTLED_AFTER: Final = 5.0


class Comeback:
    """Where a connection stands between its sockets."""

    __slots__ = ("_renewed", "_settings", "opened_at", "phase", "retry", "retry_at", "warming")

    def __init__(self, settings: Settings, now: float, random: Callable[[], float]) -> None:
        self._settings = settings
        self.phase = State.IDLE if settings.lazy else State.WAITING
        # When the next socket is wanted; set while WAITING.
        self.retry_at = None if settings.lazy else now
        self.retry = RetrySchedule(settings.backoff or Backoff(), random)
        self.warming = Warming(settings.warmup_timeout, now)
        # When the present or last socket opened.
        self.opened_at = now
        # The last credential was refused and replaced; cleared by a good answer.
        self._renewed = False

    def connecting(self, now: float) -> None:
        """A socket is being opened."""
        self.phase, self.retry_at = State.CONNECTING, None
        self.retry.connecting(now)

    def opened(self, now: float) -> None:
        """A socket opened."""
        self.phase, self.opened_at = State.OPEN, now
        self.retry.opened()

    def answered(self, now: float) -> None:
        """A good answer: every budget is whole again."""
        self.retry.restored()
        self.warming.answered(now)
        self._renewed = False

    def at(self, at: float) -> None:
        """The next socket is wanted at this instant."""
        self.phase, self.retry_at = State.WAITING, at

    def closed(self) -> None:
        """It is over."""
        self.phase, self.retry_at = State.CLOSED, None

    def after(
        self, loss: Loss, now: float, *, waits: bool, asked: bool, answered: bool, blamed: bool, rests: bool
    ) -> Loss | None:
        """Decide what follows a loss; return the loss with which the connection ends, or None where it goes on.

        The arguments are those of ``lifecycle.Circumstances``.
        """
        opened = self.phase is State.OPEN
        settled = opened and now - self.opened_at > SETTLED_AFTER
        if settled and not asked:
            self.retry.restored()  # a socket that lived and owed nothing has not failed: the hours are not counted
        case = Circumstances(
            waits=waits,
            asked=asked,
            answered=answered,
            blamed=blamed,
            opened=opened,
            warming=bool(self.warming),
            may_renew=self._settings.renewable and (settled or not self._renewed),
            rests=rests,
        )
        match step_after(loss, case):
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
                at = self.warming.swallowed(now, since=self.opened_at)
                return self._go_on(at, self.still_cold())
            case _:  # Step.BACK_OFF
                delay = self.retry.delay_after(now, loss.retry_after)
                return self._go_on(None if delay is None else now + delay, loss)

    def _go_on(self, at: float | None, otherwise: Loss) -> Loss | None:
        if at is None:
            return otherwise
        self.at(at)
        return None

    def _rest(self) -> None:
        """Nobody waits for anything: a model that was starting may go on doing so by itself."""
        self.phase, self.retry_at = State.IDLE, None
        self.warming.forgotten()
        self.retry.restored()
        self.retry.rested()

    def still_cold(self) -> Loss:
        """Return the loss with which a model ends that did not become warm in time."""
        settings = self._settings
        return Loss(Cause.SETUP, error=endings.still_cold(settings.app, settings.warmup_timeout))
