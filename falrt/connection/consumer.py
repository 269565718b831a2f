"""What the consumer of a stream holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from falrt.connection.replies import Reply
from falrt.connection.stream import Stream
from falrt.exceptions import ConcurrencyError
from falrt.typing import InputT, OutputT

__all__ = ["Replies"]


class Replies(AsyncIterator[Reply[InputT, OutputT]]):
    """What ``RealtimeConnection.stream`` returns: iterate over it with ``async for``.

    Leaving the loop stops the stream. To stop it at a certain point, whoever else may hold it, use
    ``contextlib.aclosing(conn.stream(...))`` or :meth:`aclose`, which also waits until the source is closed.
    A cancelled ``anext()`` loses no reply.
    """

    __slots__ = ("_holder", "_reading", "_stream")

    def __init__(self, stream: Stream[InputT, OutputT], holder: object) -> None:
        self._stream = stream
        # The connection, which would be closed if nobody held it.
        self._holder = holder
        self._reading = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Reply[InputT, OutputT]:
        if self._reading:
            raise ConcurrencyError("another task iterates over this stream already: let one task do it")
        self._reading = True
        try:
            return await self._stream.next_reply()
        finally:
            self._reading = False

    async def aclose(self) -> None:
        """Stop the stream and wait until its source is closed."""
        await self._stream.aclose()

    def __del__(self) -> None:
        self._stream.forgotten()
