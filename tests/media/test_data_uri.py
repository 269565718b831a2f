from __future__ import annotations

import base64
import builtins
import re
import subprocess
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from falrt import media
from falrt.exceptions import ConfigurationError, MissingDependencyError
from falrt.media import SlowFormatWarning, data_uri, encode_image, jpeg_bytes, parse_data_uri, read_header
from falrt.media.data_uri import decode_base64, encode_base64
from falrt.models import Image as AnswerImage

# Left half red, right half blue, so that a swap of channels or sides shows.
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def halves(width: int = 64, height: int = 48) -> np.ndarray[Any, np.dtype[np.uint8]]:
    array = np.zeros((height, width, 3), np.uint8)
    array[:, : width // 2], array[:, width // 2 :] = RED, BLUE
    return array


def encoded(format: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = BytesIO()
    (image or Image.fromarray(halves())).save(buffer, format, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


def assert_near(actual: Any, expected: tuple[int, int, int], tolerance: int = 20) -> None:
    assert max(abs(a - b) for a, b in zip(actual, expected, strict=True)) <= tolerance, (actual, expected)


def assert_halves(data: bytes, size: tuple[int, int]) -> None:
    image = pixels(data)
    assert image.size == size
    assert_near(image.getpixel((size[0] // 8, size[1] // 2)), RED)
    assert_near(image.getpixel((size[0] * 7 // 8, size[1] // 2)), BLUE)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_ready_bytes_are_taken_as_they_are(format: str) -> None:
    data = encoded(format)

    uri = data_uri(data)

    assert uri.startswith(f"data:image/{format.lower()};base64,")
    assert parse_data_uri(uri) == (f"image/{format.lower()}", data)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes_will_do(kind: Any) -> None:
    data = encoded("JPEG")

    assert encode_image(kind(data)) == data


@pytest.mark.parametrize(
    "source",
    [
        halves(),
        media.BGR(halves()[..., ::-1]),
        np.dstack([halves(), np.zeros((48, 64), np.uint8)]),
        np.asfortranarray(halves()),
        Image.fromarray(halves()),
        Image.fromarray(halves()).convert("RGBA"),
        Image.fromarray(halves()).convert("CMYK"),
        encoded("BMP"),
        encoded("PNG"),
        bytearray(encoded("WEBP", lossless=True)),
    ],
    ids=lambda source: type(source).__name__,
)
@pytest.mark.parametrize("size", [None, (64, 48), (32, 24), (128, 96)])
def test_every_source_keeps_its_colours_and_sides(source: Any, size: tuple[int, int] | None) -> None:
    data = jpeg_bytes(source, size, 95)

    assert media.image_format(data) == "jpeg"
    assert_halves(data, size or (64, 48))


@pytest.mark.parametrize("size", [None, (32, 24)])
@pytest.mark.parametrize("channels", [3, 4])
def test_bgr_arrays_come_out_with_the_right_colours(channels: int, size: tuple[int, int] | None) -> None:
    array = np.dstack([halves()[..., ::-1], np.zeros((48, 64), np.uint8)])[..., :channels]

    assert_halves(jpeg_bytes(array, size, 95, "BGR"), size or (64, 48))


@pytest.mark.parametrize("array", [np.full((10, 12), 128, np.uint8), np.full((10, 12, 1), 128, np.uint8)])
@pytest.mark.parametrize("size", [None, 6])
def test_grey_arrays_stay_grey(array: Any, size: int | None) -> None:
    image = Image.open(BytesIO(jpeg_bytes(array, size)))

    assert image.mode == "L"
    assert image.size == ((6, 6) if size else (12, 10))
    assert abs(int(image.getpixel((2, 2))) - 128) < 3  # type: ignore[arg-type]  # one number in mode L


def test_true_is_white_in_a_mask() -> None:
    mask = np.zeros((16, 16), np.bool_)
    mask[:, 8:] = True

    image = pixels(jpeg_bytes(mask, 32, 95))

    assert image.size == (32, 32)
    assert_near(image.getpixel((2, 16)), (0, 0, 0))
    assert_near(image.getpixel((29, 16)), WHITE)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_of_a_pil_image_become_white(mode: str) -> None:
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0)).convert(mode)
    if mode == "P":
        image = Image.new("P", (16, 16), 0)
        image.info["transparency"] = 0

    assert_near(pixels(jpeg_bytes(image)).getpixel((8, 8)), WHITE)


@pytest.mark.parametrize("path", [str, Path])
def test_a_file_is_read_as_it_is(path: Any, tmp_path: Path) -> None:
    file = tmp_path / "me.jpg"
    file.write_bytes(encoded("JPEG"))

    assert encode_image(path(file)) == file.read_bytes()


def test_the_middle_is_cut_out_before_scaling() -> None:
    array = np.zeros((40, 120, 3), np.uint8)
    array[:, 40:80] = RED

    image = pixels(jpeg_bytes(array, 20, 95))

    assert image.size == (20, 20)
    assert_near(image.getpixel((2, 10)), RED)
    assert_near(image.getpixel((17, 10)), RED)


def test_ready_bytes_of_the_wanted_size_are_not_encoded_again() -> None:
    data = encoded("WEBP")

    assert encode_image(data, (64, 48)) == data
    assert encode_image(data_uri(data), (64, 48)) == data


def test_a_data_uri_is_returned_as_it_is() -> None:
    uri = data_uri(encoded("JPEG"))

    assert data_uri(uri) is uri
    assert_halves(encode_image(data_uri(uri, (32, 24))), (32, 24))


def test_quality_makes_the_jpeg_smaller() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)

    assert len(jpeg_bytes(noise, quality=30)) < len(jpeg_bytes(noise, quality=90))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (5, "made from int; give encoded bytes, a path"),
        (None, "NoneType"),
        (b"nonsense", "not a picture that Pillow can read: 8 bytes starting b'nonsense'"),
        ("https://x.y/z.jpg", "web address; download it"),
        ("data:image/jpeg,abc", "not a data URI in base64"),
        ("data:image/jpeg;base64,", "empty"),
        ("data:image/jpeg;base64" + "x" * 400, "not a data URI in base64"),
        (np.zeros((3, 4, 5), np.uint8), "transpose(1, 2, 0)"),
        (np.zeros((4,), np.uint8), "shape (4,)"),
        (np.zeros((0, 4, 3), np.uint8), "shape (0, 4, 3)"),
        (np.zeros((4, 5, 3), np.float32), "(array * 255).astype('uint8')"),
        (np.zeros((4, 5, 3), np.int16), "dtype int16"),
        (media.BGR(np.zeros((4, 5, 2), np.uint8)), "shape (4, 5, 2)"),
        (
            np.zeros((1, 70_000, 3), np.uint8),
            "70000 x 1 pixels cannot be encoded: the sides of a JPEG have at most",
        ),
        (Image.new("1", (1, 65_501)), "1 x 65501 pixels cannot be encoded"),
        (Image.new("RGB", (0, 5)), "mode RGB and size (0, 5) is not a picture: it has no pixels"),
        ("", "'' is neither a path nor a data URI"),
        ("a\0b", "is neither a path nor a data URI"),
        ("\ud800", "is neither a path nor a data URI"),
        ("/9j/" * 2_000, "...' is neither a path nor a data URI"),
        (str(Path(__file__).parent), "tests/media' is a folder; give the path of one picture"),
        (Path(__file__).parent, "tests/media' is a folder; give the path of one picture"),
        ("/dev/zero", "is a device or a socket; give the path of a file"),
    ],
)
@pytest.mark.parametrize("function", [data_uri, encode_image, jpeg_bytes])
def test_a_wrong_source_is_named_with_the_cure(function: Any, source: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        function(source)

    assert words in str(caught.value)


def test_an_empty_image_cannot_be_scaled_either() -> None:
    with pytest.raises(ConfigurationError, match="no pixels"):
        data_uri(Image.new("RGB", (0, 5)), 16)


@pytest.mark.parametrize("picture", [np.zeros((1, 70_000, 3), np.uint8), Image.new("L", (70_000, 1))])
def test_a_size_helps_a_picture_too_long_for_a_jpeg(picture: Any) -> None:
    assert pixels(jpeg_bytes(picture, 16)).size == (16, 16)


def test_the_longest_side_that_a_jpeg_can_have_is_taken() -> None:
    assert pixels(jpeg_bytes(np.zeros((1, 65_500), np.uint8))).size == (65_500, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"size": (4, -1)},
        {"size": (4, 4, 4)},
        {"size": ()},
        {"size": (1.5, 2)},
        {"size": 20_000},
        {"size": 1.5},
        {"size": True},
        {"size": (True, 4)},
        {"size": "big"},
        {"quality": 0},
        {"quality": 101},
        {"quality": 50.5},
        {"quality": "x"},
        {"quality": None},
        {"quality": True},
        {"channels": "rgb"},
    ],
)
@pytest.mark.parametrize("function", [data_uri, encode_image, jpeg_bytes])
def test_a_wrong_option_is_named_with_its_value(function: Any, options: dict[str, Any]) -> None:
    ((name, value),) = options.items()

    with pytest.raises(ConfigurationError, match=f"{name} must .* (not|got) {re.escape(repr(value))}"):
        function(Image.fromarray(halves()), **options)


def test_a_missing_file_is_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        data_uri(tmp_path / "none.jpg")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        None,
        b"data:image/png;base64,AA==",
        "data:image/png",
        "image/png;base64,AA==",
        "data:;base64,A",
        "data:;base64,é===",
    ],
)
def test_a_damaged_data_uri_cannot_be_parsed(uri: Any) -> None:
    with pytest.raises(ConfigurationError):
        parse_data_uri(uri)


def test_parameters_of_the_media_type_are_left_out() -> None:
    assert parse_data_uri("data:image/png;name=a.png;base64,AAAA") == ("image/png", b"\x00\x00\x00")


@pytest.mark.parametrize(
    "uri",
    [
        "DATA:image/png;base64,AAAA",
        "data:image/png;BASE64,AAAA",
        "data:image/png;base64,AA\r\nAA\n",
        "data:image/png;base64, AAAA",
        "data:image/png;base64,AAA%41",
    ],
)
def test_a_data_uri_is_read_as_browsers_read_it(uri: str) -> None:
    assert parse_data_uri(uri) == ("image/png", b"\x00\x00\x00")
    assert AnswerImage(url=uri).bytes() == b"\x00\x00\x00"
    assert data_uri(uri) == uri


def test_missing_padding_is_forgiven_as_browsers_do() -> None:
    assert decode_base64("AA") == decode_base64("AA==") == b"\x00"


def test_a_rotated_photo_is_turned_although_its_base64_has_line_breaks() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    Image.new("RGB", (40, 20)).save(buffer, "JPEG", exif=exif)
    wrapped = base64.encodebytes(buffer.getvalue()).decode()

    turned = data_uri(f"data:image/jpeg;base64,{wrapped}")

    assert Image.open(BytesIO(parse_data_uri(turned).data)).size == (20, 40)


def test_the_url_safe_alphabet_is_read_too() -> None:
    assert decode_base64("-_-_") == decode_base64("+/+/") == b"\xfb\xff\xbf"


@given(st.binary(min_size=1, max_size=300))
def test_base64_round_trip(data: bytes) -> None:
    assert decode_base64(encode_base64(data)) == data
    assert parse_data_uri(media.data_uri(b"\xff\xd8\xff" + data)).data == b"\xff\xd8\xff" + data


def large_png() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    return encoded("PNG", Image.fromarray(noise))


def test_a_large_png_is_warned_about() -> None:
    png = large_png()

    with pytest.warns(SlowFormatWarning, match="200 times") as caught:
        data_uri(png)

    assert caught[0].filename == __file__


@pytest.mark.parametrize("path", [str, Path])
def test_a_large_png_file_is_warned_about(path: Any, tmp_path: Path) -> None:
    file = tmp_path / "big.png"
    file.write_bytes(large_png())

    with pytest.warns(SlowFormatWarning, match="200 times") as caught:
        data_uri(path(file))

    assert caught[0].filename == __file__


def test_a_png_file_that_is_small_or_sent_as_jpeg_passes_without_warning(tmp_path: Path) -> None:
    small, large = tmp_path / "small.png", tmp_path / "big.png"
    small.write_bytes(encoded("PNG"))
    large.write_bytes(large_png())

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data_uri(small)
        data_uri(large, 64)


def test_small_pngs_and_large_jpegs_pass_without_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data_uri(encoded("PNG"))
        data_uri(encoded("JPEG", comment=b"x" * 60_000) + bytes(70_000))


@pytest.mark.parametrize("installed", [True, False])
def test_base64_is_the_same_with_and_without_pybase64(installed: bool) -> None:
    code = f"""
import base64, sys, types
fake = types.ModuleType("pybase64")
fake.b64decode = base64.b64decode
fake.b64encode_as_string = lambda data: base64.b64encode(data).decode()
sys.modules["pybase64"] = fake if {installed} else None
from falrt.media.data_uri import decode_base64, encode_base64
print(encode_base64(bytes(range(250, 256))), decode_base64("+vv8/f7/") == bytes(range(250, 256)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["+vv8/f7/", "True"]


def test_without_pillow_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def blocked(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "PIL":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    data = encoded("JPEG")
    monkeypatch.setattr(builtins, "__import__", blocked)

    assert read_header(parse_data_uri(data_uri(data)).data) is not None
    with pytest.raises(MissingDependencyError, match=r"falrt\[images\]"):
        jpeg_bytes(halves())
    with pytest.raises(MissingDependencyError, match=r"falrt\[images\]"):
        jpeg_bytes(data, 10)
