from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from falrt.local.motif import cover, encode, measure, open_picture
from falrt.local.prompt import LIGHTNESS_STEPS, WARMTH_STEPS


def half_and_half() -> Image.Image:
    pixels = np.zeros((300, 300, 3), dtype=np.uint8)
    pixels[:, 150:] = (250, 220, 120)
    return Image.fromarray(pixels)


def test_jpeg_and_png_come_back() -> None:
    picture = half_and_half()

    assert open_picture(encode(picture), "image_url").size == (300, 300)
    assert open_picture(encode(picture, "png"), "image_url").tobytes() == picture.tobytes()


def test_what_is_no_picture_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"mask_url: cannot read a picture from 4 bytes"):
        open_picture(b"nope", "mask_url")


def test_cut_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="image_url: cannot read"):
        open_picture(encode(half_and_half())[:500], "image_url")


def test_huge_picture_is_refused_before_it_is_decoded() -> None:
    out = io.BytesIO()
    Image.new("1", (9000, 9000)).save(out, "PNG")

    with pytest.raises(ValueError, match="9000x9000 pixels is too large"):
        open_picture(out.getvalue(), "image_url")


def test_cover_crops_about_the_centre() -> None:
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("blue", (100, 0, 200, 100))

    square = np.asarray(cover(wide, (50, 50)))

    assert square.shape == (50, 50, 3)
    assert (square[:, 5:-5] == (0, 0, 255)).all()


def test_measure_finds_light_warmth_and_contour() -> None:
    motif = measure(half_and_half(), np.random.default_rng(1))
    middle = motif.edge.shape[1] // 2

    assert motif.lightness[:, -20:].mean() > motif.lightness[:, :20].mean() + 30
    assert motif.warmth[:, -20:].mean() > motif.warmth[:, :20].mean()
    assert motif.edge[:, middle - 1 : middle + 1].min() > 0.5
    assert motif.edge[:, :50].max() < 0.1
    assert motif.contour[128, middle] == pytest.approx(np.pi / 2, abs=0.1)
    assert motif.lightness.max() < LIGHTNESS_STEPS
    assert motif.warmth.max() < WARMTH_STEPS
