"""Base classes of inputs and outputs: strict about what is sent, tolerant about what is received."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from falrt.media.source import describe, is_pixels

__all__ = ["ModelInput", "ModelOutput"]

_LONG_CHARACTERS = 120


class ModelInput(BaseModel):
    """Base class of inputs: unknown fields are errors, and an input cannot be changed after it is made.

    A stream pairs each reply with the input that caused it, so an input is frozen;
    ``model_copy(update={...})`` makes the next one, with the same checks.
    Fields that were never set are not sent, so the server's own defaults apply; None means "not set". Values of a
    ``default_factory`` and a ``Literal`` of one value (the tag of a discriminated union) are sent, because no server
    can have them as its default. Override this in ``model_left_out``.

    Your own models can build on it::

        class Sketch(ModelInput):
            prompt: str
            image_url: Annotated[ImageSource, ImageField(size=(512, 512))]
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True, ser_json_bytes="base64"
    )

    unknown_field_hints: ClassVar[Mapping[str, str]] = {}
    """Hints in the error for fields that people expect and the model does not have."""

    model_left_out: ClassVar[frozenset[str]] = frozenset()
    """Fields that are not sent unless they were set; by default those whose default is one plain value."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Find the fields whose default is also the server's."""
        super().__pydantic_init_subclass__(**kwargs)
        if "model_left_out" not in cls.__dict__:
            cls.model_left_out = frozenset(
                name
                for name, field in cls.model_fields.items()
                if not field.is_required() and field.default_factory is None and not _is_tag(field.annotation)
            )

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_fields(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.keys() <= cls.model_fields.keys():
            known = {alias for field in cls.model_fields.values() for alias in _aliases(field)}
            unknown = [name for name in data if name not in cls.model_fields and name not in known]
            if unknown and cls.model_config.get("extra") == "forbid":
                raise PydanticCustomError("unknown_field", "{text}", {"text": cls._unknown(unknown, known)})
        return data

    @classmethod
    def _unknown(cls, names: Iterable[Any], aliases: Iterable[str]) -> str:
        allowed = sorted(cls.model_fields)
        parts = []
        for name in names:
            near = difflib.get_close_matches(str(name), [*allowed, *aliases], n=1)
            hint = cls.unknown_field_hints.get(name, f"did you mean {near[0]!r}?" if near else "")
            parts.append(f"unknown field {name!r}" + (f" ({hint})" if hint else ""))
        return f"{', '.join(parts)}; {cls.__name__} takes {', '.join(allowed)}"

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values, which are checked.

        Raises:
            ValidationError: A new value is wrong, or a field unknown.
        """
        if not update:
            return super().model_copy(deep=deep)
        kept = {name: getattr(self, name) for name in self._shown()}
        for name, field in type(self).model_fields.items():
            if any(alias in update for alias in _aliases(field)):
                kept.pop(name, None)
        return type(self).model_validate({**kept, **update})

    def _shown(self) -> list[str]:
        """Return the names of the fields that are sent: those that were set, and those that are never left out."""
        left_out = type(self).model_left_out - self.model_fields_set
        return [name for name in type(self).model_fields if name not in left_out]

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show what is sent, with pictures in a few words: writing a frame to a log takes longer than sending it."""
        return [(name, _short(getattr(self, name))) for name in self._shown()]


def _is_tag(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def _aliases(field: FieldInfo) -> Iterator[str]:
    """Yield the other names under which an input may pass a field."""
    validation = field.validation_alias
    for alias in validation.choices if isinstance(validation, AliasChoices) else (validation, field.alias):
        name = alias.path[0] if isinstance(alias, AliasPath) else alias
        if isinstance(name, str):
            yield name


class ModelOutput(BaseModel):
    """Base class of outputs: unknown fields are kept, as attributes and in ``model_extra``."""

    model_config = ConfigDict(extra="allow", frozen=True, ser_json_bytes="base64", protected_namespaces=())

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show every field, with pictures in a few words."""
        return [(name, _short(value)) for name, value in super().__repr_args__()]


class _Words(str):
    """Text that is shown in a repr without quotes."""

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
    if isinstance(value, list | tuple):
        return [_short(each) for each in value]
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items()}
    return value
