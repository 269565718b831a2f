from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from falrt.media import ImageHeader, image_format, read_header

MAGICS = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF....WEBPVP8X",
    b"RIFF....WEBPVP8 ",
    b"RIFF....WEBPVP8L",
    b"GIF89a",
]
EXIF = b"\xff\xd8\xff\xe1\x00\xffExif\x00\x00"


def encoded(format: str, size: tuple[int, int] = (37, 21), **options: Any) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, "teal").save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (encoded("JPEG"), "jpeg"),
        (encoded("JPEG", progressive=True), "jpeg"),
        (encoded("PNG"), "png"),
        (encoded("GIF"), "gif"),
        (encoded("WEBP"), "webp"),
        (encoded("WEBP", lossless=True), "webp"),
        (encoded("WEBP", exif=Image.Exif().tobytes() + b"\x00"), "webp"),
    ],
)
def test_format_and_size_agree_with_pillow(data: bytes, format: str) -> None:
    header = read_header(data)

    assert header is not None
    assert (header.format, header.size, header.mime_type) == (format, (37, 21), f"image/{format}")


def test_webp_with_transparency_tells_its_canvas_size() -> None:
    buffer = BytesIO()
    Image.new("RGBA", (300, 200), (1, 2, 3, 4)).save(buffer, "WEBP")

    assert buffer.getvalue()[12:16] == b"VP8X"
    assert read_header(buffer.getvalue()) == ImageHeader("webp", 300, 200)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("endian", ["<", ">"])
def test_exif_orientation_is_read_in_both_byte_orders(orientation: int, endian: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif[0x0112] = orientation
    exif.endian = endian

    header = read_header(encoded("JPEG", exif=exif.tobytes()))

    assert header == ImageHeader("jpeg", 37, 21, orientation)


def test_size_behind_large_metadata_is_found() -> None:
    header = read_header(encoded("JPEG", comment=b"x" * 60_000, icc_profile=b"y" * 100_000))

    assert header is not None
    assert header.size == (37, 21)


def test_fill_bytes_and_bare_markers_are_skipped() -> None:
    data = encoded("JPEG")

    assert read_header(data[:2] + b"\xff\xff\xff\xd0" + data[2:]) == ImageHeader("jpeg", 37, 21)


@pytest.mark.parametrize(
    "data", [b"", b"abc", b"BM" + bytes(60), b"RIFF....WAVE", b"GIF90a", b"\x89PNG\r\n\x1a\r"]
)
def test_other_bytes_are_none(data: bytes) -> None:
    assert image_format(data) is None
    assert read_header(data) is None


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (b"\xff\xd8\xff\xda\x00\x02", "jpeg"),  # the scan starts before any frame header
        (b"\xff\xd8\xff\xc0\x00\x11\x08", "jpeg"),
        (b"\xff\xd8\xff\xe0\x00\x04JFnot a marker", "jpeg"),
        (b"\x89PNG\r\n\x1a\n" + bytes(4) + b"IDAT" + bytes(30), "png"),
        (b"\x89PNG\r\n\x1a\n" + bytes(4) + b"IHDR\x00\x00\x00\x01", "png"),
        (b"GIF89a\x01\x00", "gif"),
        (b"RIFF....WEBPVP8X", "webp"),
        (b"RIFF....WEBPVP8 " + bytes(7) + b"\x9d\x01\x2a\x01", "webp"),
        (b"RIFF....WEBPVP8 " + bytes(20), "webp"),
        (b"RIFF....WEBPVP8L" + bytes(4) + b"\x2f\x00", "webp"),
        (b"RIFF....WEBPVP8L" + bytes(20), "webp"),
        (b"RIFF....WEBPANIM" + bytes(20), "webp"),
    ],
)
def test_a_cut_header_tells_the_format_only(data: bytes, format: str) -> None:
    header = read_header(data)

    assert header is not None
    assert (header.format, header.size) == (format, None)


@pytest.mark.parametrize(
    "tiff",
    [
        b"",
        b"II*\x00",
        b"II*\x00\xff\xff\xff\xff",
        b"II*\x00\x08\x00\x00\x00\x05\x00",  # five entries are promised and none is there
        b"II*\x00\x08\x00\x00\x00\x01\x00"
        + struct.pack("<HHIHH", 0x0112, 3, 1, 9, 0),  # nine is no orientation
        b"II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHI", 0x0112, 3, 1),
        b"II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHIHH", 0x010F, 3, 1, 3, 0),  # another tag alone
    ],
)
def test_damaged_exif_counts_as_upright(tiff: bytes) -> None:
    body = b"Exif\x00\x00" + tiff
    header = read_header(b"\xff\xd8\xff\xe1" + struct.pack(">H", len(body) + 2) + body)

    assert header == ImageHeader("jpeg")


def test_app1_segments_that_are_no_exif_are_ignored() -> None:
    assert read_header(b"\xff\xd8\xff\xe1\x00\x08http:/") == ImageHeader("jpeg")


@given(st.sampled_from([b"", *MAGICS, EXIF]), st.binary(max_size=200))
def test_arbitrary_bytes_never_raise(magic: bytes, rest: bytes) -> None:
    header = read_header(magic + rest)

    assert (header is None) == (image_format(magic + rest) is None)


@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"]),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(0, 900),
)
def test_any_cut_of_a_picture_tells_the_true_size_or_none(
    format: str, width: int, height: int, cut: int
) -> None:
    header = read_header(encoded(format, (width, height))[:cut])

    assert header is None or header.size in (None, (width, height))
