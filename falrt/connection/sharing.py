"""Connections that several callers hold under one ``connection_key``: opened by the first, closed by the last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Generic, Self

from falrt.connection.connection import RealtimeConnection
from falrt.connection.core import Core
from falrt.exceptions import ConcurrencyError, ConfigurationError
from falrt.tasks import begin
from falrt.typing import InputT, OutputT

__all__ = ["SharedConnection", "Sharing"]


class Sharing(Generic[InputT, OutputT]):
    """What all who hold one shared connection have in common.

    Args:
        name: The ``connection_key``.
        core: The connection.
        app: As it was asked for.
        options: As they were given.
    """

    def __init__(
        self, name: str, core: Core[InputT, OutputT], app: object, options: Mapping[str, Any]
    ) -> None:
        self.name, self.core = name, core
        self._asked = app, options
        # How many are inside, all holders together.
        self._users = 0
        self._opening: asyncio.Task[None] | None = None

    def check(self, app: object, options: Mapping[str, Any]) -> None:
        """Refuse another app, or other options.

        Raises:
            ConfigurationError: They are others.
        """
        if (app, options) != self._asked:
            raise ConfigurationError(
                f"connection_key {self.name!r} is in use with another app or other options: "
                "use the same ones, or another key"
            )

    async def enter(self) -> None:
        """Open the connection, or wait until it is open; :meth:`leave` in any case."""
        self._users += 1
        if self.core.is_over:
            raise ConcurrencyError("this connection has already been used: call connect() again for another")
        if self._opening is None:
            self._opening = begin(self.core.start(), name="falrt opening")
            # Where nobody waits for it any more, nobody is to be told how it ended.
            self._opening.add_done_callback(lambda opening: opening.cancelled() or opening.exception())
        await asyncio.shield(self._opening)

    async def leave(self, entries: int) -> None:
        """Give up what was entered so many times; the last one closes the connection."""
        self._users -= entries
        if not self._users:
            await self.core.close()

    def forget(self, entries: int) -> bool:
        """Give up what was entered so many times by somebody who is no more.

        Returns:
            Whether that left the connection open and held by nobody.
        """
        self._users -= entries
        return not self._users and self.core.forgotten()


class SharedConnection(RealtimeConnection[InputT, OutputT]):
    """One caller's hold on a shared connection.

    It counts how often its own caller is inside; otherwise one who closes twice, as in the middle of an
    ``async with``, would count for two.

    Args:
        sharing: What it holds.
        join: Returns what its ``connection_key`` stands for by now; asked by a first entry that comes after the last of
            the others has left.
    """

    __slots__ = ("_entries", "_join", "_sharing")

    def __init__(
        self, sharing: Sharing[InputT, OutputT], join: Callable[[], Sharing[InputT, OutputT]]
    ) -> None:
        super().__init__(sharing.core)
        self._sharing = sharing
        self._join: Callable[[], Sharing[InputT, OutputT]] | None = join
        self._entries = 0

    async def __aenter__(self) -> Self:
        join, self._join = self._join, None
        if join is not None and self._core.is_over:
            self._sharing = join()
            self._core = self._sharing.core
        self._entries += 1
        try:
            await self._sharing.enter()
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Leave; the last one closes the connection. Who has left already does nothing."""
        entries = min(self._entries, 1)
        self._entries -= entries
        await self._sharing.leave(entries)

    def _forgotten(self) -> bool:
        entries, self._entries = self._entries, 0
        return entries > 0 and self._sharing.forget(entries)
