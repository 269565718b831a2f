"""Pictures that are not an upright 8-bit RGB JPEG: every mode, format and orientation, from every source."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from PIL import Image

from falrt import media
from falrt.exceptions import ConfigurationError, DecodeError
from falrt.media import Changed, data_uri, encode_image, parse_data_uri
from falrt.media.data_uri import is_turned, wrap_data_uri
from falrt.models import Image as AnswerImage
from falrt.models import ImageField, ImageSource, ModelInput, RealtimeModel

# Modes that can be told to be dark on the left and light on the right.
MODES = [
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "HSV",
    "I;16",
    "I;16B",
]
# Modes without a fixed range of values, or without colours that Pillow can convert.
REFUSED_MODES = {"I": r"array // 257", "F": r"array \* 255", "LAB": "ImageCms"}
# Format and the modes that Pillow can write in it.
FORMATS = {
    "JPEG": ["1", "L", "RGB", "CMYK", "YCbCr"],
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "GIF": ["1", "L", "P"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"],
    "BMP": ["1", "L", "P", "RGB"],
}
ENCODED = [(format, mode) for format, modes in FORMATS.items() for mode in modes]
WIDTH, HEIGHT = 64, 48


def dark_left(mode: str) -> Image.Image:
    """A picture of any mode, black on the left and white on the right."""
    grey = np.zeros((HEIGHT, WIDTH), np.uint8)
    grey[:, WIDTH // 2 :] = 255
    plain = Image.fromarray(grey)
    match mode:
        case "I;16":
            return Image.fromarray(grey.astype(np.uint16) * 257)
        case "I;16B":
            deep = (grey.astype(np.uint16) * 257).astype(">u2")
            return Image.frombytes("I;16B", plain.size, deep.tobytes())
        case "I" | "F":
            return plain.convert(mode)
        case "La" | "RGBa":
            return plain.convert("LA" if mode == "La" else "RGBA").convert(mode)
        case "PA":
            return plain.convert("P").convert("PA")
        case "HSV":
            return plain.convert("RGB").convert("HSV")
        case "LAB":
            return Image.new("LAB", plain.size)
    return plain.convert(mode)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def assert_dark_left(picture: Image.Image | Any) -> None:
    """Whatever the mode: the left is black and the right is white, and the picture is not turned."""
    pixels = np.asarray(picture.convert("RGB") if isinstance(picture, Image.Image) else picture).astype(int)
    height, width = pixels.shape[:2]
    assert width > height
    assert pixels[height // 2, width // 8].max() < 25, pixels[height // 2, width // 8]
    assert pixels[height // 2, width * 7 // 8].min() > 230, pixels[height // 2, width * 7 // 8]


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


@pytest.mark.parametrize("size", [None, (32, 24), (WIDTH, HEIGHT)])
@pytest.mark.parametrize("mode", MODES)
def test_a_pil_image_of_any_mode_is_sent_as_it_looks(mode: str, size: tuple[int, int] | None) -> None:
    assert_dark_left(opened(encode_image(dark_left(mode), size, 95)))


@pytest.mark.parametrize("size", [None, (32, 24)])
@pytest.mark.parametrize(("format", "mode"), ENCODED)
def test_a_file_of_any_format_and_mode_is_sent_as_it_looks(
    format: str, mode: str, size: tuple[int, int] | None, tmp_path: Path
) -> None:
    path = tmp_path / "picture"
    path.write_bytes(encoded(dark_left(mode), format))

    with Image.open(path) as image:
        sent = [encode_image(source, size, 95) for source in (path, path.read_bytes(), image)]

    for data in sent:
        # Where a ready picture is sent as it is, its depth is the reader's affair.
        assert_dark_left(
            opened(data) if opened(data).mode != "I;16" else AnswerImage(content=data).to_numpy()
        )


@pytest.mark.parametrize("mode", REFUSED_MODES)
def test_values_without_a_range_are_refused_with_the_cure(mode: str) -> None:
    image, words = dark_left(mode), REFUSED_MODES[mode]

    for size in (None, (32, 24)):
        with pytest.raises(ConfigurationError, match=words):
            encode_image(image, size)
    with pytest.raises(ConfigurationError, match=words):
        ImageField().check(image)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32", "float64"])
def test_pil_and_numpy_are_refused_in_the_same_words(dtype: str) -> None:
    array = np.zeros((HEIGHT, WIDTH), dtype)
    with pytest.raises(ConfigurationError) as caught:
        encode_image(array)
    image = dark_left("F" if dtype.startswith("float") else "I")
    with pytest.raises(ConfigurationError) as of_pil:
        encode_image(image)

    assert str(caught.value).partition(": ")[2] == str(of_pil.value).partition(": ")[2]


@pytest.mark.parametrize(("format", "mode"), ENCODED)
def test_an_answer_in_any_format_and_mode_is_an_array_as_it_looks(format: str, mode: str) -> None:
    array = AnswerImage(content=encoded(dark_left(mode), format)).to_numpy()

    assert (array.shape, array.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert_dark_left(array)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_an_answer_whose_values_have_no_range_is_no_picture(mode: str, tmp_path: Path) -> None:
    image = AnswerImage(content=encoded(dark_left(mode), "TIFF"))

    assert image.to_pil().mode == mode
    with pytest.raises(DecodeError, match="must be uint8"):
        image.to_numpy()
    with pytest.raises(DecodeError, match="must be uint8"):
        image.save(tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "gif", "bmp", "tiff", "ppm", "tga"])
@pytest.mark.parametrize(("format", "mode"), ENCODED)
def test_a_picture_is_saved_in_the_format_of_its_name(
    format: str, mode: str, extension: str, tmp_path: Path
) -> None:
    path = AnswerImage(content=encoded(dark_left(mode), format)).save(tmp_path / f"a.{extension}")

    with Image.open(path) as image:
        assert image.format == Image.registered_extensions()[f".{extension}"]
        assert_dark_left(AnswerImage(content=path.read_bytes()).to_numpy())


def test_a_deep_picture_stays_deep_where_the_format_allows(tmp_path: Path) -> None:
    image = AnswerImage(content=encoded(dark_left("I;16"), "TIFF"))

    with Image.open(image.save(tmp_path / "a.png")) as saved:
        assert saved.mode.startswith("I")
        assert saved.getextrema() == (0, 65535)


def test_a_transparent_picture_keeps_its_transparency_as_png(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))

    with Image.open(
        AnswerImage(content=encoded(clear, "WEBP", lossless=True)).save(tmp_path / "a.png")
    ) as saved:
        assert saved.convert("RGBA").getpixel((4, 4)) == (0, 0, 0, 0)


def test_one_transparent_colour_becomes_white() -> None:
    png = encoded(Image.new("RGB", (8, 8), (9, 9, 9)), "PNG", transparency=(9, 9, 9))

    assert opened(encode_image(opened(png))).convert("RGB").getpixel((4, 4)) == (255, 255, 255)


def test_a_format_that_cannot_hold_the_picture_is_refused(tmp_path: Path) -> None:
    image = AnswerImage(content=encoded(dark_left("RGB"), "PNG"))

    with pytest.raises(ConfigurationError, match=r"cannot be saved as \.xbm"):
        image.save(tmp_path / "a.xbm")


def test_a_pil_image_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    noise = encoded(Image.effect_noise((200, 200), 90), "JPEG")
    closed = Image.open(BytesIO(noise))
    closed.close()

    for image in (Image.open(BytesIO(noise[:-2000])), closed):
        with pytest.raises(ConfigurationError, match=r"PIL image of mode L and size .* cannot be read"):
            encode_image(image)


# Orientation.

# EXIF orientation -> how the stored pixels have to be turned to lie as a camera would store them.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def lying(format: str, orientation: int) -> bytes:
    """A photo that a viewer shows dark on the left, stored as the orientation says."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    return encoded(dark_left("RGB").transpose(TURNS[orientation]), format, exif=exif.tobytes(), **options)


