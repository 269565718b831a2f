"""Aliases and protocols that several rooms share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

__all__ = [
    "Codec",
    "DecodeHook",
    "EncodeHook",
    "Frame",
    "InputT",
    "Message",
    "ModeName",
    "OutputT",
]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")

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
