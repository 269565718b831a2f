"""Values to what a codec can pack: text, numbers, bytes, lists and maps of these."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from falrt.exceptions import ConfigurationError
from falrt.media.data_uri import encode_base64
from falrt.media.source import describe, is_pixels

__all__ = ["is_heavy", "plain", "plain_map"]

_SCALARS = frozenset({str, int, float, bool, type(None)})
_READY = _SCALARS | {bytes}

# A megabyte of base64 takes 1.1 ms without pybase64, so this much takes half a millisecond.
_HEAVY_BYTES = 450_000
# Longer lists are numbers as a rule, and a picture hides at their head or nowhere.
_SEARCHED_ITEMS = 8


def plain_map(message: Mapping[str, Any], *, json: bool) -> dict[str, Any]:
    """Make a message of plain values; a dict that is plain already is returned as it is.

    Args:
        message: Field names to values.
        json: Whether bytes become base64 text, which a JSON transport carries.

    Raises:
        ConfigurationError: A value cannot be sent; the text names its field and the cure.
    """
    ready = _SCALARS if json else _READY
    if type(message) is dict and ready.issuperset(map(type, message.values())):
        return message
    return {
        key: value if type(value) in ready else plain(value, json=json, where=str(key))
        for key, value in message.items()
    }


def plain(value: Any, *, json: bool, where: str) -> Any:
    """Make one value plain; ``where`` names it in errors. See :func:`plain_map`."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)  # no copy where it is bytes already
        return encode_base64(data) if json else data
    if isinstance(value, Mapping):
        return {key: plain(item, json=json, where=f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, json=json, where=f"{where}.{index}") for index, item in enumerate(value)]
    if isinstance(value, os.PathLike) or is_pixels(value):
        cure = "make a picture a data URI with falrt.data_uri(...), or use a model with an ImageField"
        raise ConfigurationError(f"{where}: a {describe(value)} cannot be sent as it is; {cure}")
    return _converted(value, where)


def _converted(value: Any, where: str) -> Any:
    """Convert what pydantic knows (enums, dates, UUIDs, models, sets) and numpy's scalars."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(value)
    except PydanticSerializationError as error:
        cure = "give text, numbers, bytes, lists or maps"
        raise ConfigurationError(f"{where}: a {describe(value)} cannot be sent; {cure}") from error


def is_heavy(value: object) -> bool:
    """Tell whether making a value plain means reading a file, encoding pixels or a very long base64.

    Looks at types and lengths only.
    """
    kind = type(value)
    if kind in _SCALARS:
        return False
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value) > _HEAVY_BYTES
    if isinstance(value, Mapping):
        return any(map(is_heavy, value.values()))
    if isinstance(value, list | tuple):
        return any(map(is_heavy, value[:_SEARCHED_ITEMS]))
    if hasattr(kind, "model_fields"):  # a pydantic model, without importing pydantic
        return any(map(is_heavy, vars(value).values()))
    return isinstance(value, os.PathLike) or is_pixels(value)
