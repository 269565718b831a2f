"""Messages to frames and back: msgpack as fal speaks it, JSON for apps that chose it.

Two rules apply to both. A message that cannot be encoded raises an ``EncodeError`` that names the path of the
value (``input.images[0]``); falrt searches for it only after a failure. A frame that cannot be decoded raises a
``DecodeError`` that carries its size and never its content. Decoding takes memory in proportion to the frame,
whatever lengths its headers claim: at worst about seventy times its size, for a frame of empty maps.

Source: wire facts W26, W27 and W50 to W55, docs/reference/wire.md.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import msgpack  # type: ignore[import-untyped]  # msgpack ships no types

from falrt.exceptions import DecodeError, EncodeError
from falrt.typing import Frame, Message

__all__ = ["Json", "Msgpack"]

# The decoder reserves a list as long as an array's header claims before it reads one item, and headers nest
# 1024 deep: a frame of 60 KB could reserve a hundred megabytes and a frame of 1 MB gigabytes. Longer arrays
# are allowed once their items are known to exist.
_TRUSTED_ARRAY_LENGTH = 1024

# msgpack gives up at 511 levels, json at about a thousand.
_MAX_NESTING = 500

_PLAIN_KEYS = frozenset({str})
_PLAIN_TYPES = frozenset({str, int, float, bool, type(None), bytes, bytearray, memoryview})

_encode_json_text: Callable[[Any], str] = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=lambda value: _json_default(value)
).encode


@dataclass(frozen=True, slots=True)
class Msgpack:
    """msgpack in binary frames: what fal's own server and clients use.

    ``encode`` takes None, bool, int (64 bits), float, str, bytes-like values, lists, tuples and maps with str
    keys (bytes keys pass too; fal's server refuses every other key). NaN and infinity pass.
    ``decode`` gives lists for arrays and ``bytes`` for binary fields; maps may have any hashable key. A
    timestamp arrives as ``msgpack.Timestamp``, another extension type as ``msgpack.ExtType``. A text frame,
    and a binary frame that is a JSON map, are read as JSON, because the gateway, and apps with their own
    encoder, send such frames.

    Source: wire facts W27 and W51 to W54, docs/reference/wire.md.
    """

    def encode(self, message: Message) -> bytes:
        """Return the message as msgpack.

        Raises:
            EncodeError: A value or key that msgpack or fal's server does not take; the text names its path.
        """
        try:
            # A packer of its own for each call: a shared one mixes up frames when two threads, or a map's own
            # items() method, pack at the same time.
            frame: bytes = msgpack.Packer(use_bin_type=True).pack(message)
        except Exception as exc:
            raise _encode_error(message, exc, _pack, (str, bytes)) from exc
        _check_keys(message, (str, bytes))
        return frame

    def decode(self, data: Frame) -> Message:
        """Return the message of a frame.

        Raises:
            DecodeError: The frame is malformed, cut short, too deeply nested, or holds more than one value.
        """
        if isinstance(data, str):
            return _decode_json(data)
        try:
            return msgpack.unpackb(data, raw=False, strict_map_key=False, max_array_len=_TRUSTED_ARRAY_LENGTH)
        except Exception as exc:
            return _decode_with_long_arrays(data, exc)


@dataclass(frozen=True, slots=True)
class Json:
    """JSON, for apps whose own decoder reads it.

    Bytes-like values become base64 text (standard alphabet, padded, without a ``data:`` prefix); they are not
    turned back when they come from the app. NaN and infinity are refused on the way out and accepted
    on the way in.

    Attributes:
        text: Send text frames. The default sends UTF-8 in binary frames, because fal's server SDK ends the
            session when it gets a text frame, even where the app speaks JSON (wire fact W50).
    """

    text: bool = False

    # Read by the typed models: bytes have to become base64 text before they get here.
    carries_bytes: ClassVar[bool] = False

    def encode(self, message: Message) -> Frame:
        """Return the message as JSON: str with ``text=True``, else UTF-8 bytes.

        Raises:
            EncodeError: A value or key that JSON does not take; the text names its path.
        """
        try:
            text = _encode_json_text(message)
            # Encoded in text mode too: a lone surrogate must fail here and not inside the socket.
            frame = text.encode()
        except Exception as exc:
            raise _encode_error(
                message, exc, lambda value: _encode_json_text(value).encode(), (str,)
            ) from exc
        _check_keys(message, (str,))
        return text if self.text else frame

    def decode(self, data: Frame) -> Message:
        """Return the message of a text frame, or of a binary frame that holds UTF-8.

        Raises:
            DecodeError: The frame is not UTF-8, not JSON, or too deeply nested.
        """
        return _decode_json(data)


# Decoding.


def _decode_with_long_arrays(data: bytes, error: Exception) -> Message:
    """Read again what the quick way refused: a JSON map, or arrays whose items turn out to be there."""
    if data[:1] == b"{":
        return _decode_json(data)
    if "max_array_len" not in str(error):
        raise _decode_error("msgpack", data, error) from error
    try:
        # Skipping reads every header in C and builds nothing: a header that lies fails here at no cost.
        unpacker = msgpack.Unpacker(max_buffer_size=len(data))
        unpacker.feed(data)
        unpacker.skip()
        return msgpack.unpackb(data, raw=False, strict_map_key=False)
    except Exception as second:
        raise _decode_error("msgpack", data, second) from second


def _decode_json(data: Frame) -> Message:
    try:
        # Decoded here, because json.loads would also guess UTF-16 and UTF-32 and let surrogates through.
        return json.loads(data if isinstance(data, str) else str(data, "utf-8"))
    except Exception as exc:
        raise _decode_error("JSON", data, exc) from exc


def _decode_error(kind: str, data: Frame, error: Exception) -> DecodeError:
    unit = "characters" if isinstance(data, str) else "bytes"
    why = str(error)[:200] or "malformed"
    return DecodeError(
        f"frame of {len(data)} {unit} is not {kind} ({type(error).__name__}: {why})", size=len(data)
    )


# Encoding.


def _pack(value: Any) -> bytes:
    frame: bytes = msgpack.packb(value, use_bin_type=True)
    return frame


def _json_default(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return binascii.b2a_base64(value, newline=False).decode("ascii")
    raise TypeError(f"{type(value).__name__} is not JSON")


def _check_keys(message: Message, key_types: tuple[type, ...]) -> None:
    """Refuse keys that the far side would refuse: there, one wrong key costs the connection.

    Runs on every message, so it looks at containers only; the encoder has already bounded their depth.
    """
    if type(message) in _PLAIN_TYPES:
        return
    containers = [message]
    for container in containers:
        items: Any = container
        if isinstance(container, dict):
            # One pass in C; the second look is for subclasses, such as a StrEnum's members.
            if not _PLAIN_KEYS.issuperset(map(type, container)) and any(
                not isinstance(key, key_types) for key in container
            ):
                raise EncodeError(_locate(message, lambda value: None, key_types))
            items = container.values()
        elif not isinstance(container, (list, tuple)):
            continue  # A number's or text's subclass, at the top or from the line below.
        if not _PLAIN_TYPES.issuperset(map(type, items)):
            containers += [item for item in items if type(item) not in _PLAIN_TYPES]


def _encode_error(
    message: Message, error: Exception, encode: Callable[[Any], object], key_types: tuple[type, ...]
) -> EncodeError:
    """Name the value that broke the encoding; the error's own words only where no single value did."""
    try:
        found = _locate(message, encode, key_types)
    except RuntimeError:  # The message is being changed by another thread; its error says so already.
        found = ""
    return EncodeError(found or f"input cannot be encoded ({type(error).__name__}: {str(error)[:200]})")


def _locate(message: Message, encode: Callable[[Any], object], key_types: tuple[type, ...]) -> str:
    """Return ``path: what is wrong; the cure`` for the first value or key at fault, else ``""``."""
    pending: list[tuple[str, Any, int]] = [("input", message, 0)]
    while pending:
        path, value, depth = pending.pop()
        if depth > _MAX_NESTING:
            return f"{path[:60]}...: nested deeper than {_MAX_NESTING} levels; does it contain itself?"
        children: list[tuple[str, Any, int]] = []
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, key_types):
                    return f"{path}: key of type {type(key).__name__}; keys must be strings"
                children.append((_member(path, key), item, depth + 1))
        elif isinstance(value, (list, tuple)):
            children.extend((f"{path}[{index}]", item, depth + 1) for index, item in enumerate(value))
        else:
            try:
                encode(value)
            except Exception as exc:
                return f"{path}: {_describe(value, exc)}"
        pending.extend(reversed(children))
    return ""


