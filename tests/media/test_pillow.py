from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from falrt.exceptions import ConfigurationError, DecodeError
from falrt.media import image_format, pillow
from falrt.media.fit import centre_box, place

SIDES = st.integers(1, 400)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_the_centre_box_lies_inside_and_has_the_target_s_ratio(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    left, top, right, bottom = centre_box(source, target)

    assert 0 <= left < right <= source[0]
    assert 0 <= top < bottom <= source[1]
    assert right - left == source[0] or bottom - top == source[1]
    assert abs(left - (source[0] - right)) <= 1
    assert abs(top - (source[1] - bottom)) <= 1
    # Half a pixel of rounding either way, unless the side came down to a single pixel.
    assert abs((right - left) * target[1] - (bottom - top) * target[0]) <= max(target) or 1 in (
        right - left,
        bottom - top,
    )


@pytest.mark.parametrize("size", [(10, 10), (20, 10), (5, 7), (40, 40)])
def test_fit_gives_exactly_the_size(size: tuple[int, int]) -> None:
    assert pillow.fit(Image.new("RGB", (20, 10)), place((20, 10), size, "cover")).size == size


def test_an_animation_gives_its_first_frame() -> None:
    buffer = BytesIO()
    Image.new("RGB", (8, 8), "red").save(
        buffer, "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")]
    )

    assert pillow.decode(buffer.getvalue()).convert("RGB").getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\nxxxx", b"RIFF\x00\x00\x00\x00WEBPVP8 "]
)
def test_what_is_no_picture_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        pillow.decode(data)

    assert caught.value.size == len(data)


def test_a_cut_picture_is_a_decode_error() -> None:
    buffer = BytesIO()
    Image.effect_noise((64, 64), 90).save(buffer, "JPEG")

    with pytest.raises(DecodeError):
        pillow.decode(buffer.getvalue()[:-500])


@pytest.mark.parametrize(
    ("extension", "format"), [(".png", "png"), (".JPG", "jpeg"), (".webp", "webp"), (".gif", "gif")]
)
def test_convert_goes_by_the_extension(extension: str, format: str) -> None:
    buffer = BytesIO()
    Image.new("RGBA", (8, 8), (9, 9, 9, 9)).save(buffer, "PNG")

    assert image_format(pillow.convert(buffer.getvalue(), extension)) == format


def test_an_unknown_extension_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="use"):
        pillow.convert(b"", ".doc")
