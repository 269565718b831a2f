"""How much one visitor may do: requests in a time, sockets at once, and how fast and how large on a socket."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final

from falrt.protocol.numbers import COUNT, YEAR, Rule, check_number

__all__ = ["Limit", "Limiter", "Pace"]

# Visitors remembered before those with nothing on their account are forgotten.
_KEYS_MAX: Final = 10_000
# Requests in the queue whose owners are remembered, 10 MB of them; the oldest are forgotten first.
OWNERS_MAX: Final = 50_000
_RATE: Final = Rule("a positive number", 0.0, YEAR, open=True)


@dataclass(frozen=True, slots=True)
class Limit:
    """What one visitor may do. A visitor is a user; where there are no users, an address.

    Attributes:
        requests: Tokens and proxied calls within ``per``; all of them may come at once. Following the state of a
            queued request is not counted.
        per: Seconds.
        calls: Proxied calls at once, streams included: an answer may take minutes, and fal's side of each is a
            connection of ours. A process has 200 for all, and no address may have more than are free.
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


class Limiter:
    """The accounts of visitors, and whose requests in fal's queue are whose. Of this process.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paces: dict[str, Pace] = {}
        self._places: Counter[str] = Counter()
        self._owners: dict[str, str] = {}

    async def wait(self, key: str, most: int, per: float) -> float:
        """Take one request of ``most`` in ``per`` seconds; return 0, or the seconds until there is one."""
        now = self._clock()
        if len(self._paces) >= _KEYS_MAX:
            self._paces = {each: pace for each, pace in self._paces.items() if pace.free_at > now}
        return self._paces.setdefault(key, Pace()).wait(now, most, per)

    async def enter(self, key: str, most: int) -> str | None:
        """Take one of ``most`` places; return its name, or None where all are taken."""
        if self._places[key] >= most:
            return None
        self._places[key] += 1
        return key

    async def leave(self, key: str, place: str) -> None:
        """Give a place back."""
        del place
        self._places[key] -= 1
        if not self._places[key]:
            del self._places[key]

    async def keep(self, request_id: str, user: str) -> None:
        """Remember who submitted a request."""
        if len(self._owners) >= OWNERS_MAX:
            del self._owners[next(iter(self._owners))]
        self._owners[request_id] = user

    async def may_follow(self, request_id: str, user: str | None) -> bool:
        """Whether a request is the user's own, or nobody's that is known."""
        return self._owners.get(request_id, user) == user

    async def aclose(self) -> None:
        """Let go of what is held: nothing here."""
