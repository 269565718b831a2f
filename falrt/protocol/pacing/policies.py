"""Pacing: when a waiting input may leave, and whether a newer one takes its place.

Two objects share the work:

* A *policy* (``Immediate``, ``Throttle``, ``Debounce``, ``Latest``, ``Adaptive``) is what users write down:
  a frozen set of options, checked when built, free of state and so shareable between connections.
* A *pacer*, made by ``policy.start()``, is the state of one lane of inputs. It holds no input and no clock:
  the send queue owns the inputs, tells the pacer what happened and asks ``due_at``. Every ``now`` is
  monotonic seconds.

Asking ``due_at`` decides nothing: a timer that fires early is told the same instant again, and a late one may
send at once. A pacer never discards: ``keeps_newest`` tells the queue to replace a waiting input by a newer
one, and the queue counts what it replaced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from falrt.exceptions import ConfigurationError
from falrt.protocol.numbers import COUNT, PAUSE, check_number
from falrt.protocol.pacing.adaptive import Adaptive

__all__ = ["Adaptive", "Debounce", "Immediate", "Latest", "Pacer", "Pacing", "Throttle"]


@runtime_checkable
class Pacing(Protocol):
    """A policy: options that users build, pass to ``connect(pacing=…)`` and share freely."""

    def start(self) -> Pacer:
        """Return a new pacer, the state of one lane of inputs."""
        ...


class Pacer(Protocol):
    """The pacing of one lane of inputs: a pure machine; instants are monotonic seconds."""

    @property
    def keeps_newest(self) -> bool:
        """True: a newer input replaces an older one that still waits. False: first in, first out."""
        ...

    @property
    def in_flight_limit(self) -> int | None:
        """The most unanswered inputs allowed at this moment; None: no limit."""
        ...

    @property
    def vouched(self) -> int:
        """How many unanswered inputs the caller says that the server surely keeps and answers one by one."""
        ...

    @property
    def paces_requests(self) -> bool:
        """False: requests leave without it, and are not told to it as sent."""
        ...

    @property
    def overlaps(self) -> bool:
        """True: it times inputs so that a stream's next may leave while the one before is surely being worked on."""
        ...

    def offered(self, now: float) -> None:
        """An input was offered; for a stream, captured."""
        ...

    def due_at(self, now: float, unanswered: int) -> float | None:
        """Return the instant at which a waiting input may leave.

        Args:
            now: The present.
            unanswered: How many inputs have left and await an answer.

        Returns:
            An instant, ``<= now`` for at once; None for "not before an answer, a loss or a newer input".
        """
        ...

    def sent(self, now: float, unanswered: int, size_bytes: int = 0) -> None:
        """An input left.

        Args:
            now: When it was taken for sending; encoding it afterwards counts as part of its delay.
            unanswered: How many others await an answer, without this one.
            size_bytes: Length of its frame; 0 where unknown.
        """
        ...

    def answered(self, now: float, sent_at: float) -> None:
        """An answer came for the input that was sent at ``sent_at``."""
        ...

    def timed(self, now: float, inference_time: float) -> None:
        """The app said how many seconds the model worked on the last answer."""
        ...

    def lost(self, now: float) -> None:
        """The socket has gone: nothing is unanswered any more."""
        ...

    def overdue_at(self) -> float | None:
        """Return when something unanswered is to be taken as silently dropped; None: never guess.

        Asked only while an answer has come since the newest input left: that one no server drops.
        """
        ...

    def dropped(self, now: float) -> None:
        """Something unanswered is taken as silently dropped; a new socket follows."""
        ...


class _Unpaced:
    """What a pacer does that learns nothing from answers and never guesses at drops."""

    __slots__ = ()
    keeps_newest = True
    in_flight_limit: int | None = None
    vouched = 1
    overlaps = False
    paces_requests = True

    def offered(self, now: float) -> None:
        """Nothing to note."""

    def sent(self, now: float, unanswered: int, size_bytes: int = 0) -> None:
        """Nothing to note."""

    def answered(self, now: float, sent_at: float) -> None:
        """Nothing to learn: ``unanswered`` tells what is needed."""

    def timed(self, now: float, inference_time: float) -> None:
        """Nothing to learn."""

    def lost(self, now: float) -> None:
        """Intervals outlive a socket: a reconnect is no licence to send faster."""

    def overdue_at(self) -> float | None:
        """Return None: a drop is never guessed."""
        return None

    def dropped(self, now: float) -> None:
        """Nothing to learn."""


@dataclass(frozen=True, slots=True)
class Immediate:
    """Send every input at once, in order; a full socket makes ``send`` wait.

    Use it for requests, and when every input matters. A source faster than the model builds a backlog.
    """

    def start(self) -> Pacer:
        """Return the pacer of one lane."""
        return _ImmediatePacer()


class _ImmediatePacer(_Unpaced):
    __slots__ = ()
    keeps_newest = False

    def due_at(self, now: float, unanswered: int) -> float | None:
        return now


