"""Inputs to frames and frames to results: what the model's types, the codec and the user's own hooks make of them.

Inputs are checked, put into the app's terms, encoded and measured before anything is queued.
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic

from falrt.codecs import Msgpack
from falrt.exceptions import (
    ConfigurationError,
    DecodeError,
    EncodeError,
    FalrtError,
    ResponseValidationError,
)
from falrt.models import plain
from falrt.protocol.inputs import Input, Kind, Lane
from falrt.protocol.wire.messages import OWN_ID_PREFIX
from falrt.tasks import INTERRUPTS, is_own_cancellation
from falrt.threads import Worker
from falrt.typing import Codec, Frame, InputT, OutputT

if TYPE_CHECKING:
    from falrt.connection.framing import Received
    from falrt.models.spec import RealtimeModel
    from falrt.options import ConnectionSettings

__all__ = ["Encoder", "Translation"]

# uvicorn's limit, which fal's server SDK keeps: a larger frame costs the connection.
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024


class Translation(Generic[InputT, OutputT]):
    """What one connection's inputs and results are called on either side.

    Args:
        app: The endpoint id, for messages.
        spec: The model's types; None for an app that is only an id.
        settings: Name the codec and the user's hooks.
        is_unary: Whether the app takes one input for each answer.

    Attributes:
        app: The endpoint id.
        echoes: Whether this app's answers may name their inputs.
        has_encoder: Whether a function of the user encodes inputs.
        has_decoder: Whether a function of the user decodes results.
    """

    __slots__ = (
        "_codec", "_decode_message", "_encode_message", "_is_unary", "_json", "_reads_buffers", "_spec", "app",
        "echoes", "has_decoder", "has_encoder",
    )  # fmt: skip

    def __init__(
        self,
        app: str,
        spec: RealtimeModel[InputT, OutputT] | None,
        settings: ConnectionSettings,
        *,
        is_unary: bool,
    ) -> None:
        self.app, self._spec, self._is_unary = app, spec, is_unary
        self._codec: Codec = settings.codec
        # A codec may say that it has no bytes, as JSON: inputs are then dumped with base64 text.
        self._json = not getattr(settings.codec, "carries_bytes", True)
        # Ours read the socket's own buffer; for others it is copied into the bytes that they expect.
        self._reads_buffers = type(settings.codec) is Msgpack
        self.echoes = spec is not None and spec.echoes_request_id
        self._encode_message, self._decode_message = settings.encode_message, settings.decode_message
        self.has_encoder = settings.encode_message is not None
        self.has_decoder = settings.decode_message is not None

    def is_heavy(self, value: Any) -> bool:
        """Whether :meth:`dump` would hold up the event loop."""
        if self._spec is not None:
            return self._spec.is_heavy(value)
        # msgpack takes bytes of any length as they are; only base64 takes its time.
        return self._json and isinstance(value, Mapping) and any(map(plain.is_heavy, value.values()))

    def dump(self, value: Any) -> tuple[Any, str | None]:
        """Check an input; return its message and the id that its answer may carry.

        Raises:
            ConfigurationError, pydantic.ValidationError: The input is wrong.
        """
        try:
            if self._spec is not None:
                message = self._spec.dump(value, json=True) if self._json else self._spec.dump(value)
            elif type(value) is dict or isinstance(value, Mapping):  # the second way is three calls
                message = plain.plain_map(value, json=self._json)
            elif value is None and self._is_unary:
                # nil ends the input of an app: it would answer nothing, and look like a model that is starting.
                raise ConfigurationError("an input must not be None: to send nothing, skip it")
            else:
                message = value  # an untyped app of fal's SDK takes any value
        except RecursionError:
            raise EncodeError("the input contains itself, or is nested too deep to be sent") from None
        if type(message) is not dict:
            return message, None
        request_id = message.get("request_id")
        if self.echoes and not request_id:
            request_id = message["request_id"] = f"{OWN_ID_PREFIX}{uuid.uuid4().hex}"
        return message, request_id if type(request_id) is str and request_id else None

    def encode(self, message: Any) -> Frame:
        """Return the message's frame; every failure is an ``EncodeError``, or a ``ConfigurationError``."""
        try:
            return self._codec.encode(message)
        except (EncodeError, ConfigurationError, *INTERRUPTS):
            raise
        except BaseException as exc:
            # A user's codec may raise anything; its text could hold the picture.
            raise EncodeError(f"codec.encode failed with {type(exc).__name__}") from exc

    def decode(self, frame: Received) -> Any:
        """Return the frame's message; every failure is a ``DecodeError``."""
        try:
            if not self._reads_buffers and not isinstance(frame, str | bytes):
                frame = bytes(frame)
            return self._codec.decode(frame)  # type: ignore[arg-type]  # a buffer where the codec reads it
        except (DecodeError, *INTERRUPTS):
            raise
        except BaseException as exc:
            # A user's codec may raise anything; its text could hold the frame.
            raise DecodeError(f"codec.decode failed with {type(exc).__name__}", size=len(frame)) from exc

    def load(self, message: Any) -> OutputT:
        """Return a result in the model's output type, or as it is for a plain id.

        Raises:
            ResponseValidationError: It does not fit, or a validator of the type failed.
        """
        if self._spec is None:
            return message  # type: ignore[no-any-return]  # a plain id promises nothing about its results
        try:
            return self._spec.load(message)
        except (FalrtError, *INTERRUPTS):
            raise
        except BaseException as exc:
            # A validator may raise anything; pydantic makes errors of its own of a few kinds only.
            text = f"the result of {self.app} cannot be loaded: {type(exc).__name__}: {str(exc)[:200]}"
            raise ResponseValidationError(text, payload=message) from exc

    async def encode_by_hook(self, message: Any) -> Frame:
        """Return what ``encode_message`` makes of a message; failures are those of :meth:`encode`."""
        frame: Frame = await _hooked(
            self._encode_message, message, "encode_message", EncodeError, ConfigurationError
        )
        return frame

    async def decode_by_hook(self, frame: Frame) -> Any:
        """Return what ``decode_message`` makes of a frame; every failure is a ``DecodeError``."""
        return await _hooked(self._decode_message, frame, "decode_message", DecodeError)


