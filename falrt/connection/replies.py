"""What a stream yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from falrt.protocol.events import Answered
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.connection.translation import Translation

__all__ = ["Reply", "reply_to"]


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


def reply_to(
    translation: Translation[InputT, OutputT], answered: Answered, dropped: int
) -> Reply[InputT, OutputT]:
    """Build the reply of an answered input.

    Raises:
        ResponseValidationError: The result does not fit the output type.
    """
    message, item = answered.message, answered.input
    request_id = message.get("request_id") if type(message) is dict else None
    return Reply(
        input=item.value,
        output=translation.load(message),
        request_id=request_id or None,
        latency=answered.latency,
        inference_time=item.inference_time,
        dropped=dropped,
        certain=answered.certain,
    )
