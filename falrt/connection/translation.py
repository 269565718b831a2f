"""Inputs on their way out: checked, put into the app's terms, encoded, and measured, before anything is queued."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from falrt.exceptions import EncodeError
from falrt.protocol.inputs import Input, Kind, Lane
from falrt.threads import Worker
from falrt.typing import Frame

if TYPE_CHECKING:
    from falrt.connection.opening import Link

__all__ = ["Encoder"]

# uvicorn's limit, which fal's server SDK keeps: a larger frame costs the connection.
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024


class Encoder:
    """Makes frames of inputs, in the order in which they are given.

    What may take its time is encoded in a thread or by the user's async hook; a later input never overtakes it.
    """

    __slots__ = ("_link", "_turns", "_waiting", "_worker")

    def __init__(self, link: Link[Any, Any]) -> None:
        self._link = link
        # Inputs in the slow lane; all go there while there are any.
        self._waiting = 0
        self._turns: asyncio.Lock | None = None
        self._worker: Worker | None = None

    def at_once(self, value: Any, kind: Kind, lane: Lane, now: float) -> Input | None:
        """Return the encoded input if that takes no time; None where it may.

        Raises:
            ConfigurationError, pydantic.ValidationError: The input is wrong.
            EncodeError: It cannot be put on the wire, or is too large.
        """
        link = self._link
        if self._waiting or link.has_encoder or link.is_heavy(value):
            return None
        message, request_id = link.dump(value)
        frame = link.encode(message)
        _check(frame)
        return Input(frame, kind, lane, now, request_id, value=value)

    async def in_turn(self, value: Any, check_open: Callable[[Any], object]) -> tuple[Frame, str | None]:
        """Return the frame of an input and the id that its answer may carry, behind those that came before.

        Args:
            value: The input.
            check_open: Raises if the connection has ended while others took their time.
        """
        heavy = self._link.is_heavy(value)
        self._turns = turns = self._turns or asyncio.Lock()
        self._waiting += 1
        try:
            async with turns:
                check_open(value)
                frame, request_id = await self._encoded(value, heavy)
        finally:
            self._waiting -= 1
        _check(frame)
        return frame, request_id

    async def _encoded(self, value: Any, heavy: bool) -> tuple[Frame, str | None]:
        link = self._link
        if heavy:
            self._worker = worker = self._worker or Worker()
            message, request_id = await worker.run(lambda: link.dump(value))
        else:
            message, request_id = link.dump(value)
        frame = await link.encode_by_hook(message) if link.has_encoder else link.encode(message)
        return frame, request_id

    def close(self) -> None:
        """End the thread, if there is one."""
        if self._worker is not None:
            self._worker.close()


def _check(frame: Any) -> None:
    if type(frame) is bytes and len(frame) <= MAX_FRAME_BYTES:
        return
    if not isinstance(frame, bytes | str):
        raise EncodeError(f"the encoder returned {type(frame).__name__}: it must return bytes or str")
    try:
        size = len(frame.encode() if isinstance(frame, str) else frame)
    except UnicodeEncodeError as exc:  # in the socket it would cost the connection
        raise EncodeError(
            f"the encoder returned text with half a surrogate pair at {exc.start}, which is not valid Unicode"
        ) from exc
    if size > MAX_FRAME_BYTES:
        raise EncodeError(
            f"the input takes {size} bytes on the wire, above the limit of {MAX_FRAME_BYTES} (16 MiB): "
            "send a smaller or more compressed picture"
        )
