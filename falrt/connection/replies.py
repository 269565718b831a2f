"""What a stream yields, and what its consumer holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Self

from falrt.exceptions import ConcurrencyError
from falrt.protocol.events import Answered
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.connection.opening import Link
    from falrt.connection.stream import Stream

__all__ = ["Replies", "Reply", "reply_to"]


@dataclass(frozen=True, slots=True)
class Reply(Generic[InputT, OutputT]):
    """An answer and what belongs to it.

    Attributes:
        input: As it was given to the stream.
        output: The result, in the model's output type.
        request_id: The id that the answer carried, or None.
        latency: Seconds from send to receive.
        inference_time: Seconds the model took, where the server told; else None.
        dropped: Inputs skipped since the last reply.
        certain: The pairing is proven, not inferred.
    """

    input: InputT
    output: OutputT
    request_id: str | None
    latency: float
    inference_time: float | None
    dropped: int
    certain: bool


def reply_to(link: Link[InputT, OutputT], answered: Answered, dropped: int) -> Reply[InputT, OutputT]:
    """Build the reply of an answered input.

    Raises:
        ResponseValidationError: The result does not fit the output type.
    """
    message, item = answered.message, answered.input
    request_id = message.get("request_id") if type(message) is dict else None
    return Reply(
        input=item.value,
        output=link.load(message),
        request_id=request_id or None,
        latency=answered.latency,
        inference_time=item.inference_time,
        dropped=dropped,
        certain=answered.certain,
    )


class Replies(AsyncIterator[Reply[InputT, OutputT]]):
    """What ``RealtimeConnection.stream`` returns: iterate over it with ``async for``.

    Leaving the loop stops the stream. To stop it at a certain point, whoever else may hold it, use
    ``contextlib.aclosing(conn.stream(...))`` or :meth:`aclose`, which also waits until the source is closed.
    A cancelled ``anext()`` loses no reply.
    """

    __slots__ = ("_reading", "_stream")

    def __init__(self, stream: Stream[InputT, OutputT]) -> None:
        self._stream = stream
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
