"""Converts values to what a codec can pack: text, numbers, bytes, and lists and maps of these."""

from __future__ import annotations

import dataclasses
import enum
import os
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Set
from typing import Any

from falrt.exceptions import EncodeError
from falrt.media.data_uri import encode_base64, is_turned
from falrt.media.source import describe, is_data_uri, is_pixels

__all__ = ["is_heavy", "plain", "plain_map"]

_SCALARS = frozenset({str, int, float, bool, type(None)})
_READY = _SCALARS | {bytes}

# A megabyte of base64 takes 1.1 ms without pybase64, so this much takes half a millisecond.
_HEAVY_BYTES = 450_000
# Longer lists usually contain numbers; one that contains pictures starts with one.
_SEARCHED_ITEMS = 8


def plain_map(message: Mapping[str, Any], *, json: bool) -> dict[str, Any]:
    """Convert the values of a message; with ``json``, bytes become base64 text. A plain dict is returned unchanged.

    Raises:
        EncodeError: A value cannot be sent; the text names its path and the cure.
    """
    ready = _SCALARS if json else _READY
    if type(message) is dict and ready.issuperset(map(type, message.values())):
        return message
    return {
        key: value if type(value) in ready else plain(value, json=json, where=_member("input", key))
        for key, value in message.items()
    }


def plain(value: Any, *, json: bool, where: str = "input") -> Any:
    """Convert one value as :func:`plain_map` does; ``where`` is its path in errors."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)  # no copy where it is bytes already
        return encode_base64(data) if json else data
    if isinstance(value, Mapping):
        return {key: plain(item, json=json, where=_member(where, key)) for key, item in value.items()}
    if _is_msgpack_s_own(value):  # an extension type is a tuple to Python
        return value
    if isinstance(value, list | tuple | deque | Set | Iterator):
        return [plain(item, json=json, where=f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, os.PathLike) or is_pixels(value):
        cure = "make a picture a data URI with falrt.data_uri(...), or use a model with an ImageField"
        raise EncodeError(f"{where}: {describe(value)} cannot be sent as it is; {cure}")
    opened = _opened(value)
    return _converted(value, where) if opened is value else plain(opened, json=json, where=where)


def _opened(value: Any) -> Any:
    """Return the content of an enum member, a numpy scalar, a model or a dataclass; anything else unchanged."""
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    if hasattr(type(value), "model_fields"):  # a pydantic model, without importing pydantic
        # As Python objects: as JSON, bytes would become text.
        return value.model_dump(by_alias=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value


def _converted(value: Any, where: str) -> Any:
    """Convert the other types that pydantic knows, such as dates, UUIDs and decimals."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    if hasattr(value, "get_secret_value"):
        # pydantic would write asterisks, and the app would take them for the secret.
        raise EncodeError(f"{where}: {describe(value)} is not sent by itself; pass value.get_secret_value()")
    try:
        return to_jsonable_python(value)
    except (PydanticSerializationError, ValueError) as exc:
        cure = "pass strings, numbers, bytes, lists or dicts"
        raise EncodeError(f"{where}: {describe(value)} cannot be sent; {cure}") from exc


def _is_msgpack_s_own(value: object) -> bool:
    """Tell whether the value is an extension type or a timestamp, which msgpack packs by itself."""
    msgpack = sys.modules.get("msgpack")
    return msgpack is not None and isinstance(value, (msgpack.ExtType, msgpack.Timestamp))


def _member(path: str, key: Any) -> str:
    return f"{path}.{key}" if isinstance(key, str) and key.isidentifier() else f"{path}[{key!r:.40}]"


def is_heavy(value: object) -> bool:
    """Tell whether converting a value means reading a file, encoding pixels or very long base64.

    Looks at types, lengths and picture headers only.
    """
    kind = type(value)
    if isinstance(value, str):
        return is_data_uri(value) and is_turned(value)
    if kind in _SCALARS:
        return False
    if isinstance(value, bytes | bytearray | memoryview):
        # A rotated photo is decoded and encoded again to turn it upright.
        return len(value) > _HEAVY_BYTES or is_turned(bytes(value))
    if isinstance(value, Mapping):
        return any(map(is_heavy, value.values()))
    if isinstance(value, list | tuple):
        return any(map(is_heavy, value[:_SEARCHED_ITEMS]))
    if hasattr(kind, "model_fields"):  # a pydantic model, without importing pydantic
        return any(map(is_heavy, vars(value).values()))
    return isinstance(value, os.PathLike) or is_pixels(value)
