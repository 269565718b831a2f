"""Converts pictures of any kind to what the models accept: encoded bytes, or a data URI of them.

Encoded pictures are sent unchanged; only pixels, and pictures of the wrong size, are encoded
(as JPEG). At 704 x 704 encoding takes about a millisecond and base64 a twentieth of that.

Source: a data URI is the form in which every realtime model takes a frame (wire facts W60 to
W64, docs/reference/wire.md).
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from falrt.exceptions import ConfigurationError, DecodeError
from falrt.media.fit import Fit, place, say_if_cut, within
from falrt.media.image_header import image_format, read_header
from falrt.media.source import (
    BGR,
    Channels,
    Fitted,
    ImageSource,
    Size,
    check_fit,
    check_no_folder,
    describe,
    is_array,
    is_data_uri,
    is_pil,
    is_web_url,
)
from falrt.protocol.numbers import Rule, check_number

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
    "DataURI",
    "SlowFormatWarning",
    "check_data_uri",
    "check_options",
    "data_uri",
    "decode_base64",
    "encode_base64",
    "encode_image",
    "is_turned",
    "jpeg_bytes",
    "parse_data_uri",
    "warn_if_slow",
    "wrap_data_uri",
]

# A drawing with few colours makes a small PNG in a few milliseconds; a photo makes one far above this.
_SLOW_PNG_BYTES = 64 * 1024
# Parameters such as ;charset= may come between the type and the payload.
_DATA_URI_HEAD_CHARACTERS = 256
# What libjpeg writes, and therefore every canvas and camera: a JFIF segment of 16 bytes, then the first table. EXIF
# data would be between the two.
_PLAIN_JPEG, _TABLE, _TABLE_AT = b"\xff\xd8\xff\xe0\x00\x10", b"\x00\x00\xff\xdb\x00\x43", 18
_PLAIN_JPEG_BASE64, _TABLE_BASE64, _TABLE_AT_BASE64 = "/9j/4AAQ", "AAD/2wBD", 24
# PATH_MAX of Linux. Longer text is usually base64 without its head, and the system's error would show all of it.
_LONGEST_PATH_BYTES = 4096


_QUALITY: Final = Rule("a whole number between 1 and 95", 1, 95, whole=True)
_SIDE: Final = Rule("a whole number of pixels from 1 to 16384", 1, 16384, whole=True)


class SlowFormatWarning(UserWarning):
    """A frame is a PNG, which takes 200 times as long to encode as a JPEG (704 x 704: 237 ms)."""


class DataURI(NamedTuple):
    """The parts of a data URI.

    Attributes:
        mime_type: The media type that the URI gives, such as ``image/jpeg``; empty if it gives none.
        data: The decoded payload.
    """

    mime_type: str
    data: bytes


def data_uri(
    source: ImageSource,
    size: Size | None = None,
    quality: int = 85,
    channels: Channels = "RGB",
    fit: Fit | None = None,
) -> str:
    """Encode a picture as the inline text that image inputs accept.

    A photo that is rotated by its EXIF orientation is turned upright, whatever its source; other encoded
    pictures of the right size are not changed.

    Args:
        source: One of

            - ``bytes``: an encoded JPEG, PNG, WebP or GIF, which is not changed; other formats are converted
              by Pillow;
            - a path (``str`` or ``pathlib.Path``);
            - a data URI;
            - a PIL image; 16-bit grey is scaled to 8 bits, transparent parts become white;
            - a numpy array of dtype uint8 and shape ``(height, width, 3)``, ``(height, width)`` for grey, or
              ``(height, width, 4)``, whose fourth channel is ignored (renderers and screen grabs leave
              arbitrary values there);
            - one of these in :class:`falrt.media.BGR` or :class:`falrt.media.Fitted`.

        size: ``(width, height)`` in pixels, or one number for a square. Default: the picture's own size; a
            12-megapixel photo then becomes 9 MB, so pass the size that the model works at.
        quality: JPEG quality, 1 to 95, for pictures that are encoded here; ready pictures keep theirs.
        channels: ``"RGB"``, or ``"BGR"`` for OpenCV arrays. Ignored for other sources.
        fit: What happens if ``size`` has another aspect ratio: ``"cover"`` (the default) scales and crops the
            picture, ``"contain"`` keeps all of it and adds black borders, ``"stretch"`` distorts it. If it is
            not given and the picture is cropped, a warning is logged, once for each pair of sizes.

    Returns:
        ``data:image/jpeg;base64,...`` (or ``png``, ``webp``, ``gif`` for a ready picture), a third longer
        than the bytes.

    Raises:
        ConfigurationError: The source is not a picture, has a wrong shape, mode or dtype, is a folder or a web
            address, or an option is wrong.
        FileNotFoundError: The file does not exist.
        MissingDependencyError: Pixels were given, or a picture has to be turned or scaled, and Pillow or numpy is
            absent; install ``falrt[images]``.

    Warns:
        SlowFormatWarning: A large PNG was given as bytes, or as a file that is sent unchanged.
    """
    check_options(size, quality, channels, fit)
    if size is None and isinstance(source, str) and is_data_uri(source):
        check_data_uri(source)
        if not is_turned(source):
            return source
    return wrap_data_uri(encode_image(source, size, quality, channels, fit))


def wrap_data_uri(data: bytes) -> str:
    """Return encoded bytes as a data URI; the media type is determined from the bytes."""
    return f"data:image/{image_format(data) or 'jpeg'};base64,{encode_base64(data)}"


def jpeg_bytes(
    source: ImageSource,
    size: Size | None = None,
    quality: int = 85,
    channels: Channels = "RGB",
    fit: Fit | None = None,
) -> bytes:
    """Return a picture as an encoded JPEG; a ready JPEG of the right size is returned unchanged.

    Arguments, errors and warnings are those of :func:`data_uri`.
    """
    data = encode_image(source, size, quality, channels, fit)
    if image_format(data) == "jpeg":
        return data
    return _encode_pil(_decoded(data), None, quality, None)


def encode_image(
    source: ImageSource,
    size: Size | None = None,
    quality: int = 85,
    channels: Channels = "RGB",
    fit: Fit | None = None,
    max_side: int | None = None,
) -> bytes:
    """Return a picture as encoded bytes: ready ones unchanged, pixels and pictures of another size as JPEG.

    Arguments, errors and warnings are those of :func:`data_uri`. Where no ``size`` is given, a picture with a side
    longer than ``max_side`` pixels is scaled down to that, in its own shape.
    """
    target = check_options(size, quality, channels, fit, max_side)
    if isinstance(source, Fitted):
        fit, source = source.fit, source.picture
    if isinstance(source, BGR):
        channels, source = "BGR", source.pixels
    if is_array(source):
        from falrt.media import arrays

        arrays.check_array(source)
        own = source.shape[1], source.shape[0]
        target = target or within(own, max_side)
        say_if_cut(own, target, fit)
        return arrays.encode_jpeg(source, target, quality, channels, fit)
    if is_pil(source):
        image = _loaded(source)
    else:
        data = _read(source)
        header = read_header(data)
        if header is not None and header.orientation == 1:
            wanted = target or (within(header.size, max_side) if header.size else None)
            # A PNG file took no time to encode here, but its size slows down sending: warn only if it is sent.
            if wanted in (None, header.size):
                warn_if_slow(data)
                return data
        image = _decoded(data)
    target = target or within(image.size, max_side)
    say_if_cut(image.size, target, fit)
    return _encode_pil(image, target, quality, fit)


def check_data_uri(uri: str) -> tuple[str, int]:
    """Return the media type and the index of the payload; looks at the first characters only.

    Raises:
        ConfigurationError: It is not a data URI, not in base64, or empty.
    """
    if not isinstance(uri, str):
        raise ConfigurationError(f"a data URI must be a str, not {describe(uri)}")
    comma = uri.find(",", 0, _DATA_URI_HEAD_CHARACTERS)
    head = uri[: max(comma, 0)].lower()
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise ConfigurationError(f"not a data URI in base64 (data:image/jpeg;base64,...): {describe(uri)}")
    if comma + 1 == len(uri):
        raise ConfigurationError("the data URI is empty after its comma")
    return head[5:].split(";", 1)[0], comma + 1


def parse_data_uri(uri: str) -> DataURI:
    """Decode a base64 data URI.

    Raises:
        ConfigurationError: It is not a data URI, not in base64, or the payload is damaged.
    """
    mime_type, payload_at = check_data_uri(uri)
    try:
        return DataURI(mime_type, decode_base64(uri[payload_at:]))
    except ValueError as exc:
        raise ConfigurationError(f"the data URI's base64 is damaged: {exc}") from exc


def is_turned(picture: str | bytes) -> bool:
    """Tell whether a ready picture, or the data URI of one, is rotated or mirrored by its EXIF data.

    Takes a microsecond for a picture without EXIF data, which is every frame of a canvas or a camera.
    """
    if isinstance(picture, bytes):
        if picture.startswith(_PLAIN_JPEG) and picture.startswith(_TABLE, _TABLE_AT):
            return False
        header = read_header(picture)
        return header is not None and header.orientation != 1
    start = picture.find(",", 0, _DATA_URI_HEAD_CHARACTERS) + 1
    at_table = start + _TABLE_AT_BASE64
    if picture.startswith(_PLAIN_JPEG_BASE64, start) and picture.startswith(_TABLE_BASE64, at_table):
        return False
    try:
        return is_turned(parse_data_uri(picture).data)
    except ConfigurationError:  # damaged: reported where it is read
        return False


def encode_base64(data: bytes) -> str:
    """Encode to base64 text, with pybase64 if that is installed."""
    text: str = b64encode_as_string(data)
    return text


def decode_base64(text: str) -> bytes:
    """Decode base64 text, with pybase64 if that is installed.

    Takes the URL-safe alphabet as well, which pydantic writes into JSON; and, as browsers do, line breaks,
    percent-encoding and missing padding.

    Raises:
        ValueError: A character outside the alphabet, or an impossible length.
    """
    if "-" in text or "_" in text:
        text = text.translate({ord("-"): "+", ord("_"): "/"})
    try:
        data: bytes = b64decode(text, validate=True)
    except ValueError:
        text = "".join(unquote(text).split()).rstrip("=")
        data = b64decode(text + "=" * (-len(text) % 4), validate=True)
    return data


def check_options(
    size: Size | None, quality: int, channels: str, fit: str | None = None, max_side: int | None = None
) -> tuple[int, int] | None:
    """Check the options of an encoding, and return the size as ``(width, height)``.

    Raises:
        ConfigurationError: Names the option and its allowed values.
    """
    if channels not in ("RGB", "BGR"):
        raise ConfigurationError(f"channels must be 'RGB' or 'BGR', not {channels!r}")
    if fit is not None:
        check_fit(fit)
    check_number("quality", quality, _QUALITY)
    check_number("max_side", max_side, _SIDE, optional=True)
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(map(_SIDE.allows, sides)):
        raise ConfigurationError(f"size must be (width, height) in pixels from 1 to 16384, not {size!r}")
    return sides[0], sides[1]


def warn_if_slow(data: bytes | str, stacklevel: int = 4) -> None:
    """Warn if encoded bytes, or a data URI, are a PNG that is too large to be encoded quickly."""
    if len(data) < _SLOW_PNG_BYTES:
        return
    is_png = data.startswith("data:image/png") if isinstance(data, str) else image_format(data) == "png"
    if is_png:
        text = "a PNG frame takes 200 times as long to encode as a JPEG; give a JPEG or the pixels"
        warnings.warn(text, SlowFormatWarning, stacklevel=stacklevel)


def _read(source: object) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if not isinstance(source, str | os.PathLike):
        cure = "give encoded bytes, a path, a data URI, a PIL image or a numpy array"
        raise ConfigurationError(f"a picture cannot be made from {describe(source)}; {cure}")
    if isinstance(source, str) and is_data_uri(source):
        return parse_data_uri(source).data
    if isinstance(source, str) and is_web_url(source):
        raise ConfigurationError(f"{describe(source)} is a web address; download it first and give its bytes")
    try:
        path = os.fsencode(source)
    except UnicodeEncodeError:  # half of a surrogate pair, which no file has in its name
        path = b""
    if not 0 < len(path) <= _LONGEST_PATH_BYTES or b"\0" in path:
        raise ConfigurationError(
            f"{describe(source)} is neither a path nor a data URI (data:image/jpeg;base64,...)"
        )
    check_no_folder(source)
    return Path(source).read_bytes()


def _loaded(image: PILImage) -> PILImage:
    """Return the user's image upright and in mode RGB or L."""
    from falrt.media import pillow

    if 0 in image.size:
        raise ConfigurationError(f"a {describe(image)} is not a picture: it has no pixels")
    try:
        image.load()
        return pillow.flatten(pillow.upright(image))
    except ConfigurationError:
        raise
    except Exception as exc:  # closed, cut short, or not what its header said: Pillow raises many kinds
        raise ConfigurationError(f"a {describe(image)} cannot be read: {exc}") from exc


def _decoded(data: bytes) -> PILImage:
    """Decode a picture, upright and in mode RGB or L."""
    from falrt.media import pillow

    try:
        return pillow.flatten(pillow.decode(data))
    except DecodeError as exc:
        cure = "give a JPEG, PNG, WebP or GIF"
        raise ConfigurationError(f"not a picture that Pillow can read: {describe(data)}; {cure}") from exc


def _encode_pil(image: PILImage, target: tuple[int, int] | None, quality: int, fit: Fit | None) -> bytes:
    from falrt.media import arrays, pillow

    if target is not None:
        image = arrays.fit_pil(image, place(image.size, target, fit))
    return pillow.encode_jpeg(image, quality)
