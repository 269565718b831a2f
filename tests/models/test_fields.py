from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from PIL import Image
from pydantic import Field, TypeAdapter, ValidationError

from falrt import media
from falrt.exceptions import ConfigurationError, MissingDependencyError
from falrt.media import SlowFormatWarning, data_uri, parse_data_uri, read_header
from falrt.models import (
    IMAGE_SIZES,
    ImageField,
    ImageSize,
    ImageSizeChoice,
    ImageSource,
    ModelInput,
    RealtimeModel,
    Timings,
    WireBytes,
    image_size_pixels,
)


class Frame(ModelInput):
    url: Annotated[ImageSource, ImageField(size=(32, 24), quality=90)] | None = None
    raw: Annotated[ImageSource, ImageField(size=16, as_bytes=True)] | None = None
    web: Annotated[ImageSource, ImageField(web_urls=True)] | None = None
    bgr: Annotated[ImageSource, ImageField(channels="BGR")] | None = None
    many: list[Annotated[ImageSource, ImageField()]] = Field(default=[])


MODEL = RealtimeModel("acme/app", Frame, dict)


def jpeg(size: tuple[int, int] = (40, 40), **options: Any) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, (200, 40, 40)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def dumped(**fields: Any) -> Any:
    (value,) = MODEL.dump(Frame(**fields)).values()
    return value


def size_of(value: str | bytes) -> tuple[int, int] | None:
    header = read_header(parse_data_uri(value).data if isinstance(value, str) else value)
    assert header is not None
    return header.size


def test_ready_pictures_pass_untouched() -> None:
    data = jpeg()

    assert dumped(url=data_uri(data)) == data_uri(data)
    assert dumped(url=data) == dumped(url=bytearray(data)) == dumped(url=memoryview(data)) == data_uri(data)
    assert dumped(raw=data) == dumped(raw=memoryview(data)) == dumped(raw=data_uri(data)) == data
    assert dumped(web="https://x.y/a.jpg") == "https://x.y/a.jpg"
    assert dumped(many=[data, data_uri(data)]) == [data_uri(data)] * 2


@pytest.mark.parametrize("kind", [np.asarray, Image.fromarray, media.BGR])
def test_pixels_are_fitted_and_encoded(kind: Any) -> None:
    pixels = kind(np.zeros((50, 90, 3), np.uint8))

    assert size_of(dumped(url=pixels)) == (32, 24)
    assert size_of(dumped(raw=pixels)) == (16, 16)
    assert size_of(dumped(web=pixels)) == (90, 50)


def test_opencv_frames_come_out_with_the_right_colours() -> None:
    frame = np.zeros((10, 10, 3), np.uint8)
    frame[..., 2] = 255  # red, in BGR

    for value in (dumped(bgr=frame), dumped(web=media.BGR(frame))):
        red, green, blue = Image.open(BytesIO(parse_data_uri(value).data)).getpixel((5, 5))  # type: ignore[misc]
        assert red > 240
        assert max(green, blue) < 15


def test_pixels_are_kept_as_given_until_they_are_sent() -> None:
    array = np.zeros((50, 90, 3), np.uint8)

    assert Frame(url=array).url is array


def test_a_file_is_fitted_too(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(jpeg())

    assert size_of(dumped(url=file)) == (32, 24)
    file.write_bytes(jpeg((32, 24)))
    assert dumped(url=file) == data_uri(file.read_bytes()), "of the right size already"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "me.jpg",
            "'me.jpg' is not a data URI (data:image/jpeg;base64,...); for a file give pathlib.Path(...)",
        ),
        ("A" * 5000, "is not a data URI"),
        ("data:image/jpeg;base64,", "empty"),
        ("data:text/plain,hello", "not a data URI in base64"),
        ("https://x.y/a.jpg", "web addresses are not supported here"),
        (b"nonsense", "are not a JPEG, PNG, WebP or GIF; other formats can be given as PIL.Image.open(...)"),
        (7, "made from int; give a data URI, JPEG bytes, a pathlib.Path, a PIL image or a numpy array"),
        ({"url": "x"}, "made from dict"),
        (np.zeros((4, 4, 3), np.float64), "must be uint8"),
        (media.BGR(np.zeros((4, 4, 9), np.uint8)), "must be (height, width, 3)"),
        (Path("/nowhere/at/all.jpg"), "no file at"),
        (Path(__file__).parent, "is a folder"),
    ],
)
def test_wrong_values_fail_in_the_constructor_with_field_and_cure(value: Any, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Frame(url=value)

    assert str(caught.value).splitlines()[1].startswith("url")
    assert words in str(caught.value)


def test_an_unreadable_file_names_the_field_when_it_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"nonsense")
    frame = Frame(url=file)

    with pytest.raises(ConfigurationError, match=r"^url: not a picture that Pillow can read"):
        MODEL.dump(frame)
    file.unlink()
    with pytest.raises(ConfigurationError, match=r"^url: the picture cannot be read"):
        MODEL.dump(frame)


