"""How long to wait before the next try after a passing loss.

:class:`RetrySchedule` counts the tries since the last good answer: the first comes within 100 ms, later ones after a
random part of a growing pause (full jitter: a thousand clients of a restarted server do not come back in step).

Only a good answer restores the budget. An upgrade proves nothing: the gateway answers 101 before it has asked the app.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from falrt.exceptions import ConfigurationError
from falrt.protocol.numbers import COUNT, SECONDS, Rule, check_number

__all__ = ["Backoff", "RetrySchedule"]

FIRST_DELAY_MAX: Final = 0.1
# Until a connection has opened once, a failure is more likely a wrong address than a passing one:
# a person who waits for the first picture hears of it within seconds.
FIRST_OPENING_ATTEMPTS: Final = 5
# Tries may hang instead of failing: one that took this long is reported after its own time-out.
FIRST_OPENING_SECONDS: Final = 10.0
# Beyond any use, and small enough that its powers stay within a float.
FACTOR: Final = Rule("a number from 1 to 1000", 1, 1000)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How to reconnect after a temporary loss.

    The n-th pause since the last good answer is a random part of ``min(maximum, initial * factor ** n)`` seconds;
    the first is at most 0.1 s.

    Attributes:
        initial: Upper end of the second pause, seconds.
        maximum: Upper end of every later pause, seconds.
        factor: Growth from one pause to the next.
        attempts: Attempts without a good answer after which the connection gives up; None for no limit.
        give_up_after: Seconds without a good answer, since the first loss, after which it gives up; None for never.

    Raises:
        ConfigurationError: A value makes no sense; the text names it.
    """

    initial: float = 0.25
    maximum: float = 15.0
    factor: float = 2.0
    attempts: int | None = None
    give_up_after: float | None = 3600.0

    def __post_init__(self) -> None:
        check_number("Backoff.initial", self.initial, SECONDS)
        check_number("Backoff.maximum", self.maximum, SECONDS)
        if self.maximum < self.initial:
            raise ConfigurationError(
                f"Backoff.maximum ({self.maximum!r}) is shorter than initial ({self.initial!r}): raise it"
            )
        check_number("Backoff.factor", self.factor, FACTOR)
        check_number("Backoff.attempts", self.attempts, COUNT, optional=True)
        check_number("Backoff.give_up_after", self.give_up_after, SECONDS, optional=True)

    def ceiling(self, tries: int) -> float:
        """Return the longest pause before try number ``tries`` (0 is the first), in seconds."""
        if tries == 0:
            return min(FIRST_DELAY_MAX, self.initial)
        # The exponent is bounded so that a connection that tries for years does not overflow a float.
        return min(self.maximum, self.initial * self.factor ** min(tries - 1, 64))


class RetrySchedule:
    """Counts tries since the last good answer and says when the next one is due."""

    __slots__ = ("_backoff", "_ever_opened", "_failing_since", "_opening_since", "_random", "tries")

    def __init__(self, backoff: Backoff, random: Callable[[], float]) -> None:
        self._backoff = backoff
        # Uniform in [0, 1); passed in so that the machine has no chance of its own.
        self._random = random
        self.tries = 0
        # When the present run of failures began; None after a good answer.
        self._failing_since: float | None = None
        # Whether any socket ever opened: before that, only a few quick tries are made.
        self._ever_opened = False
        # When the first opening began; None while nobody tries, and once it has succeeded.
        self._opening_since: float | None = None

    def connecting(self, now: float) -> None:
        """Note that a socket is being opened."""
        if self._opening_since is None and not self._ever_opened:
            self._opening_since = now

    def rested(self) -> None:
        """Note that no socket is wanted for now: a first opening that was given up has not failed."""
        self._opening_since = None

    def opened(self) -> None:
        """Note that a socket opened. The budget stays as it is."""
        self._ever_opened, self._opening_since = True, None

    def restored(self) -> None:
        """Note a good answer: the budget is whole again."""
        self.tries = 0
        self._failing_since = None

    def delay_after(self, now: float, retry_after: float | None = None) -> float | None:
        """Return the seconds to wait after a loss before the next try, or None when the budget is spent.

        What the server asked for, ``retry_after``, is the least pause, up to ``maximum``.
        """
        if self._failing_since is None:
            self._failing_since = now
        if self._spent(now):
            return None
        ceiling = self._backoff.ceiling(self.tries)
        self.tries += 1
        delay = ceiling * self._random()
        if retry_after is not None:
            delay = max(delay, min(retry_after, self._backoff.maximum))
        return delay

    def _spent(self, now: float) -> bool:
        backoff, since = self._backoff, self._failing_since
        if not self._ever_opened and self.tries >= FIRST_OPENING_ATTEMPTS - 1:
            return True
        if self._opening_since is not None and now - self._opening_since >= FIRST_OPENING_SECONDS:
            return True
        if backoff.attempts is not None and self.tries >= backoff.attempts:
            return True
        return (
            backoff.give_up_after is not None and since is not None and now - since >= backoff.give_up_after
        )
