from __future__ import annotations

import io
from base64 import b64encode
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from falrt.local.inputs import DiffusionInput, KleinInput, LightningInput, TurboInput, picture_of


def file(kind: str, size: tuple[int, int] = (3, 2), mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind)
    return out.getvalue()


def uri(data: bytes) -> str:
    return "data:image/jpeg;base64," + b64encode(data).decode()


JPEG = file("JPEG")
URI = uri(JPEG)


@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "L"), ("PNG", "RGBA"), ("PNG", "1"), ("WEBP", "RGB")])
def test_data_uri_becomes_an_rgb_picture(kind: str, mode: str) -> None:
    picture = picture_of(KleinInput.model_validate({"image_url": uri(file(kind, mode=mode))}).image_url)

    assert picture is not None
    assert (picture.size, picture.mode) == ((3, 2), "RGB")


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (b"nope", "image_load_error", "cannot load a picture from 4 bytes (cannot identify image file)"),
        (file("JPEG", (99, 99))[:500], "image_load_error", "cannot load a picture from 500 bytes"),
        (file("PNG", (99, 99))[:60], "image_load_error", "cannot load a picture from 60 bytes"),
        (file("PNG", (9000, 9000), "1"), "image_too_large", "a picture of 9000x9000 pixels is too large"),
    ],
)
def test_what_is_no_picture_is_refused_with_fals_type(data: bytes, kind: str, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DiffusionInput.model_validate({"prompt": "x", "mask_url": uri(data)})
    problem = caught.value.errors()[0]
    assert (problem["type"], problem["loc"]) == (kind, ("mask_url",))
    assert problem["msg"].startswith(text)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("https://example.com/a.jpg", "not a data URI in base64"),
        ("/etc/passwd", "not a data URI in base64"),
        ("data:image/jpeg", "not a data URI in base64"),
        ("data:image/jpeg,abc", "not a data URI in base64"),
        ("data:image/jpeg;base64,?", "base64 is damaged"),
    ],
)
def test_other_addresses_are_refused(uri: str, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        KleinInput.model_validate({"image_url": uri})


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": "landscape_4_3"},
        {"num_inference_steps": 9},
        {"num_inference_steps": 0},
        {"schedule_mu": 0.2},
        {"output_feedback_strength": 1.1},
    ],
)
def test_klein_refuses_what_is_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        KleinInput.model_validate({"image_url": URI, **wrong})


def test_unknown_fields_are_ignored() -> None:
    assert KleinInput.model_validate({"image_url": URI, "sync_mode": True, "_binary": b""}).seed == 35


def test_klein_has_sizes_of_its_own() -> None:
    assert KleinInput(image_url=URI).pixels == (768, 768)
    assert KleinInput(image_url=URI, image_size="square_hd").pixels == (1024, 1024)


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        ({}, (1024, 1024)),
        ({"image_size": "square"}, (512, 512)),
        ({"image_size": "portrait_16_9"}, (576, 1024)),
        ({"image_size": {"width": 640}}, (640, 512)),
        ({"width": 320, "height": 200}, (320, 200)),
    ],
)
def test_sizes_of_the_diffusion_family(size: dict[str, Any], pixels: tuple[int, int]) -> None:
    assert DiffusionInput.model_validate({"prompt": "x", **size}).pixels == pixels


def test_turbo_is_small_by_default() -> None:
    assert TurboInput(prompt="x").pixels == (512, 512)


@pytest.mark.parametrize("steps", ["1", "2", 4, "8"])
def test_lightning_takes_steps_as_text(steps: Any) -> None:
    assert LightningInput(prompt="x", num_inference_steps=steps).num_inference_steps == int(steps)


def test_lightning_refuses_other_steps() -> None:
    with pytest.raises(ValidationError, match="'1', '2', '4' or '8'"):
        LightningInput(prompt="x", num_inference_steps=3)


def test_picture_comes_from_bytes_base64_or_uri() -> None:
    for fields in ({"image_bytes": JPEG}, {"image_bytes": b64encode(JPEG).decode()}, {"image_url": URI}):
        picture = DiffusionInput.model_validate({"prompt": "x", **fields}).picture
        assert picture is not None
        assert picture.size == (3, 2)
    assert DiffusionInput(prompt="x", image_bytes=b"").picture is None


def test_route_may_need_a_picture_and_a_mask() -> None:
    with pytest.raises(ValidationError, match="image_url or image_bytes is required"):
        DiffusionInput.model_validate({"prompt": "x"}, context=("picture",))
    with pytest.raises(ValidationError, match="mask_url is required"):
        DiffusionInput.model_validate({"prompt": "x", "image_url": URI}, context=("picture", "mask"))
