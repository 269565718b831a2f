"""What several workers share, in Redis: the accounts of visitors, and channels. Needs the extra ``redis``.

Everything else that a worker knows is its own. Redis gets no user names and no addresses, only digests of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from falrt.exceptions import ConfigurationError, MissingDependencyError
from falrt.server.channels import Channel, Channels, check_channel, encoded
from falrt.server.limits import Limiter
from falrt.server.targets import Refused

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisChannels", "RedisLimiter"]

logger = logging.getLogger("falrt.server")
T = TypeVar("T")

# Seconds after which the places of a worker that has died are free again.
LEASE: Final = 30.0
# Seconds that the newest picture of a channel is kept for who comes late.
KEPT: Final = 3600
# Seconds that a request's owner is kept: fal keeps what was asked and answered for thirty days.
_REQUESTS_KEPT: Final = 30 * 24 * 3600
_PAUSE: Final = 0.5
_CHANNEL: Final = "falrt:channel:"
# To renew a lease is to enter once more, however many are in.
_ANY_NUMBER: Final = 2**31

# The same arithmetic as `Pace.wait`, in Redis's own time, so that workers' clocks do not matter.
_WAIT = """
local t = redis.call('TIME'); local now = t[1] + t[2] / 1000000
local per = tonumber(ARGV[2]); local takes = per / ARGV[1]
local begins = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local late = begins + takes - now - per
if late > takes / 1000 then return string.format('%.6f', late) end
local free = begins + takes
redis.call('SET', KEYS[1], string.format('%.6f', free), 'PX', math.ceil((free - now) * 1000) + 1)
return '0'
"""
_ENTER = """
local t = redis.call('TIME'); local now = t[1] + t[2] / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[2])
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[3] * 1000))
return 1
"""


def connected(url: str) -> Redis:
    """Return a client for Redis; it connects when it is first used.

    Raises:
        MissingDependencyError: The package ``redis`` is absent.
        ConfigurationError: Not a URL of Redis.
    """
    try:
        from redis.asyncio import Redis
    except ModuleNotFoundError as exc:
        raise MissingDependencyError("redis", "redis", "redis=") from exc
    try:
        client: Redis = Redis.from_url(url, socket_connect_timeout=5, socket_timeout=10)
    except ValueError:
        # Not shown: it may hold a password.
        raise ConfigurationError("redis must be a URL such as 'redis://localhost:6379/0'") from None
    return client


class RedisLimiter(Limiter):
    """Accounts and owners that all workers share.

    Where Redis does not answer, nobody is let in (503): a limit that cannot be checked is no limit.

    Args:
        url: Of Redis.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._redis: Any = connected(url)
        # Places held by this worker, and the task that renews their leases.
        self._held: set[tuple[str, str]] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def wait(self, key: str, most: int, per: float) -> float:
        """Take one request of ``most`` in ``per`` seconds; return 0, or the seconds until there is one."""
        return float(await _answer(self._redis.eval(_WAIT, 1, _digest("pace", key), most, per)))

    async def enter(self, key: str, most: int) -> str | None:
        """Take one of ``most`` places; return its name, or None where all are taken."""
        place = secrets.token_hex(8)
        name = _digest("places", key)
        if not await _answer(self._redis.eval(_ENTER, 1, name, most, place, LEASE)):
            return None
        self._held.add((name, place))
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew(), name="falrt leases")
        return place

    async def leave(self, key: str, place: str) -> None:
        """Give a place back."""
        name = _digest("places", key)
        self._held.discard((name, place))
        # Its lease runs out anyway.
        with contextlib.suppress(Refused):
            await _answer(self._redis.zrem(name, place))

    async def keep(self, request_id: str, user: str) -> None:
        """Remember who submitted a request, for as long as fal keeps it."""
        owner = _digest("user", user)
        await _answer(self._redis.set(_digest("owner", request_id), owner, ex=_REQUESTS_KEPT))

    async def may_follow(self, request_id: str, user: str | None) -> bool:
        """Whether a request is the user's own, or nobody's that is known."""
        owner: bytes | None = await _answer(self._redis.get(_digest("owner", request_id)))
        return owner is None or (user is not None and owner.decode() == _digest("user", user))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            for name, place in list(self._held):
                with contextlib.suppress(Refused):
                    await _answer(self._redis.eval(_ENTER, 1, name, _ANY_NUMBER, place, LEASE))

    async def aclose(self) -> None:
        """Stop renewing and close the connections."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        await self._redis.aclose()


class RedisChannels(Channels):
    """Channels that all workers share: publish in one, watch in another.

    A worker listens to a channel once, however many of its visitors watch.

    Args:
        url: Of Redis.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._redis: Any = connected(url)
        self._listening: Any = None
        self._reading: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def publish(self, name: str, picture: bytes | Mapping[str, Any]) -> None:
        """Show a picture to all who watch a channel, in whichever worker, and to those who come later."""
        frame, key = encoded(picture), _CHANNEL + check_channel(name)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(key, frame, ex=KEPT)
            pipe.publish(key, frame)
            await _answer(pipe.execute())

    async def open(self, name: str) -> Channel:
        """Return a channel to watch, and count a viewer; the first one in this worker begins to listen."""
        async with self._lock:
            channel = self.channel(name)
            if not channel.viewers:
                await self._listen_to(channel)
            return await super().open(name)

    async def _listen_to(self, channel: Channel) -> None:
        key = _CHANNEL + channel.name
        if self._listening is None:
            self._listening = self._redis.pubsub(ignore_subscribe_messages=True)
        await _answer(self._listening.subscribe(key))
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="falrt channels")
        newest: bytes | None = await _answer(self._redis.get(key))
        if newest and channel.newest is None:
            channel.put(newest)

    async def close(self, channel: Channel) -> None:
        """A viewer has left; after the last one this worker does not listen any more."""
        async with self._lock:
            if channel.viewers == 1:
                channel.newest = None
                with contextlib.suppress(Refused):
                    await _answer(self._listening.unsubscribe(_CHANNEL + channel.name))
            await super().close(channel)

    async def forget(self, name: str) -> None:
        """End a channel in all workers."""
        key = _CHANNEL + name
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.delete(key)
            pipe.publish(key, b"")
            with contextlib.suppress(Refused):
                await _answer(pipe.execute())

    async def _read(self) -> None:
        while True:
            try:
                async for message in self._listening.listen():
                    channel = self.channel(message["channel"].decode().removeprefix(_CHANNEL))
                    if message["data"]:
                        channel.put(message["data"])
                    else:
                        channel.newest = None
            except Exception as exc:
                # It subscribes again by itself when it is connected again.
                logger.warning("channels: Redis does not answer (%s)", type(exc).__name__)
            await asyncio.sleep(_PAUSE)

    async def aclose(self) -> None:
        """Stop listening and close the connections."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._listening is not None:
            await self._listening.aclose()
        await self._redis.aclose()


def _digest(kind: str, key: str) -> str:
    return f"falrt:{kind}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"


async def _answer(asked: Awaitable[T] | Any) -> T:
    """Return Redis's answer.

    Raises:
        Refused: There is none; 503.
    """
    from redis.exceptions import RedisError

    try:
        answer: T = await asked
    except (RedisError, OSError) as exc:
        raise Refused(503, "Limits and channels are temporarily unavailable", retry_after=1.0) from exc
    return answer
