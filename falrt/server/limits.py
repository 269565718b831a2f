"""How much one visitor may do: requests in a time, sockets at once, and how fast and how large on a socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, Protocol

from falrt.protocol.numbers import COUNT, YEAR, Rule, check_number

__all__ = ["Limit", "Limiter", "LocalLimiter", "Pace"]

# Visitors remembered before those with nothing on their account are forgotten.
_KEYS_MAX: Final = 10_000
_RATE: Final = Rule("a positive number", 0.0, YEAR, open=True)


@dataclass(frozen=True, slots=True)
class Limit:
    """What one visitor may do. A visitor is a user; where there are no users, an address.

    Attributes:
        requests: Tokens and proxied calls within ``per``; all of them may come at once. Following the state of a
            queued request is not counted.
        per: Seconds.
        calls: Proxied calls at once, streams included: an answer may take minutes, and fal's side of each is a
            connection of ours.
        sockets: Relayed sockets at once, and as many watching ones.
        users_per_address: How many users' limits one address may use in total: people share addresses, and one
            person can have many accounts.
        frames: Frames a second on one relayed socket.
        frame_bytes: Size of one frame.
        bytes_per_second: Of the frames on one relayed socket.
        body_bytes: Size of a proxied body.
        idle: Seconds without a frame after which a relayed socket is closed.

    Raises:
        ConfigurationError: A value is not a positive number.
    """

    requests: int = 60
    per: float = 60.0
    calls: int = 16
    sockets: int = 2
    users_per_address: int = 8
    frames: float = 120.0
    frame_bytes: int = 4 * 1024 * 1024
    bytes_per_second: int = 16 * 1024 * 1024
    body_bytes: int = 16 * 1024 * 1024
    idle: float = 300.0

    def __post_init__(self) -> None:
        for each in fields(self):
            rule = _RATE if each.type == "float" else COUNT
            check_number(f"{each.name} of a Limit", getattr(self, each.name), rule)


@dataclass(slots=True)
class Pace:
    """A rate that may be used up at once and comes back evenly. Pure.

    Attributes:
        free_at: When everything will have come back.
    """

    free_at: float = 0.0

    def wait(self, now: float, most: float, per: float, cost: float = 1.0) -> float:
        """Take some; return 0, or the seconds until they can be taken, and then none is.

        Args:
            now: Any clock's seconds.
            most: How many there are in ``per`` seconds.
            per: Seconds.
            cost: How many to take.
        """
        takes = per / most * cost
        begins = max(self.free_at, now)
        # A thousandth: sums of fractions must not refuse the last one.
        late = begins + takes - now - per
        if late > takes / 1000:
            return late
        self.free_at = begins + takes
        return 0.0


class Limiter(Protocol):
    """Where the accounts of visitors are kept: in this process, or in Redis."""

    async def wait(self, key: str, most: int, per: float) -> float:
        """Take one request of ``most`` in ``per`` seconds; return 0, or the seconds until there is one."""

    async def enter(self, key: str, most: int) -> str | None:
        """Take one of ``most`` places; return its name, or None where all are taken."""

    async def leave(self, key: str, place: str) -> None:
        """Give a place back."""

    async def aclose(self) -> None:
        """Let go of what is held."""


class LocalLimiter:
    """Accounts in this process.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paces: dict[str, Pace] = {}
        self._places: dict[str, int] = {}

    async def wait(self, key: str, most: int, per: float) -> float:
        """Take one request of ``most`` in ``per`` seconds; return 0, or the seconds until there is one."""
        now = self._clock()
        if len(self._paces) >= _KEYS_MAX:
            self._paces = {each: pace for each, pace in self._paces.items() if pace.free_at > now}
        return self._paces.setdefault(key, Pace()).wait(now, most, per)

    async def enter(self, key: str, most: int) -> str | None:
        """Take one of ``most`` places; return its name, or None where all are taken."""
        taken = self._places.get(key, 0)
        if taken >= most:
            return None
        self._places[key] = taken + 1
        return key

    async def leave(self, key: str, place: str) -> None:
        """Give a place back."""
        del place
        self._places[key] -= 1
        if not self._places[key]:
            del self._places[key]

    async def aclose(self) -> None:
        """Nothing is held."""