@dataclass(frozen=True, slots=True)
class Throttle:
    """Send at most once per interval: the first at once, the last always; those between are dropped and counted.

    Args:
        interval: Seconds between two sends; the JavaScript client's default is 0.128. 0 drops nothing.
        leading: False makes the first input after a pause wait one interval too.

    Raises:
        ConfigurationError: ``interval`` is no number of seconds.
    """

    interval: float
    leading: bool = True

    def __post_init__(self) -> None:
        check_number(
            "Throttle.interval", self.interval, PAUSE, cure="0.128 sends at most about 8 inputs a second"
        )

    def start(self) -> Pacer:
        """Return the pacer of one lane."""
        return _ThrottlePacer(self.interval, self.leading)


class _ThrottlePacer(_Unpaced):
    __slots__ = ("_interval", "_leading", "_open_at", "_waiting", "keeps_newest")

    def __init__(self, interval: float, leading: bool) -> None:
        self._interval = interval
        self._leading = leading
        # Before this instant nothing leaves: one interval after the last send, or (leading=False) after the
        # first input that came when an input could leave at once.
        self._open_at = -math.inf
        # An input was offered and none has left since: only the first of a burst may close the gate.
        self._waiting = False
        # Without an interval there is nothing to drop for.
        self.keeps_newest = interval > 0

    def offered(self, now: float) -> None:
        if not self._leading and not self._waiting and now >= self._open_at:
            self._open_at = now + self._interval
        self._waiting = True

    def due_at(self, now: float, unanswered: int) -> float | None:
        return max(now, self._open_at)

    def sent(self, now: float, unanswered: int, size_bytes: int = 0) -> None:
        self._open_at = now + self._interval
        self._waiting = False


@dataclass(frozen=True, slots=True)
class Debounce:
    """Send the last input once inputs pause; for prompts being typed and sliders being dragged.

    Args:
        wait: Seconds without an input before the last one is sent.
        max_wait: Seconds after which it is sent even if inputs keep coming; None for no limit.

    Raises:
        ConfigurationError: A value is no number of seconds, or ``max_wait`` is shorter than ``wait``.
    """

    wait: float
    max_wait: float | None = None

    def __post_init__(self) -> None:
        check_number("Debounce.wait", self.wait, PAUSE, cure="0.2 waits for a fifth of a second of quiet")
        check_number(
            "Debounce.max_wait",
            self.max_wait,
            PAUSE,
            optional=True,
            cure="None waits as long as inputs go on",
        )
        if self.max_wait is not None and self.max_wait < self.wait:
            raise ConfigurationError(
                f"Debounce.max_wait ({self.max_wait!r}) is shorter than wait ({self.wait!r}): "
                "raise max_wait, or leave it out to wait as long as inputs go on"
            )

    def start(self) -> Pacer:
        """Return the pacer of one lane."""
        return _DebouncePacer(self.wait, self.max_wait)


class _DebouncePacer(_Unpaced):
    __slots__ = ("_due_at", "_latest_at", "_max_wait", "_wait")
    # Inputs that go on would hold it back for ever, and its caller waits.
    paces_requests = False

    def __init__(self, wait: float, max_wait: float | None) -> None:
        self._wait = wait
        self._max_wait = math.inf if max_wait is None else max_wait
        # When the last offered input leaves; None: nothing was offered since the last send. What waits then
        # is a request or a replay after a loss, which has no burst to wait for.
        self._due_at: float | None = None
        # The end of patience with the present burst; set by its first input.
        self._latest_at = math.inf

    def offered(self, now: float) -> None:
        if self._due_at is None:
            self._latest_at = now + self._max_wait
        self._due_at = min(now + self._wait, self._latest_at)

    def due_at(self, now: float, unanswered: int) -> float | None:
        return now if self._due_at is None else max(now, self._due_at)

    def sent(self, now: float, unanswered: int, size_bytes: int = 0) -> None:
        self._due_at = None


@dataclass(frozen=True, slots=True)
class Latest:
    """Keep at most ``in_flight`` inputs unanswered and, while waiting, only the newest.

    Args:
        in_flight: How many inputs may be unanswered. With more than one, you promise that the server keeps that
            many waiting and answers each: a fal runner with ``buffering`` N keeps N (if it silently dropped one,
            every later answer would go to the wrong input).

    Raises:
        ConfigurationError: ``in_flight`` is no whole number above zero.
    """

    in_flight: int = 1

    def __post_init__(self) -> None:
        check_number("Latest.in_flight", self.in_flight, COUNT)

    def start(self) -> Pacer:
        """Return the pacer of one lane."""
        return _LatestPacer(self.in_flight)


class _LatestPacer(_Unpaced):
    __slots__ = ("in_flight_limit", "vouched")

    def __init__(self, in_flight: int) -> None:
        self.in_flight_limit = self.vouched = in_flight

    def due_at(self, now: float, unanswered: int) -> float | None:
        return now if unanswered < self.vouched else None