def test_a_damaged_data_uri_names_the_field_where_bytes_are_sent() -> None:
    with pytest.raises(ConfigurationError, match=r"^raw: the data URI's base64 is damaged"):
        MODEL.dump(Frame(raw="data:image/jpeg;base64,A"))


def test_a_missing_library_names_field_and_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Frame(url=np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setitem(sys.modules, "PIL", None)

    with pytest.raises(
        MissingDependencyError, match=r"Pillow is needed for the picture in url: .*falrt\[images\]"
    ):
        MODEL.dump(frame)


@pytest.mark.parametrize("as_uri", [True, False])
def test_a_large_png_frame_is_warned_about_at_the_caller_s_line(as_uri: bool) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8))
    buffer = BytesIO()
    noise.save(buffer, "PNG")
    value = "data:image/png;base64," + "A" * 90_000 if as_uri else buffer.getvalue()

    with pytest.warns(SlowFormatWarning) as caught:
        frame = Frame(url=value)

    assert [warning.filename for warning in caught] == [__file__]
    MODEL.dump(frame)  # warnings are errors: it does not warn a second time


def test_a_wrong_option_fails_where_the_field_is_declared() -> None:
    with pytest.raises(ConfigurationError, match="quality must be a whole number between 1 and 95, got 100"):
        ImageField(quality=100)
    for side in (0, -5, 1.5, True, "2048"):
        with pytest.raises(ConfigurationError, match=f"max_side must be .* got {side!r}"):
            ImageField(max_side=side)  # type: ignore[arg-type]  # the mistake under test


def test_none_means_no_picture() -> None:
    assert MODEL.dump(Frame(url=None)) == {}


def test_the_json_schema_says_text() -> None:
    assert Frame.model_json_schema()["properties"]["many"]["items"] == {"type": "string"}


SIZES: TypeAdapter[Any] = TypeAdapter(ImageSizeChoice)


@pytest.mark.wire("W65")
def test_presets_have_the_documented_pixels() -> None:
    assert [image_size_pixels(SIZES.validate_python(name)) for name in IMAGE_SIZES] == list(
        IMAGE_SIZES.values()
    )
    assert image_size_pixels("landscape_16_9") == (1024, 576)


@pytest.mark.parametrize(
    ("value", "pixels"),
    [
        ({"width": 704, "height": 500}, (704, 500)),
        ({"width": 704}, (704, 512)),
        (ImageSize(height=9), (512, 9)),
    ],
)
def test_a_size_may_be_an_object(value: Any, pixels: tuple[int, int]) -> None:
    assert image_size_pixels(SIZES.validate_python(value)) == pixels


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("squre", "'square_hd', 'square'"),
        ({"width": 0}, "greater than 0"),
        ({"height": 14143}, "less than or equal to 14142"),
        ({"w": 5}, "Extra inputs"),
        (512, "dictionary"),
    ],
)
def test_a_wrong_size_says_what_is_allowed(value: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SIZES.validate_python(value)


def test_wire_bytes_are_read_from_both_transports() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(WireBytes)

    assert adapter.validate_python(b"\xff\x00") == adapter.validate_python("/wA=") == b"\xff\x00"
    with pytest.raises(ValidationError):
        adapter.validate_python("not base64!")


def test_timings_keep_numbers_only() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Timings)

    assert adapter.validate_python({"inference": 0.25, "steps": 3, "note": "x", "none": None}) == {
        "inference": 0.25,
        "steps": 3.0,
    }
    assert adapter.validate_python(None) == {}
    with pytest.raises(ValidationError):
        adapter.validate_python("fast")
