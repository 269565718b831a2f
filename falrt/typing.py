"""Type aliases and protocols that several packages share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

__all__ = [
    "Codec",
    "DecodeHook",
    "EncodeHook",
    "EndpointModel",
    "Frame",
    "InputT",
    "Message",
    "ModeName",
    "OutputT",
]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
InputT_contra = TypeVar("InputT_contra", contravariant=True)
OutputT_co = TypeVar("OutputT_co", covariant=True)

Frame: TypeAlias = bytes | str
"""What travels on the socket: bytes in a binary frame, str in a text frame."""

Message: TypeAlias = Any
"""A decoded frame. A map with string keys for typed apps; any value of the codec for untyped ones."""

ModeName: TypeAlias = Literal["unary", "server_streaming", "client_streaming", "bidi"]

EncodeHook: TypeAlias = Callable[[Any], Frame] | Callable[[Any], Awaitable[Frame]]
DecodeHook: TypeAlias = Callable[[Frame], Any] | Callable[[Frame], Awaitable[Any]]


class Codec(Protocol):
    """Turns messages into frames and back. Both ways may be used from one task at a time."""

    def encode(self, message: Message) -> Frame:
        """Return the frame of a message: bytes leave in a binary frame, str in a text frame."""
        ...

    def decode(self, data: Frame) -> Message:
        """Return the message of a frame; any exception is reported as a ``DecodeError``."""
        ...


class EndpointModel(Protocol[InputT_contra, OutputT_co]):
    """An endpoint with its types, as :class:`falrt.RealtimeModel` and the names in ``falrt.models`` are."""

    @property
    def app(self) -> str:
        """The endpoint id."""
        ...

    def is_heavy(self, value: object) -> bool:
        """Tell whether :meth:`dump` belongs in a thread."""
        ...

    def dump(self, value: InputT_contra | Mapping[str, object], *, json: bool = False) -> dict[str, Any]:
        """Check an input and make the message that is sent."""
        ...

    def load(self, message: Any) -> OutputT_co:
        """Make the typed output of a decoded result."""
        ...
