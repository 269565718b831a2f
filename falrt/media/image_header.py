"""Format and pixel size of a picture from its first bytes, without decoding it.

Knows the four formats that are sent as frames: JPEG, PNG, WebP and GIF.
Only reads bytes, so it takes microseconds and needs no image library.
Arbitrary bytes never raise: what cannot be read is None.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from struct import unpack_from
from typing import Literal, TypeAlias

__all__ = ["ImageFormat", "ImageHeader", "image_format", "read_header"]

ImageFormat: TypeAlias = Literal["jpeg", "png", "webp", "gif"]

# Start-of-frame markers contain the size. C4, C8 and CC are in the same range but have other meanings.
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length: TEM, the restarts, start of image. End of image and start of scan end the header.
_JPEG_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_HEADER_ENDS = frozenset({0xD9, 0xDA})
_EXIF_APP1 = 0xE1
_EXIF_HEAD = b"Exif\x00\x00"
_EXIF_ORIENTATION_TAG = 0x0112
_WEBP_HAS_EXIF = 0x08


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the first bytes of a picture tell.

    Attributes:
        format: ``"jpeg"``, ``"png"``, ``"webp"`` or ``"gif"``.
        width: Stored width in pixels, or None if the bytes end too early.
        height: Stored height in pixels, or None if the bytes end too early.
        orientation: EXIF orientation, 1 to 8; 1 is upright and the default. GIF has none.
    """

    format: ImageFormat
    width: int | None = None
    height: int | None = None
    orientation: int = 1

    @property
    def mime_type(self) -> str:
        """The media type, such as ``image/jpeg``."""
        return f"image/{self.format}"

    @property
    def size(self) -> tuple[int, int] | None:
        """Stored ``(width, height)`` in pixels, or None if it is unknown."""
        if self.width is None or self.height is None:
            return None
        return self.width, self.height


def image_format(data: bytes) -> ImageFormat | None:
    """Return the format by the magic bytes; None if it is none of the four.

    Args:
        data: The picture, or at least its first twelve bytes.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return None


def read_header(data: bytes) -> ImageHeader | None:
    """Read format, stored size and orientation; None if the format is unknown.

    Args:
        data: The picture. A few dozen bytes are enough for the size of a PNG, WebP or GIF; a JPEG has it after its
            metadata, and PNG and WebP may have their orientation at the end.
    """
    kind = image_format(data)
    if kind is None:
        return None
    try:
        return {"jpeg": _jpeg, "png": _png, "gif": _gif, "webp": _webp}[kind](data)
    except struct.error:  # the bytes end too early
        return ImageHeader(kind)


def _jpeg(data: bytes) -> ImageHeader:
    at, orientation = 2, 1
    while at + 9 <= len(data):  # room for a start of frame up to its size
        start, marker, length = unpack_from(">BBH", data, at)
        if start != 0xFF or marker in _JPEG_HEADER_ENDS:
            break
        if marker == 0xFF:  # a fill byte: the standard allows any number before a marker
            at += 1
        elif marker in _JPEG_BARE_MARKERS:
            at += 2
        elif marker in _JPEG_FRAME_MARKERS:
            height, width = unpack_from(">HH", data, at + 5)
            return ImageHeader("jpeg", width, height, orientation)
        else:
            if marker == _EXIF_APP1 and data.startswith(_EXIF_HEAD, at + 4):
                orientation = _exif_orientation(data[at + 10 : at + 2 + length])
            at += 2 + length
    return ImageHeader("jpeg", orientation=orientation)


def _exif_orientation(tiff: bytes) -> int:
    """Return the orientation from the first directory of EXIF data, which are a TIFF file; 1 if there is none."""
    order = "<" if tiff[:2] == b"II" else ">"
    try:
        (directory,) = unpack_from(f"{order}I", tiff, 4)
        (entries,) = unpack_from(f"{order}H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, value = unpack_from(f"{order}H6xH", tiff, entry)
            if tag == _EXIF_ORIENTATION_TAG:
                return value if 1 <= value <= 8 else 1
    except struct.error:  # damaged: without orientation
        pass
    return 1


def _png(data: bytes) -> ImageHeader:
    # The size is only there if the first chunk is the one that the standard requires.
    first, width, height = unpack_from(">4sII", data, 12)
    if first != b"IHDR":
        return ImageHeader("png")
    at, orientation = 8, 1
    while at + 8 <= len(data):
        length, chunk = unpack_from(">I4s", data, at)
        if chunk == b"eXIf":
            orientation = _exif_orientation(data[at + 8 : at + 8 + length])
            break
        at += 12 + length
    return ImageHeader("png", width, height, orientation)


def _gif(data: bytes) -> ImageHeader:
    width, height = unpack_from("<HH", data, 6)
    return ImageHeader("gif", width, height)


def _webp(data: bytes) -> ImageHeader:
    match data[12:16]:
        case b"VP8X":  # extended: canvas size less one, three bytes each
            flags, width, height = unpack_from("<B3x3s3s", data, 20)
            orientation = _webp_orientation(data) if flags & _WEBP_HAS_EXIF else 1
            width, height = (1 + int.from_bytes(side, "little") for side in (width, height))
            return ImageHeader("webp", width, height, orientation)
        case b"VP8 " if data[23:26] == b"\x9d\x01\x2a":  # lossy: 14 bits each, the top two are a scale
            width, height = unpack_from("<HH", data, 26)
            return ImageHeader("webp", width & 0x3FFF, height & 0x3FFF)
        case b"VP8L" if data[20:21] == b"\x2f":  # lossless: both less one in 28 bits
            (bits,) = unpack_from("<I", data, 21)
            return ImageHeader("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    return ImageHeader("webp")


def _webp_orientation(data: bytes) -> int:
    """Find the EXIF chunk, which is usually the last."""
    at = 12
    while at + 8 <= len(data):
        chunk, length = unpack_from("<4sI", data, at)
        if chunk == b"EXIF":
            return _exif_orientation(data[at + 8 : at + 8 + length].removeprefix(_EXIF_HEAD))
        at += 8 + length + length % 2  # chunks begin at even places
    return 1
