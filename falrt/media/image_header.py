"""Format and pixel size of a picture from its first bytes, without decoding it.

Knows the four formats that travel as frames: JPEG, PNG, WebP and GIF.
Reads bytes and nothing else, so it costs microseconds and needs no image library.
Arbitrary bytes never raise: what cannot be read is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["ImageFormat", "ImageHeader", "image_format", "read_header"]

ImageFormat: TypeAlias = Literal["jpeg", "png", "webp", "gif"]

# Start-of-frame markers carry the size. C4, C8 and CC lie in the same range and mean other things.
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
    """What the first bytes of a picture say.

    Attributes:
        format: ``"jpeg"``, ``"png"``, ``"webp"`` or ``"gif"``.
        width: Stored width in pixels, or None where the bytes end too early.
        height: Stored height in pixels, or None likewise.
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
        """Stored ``(width, height)`` in pixels, or None where it is unknown."""
        if self.width is None or self.height is None:
            return None
        return self.width, self.height


def image_format(data: bytes) -> ImageFormat | None:
    """Tell the format by the magic bytes; None where it is none of the four.

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
    """Read format, stored size and orientation; None where the format is unknown.

    Args:
        data: The picture. A few dozen bytes do for the size of a PNG, WebP or GIF; a JPEG tells it behind its
            metadata, and PNG and WebP may tell their orientation at the end.
    """
    match image_format(data):
        case "jpeg":
            return _jpeg(data)
        case "png":
            return _png(data)
        case "gif":
            size = _little(data, 6, 2), _little(data, 8, 2)
            return ImageHeader("gif", *size) if None not in size else ImageHeader("gif")
        case "webp":
            return _webp(data)
        case _:
            return None


def _big(data: bytes, at: int, length: int) -> int | None:
    piece = data[at : at + length]
    return int.from_bytes(piece, "big") if len(piece) == length else None


def _little(data: bytes, at: int, length: int) -> int | None:
    piece = data[at : at + length]
    return int.from_bytes(piece, "little") if len(piece) == length else None


def _jpeg(data: bytes) -> ImageHeader:
    at, orientation = 2, 1
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte: the standard allows any number before a marker
            at += 1
            continue
        if marker in _JPEG_BARE_MARKERS:
            at += 2
            continue
        if marker in _JPEG_HEADER_ENDS:
            break
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _JPEG_FRAME_MARKERS:
            height, width = _big(data, at + 5, 2), _big(data, at + 7, 2)
            if width is None or height is None:
                break
            return ImageHeader("jpeg", width, height, orientation)
        if marker == _EXIF_APP1:
            segment = data[at + 4 : at + 2 + length]
            if segment.startswith(_EXIF_HEAD):
                orientation = _exif_orientation(segment[6:])
        at += 2 + length
    return ImageHeader("jpeg", orientation=orientation)


def _exif_orientation(tiff: bytes) -> int:
    """Find the orientation in the first directory of EXIF data, which are a TIFF file; 1 where there is none."""
    read = _little if tiff[:2] == b"II" else _big
    directory = read(tiff, 4, 4)
    entries = None if directory is None else read(tiff, directory, 2)
    for index in range(entries or 0):
        entry = (directory or 0) + 2 + 12 * index
        tag = read(tiff, entry, 2)
        if tag == _EXIF_ORIENTATION_TAG:
            value = read(tiff, entry + 8, 2)
            return value if value is not None and 1 <= value <= 8 else 1
        if tag is None:
            break
    return 1


def _png(data: bytes) -> ImageHeader:
    width, height = _big(data, 16, 4), _big(data, 20, 4)
    # The size is only where it should be if the first chunk is the one the standard demands.
    if data[12:16] != b"IHDR" or width is None or height is None:
        return ImageHeader("png")
    at, orientation = 8, 1
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"eXIf":
            orientation = _exif_orientation(data[at + 8 : at + 8 + length])
            break
        at += 12 + length
    return ImageHeader("png", width, height, orientation)


def _webp(data: bytes) -> ImageHeader:
    width: int | None = None
    height: int | None = None
    match data[12:16]:
        case b"VP8X":  # extended: canvas size less one, three bytes each
            width, height = _little(data, 24, 3), _little(data, 27, 3)
            if width is not None and height is not None:
                width, height = width + 1, height + 1
        case b"VP8 " if data[23:26] == b"\x9d\x01\x2a":  # lossy: 14 bits each, the top two are a scale
            width, height = _little(data, 26, 2), _little(data, 28, 2)
            if width is not None and height is not None:
                width, height = width & 0x3FFF, height & 0x3FFF
        case b"VP8L" if data[20:21] == b"\x2f":  # lossless: both less one in 28 bits
            bits = _little(data, 21, 4)
            if bits is not None:
                width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            pass
    if width is None or height is None:
        return ImageHeader("webp")
    return ImageHeader("webp", width, height, _webp_orientation(data))


def _webp_orientation(data: bytes) -> int:
    """Find the EXIF chunk, which is the last as a rule; only the extended form has one, and says so."""
    if data[12:16] != b"VP8X" or not data[20] & _WEBP_HAS_EXIF:
        return 1
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return _exif_orientation(data[at + 8 : at + 8 + length].removeprefix(_EXIF_HEAD))
        at += 8 + length + length % 2  # chunks begin at even places
    return 1
