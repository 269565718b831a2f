"""Channels: the newest picture of a stream, for as many viewers as come."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from falrt.codecs import Msgpack
from falrt.exceptions import ConfigurationError

__all__ = ["Channel", "Channels", "check_channel"]

# At least one is a letter or a digit.
_NAME: Final = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9._-]{1,100}")


@dataclass(slots=True, eq=False)
class Channel:
    """One stream as its viewers see it. Only the newest frame is kept, once for all of them.

    Attributes:
        name: As published.
        newest: The newest frame; None before the first.
        number: How many there were.
        viewers: How many watch, in this process.
    """

    name: str
    newest: bytes | None = None
    number: int = 0
    viewers: int = 0
    # What the viewers who have seen the newest frame wait for, one each.
    _waiting: set[asyncio.Future[None]] = field(default_factory=set, repr=False)

    def put(self, frame: bytes) -> None:
        """Show a frame to all viewers."""
        self.newest = frame
        self.number += 1
        waiting, self._waiting = self._waiting, set()
        for news in waiting:
            if not news.done():  # its viewer may have left
                news.set_result(None)

    async def newer_than(self, seen: int) -> tuple[int, bytes]:
        """Wait for a frame that a viewer has not seen.

        Args:
            seen: The number of the last one seen; 0 for none, which gives the newest at once.

        Returns:
            Its number and the frame; those between are skipped.
        """
        while self.newest is None or self.number <= seen:
            news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(news)
            try:
                await news
            finally:
                self._waiting.discard(news)
        return self.number, self.newest


class Channels:
    """Streams by name: publish here, and ``WS /api/fal/watch/{name}`` shows it.

    ::

        channels = server.Channels()
        app = server.create_app(..., channels=channels)

        async for reply in conn.stream(camera()):
            await channels.publish("stage", reply.output.images[-1].bytes())
    """

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}

    async def publish(self, name: str, picture: bytes | Mapping[str, Any]) -> None:
        """Show a picture to all viewers of a channel, and to those who join before the next one.

        Args:
            name: Of the channel: letters, digits, ``-``, ``_`` and ``.``.
            picture: An encoded picture, or a map such as a model's result, which viewers get as msgpack.

        Raises:
            ConfigurationError: A wrong name.
            EncodeError: The map cannot be put on the wire.
        """
        check_channel(name)
        self.channel(name).put(encoded(picture))

    def channel(self, name: str) -> Channel:
        """Return a channel, new if need be."""
        return self._channels.setdefault(name, Channel(name))

    async def open(self, name: str) -> Channel:
        """Return a channel to watch, and count a viewer."""
        channel = self.channel(name)
        channel.viewers += 1
        return channel

    async def close(self, channel: Channel) -> None:
        """A viewer has left; a channel that nobody watches and nobody published to is forgotten."""
        channel.viewers -= 1
        if not channel.viewers and channel.newest is None:
            self._channels.pop(channel.name, None)

    async def forget(self, name: str) -> None:
        """End a channel: the next viewer sees nothing until somebody publishes again."""
        channel = self._channels.pop(name, None)
        if channel is not None and channel.viewers:
            channel.newest = None
            self._channels[name] = channel

    async def aclose(self) -> None:
        """Nothing is held."""


def encoded(picture: bytes | Mapping[str, Any]) -> bytes:
    """Return what viewers get."""
    return (
        bytes(picture) if isinstance(picture, bytes | bytearray | memoryview) else Msgpack().encode(picture)
    )


def check_channel(name: object) -> str:
    """Return a channel's name if it is one.

    Raises:
        ConfigurationError: It is not.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"channel {name!r:.120} is not a valid name: use up to 100 letters, digits, '-', '_' and '.'"
        )
    return name
