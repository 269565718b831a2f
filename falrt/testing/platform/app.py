"""The app behind the fake runner: its options, its codec, and the forms that a handler may have."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from falrt.exceptions import ConfigurationError
from falrt.testing.allowed import Helpful, check_fields
from falrt.testing.picture import png
from falrt.testing.platform.runner import RunnerOptions

if TYPE_CHECKING:
    from typing import TypeGuard

    from falrt.typing import Codec, Frame

__all__ = ["App", "Handler", "Instead", "ServerMsgpack", "as_map", "each", "picture_answer", "settled"]

Handler: TypeAlias = Callable[..., Any] | Sequence[Any] | None
"""What answers inputs; `FakeServer` lists the forms."""


class Instead(metaclass=Helpful):
    """Given by a handler instead of an output: the server knows what to do with it; a fault, for one.

    Attributes:
        stands_for_an_answer: Whether a list of answers may hold it.
    """

    stands_for_an_answer: ClassVar[bool] = True


class ServerMsgpack:
    """msgpack exactly as fal's server SDK calls it (wire facts W50 to W54)."""

    def encode(self, message: Any) -> Frame:
        """Return the frame of an output."""
        import msgpack  # type: ignore[import-untyped]  # msgpack ships no types

        packed: bytes = msgpack.packb(message, use_bin_type=True)
        return packed

    def decode(self, data: Frame) -> Any:
        """Return the input of a frame.

        Raises:
            ValueError: It is not msgpack; of JSON the text says so, where fal's would leave one guessing.
        """
        import msgpack

        if data[:1] == b"{" and len(data) > 1:  # no msgpack map begins like that (wire fact W27)
            cure = "send msgpack, or give the app codec=falrt.codecs.Json()"
            raise ValueError(f"the frame holds JSON, and the app expects msgpack: {cure}")
        return msgpack.unpackb(data, raw=False)


@dataclass(frozen=True, slots=True)
class App(RunnerOptions, metaclass=Helpful):
    """One app of a `FakeServer`: what answers, and how fal would run it.

    Attributes:
        handler: What answers; see `FakeServer`. It gets the inputs of a batch as separate arguments.
        service_time: Seconds of inference, or ``(*inputs) -> seconds``; for each output where an app streams
            them.
        codec: Anything with ``encode(message)`` and ``decode(data)``; msgpack as fal calls it by default.
            Text frames are refused, as by fal (wire fact W50), unless it is ``falrt.codecs.Json(text=True)``.
        input_type: Called as ``input_type(**decoded)`` on each input, as fal does with an app's pydantic
            model; what it raises ends the session with INTERNAL_ERROR. None: inputs are passed on as decoded.
        per_connection: Whether `handler` is called without arguments for each connection and returns the
            function that answers there, so that it can remember something.
        parts: What ``/stream`` gives for an input, over HTTP: ``input -> iterator of outputs``. None: what
            `handler` gives, as events.

    Raises:
        ConfigurationError: A value makes no sense; the text names it.
    """

    handler: Handler = None
    _: KW_ONLY
    service_time: float | Callable[..., float] = 0.0
    codec: Codec | None = None
    input_type: Callable[..., Any] | None = None
    per_connection: bool = False
    parts: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        """Check each value."""
        check_fields(self)
        handler = self.handler
        if handler is not None and not callable(handler) and not _is_script(handler):
            raise ConfigurationError(
                f"handler must be a function, a list of answers or None, not {type(handler).__name__}"
            )
        for answer in handler if _is_script(handler) else ():
            if isinstance(answer, Instead) and not answer.stands_for_an_answer:
                cure = "give it in faults=[...]"
                raise ConfigurationError(f"{answer!r} cannot stand in the place of an answer; {cure}")

    def seconds(self, *inputs: Any) -> float:
        """Return how long the inference of these inputs takes."""
        return self.service_time(*inputs) if callable(self.service_time) else self.service_time

    def new_handler(self) -> Callable[..., Any]:
        """Return what answers on one connection; for an app that `Apps` found."""
        handler: Any = self.handler
        function: Callable[..., Any] = handler() if self.per_connection else handler
        return function

    def new_codec(self) -> Codec:
        """Return the codec."""
        return ServerMsgpack() if self.codec is None else self.codec

    @property
    def takes_text(self) -> bool:
        """Whether text frames are inputs: fal refuses them, so only where the app is declared to speak them."""
        from falrt.codecs import Json

        return isinstance(self.codec, Json) and self.codec.text

    def parse(self, message: Any) -> Any:
        """Return the input as the handler gets it; whatever `input_type` raises passes through."""
        return message if self.input_type is None else self.input_type(**message)


def picture_answer(*inputs: Any) -> dict[str, Any]:
    """Answer as an image model would: one small PNG, and the input's `request_id` if it had one.

    The colour follows from the input, so different inputs give different pictures.
    """
    first = inputs[0] if inputs else None
    checksum = zlib.crc32(repr(first).encode())
    colour = (checksum & 255, checksum >> 8 & 255, checksum >> 16 & 255)
    picture = {"content": png(colour=colour), "content_type": "image/png", "width": 8, "height": 8}
    answer: dict[str, Any] = {"images": [picture], "seed": 35}
    if isinstance(first, Mapping):
        answer["seed"] = first.get("seed") or 35
        if "request_id" in first:
            answer["request_id"] = first["request_id"]
    return answer


def as_map(output: Any) -> dict[str, Any]:
    """Return an output as the map that goes on the wire.

    Raises:
        TypeError: It is neither a map nor a pydantic model; the text is fal's (wire fact W23).
    """
    if isinstance(output, dict):
        return output
    for name in ("model_dump", "dict"):
        dump = getattr(output, name, None)
        if callable(dump):
            dumped: dict[str, Any] = dump()
            return dumped
    raise TypeError(f"Expected a dict or pydantic model as output, got {type(output)}")


async def settled(value: Any) -> Any:
    """Return a value, awaited if it can be."""
    return await value if isinstance(value, Awaitable) else value


async def each(value: Any) -> AsyncGenerator[Any, None]:
    """Iterate over what a streaming handler gave: an async iterator, an iterable, or an awaitable of one.

    Raises:
        TypeError: It is none of them; the text is fal's.
    """
    value = await settled(value)
    if hasattr(value, "aclose"):
        async with aclosing(value):
            async for item in value:
                yield item
    elif hasattr(value, "__aiter__"):
        async for item in value:
            yield item
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        for item in value:
            yield item
            await asyncio.sleep(0)  # fal takes each item of these in a thread, so its emitter gets its turn
    else:
        raise TypeError("Expected an async iterator or iterator output for server-streaming realtime")


def _is_script(handler: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(handler, Sequence) and not isinstance(handler, (str, bytes))
