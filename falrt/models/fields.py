"""Field types of the models: pictures as inputs, timings, bytes that survive JSON.

Checks look at types and first characters only: a frame of 60 KB takes a microsecond.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias, get_args

from pydantic import BaseModel, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from falrt.exceptions import ConfigurationError, MissingDependencyError
from falrt.media import arrays, pillow
from falrt.media.data_uri import (
    check_data_uri,
    check_options,
    decode_base64,
    encode_image,
    is_turned,
    parse_data_uri,
    warn_if_slow,
    wrap_data_uri,
)
from falrt.media.fit import Fit
from falrt.media.image_header import image_format
from falrt.media.source import (
    BGR,
    Channels,
    Fitted,
    ImageSource,
    Size,
    check_no_folder,
    describe,
    is_array,
    is_data_uri,
    is_pil,
    is_web_url,
)
from falrt.models.sizes import image_size_pixels

__all__ = ["ImageField", "ImageSource", "Timings", "WireBytes"]

_PICTURE_CURE = "give a data URI, JPEG bytes, a pathlib.Path, a PIL image or a numpy array"


@dataclass(frozen=True, slots=True)
class ImageField:
    """Makes a field accept pictures of many kinds: ``image_url: Annotated[ImageSource, ImageField(...)]``.

    Accepted are a data URI (``str``), encoded JPEG, PNG, WebP or GIF bytes, a ``pathlib.Path`` to an existing
    file, a PIL image, a numpy array of uint8 (``(height, width, 3)``, RGB; an OpenCV frame in
    :class:`falrt.media.BGR`), and any of these in :class:`falrt.media.Fitted`. Files and pixels are scaled to
    ``size`` and encoded as JPEG when the input is sent, in a thread; the pixels must not change until then.
    Data URIs and bytes are sent as they are, unless their EXIF orientation says that they are rotated: then they
    are turned upright, like a file. A plain ``str`` is never read as a path: inputs may come from strangers,
    and a path would send them our files.

    Attributes:
        size: Pixels to which files and pixels are scaled: ``(width, height)`` or one number; None keeps their
            own size.
        quality: JPEG quality, 1 to 95.
        as_bytes: Send raw encoded bytes instead of a data URI; saves a third.
        web_urls: Whether http and https URLs are accepted and sent to the server.
        channels: Order of the colors in arrays: ``"RGB"``, or ``"BGR"`` for OpenCV.
        fit: What happens to other aspect ratios: ``"cover"`` (also the default) crops to the center,
            ``"contain"`` adds black borders, ``"stretch"`` distorts. ``media.Fitted`` overrides it for one picture.
            None logs a warning when a picture is cropped.
        size_field: Name of the input's field, such as ``"image_size"``, that says how large a picture the model
            makes: where that is set, it takes the place of ``size``.
        max_side: Pixels; files and pixels of no given size are scaled down until neither side is longer. They keep
            their shape.
    """

    size: Size | None = None
    quality: int = 85
    as_bytes: bool = False
    web_urls: bool = False
    channels: Channels = "RGB"
    fit: Fit | None = None
    size_field: str | None = None
    max_side: int | None = None

    def __post_init__(self) -> None:
        check_options(self.size, self.quality, self.channels, self.fit, self.max_side)

    def check(self, value: object) -> object:
        """Return the value unchanged; takes microseconds, because nothing is read or decoded.

        Raises:
            ConfigurationError: The value cannot be a picture; the text says what to pass instead.
        """
        if isinstance(value, Fitted):
            if isinstance(value.picture, str) and is_web_url(value.picture):
                raise ConfigurationError(
                    f"{describe(value.picture)} is fetched by the server: give it without Fitted"
                )
            self.check(value.picture)
        elif isinstance(value, str):
            self._check_text(value)
        elif isinstance(value, bytes | bytearray | memoryview):
            data = bytes(value[:12])
            if image_format(data) is None:
                cure = "other formats can be given as PIL.Image.open(...)"
                raise ConfigurationError(f"{describe(value)} are not a JPEG, PNG, WebP or GIF; {cure}")
            warn_if_slow(value if isinstance(value, bytes) else bytes(value))
        elif isinstance(value, os.PathLike):
            _check_file(value)
        elif isinstance(value, BGR):
            arrays.check_array(value.pixels)
        elif is_array(value):
            arrays.check_array(value)
        elif is_pil(value):
            pillow.check_mode(value)
        else:
            raise ConfigurationError(f"a picture cannot be made from {describe(value)}; {_PICTURE_CURE}")
        return value

    def _check_text(self, value: str) -> None:
        if is_data_uri(value):
            check_data_uri(value)
            warn_if_slow(value, stacklevel=5)
        elif is_web_url(value):
            if not self.web_urls:
                text = f"web addresses are not supported here, as in {describe(value)}"
                raise ConfigurationError(f"{text}; download the picture and {_PICTURE_CURE}")
        else:
            hint = "; for a file give pathlib.Path(...)" if len(value) < 1024 else ""
            raise ConfigurationError(
                f"{describe(value)} is not a data URI (data:image/jpeg;base64,...){hint}"
            )

    def encode(self, name: str, value: Any, size: Size | None = None) -> str | bytes:
        """Encode a checked value for sending; takes up to tens of milliseconds for files and large images.

        Raises:
            ConfigurationError: The picture cannot be read; the text names the field.
            MissingDependencyError: Pixels or a file of another size were given and Pillow is absent.
        """
        size = size or self.size
        try:
            ready = self._ready(value)
            if ready is None:
                ready = encode_image(value, size, self.quality, self.channels, self.fit, self.max_side)
        except ConfigurationError as exc:
            raise ConfigurationError(f"{name}: {exc}") from exc
        except MissingDependencyError as exc:
            raise MissingDependencyError(exc.package, exc.extra, f"the picture in {name}") from exc
        except OSError as exc:
            raise ConfigurationError(f"{name}: the picture cannot be read: {exc}") from exc
        return ready if self.as_bytes or isinstance(ready, str) else wrap_data_uri(ready)

    def _ready(self, value: object) -> str | bytes | None:
        """Return a value that needs no encoding; None for files, pixels and rotated pictures."""
        if isinstance(value, bytearray | memoryview):
            value = bytes(value)
        if not isinstance(value, str | bytes) or is_turned(value):
            return None
        return parse_data_uri(value).data if self.as_bytes and isinstance(value, str) else value

    def size_for(self, model: object) -> tuple[int, int] | None:
        """Return the size in pixels to which pictures of this input are fitted; None if they keep their shape."""
        wanted = None
        if self.size_field is not None and self.size_field in getattr(model, "model_fields_set", ()):
            wanted = getattr(model, self.size_field)
        if wanted is None:
            return check_options(self.size, self.quality, self.channels, self.fit)
        return image_size_pixels(wanted)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Tell pydantic to check with :meth:`check` and to dump with :meth:`encode`."""
        name = handler.field_name or "image"
        if self.size_field is None:
            serialization = core_schema.plain_serializer_function_ser_schema(
                lambda value: self.encode(name, value), when_used="unless-none"
            )
        else:
            serialization = core_schema.plain_serializer_function_ser_schema(
                lambda model, value: self.encode(name, value, self.size_for(model)),
                is_field_serializer=True,
                when_used="unless-none",
            )
        return core_schema.no_info_plain_validator_function(self.check, serialization=serialization)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the field as it is sent: text or bytes."""
        return {"type": "string", "format": "binary"} if self.as_bytes else {"type": "string"}


def image_field(kind: type[BaseModel], name: str) -> ImageField:
    """Return the ``ImageField`` of an input class's field.

    Raises:
        ConfigurationError: The field does not take a picture.
    """
    info = kind.model_fields[name]
    pending: list[Any] = [*info.metadata, info.annotation]
    for each in pending:
        if isinstance(each, ImageField):
            return each
        pending += [*getattr(each, "__metadata__", ()), *get_args(each)]
    raise ConfigurationError(f"{kind.__name__}.{name} takes no picture")


def _check_file(path: os.PathLike[str]) -> None:
    try:
        check_no_folder(path)
    except OSError as exc:
        raise ConfigurationError(f"no file at {describe(path)}: {exc.strerror or exc}") from exc


def _bytes_from_text(value: object) -> object:
    return decode_base64(value) if isinstance(value, str) else value


WireBytes: TypeAlias = Annotated[bytes, BeforeValidator(_bytes_from_text)]
"""Raw bytes in a msgpack message, base64 text in a JSON one; always ``bytes`` here."""


def _numbers_only(value: object) -> object:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {key: number for key, number in value.items() if isinstance(number, int | float)}
    return value


Timings: TypeAlias = Annotated[dict[str, float], BeforeValidator(_numbers_only)]
"""Seconds by name, usually ``inference``; values that are not numbers are left out, and null is empty."""


def _none_is_empty(value: object) -> object:
    return [] if value is None else value


Flags: TypeAlias = Annotated[list[bool], BeforeValidator(_none_is_empty)]
"""One boolean per image; null is empty."""


def _text_of_number(value: object) -> object:
    return str(value) if type(value) is int else value


NumberText: Final = BeforeValidator(_text_of_number)
"""Accepts a number where a schema requires its text, such as ``"4"``."""