def _member(path: str, key: Any) -> str:
    if isinstance(key, str) and key.isidentifier():
        return f"{path}.{key}"
    return f"{path}[{key[:40]!r}]"


def _describe(value: Any, error: Exception) -> str:
    """Say what is wrong with one value and what to send instead; never the value itself."""
    if isinstance(value, str):
        return "the text holds half a surrogate pair and is not valid Unicode; remove or replace it"
    if type(value) is int:
        return "the integer needs more than 64 bits; send it as a string"
    if isinstance(value, float):
        return "NaN and infinity are not JSON; send a number or None"
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    cure = _cure(value)
    return f"{name} is not serialisable; {cure}" if cure else f"{name} is not serialisable ({error})"[:200]


def _cure(value: Any) -> str:
    package = type(value).__module__.partition(".")[0]
    if package == "numpy":
        if getattr(value, "ndim", 0):
            return "pass falrt.data_uri(array) for a picture, array.tolist() for numbers"
        return "pass value.item()"
    if package == "PIL":
        return "pass falrt.data_uri(image)"
    if hasattr(value, "model_dump"):
        return "pass value.model_dump()"
    for kind in type(value).__mro__:
        if cure := _CURES.get(f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"):
            return cure
    return "pass dataclasses.asdict(value)" if hasattr(value, "__dataclass_fields__") else ""


# By name, because importing these modules to recognise their values costs a fifth of `import falrt.codecs`.
_CURES = {
    "builtins.frozenset": "send a list",
    "builtins.set": "send a list",
    "datetime.date": "send a string or timestamp",  # datetime.datetime is one
    "datetime.time": "send a string or timestamp",
    "datetime.timedelta": "send its total_seconds()",
    "decimal.Decimal": "send a string or number",
    "enum.Enum": "send its value",
    "pathlib.PurePath": "pass falrt.data_uri(path) for a picture, str(path) for its name",
    "uuid.UUID": "send a string",
}
