"""What every input and every output here has in common: strict on the way out, generous on the way in."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from falrt.media.source import describe, is_pixels

__all__ = ["ModelInput", "ModelOutput"]

_LONG_CHARACTERS = 120


class ModelInput(BaseModel):
    """Base of the inputs: unknown fields are errors, and an input does not change once it is made.

    A stream pairs each reply with the input that caused it, so an input is frozen;
    ``model_copy(update={...})`` gives the next one, checked like the first.
    Fields that were never set are not sent, so the server's own defaults apply; None stands for "not set".

    A model of one's own may build on it::

        class Sketch(ModelInput):
            prompt: str
            image_url: Annotated[ImageSource, ImageField(size=(512, 512))]
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True, ser_json_bytes="base64"
    )

    unknown_field_hints: ClassVar[Mapping[str, str]] = {}
    """What to say about a field that people expect and the model does not have."""

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_fields(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.keys() <= cls.model_fields.keys():
            aliases = {field.alias for field in cls.model_fields.values()}
            unknown = [name for name in data if name not in cls.model_fields and name not in aliases]
            if unknown:
                raise PydanticCustomError("unknown_field", "{text}", {"text": cls._unknown(unknown)})
        return data

    @classmethod
    def _unknown(cls, names: Iterable[Any]) -> str:
        allowed = sorted(cls.model_fields)
        parts = []
        for name in names:
            near = difflib.get_close_matches(str(name), allowed, n=1)
            hint = cls.unknown_field_hints.get(name, f"did you mean {near[0]!r}?" if near else "")
            parts.append(f"unknown field {name!r}" + (f" ({hint})" if hint else ""))
        return f"{', '.join(parts)}; {cls.__name__} takes {', '.join(allowed)}"

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Give a copy with other values, which are checked.

        Raises:
            ValidationError: A new value is wrong, or a field unknown.
        """
        if not update:
            return super().model_copy(deep=deep)
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate({**kept, **update})

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show what was set, pictures in a few words: a frame in a log line costs more than sending it."""
        return [
            (name, _short(getattr(self, name)))
            for name in type(self).model_fields
            if name in self.model_fields_set
        ]


class ModelOutput(BaseModel):
    """Base of the outputs: unknown fields are kept, as attributes and in ``model_extra``."""

    model_config = ConfigDict(extra="allow", frozen=True, ser_json_bytes="base64", protected_namespaces=())

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show every field that came, pictures in a few words."""
        return [(name, _short(value)) for name, value in super().__repr_args__()]


class _Words(str):
    """Text that stands in a repr without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _short(value: Any) -> Any:
    if is_pixels(value):
        return _Words(f"<{describe(value)}>")
    if isinstance(value, bytes | bytearray | memoryview):
        return _Words(f"<{len(value)} bytes>") if len(value) > 16 else value
    if isinstance(value, str) and len(value) > _LONG_CHARACTERS:
        return _Words(f"<{len(value)} characters starting {value[:24]!r}>")
    return value
