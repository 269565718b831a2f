"""LCM, Turbo and Lightning: what they share, and where they differ."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from falrt import media
from falrt.media import parse_data_uri, read_header
from falrt.models import LCM, LIGHTNING, TURBO, LCMOutput, LightningOutput, RealtimeModel, TurboOutput

FAMILY: list[RealtimeModel[Any, Any]] = [LCM, TURBO, LIGHTNING]
FRAME = "data:image/jpeg;base64,/9j/"
JPEG = b"\xff\xd8\xff\xe0"

pytestmark = pytest.mark.filterwarnings("error")


def each(function: Any) -> Any:
    return pytest.mark.parametrize("model", FAMILY, ids=lambda model: model.input_type.__name__)(function)


def test_ids_are_the_documented_ones() -> None:
    assert [model.app for model in FAMILY] == [
        "fal-ai/fast-lcm-diffusion",
        "fal-ai/fast-turbo-diffusion",
        "fal-ai/fast-lightning-sdxl",
    ]
    assert all(model.echoes_request_id and model.mode == "unary" and model.path is None for model in FAMILY)


@each
def test_a_prompt_will_do_and_defaults_are_not_sent(model: RealtimeModel[Any, Any]) -> None:
    assert model.dump({"prompt": "a sunset"}) == {"prompt": "a sunset"}
    with pytest.raises(ValidationError, match="prompt"):
        model.dump({})


@pytest.mark.wire("W63")
@each
def test_the_documented_quickstart_message_is_accepted(model: RealtimeModel[Any, Any]) -> None:
    message = {"prompt": "moonlit", "sync_mode": True, "image_url": FRAME}

    assert model.dump(message) == message


@pytest.mark.wire("W63")
@each
def test_the_picture_may_come_as_raw_bytes_as_in_fal_s_demos(model: RealtimeModel[Any, Any]) -> None:
    message = {"prompt": "moonlit", "image_bytes": JPEG, "strength": 0.6, "seed": None}

    assert model.dump(message) == {"prompt": "moonlit", "image_bytes": JPEG, "strength": 0.6}
    assert model.dump(message, json=True)["image_bytes"] == "/9j/4A=="


@each
def test_one_picture_at_most(model: RealtimeModel[Any, Any]) -> None:
    with pytest.raises(ValidationError, match="image_url and image_bytes are both given; give one"):
        model.dump({"prompt": "x", "image_url": FRAME, "image_bytes": JPEG})


@each
def test_a_mask_needs_a_picture(model: RealtimeModel[Any, Any]) -> None:
    assert "mask_url" in model.dump({"prompt": "x", "image_url": FRAME, "mask_url": FRAME})
    assert "mask_url" in model.dump({"prompt": "x", "image_bytes": JPEG, "mask_url": JPEG})
    with pytest.raises(ValidationError, match="mask_url needs a picture"):
        model.dump({"prompt": "x", "mask_url": FRAME})


@each
def test_web_addresses_are_passed_on_but_never_as_bytes(model: RealtimeModel[Any, Any]) -> None:
    assert model.dump({"prompt": "x", "image_url": "https://x.y/a.jpg"})["image_url"] == "https://x.y/a.jpg"
    with pytest.raises(ValidationError, match="web addresses are not supported here"):
        model.dump({"prompt": "x", "image_bytes": "https://x.y/a.jpg"})


@each
def test_pixels_are_sent_at_the_fastest_size(model: RealtimeModel[Any, Any]) -> None:
    array = np.zeros((72, 128, 3), np.uint8)
    mask = np.ones((72, 128), np.bool_)

    message = model.dump({"prompt": "x", "image_bytes": array, "mask_url": mask})
    header = read_header(message["image_bytes"])
    mask_header = read_header(parse_data_uri(message["mask_url"]).data)
    url_header = read_header(
        parse_data_uri(model.dump({"prompt": "x", "image_url": Image.new("RGB", (9, 9))})["image_url"]).data
    )

    assert header == mask_header == url_header
    assert header is not None
    assert (header.format, header.size) == ("jpeg", (512, 512))


@each
def test_unknown_fields_are_refused(model: RealtimeModel[Any, Any]) -> None:
    with pytest.raises(ValidationError, match=r"unknown field 'promt' \(did you mean 'prompt'\?\)"):
        model.dump({"promt": "x"})
    with pytest.raises(ValidationError, match="image_url or image_bytes"):
        model.dump({"prompt": "x", "image": FRAME})


@each
def test_sizes_are_presets_or_objects(model: RealtimeModel[Any, Any]) -> None:
    for size in ("portrait_16_9", {"width": 640, "height": 360}):
        assert model.dump({"prompt": "x", "image_size": size})["image_size"] == size
    assert model.dump({"prompt": "x", "image_size": {"width": 640}})["image_size"] == {
        "width": 640,
        "height": 512,
    }
    with pytest.raises(ValidationError, match="image_size"):
        model.dump({"prompt": "x", "image_size": "huge"})


DEFAULTS: dict[str, dict[str, Any]] = {
    "LCMInput": {
        "image_size": "square_hd",
        "num_inference_steps": 6,
        "guidance_scale": 1.5,
        "sync_mode": True,
        "num_images": 1,
        "enable_safety_checker": True,
        "safety_checker_version": "v1",
        "expand_prompt": False,
        "format": "jpeg",
        "request_id": "",
        "strength": 0.95,
        "model_name": "stabilityai/stable-diffusion-xl-base-1.0",
    },
    "TurboInput": {
        "image_size": "square",
        "num_inference_steps": 2,
        "guidance_scale": 1.0,
        "sync_mode": True,
        "enable_safety_checker": False,
        "strength": 0.95,
        "model_name": "stabilityai/sdxl-turbo",
    },
    "LightningInput": {
        "image_size": "square_hd",
        "num_inference_steps": "4",
        "sync_mode": False,
        "embeddings": [],
        "enable_safety_checker": True,
        "format": "jpeg",
        "request_id": "",
    },
}


@each
def test_defaults_are_the_documented_ones(model: RealtimeModel[Any, Any]) -> None:
    expected = DEFAULTS[model.input_type.__name__]

    dumped = model.input_type(prompt="x").model_dump()

    assert {name: dumped[name] for name in expected} == expected


def test_the_fields_of_fal_s_turbo_demo_are_accepted() -> None:
    message = {
        "prompt": "x",
        "image_bytes": JPEG,
        "strength": 0.6,
        "negative_prompt": "blur",
        "guidance_scale": 1,
        "num_inference_steps": 3,
        "enable_safety_checks": True,
        "request_id": "7",
        "width": 512,
        "height": 512,
    }

    assert TURBO.dump(message) == message


@pytest.mark.wire("W67")
def test_lightning_takes_its_steps_as_text_or_number() -> None:
    assert LIGHTNING.dump({"prompt": "x", "num_inference_steps": 2})["num_inference_steps"] == "2"
    assert LIGHTNING.dump({"prompt": "x", "num_inference_steps": "8", "seed": "42"})["seed"] == 42
    with pytest.raises(ValidationError, match="num_inference_steps"):
        LIGHTNING.dump({"prompt": "x", "num_inference_steps": 3})
    with pytest.raises(ValidationError, match="num_images"):
        LIGHTNING.dump({"prompt": "x", "num_images": 9})


def test_lightning_takes_embeddings() -> None:
    message = {"prompt": "x", "embeddings": [{"path": "https://x.y/e.safetensors", "tokens": ["<cat>"]}]}

    assert LIGHTNING.dump(message) == message


@each
@pytest.mark.parametrize(
    ("size", "pixels"),
    [(None, (512, 512)), ("landscape_16_9", (1024, 576)), ({"width": 640, "height": 360}, (640, 360))],
)
@pytest.mark.parametrize("field", ["image_url", "image_bytes"])
def test_the_picture_that_is_sent_has_the_size_that_is_asked_for(
    model: RealtimeModel[Any, Any], size: Any, pixels: tuple[int, int], field: str
) -> None:
    asked = {} if size is None else {"image_size": size}
    picture = Image.new("RGB", (1280, 720), "teal")

    sent = model.dump({"prompt": "x", field: picture, **asked})[field]

    header = read_header(sent if isinstance(sent, bytes) else parse_data_uri(sent).data)
    assert header is not None
    assert header.size == pixels


@each
def test_a_picture_may_say_how_it_is_fitted(model: RealtimeModel[Any, Any]) -> None:
    picture = Image.new("L", (1024, 512), 255)

    sent = model.dump({"prompt": "x", "image_bytes": media.Fitted(picture, "contain")})["image_bytes"]

    with Image.open(BytesIO(sent)) as image:
        assert image.size == (512, 512)
        assert [image.getpixel((256, y)) for y in (10, 256, 500)] == [0, 255, 0]


@each
def test_only_the_pictures_are_required_in_an_answer(model: RealtimeModel[Any, Any]) -> None:
    out = model.load({"images": [{"content": JPEG}]})

    assert isinstance(out, LCMOutput | TurboOutput | LightningOutput)
    assert (out.seed, out.timings, out.has_nsfw_concepts, out.request_id) == (None, {}, [], None)


@pytest.mark.wire("W64")
@each
@pytest.mark.parametrize("name", ["has_nsfw_concepts", "nsfw_content_detected"])
def test_both_names_of_the_safety_flags_are_read(model: RealtimeModel[Any, Any], name: str) -> None:
    out = model.load(
        {"images": [{"url": FRAME}], name: [True], "timings": {"inference": 0.1}, "request_id": "7"}
    )

    assert out.has_nsfw_concepts == out.nsfw_content_detected == [True]
    assert (out.timings["inference"], out.request_id) == (0.1, "7")
    assert model.load({"images": [], name: None}).has_nsfw_concepts == []


@each
def test_unknown_fields_of_an_answer_are_kept(model: RealtimeModel[Any, Any]) -> None:
    assert model.load({"images": [], "debug": 1}).model_extra == {"debug": 1}