class Photo(ModelInput):
    url: Annotated[ImageSource, ImageField()] | None = None
    raw: Annotated[ImageSource, ImageField(as_bytes=True)] | None = None


PHOTO = RealtimeModel("acme/app", Photo, dict)

SENDERS: dict[str, Callable[[Any, Any], bytes]] = {
    "data_uri": lambda source, size: parse_data_uri(data_uri(source, size)).data,
    "encode_image": encode_image,
    "jpeg_bytes": media.jpeg_bytes,
    "url field": lambda source, size: parse_data_uri(PHOTO.dump(Photo(url=source))["url"]).data,
    "bytes field": lambda source, size: PHOTO.dump(Photo(raw=source))["raw"],
}
SOURCES: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "bytes": lambda path: path.read_bytes(),
    "memoryview": lambda path: memoryview(path.read_bytes()),
    "data URI": lambda path: wrap_data_uri(path.read_bytes()),
    "PIL": Image.open,
    "Fitted": lambda path: media.Fitted(path, "contain"),
}


@pytest.mark.parametrize("size", [None, (WIDTH, HEIGHT), (32, 24)])
@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize(
    ("format", "source"),
    [
        *((format, source) for format in ("JPEG", "PNG", "WEBP") for source in SOURCES),
        # As bytes in a field it is refused, whatever its orientation.
        *(("TIFF", source) for source in ("path", "PIL", "Fitted")),
    ],
)
def test_a_photo_is_upright_from_every_source(
    format: str, source: str, sender: str, size: tuple[int, int] | None, tmp_path: Path
) -> None:
    path = tmp_path / "photo"
    path.write_bytes(lying(format, 6))

    sent = SENDERS[sender](SOURCES[source](path), size)

    header = media.read_header(sent)
    assert header is not None
    assert header.orientation == 1
    assert_dark_left(opened(sent))


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_every_orientation_is_read_and_undone(format: str, orientation: int) -> None:
    data = lying(format, orientation)

    header = media.read_header(data)
    assert header is not None
    assert header.orientation == orientation
    assert_dark_left(opened(encode_image(data)))
    assert_dark_left(AnswerImage(content=data).to_numpy())


