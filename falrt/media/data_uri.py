"""Pictures from anywhere to what the models take: encoded bytes, or the same as a data URI.

Pictures that are encoded already travel untouched; only pixels, and pictures of the wrong size, are encoded
(as JPEG). At 704 x 704 encoding takes about a millisecond and base64 a twentieth of that.

Source: a data URI is the form in which every realtime model takes a frame (wire facts W60 to
W64, docs/reference/wire.md).
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from falrt.exceptions import ConfigurationError, DecodeError
from falrt.media.image_header import ImageHeader, image_format, read_header
from falrt.media.source import BGR, ImageSource, check_no_folder, describe, is_array, is_pil, is_web_url

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

try:
    from pybase64 import b64decode, b64encode_as_string
except ImportError:  # the accelerator is optional: 60 KB take 50 instead of 2.5 microseconds
    from base64 import b64decode
    from binascii import b2a_base64

    def b64encode_as_string(data: bytes) -> str:
        """Encode as pybase64 does."""
        return b2a_base64(data, newline=False).decode("ascii")


__all__ = [
    "Channels",
    "DataURI",
    "Size",
    "SlowFormatWarning",
    "check_data_uri",
    "check_options",
    "data_uri",
    "decode_base64",
    "encode_base64",
    "encode_image",
    "jpeg_bytes",
    "parse_data_uri",
    "warn_if_slow",
    "wrap_data_uri",
]

Channels: TypeAlias = Literal["RGB", "BGR"]
"""Order of the colours in an array: RGB as nearly everywhere, BGR as in OpenCV."""

Size: TypeAlias = int | tuple[int, int]
"""Pixels: ``(width, height)``, or one number for a square."""

# A drawing of a few colours makes a small PNG in a few milliseconds; a photograph's is far above this.
_SLOW_PNG_BYTES = 64 * 1024
# Metadata such as ;charset= may stand between the type and the payload, but not without end.
_DATA_URI_HEAD_CHARACTERS = 256
# Linux's PATH_MAX. Longer text is base64 without its head as a rule, and the system's error would show all of it.
_LONGEST_PATH_CHARACTERS = 4096


class SlowFormatWarning(UserWarning):
    """A frame comes as PNG, which takes two hundred times as long to encode as JPEG (704 x 704: 237 ms)."""


class DataURI(NamedTuple):
    """A data URI taken apart.

    Attributes:
        mime_type: What the URI claims, such as ``image/jpeg``; empty where it claims nothing.
        data: The decoded payload.
    """

    mime_type: str
    data: bytes


def data_uri(
    source: ImageSource, size: Size | None = None, quality: int = 85, channels: Channels = "RGB"
) -> str:
    """Pack a picture as the inline text that image inputs accept.

    Args:
        source: One of

            - ``bytes``: an encoded JPEG, PNG, WebP or GIF, taken as it is; other formats are converted by
              Pillow;
            - a path (``str`` or ``pathlib.Path``): read, and turned upright where its EXIF data ask for it;
            - a data URI, returned as it is;
            - a PIL image of any mode; transparent parts become white;
            - a numpy array of dtype uint8 and shape ``(height, width, 3)``, ``(height, width)`` for grey, or
              ``(height, width, 4)``, whose fourth channel is ignored (renderers and screen grabs leave
              anything there).

        size: ``(width, height)`` in pixels, or one number for a square. The middle of the picture in that
            aspect ratio is cut out and scaled. Default: the picture's own size.
        quality: JPEG quality, 1 to 95, for whatever has to be encoded; ready pictures keep theirs.
        channels: ``"RGB"``, or ``"BGR"`` for OpenCV's arrays. Other sources know their order.

    Returns:
        ``data:image/jpeg;base64,...`` (or ``png``, ``webp``, ``gif`` for a ready picture), a third longer
        than the bytes.

    Raises:
        ConfigurationError: The source is no picture, of a wrong shape or dtype, a folder, a web address, or
            an option is wrong.
        FileNotFoundError: The path leads nowhere.
        MissingDependencyError: Pixels were given and Pillow or numpy is absent; install ``falrt[images]``.

    Warns:
        SlowFormatWarning: A large PNG was given as bytes, or as a file that is sent as it is.
    """
    check_options(size, quality, channels)
    if size is None and isinstance(source, str) and source.startswith("data:"):
        check_data_uri(source)
        return source
    return wrap_data_uri(encode_image(source, size, quality, channels))


def wrap_data_uri(data: bytes) -> str:
    """Write encoded bytes as a data URI, whatever they hold; the media type is told by the bytes."""
    return f"data:image/{image_format(data) or 'jpeg'};base64,{encode_base64(data)}"


def jpeg_bytes(
    source: ImageSource, size: Size | None = None, quality: int = 85, channels: Channels = "RGB"
) -> bytes:
    """Give a picture as an encoded JPEG; a ready JPEG of the right size is returned as it is.

    Arguments, errors and warnings are those of :func:`data_uri`.
    """
    data = encode_image(source, size, quality, channels)
    if image_format(data) == "jpeg":
        return data
    return _encode_pil(_decoded(data), None, quality)


def encode_image(
    source: ImageSource, size: Size | None = None, quality: int = 85, channels: Channels = "RGB"
) -> bytes:
    """Give a picture as encoded bytes: ready ones as they are, pixels and wrong sizes as JPEG.

    Arguments, errors and warnings are those of :func:`data_uri`.
    """
    target = check_options(size, quality, channels)
    if isinstance(source, BGR):
        source, channels = source.pixels, "BGR"
    if is_array(source):
        from falrt.media import arrays

        return arrays.encode_jpeg(source, target, quality, channels)
    if is_pil(source):
        return _encode_pil(source, target, quality)
    upright = False
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        warn_if_slow(data)
    elif isinstance(source, str) and source.startswith("data:"):
        data = parse_data_uri(source).data
    else:
        data, upright = _read_file(source), True
    sent = _fit_encoded(data, target, quality, upright=upright)
    # A file was encoded long ago; what a PNG still costs is its bytes on the way, so only one that travels counts.
    if upright and sent is data:
        warn_if_slow(sent)
    return sent


def check_data_uri(uri: str) -> tuple[str, int]:
    """Return the media type and where the payload starts; looks at the first characters only.

    Raises:
        ConfigurationError: It is no data URI, not in base64, or empty.
    """
    if not isinstance(uri, str):
        raise ConfigurationError(f"a data URI must be a str, not {describe(uri)}")
    comma = uri.find(",", 0, _DATA_URI_HEAD_CHARACTERS)
    head = uri[:comma] if comma >= 0 else ""
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise ConfigurationError(f"not a data URI in base64 (data:image/jpeg;base64,...): {describe(uri)}")
    if comma + 1 == len(uri):
        raise ConfigurationError("the data URI is empty behind its comma")
    return head[5:].split(";", 1)[0], comma + 1


def parse_data_uri(uri: str) -> DataURI:
    """Take a base64 data URI apart.

    Raises:
        ConfigurationError: It is no data URI, not in base64, or the payload is damaged.
    """
    mime_type, payload_at = check_data_uri(uri)
    try:
        return DataURI(mime_type, decode_base64(uri[payload_at:]))
    except ValueError as error:
        raise ConfigurationError(f"the data URI's base64 is damaged: {error}") from error


def encode_base64(data: bytes) -> str:
    """Encode to base64 text, with pybase64 where that is installed."""
    text: str = b64encode_as_string(data)
    return text


def decode_base64(text: str) -> bytes:
    """Decode base64 text strictly, with pybase64 where that is installed.

    Takes the URL-safe alphabet as well, which pydantic writes into JSON.

    Raises:
        ValueError: A character outside the alphabet or wrong padding.
    """
    if "-" in text or "_" in text:
        text = text.translate({ord("-"): "+", ord("_"): "/"})
    data: bytes = b64decode(text, validate=True)
    return data


def check_options(size: Size | None, quality: int, channels: str) -> tuple[int, int] | None:
    """Check what says how a picture is encoded, and return the size as ``(width, height)``.

    Raises:
        ConfigurationError: Names the option and what it may be.
    """
    if channels not in ("RGB", "BGR"):
        raise ConfigurationError(f"channels must be 'RGB' or 'BGR', not {channels!r}")
    if not _is_whole(quality, 95):
        raise ConfigurationError(f"quality must lie between 1 and 95, not {quality!r}; give a whole number")
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(_is_whole(side, 16384) for side in sides):
        raise ConfigurationError(f"size must be (width, height) in pixels from 1 to 16384, not {size!r}")
    return sides[0], sides[1]


def _is_whole(value: object, largest: int) -> bool:
    # True is a number to Python, and a mistake here.
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= largest


def warn_if_slow(data: bytes | str, stacklevel: int = 4) -> None:
    """Warn where encoded bytes, or a data URI, are a PNG too large to have been made quickly."""
    if len(data) < _SLOW_PNG_BYTES:
        return
    is_png = data.startswith("data:image/png") if isinstance(data, str) else image_format(data) == "png"
    if is_png:
        text = "a PNG frame takes 200 times as long to encode as a JPEG; give a JPEG or the pixels"
        warnings.warn(text, SlowFormatWarning, stacklevel=stacklevel)


def _read_file(source: object) -> bytes:
    if not isinstance(source, str | os.PathLike):
        cure = "give encoded bytes, a path, a data URI, a PIL image or a numpy array"
        raise ConfigurationError(f"a picture cannot be made from {describe(source)}; {cure}")
    if isinstance(source, str) and is_web_url(source):
        raise ConfigurationError(f"{describe(source)} is a web address; download it first and give its bytes")
    path = os.fsdecode(source)
    if not 0 < len(path) <= _LONGEST_PATH_CHARACTERS or "\0" in path:
        raise ConfigurationError(
            f"{describe(source)} is no path and no data URI (data:image/jpeg;base64,...)"
        )
    check_no_folder(path)
    return Path(path).read_bytes()


def _fit_encoded(data: bytes, target: tuple[int, int] | None, quality: int, *, upright: bool) -> bytes:
    """Return the bytes as they are if they will do, else decode, turn, fit and encode them."""
    header = read_header(data)
    if header is not None and _will_do(header, target, upright=upright):
        return data
    return _encode_pil(_decoded(data), target, quality)


def _will_do(header: ImageHeader, target: tuple[int, int] | None, *, upright: bool) -> bool:
    # Where the picture is to be scaled we open it anyway, so its orientation counts too.
    if (upright or target is not None) and header.orientation != 1:
        return False
    return target is None or header.size == target


def _decoded(data: bytes) -> PILImage:
    from falrt.media import pillow

    try:
        return pillow.decode(data)
    except DecodeError as error:
        cure = "give a JPEG, PNG, WebP or GIF"
        raise ConfigurationError(f"no picture that Pillow can read: {describe(data)}; {cure}") from error


def _encode_pil(image: PILImage, target: tuple[int, int] | None, quality: int) -> bytes:
    from falrt.media import arrays, pillow

    if 0 in image.size:
        raise ConfigurationError(f"a {describe(image)} is no picture: it has no pixels")
    if target is None:
        pillow.check_sides(image.size)
    flat = pillow.flatten(image)
    return pillow.encode_jpeg(flat if target is None else arrays.fit_pil(flat, target), quality)
