"""Field types of the models: pictures as inputs, image sizes, timings, bytes that survive JSON.

Checks look at types and first characters only: a frame of 60 KB passes in a microsecond.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
)
from pydantic_core import CoreSchema, core_schema

from falrt.exceptions import ConfigurationError, MissingDependencyError
from falrt.media import arrays
from falrt.media.data_uri import (
    Channels,
    Size,
    check_data_uri,
    check_options,
    decode_base64,
    encode_image,
    parse_data_uri,
    warn_if_slow,
    wrap_data_uri,
)
from falrt.media.image_header import image_format
from falrt.media.source import BGR, ImageSource, check_no_folder, describe, is_array, is_pil, is_web_url

__all__ = [
    "IMAGE_SIZES",
    "ImageField",
    "ImageSize",
    "ImageSizeChoice",
    "ImageSizePreset",
    "ImageSource",
    "Timings",
    "WireBytes",
    "image_size_pixels",
]

_PICTURE_CURE = "give a data URI, JPEG bytes, a pathlib.Path, a PIL image or a numpy array"


@dataclass(frozen=True, slots=True)
class ImageField:
    """Makes a field accept a picture from anywhere: ``image_url: Annotated[ImageSource, ImageField(...)]``.

    Accepted are a data URI (``str``), encoded JPEG, PNG, WebP or GIF bytes, a ``pathlib.Path`` to an existing
    file, a PIL image, and a numpy array of uint8 (``(height, width, 3)``, RGB; a frame of OpenCV's in
    :class:`falrt.media.BGR`). Data URIs and bytes are sent untouched. Files and pixels are cut to the
    middle, scaled to ``size`` and encoded as JPEG when the input is sent, in a thread; the pixels must not
    change until then. A plain ``str`` is never read as a path: inputs may come from strangers, and a path
    would send them our files.

    Attributes:
        size: Pixels to which files and pixels are fitted: ``(width, height)`` or one number; None keeps their
            own size.
        quality: JPEG quality, 1 to 95.
        as_bytes: Send raw encoded bytes instead of a data URI; saves a third.
        web_urls: Whether http and https addresses are passed on to the server.
        channels: Order of the colours in arrays: ``"RGB"``, or ``"BGR"`` for OpenCV.
    """

    size: Size | None = None
    quality: int = 85
    as_bytes: bool = False
    web_urls: bool = False
    channels: Channels = "RGB"

    def __post_init__(self) -> None:
        check_options(self.size, self.quality, self.channels)

    def check(self, value: object) -> object:
        """Return the value as it is, or say what is wrong with it; microseconds, nothing is read or decoded.

        Raises:
            ConfigurationError: The value can be no picture; the text says what to give instead.
        """
        if isinstance(value, str):
            self._check_text(value)
        elif isinstance(value, bytes | bytearray | memoryview):
            data = bytes(value[:12])
            if image_format(data) is None:
                cure = "other formats can be given as PIL.Image.open(...)"
                raise ConfigurationError(f"{describe(value)} are no JPEG, PNG, WebP or GIF; {cure}")
            warn_if_slow(value if isinstance(value, bytes) else bytes(value))
        elif isinstance(value, os.PathLike):
            _check_file(value)
        elif isinstance(value, BGR):
            arrays.check_array(value.pixels)
        elif is_array(value):
            arrays.check_array(value)
        elif not is_pil(value):
            raise ConfigurationError(f"a picture cannot be made from {describe(value)}; {_PICTURE_CURE}")
        return value

    def _check_text(self, value: str) -> None:
        if value.startswith("data:"):
            check_data_uri(value)
            warn_if_slow(value, stacklevel=5)
        elif is_web_url(value):
            if not self.web_urls:
                text = (
                    f"web addresses are not supported here, as in {describe(value)}; download the picture and"
                )
                raise ConfigurationError(f"{text} {_PICTURE_CURE}")
        else:
            hint = "; for a file give pathlib.Path(...)" if len(value) < 1024 else ""
            raise ConfigurationError(f"{describe(value)} is no data URI (data:image/jpeg;base64,...){hint}")

    def encode(self, name: str, value: Any) -> str | bytes:
        """Make what is sent of a checked value; up to tens of milliseconds for files and large pixels.

        Raises:
            ConfigurationError: The picture cannot be read; the text names the field.
            MissingDependencyError: Pixels or a file of another size were given and Pillow is absent.
        """
        # What is encoded already travels as it is, whatever its size.
        if isinstance(value, str) and not self.as_bytes:
            return value
        try:
            data = _ready(value)
            if data is None:
                data = encode_image(value, self.size, self.quality, self.channels)
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}: {error}") from error
        except MissingDependencyError as error:
            raise MissingDependencyError(error.package, error.extra, f"the picture in {name}") from error
        except OSError as error:
            raise ConfigurationError(f"{name}: the picture cannot be read: {error}") from error
        return data if self.as_bytes else wrap_data_uri(data)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Tell pydantic to check with :meth:`check` and to dump with :meth:`encode`."""
        encode = partial(self.encode, handler.field_name or "image")
        serialization = core_schema.plain_serializer_function_ser_schema(encode, when_used="unless-none")
        return core_schema.no_info_plain_validator_function(self.check, serialization=serialization)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the field as it is on the wire: text, or bytes."""
        return {"type": "string", "format": "binary"} if self.as_bytes else {"type": "string"}


def _ready(value: object) -> bytes | None:
    if isinstance(value, str):
        return parse_data_uri(value).data
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else None


def _check_file(path: os.PathLike[str]) -> None:
    try:
        check_no_folder(path)
    except OSError as error:
        raise ConfigurationError(f"no file at {describe(path)}: {error.strerror or error}") from error


ImageSizePreset: TypeAlias = Literal[
    "square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"
]
"""Sizes with a name; their pixels stand in :data:`IMAGE_SIZES`."""

IMAGE_SIZES: Mapping[ImageSizePreset, tuple[int, int]] = MappingProxyType(
    {
        "square_hd": (1024, 1024),
        "square": (512, 512),
        "portrait_4_3": (768, 1024),
        "portrait_16_9": (576, 1024),
        "landscape_4_3": (1024, 768),
        "landscape_16_9": (1024, 576),
    }
)
"""Width and height in pixels of each preset. Klein has its own: see :mod:`falrt.models.klein`.

Source: wire fact W65, docs/reference/wire.md.
"""


class ImageSize(BaseModel):
    """A size in pixels instead of a preset.

    Attributes:
        width: 1 to 14142, default 512.
        height: Likewise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=512, gt=0, le=14142)
    height: int = Field(default=512, gt=0, le=14142)


def _size_kind(value: Any) -> str:
    return "preset" if isinstance(value, str) else "object"


ImageSizeChoice: TypeAlias = Annotated[
    Annotated[ImageSizePreset, Tag("preset")] | Annotated[ImageSize, Tag("object")],
    Discriminator(_size_kind),
]
"""A preset's name, or an :class:`ImageSize` (or a mapping of its fields)."""


def image_size_pixels(size: ImageSizePreset | ImageSize) -> tuple[int, int]:
    """Give width and height in pixels of a checked ``image_size``."""
    return (size.width, size.height) if isinstance(size, ImageSize) else IMAGE_SIZES[size]


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
"""Seconds by name, ``inference`` as a rule; what is no number is left out, and null is empty."""


def _none_is_empty(value: object) -> object:
    return [] if value is None else value


Flags: TypeAlias = Annotated[list[bool], BeforeValidator(_none_is_empty)]
"""One truth value per image; null is empty."""