@pytest.mark.parametrize("before", range(4))
def test_exif_data_are_found_at_every_phase_of_base64(before: int) -> None:
    data = lying("JPEG", 6)
    comment = b"\xff\xfe" + (2 + before).to_bytes(2, "big") + bytes(before)

    assert is_turned(wrap_data_uri(data[:2] + comment + data[2:]))


def test_an_upright_photo_is_sent_byte_by_byte() -> None:
    for format in ("JPEG", "PNG", "WEBP"):
        data = encoded(dark_left("RGB"), format, exif=Image.Exif().tobytes())
        assert encode_image(data) == data
        assert PHOTO.dump(Photo(raw=data))["raw"] == data


def test_a_photo_that_has_to_be_turned_is_turned_in_a_thread() -> None:
    assert PHOTO.is_heavy(Photo(raw=lying("JPEG", 6)))
    assert PHOTO.is_heavy(Photo(url=wrap_data_uri(lying("WEBP", 8))))
    assert not PHOTO.is_heavy(Photo(raw=encoded(dark_left("RGB"), "JPEG")))


# The gate that looks for changes.


@pytest.mark.parametrize("mode", [*MODES, "F"])
def test_a_change_is_seen_in_every_mode(mode: str) -> None:
    picture = dark_left(mode)
    other = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    assert Changed()(picture, other)
    assert not Changed()(picture, picture.copy())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_a_change_is_seen_in_arrays_of_every_type(dtype: str) -> None:
    array = np.full((64, 64), 1000 if dtype != "uint8" else 100).astype(dtype)
    other = array.copy()
    other[:32] *= 2

    assert Changed()(array, other)
    assert not Changed()(array, array.copy())


def with_info(mode: str, transparency: object) -> Image.Image:
    image = Image.new(mode, (WIDTH, HEIGHT))
    image.info["transparency"] = transparency
    return image


@pytest.mark.parametrize("image", [with_info("RGB", "bad"), with_info("P", bytes(300))])
def test_an_image_whose_transparency_pillow_cannot_apply_is_refused(image: Image.Image) -> None:
    with pytest.raises(ConfigurationError, match=r"PIL image of mode \w+ and size .* cannot be read: "):
        encode_image(image)


@pytest.mark.parametrize("extension", ["gif", "pcx", "jpg"])
def test_a_picture_too_long_for_a_format_is_named(
    extension: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = AnswerImage(content=encoded(Image.new("RGB", (70_000, 1)), "PNG"))

    with pytest.raises(ConfigurationError, match="70000"):
        picture.save(tmp_path / f"long.{extension}")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("pixels", ["photo.jpg", None, [[1]], Image.new("RGB", (2, 2))])
def test_bgr_takes_arrays_only(pixels: Any) -> None:
    with pytest.raises(ConfigurationError, match="BGR takes a numpy array, not "):
        media.BGR(pixels)


def test_what_pillow_does_not_know_is_named_without_its_address_in_memory() -> None:
    with pytest.raises(
        DecodeError, match=r"^6 bytes starting b'<html>' are not a picture that Pillow knows$"
    ):
        AnswerImage(content=b"<html>").to_pil()