class Encoder:
    """Makes frames of inputs, in the order in which they are given.

    What may take its time is encoded in a thread or by the user's async hook; a later input never overtakes it.
    """

    __slots__ = ("_count", "_translation", "_turns", "_waiting", "_worker")

    def __init__(self, translation: Translation[Any, Any]) -> None:
        self._translation = translation
        # Inputs made so far.
        self._count = 0
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
        translation = self._translation
        if self._waiting or translation.has_encoder or translation.is_heavy(value):
            return None
        message, request_id = translation.dump(value)
        frame = translation.encode(message)
        return self._made(frame, kind, lane, now, request_id, value)

    async def in_turn(self, value: Any, kind: Kind, lane: Lane, check_open: Callable[[Any], object]) -> Input:
        """Return the encoded input, behind those that came before.

        Args:
            value: The input.
            kind: Who waits for its answer.
            lane: Where it will queue.
            check_open: Raises if the connection has ended while others took their time.
        """
        heavy = self._translation.is_heavy(value)
        self._turns = turns = self._turns or asyncio.Lock()
        self._waiting += 1
        try:
            async with turns:
                check_open(value)
                frame, request_id = await self._encoded(value, heavy)
        finally:
            self._waiting -= 1
        return self._made(frame, kind, lane, asyncio.get_running_loop().time(), request_id, value)

    def _made(
        self, frame: Frame, kind: Kind, lane: Lane, now: float, request_id: str | None, value: Any
    ) -> Input:
        if type(frame) is not bytes or len(frame) > MAX_FRAME_BYTES:
            _check(frame)
        self._count += 1
        return Input(frame, kind, lane, now, request_id, value=value, number=self._count)

    async def _encoded(self, value: Any, heavy: bool) -> tuple[Frame, str | None]:
        translation = self._translation
        if heavy:
            self._worker = worker = self._worker or Worker()
            message, request_id = await worker.run(lambda: translation.dump(value))
        else:
            message, request_id = translation.dump(value)
        frame = (
            await translation.encode_by_hook(message)
            if translation.has_encoder
            else translation.encode(message)
        )
        return frame, request_id

    def close(self) -> None:
        """End the thread, if there is one."""
        if self._worker is not None:
            self._worker.close()


def _check(frame: Any) -> None:
    """Refuse what is too large, or is no frame."""
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


async def _hooked(
    hook: Callable[[Any], Any] | None,
    value: Any,
    name: str,
    kind: type[EncodeError | DecodeError],
    *as_they_are: type[FalrtError],
) -> Any:
    """Call a user's encoder or decoder; whatever else it raises becomes an error of the kind that is expected.

    An error of ours too: from a hook it says nothing about the connection, which would take it at its word.
    """
    assert hook is not None  # noqa: S101 - asked only where there is one
    try:
        result = hook(value)
        return await result if inspect.isawaitable(result) else result
    except INTERRUPTS:
        raise
    except (kind, *as_they_are):
        raise
    except asyncio.CancelledError as exc:
        if is_own_cancellation():
            raise
        # Something that the hook waited for was cancelled, not the hook.
        raise kind(f"{name} failed: what it waited for was cancelled") from exc
    except BaseException as exc:
        raise kind(f"{name} failed with {type(exc).__name__}: {str(exc)[:200]}") from exc
