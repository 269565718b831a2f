"""What one connection of a chaos run was asked, what it answered, and whether that may be.

Every input carries a number that no other input has, and every answer names the numbers that it was made from: the
pairing is checked by truth, not by the ids with which the library itself works.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import falrt

__all__ = ["HANG_SECONDS", "SLACK_SECONDS", "Broken", "Ledger", "Recorder", "numbers_of"]

# A wait of this length is a hang: the longest honest one is a cold model's pause of 8 s and what comes behind it.
HANG_SECONDS: Final = 40.0
# How much later than its time-out a request may end on a busy machine.
SLACK_SECONDS: Final = 4.0
EVENTS_KEPT: Final = 80


class Broken(Exception):
    """An invariant does not hold."""


@dataclass(slots=True)
class Ledger:
    """The truth about one connection.

    Attributes:
        name: Which connection of the run, as it can be replayed.
        excuses: Names of what may go wrong here without anybody's fault; see ``Plan.excuses``.
        events: The last things that happened, for whoever has to find out why.
        counts: How often what happened.
        sends: Numbers given to ``send()``, and whether the call returned.
        failing: Numbers of inputs that the app refuses.
        received: Numbers that came out of ``recv()``.
        troubles: Errors that came out of ``recv()``.
        newest_send: The newest number whose ``send()`` returned.
    """

    name: str
    excuses: frozenset[str]
    events: deque[str] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    counts: Counter[str] = field(default_factory=Counter)
    sends: dict[int, bool] = field(default_factory=dict)
    failing: set[int] = field(default_factory=set)
    received: set[int] = field(default_factory=set)
    troubles: list[Exception] = field(default_factory=list)
    newest_send: int | None = None
    _next: int = 0
    _started_at: float = field(default_factory=time.monotonic)

    def order(self, rng: Random, *, work: float = 0.0, fails: float = 0.0) -> dict[str, Any]:
        """Return a new input."""
        self._next += 1
        order: dict[str, Any] = {"n": self._next, "work": work}
        if rng.random() < fails:
            order["fail"] = True
            self.failing.add(self._next)
        if rng.random() < 0.05:
            order["pad"] = bytes(rng.choice((1_000, 70_000, 400_000)))
        return order

    def note(self, text: str) -> None:
        """Write down what happens."""
        self.events.append(f"{time.monotonic() - self._started_at:8.3f} {text}")

    def broke(self, text: str) -> NoReturn:
        """Say that an invariant does not hold."""
        self.note(f"BROKEN: {text}")
        raise Broken(f"{self.name}: {text}")

    def judge(self, error: Exception, what: str, number: int | None = None) -> None:
        """Let an error pass that may be; anything else breaks an invariant.

        Args:
            error: What the library raised.
            what: Which call.
            number: The input that the call was about, where it was about one.
        """
        kind = type(error).__name__
        self.note(f"{what} {number or ''}: {kind}: {str(error)[:150]}")
        self.counts[f"{what}: {kind}"] += 1
        if isinstance(error, falrt.ServerError):
            self._judge_server_error(error, what, number)
        elif isinstance(error, falrt.RequestTimeout):
            if "timeout" not in self.excuses:
                self.broke(f"{what} {number}: timed out where nothing swallows inputs: {error}")
        elif kind not in self.excuses:
            self.broke(f"{what} {number}: {kind} has no reason here: {error}")

    def _judge_server_error(self, error: falrt.ServerError, what: str, number: int | None) -> None:
        reason = str(error.reason or "")
        if not reason.startswith("refused "):
            if "ServerError" not in self.excuses:
                self.broke(f"{what} {number}: ServerError has no reason here: {error}")
            return
        blamed = int(reason.split()[1])
        if blamed not in self.failing or (number is not None and blamed != number):
            self.broke(f"{what} {number}: was told the failure of input {blamed}")


class Recorder(logging.Handler):
    """Puts what the library logs of a connection among the events of its ledger, and nowhere else.

    A context manager: leaving it gives the logger back as it was.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        # By app; each life has an app of its own name.
        self.ledgers: dict[str, Ledger] = {}
        self._logger = logging.getLogger("falrt")
        self._before = (self._logger.level, self._logger.propagate)

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        self._logger.setLevel(logging.DEBUG)
        self._logger.propagate = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logger.removeHandler(self)
        level, self._logger.propagate = self._before
        self._logger.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Find the connection by its app, which every record names first."""
        app = record.args[0] if isinstance(record.args, tuple) and record.args else None
        ledger = self.ledgers.get(str(app))
        if ledger is not None:
            ledger.note(f"log: {record.getMessage()}")


def numbers_of(output: Any) -> list[int]:
    """Return the numbers that an answer was made from."""
    numbers: list[int] = output["made_from"] if isinstance(output, Mapping) else output.made_from
    return numbers
