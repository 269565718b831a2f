"""The models of HTTP endpoints: ids, fields and defaults as fal's generated types have them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

import falrt
from falrt import media, models
from falrt.exceptions import ConfigurationError, ResponseValidationError
from falrt.media import parse_data_uri, read_header

REQUIRED = object()
STILL = {
    "prompt": REQUIRED,
    "num_images": 1,
    "seed": None,
    "enable_safety_checker": True,
    "sync_mode": False,
}
FLUX = {**STILL, "guidance_scale": 3.5, "output_format": "jpeg"}
FLUX_SCHNELL = {**FLUX, "image_size": "landscape_4_3", "num_inference_steps": 4, "acceleration": "none"}
FLUX_LORA = {
    **FLUX,
    "image_size": "landscape_4_3",
    "num_inference_steps": 28,
    "acceleration": "none",
    "loras": [],
}
CANNY = {**FLUX, "image_size": None, "num_inference_steps": 28, "guidance_scale": 30, "loras": []}
KLEIN = {**STILL, "image_size": "landscape_4_3", "num_inference_steps": 4, "output_format": "png"}
EDIT = {"image_urls": REQUIRED, "image_size": None}
BASE = {
    **KLEIN,
    "num_inference_steps": 28,
    "guidance_scale": 5,
    "negative_prompt": "",
    "acceleration": "regular",
}
LORAS: dict[str, Any] = {"loras": []}
TURBO = {
    **STILL,
    "image_size": "landscape_4_3",
    "guidance_scale": 2.5,
    "output_format": "png",
    "enable_prompt_expansion": False,
}
HYPER = {
    **STILL,
    "image_size": "square_hd",
    "num_inference_steps": "1",
    "embeddings": [],
    "expand_prompt": False,
    "format": "jpeg",
}
HYPER_I2I = {**HYPER, "image_url": REQUIRED, "strength": 0.95}
CONTROLNET = {
    **STILL,
    "control_image_url": REQUIRED,
    "controlnet_conditioning_scale": 0.5,
    "image_size": None,
    "num_inference_steps": None,
    "guidance_scale": 7.5,
    "negative_prompt": "",
    "loras": [],
    "expand_prompt": False,
    "enable_safety_checker": False,
    "enable_deep_cache": False,
}
TABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "FLUX_SCHNELL": ("fal-ai/flux/schnell", FLUX_SCHNELL),
    "FLUX_DEV": ("fal-ai/flux/dev", {**FLUX_SCHNELL, "num_inference_steps": 28}),
    "FLUX_DEV_IMAGE_TO_IMAGE": (
        "fal-ai/flux/dev/image-to-image",
        {**FLUX, "image_url": REQUIRED, "strength": 0.95, "num_inference_steps": 40, "acceleration": "none"},
    ),
    "FLUX_LORA": ("fal-ai/flux-lora", FLUX_LORA),
    "FLUX_LORA_IMAGE_TO_IMAGE": (
        "fal-ai/flux-lora/image-to-image",
        {**FLUX_LORA, "image_url": REQUIRED, "strength": 0.85},
    ),
    "FLUX_CANNY": ("fal-ai/flux-lora-canny", {**CANNY, "image_url": REQUIRED}),
    "FLUX2_KLEIN": ("fal-ai/flux-2/klein/4b", KLEIN),
    **{
        f"FLUX2_KLEIN_{size.upper()}{name}": (f"fal-ai/flux-2/klein/{size}{path}", fields)
        for size in ("4b", "9b")
        for name, path, fields in [
            ("", "", KLEIN),
            ("_LORA", "/lora", {**KLEIN, **LORAS}),
            ("_EDIT", "/edit", {**KLEIN, **EDIT}),
            ("_EDIT_LORA", "/edit/lora", {**KLEIN, **EDIT, **LORAS}),
            ("_BASE", "/base", BASE),
            ("_BASE_LORA", "/base/lora", {**BASE, **LORAS}),
            ("_BASE_EDIT", "/base/edit", {**BASE, **EDIT}),
            ("_BASE_EDIT_LORA", "/base/edit/lora", {**BASE, **EDIT, **LORAS}),
        ]
    },
    "FLUX2_TURBO": ("fal-ai/flux-2/turbo", TURBO),
    "FLUX2_TURBO_EDIT": (
        "fal-ai/flux-2/turbo/edit",
        {**TURBO, "image_urls": REQUIRED, "image_size": "square_hd"},
    ),
    "HYPER_SDXL": ("fal-ai/hyper-sdxl", HYPER),
    "HYPER_SDXL_IMAGE_TO_IMAGE": ("fal-ai/hyper-sdxl/image-to-image", HYPER_I2I),
    "HYPER_SDXL_INPAINTING": ("fal-ai/hyper-sdxl/inpainting", {**HYPER_I2I, "mask_url": REQUIRED}),
    "CONTROLNET_CANNY": ("fal-ai/fast-sdxl-controlnet-canny", CONTROLNET),
}

each = pytest.mark.parametrize("name", TABLE)
URL = "https://example.com/a.jpg"


def test_the_table_has_every_endpoint() -> None:
    endpoints = {
        name
        for name in models.__all__
        if isinstance(value := getattr(models, name), models.Endpoint)
        and not isinstance(value, models.RealtimeModel)
    }

    assert endpoints == set(TABLE)


@each
def test_ids_fields_and_defaults_are_the_documented_ones(name: str) -> None:
    endpoint, (app, fields) = getattr(models, name), TABLE[name]

    assert endpoint.app == app
    assert {
        field: REQUIRED if info.is_required() else info.default
        for field, info in endpoint.input_type.model_fields.items()
    } == fields


def required(name: str) -> dict[str, Any]:
    fields = TABLE[name][1]
    values = {
        "prompt": "a cat",
        "image_urls": [URL],
        "image_url": URL,
        "control_image_url": URL,
        "mask_url": URL,
    }
    return {field: values[field] for field, default in fields.items() if default is REQUIRED}


@each
def test_what_is_required_will_do_and_defaults_are_not_sent(name: str) -> None:
    endpoint, given = getattr(models, name), required(name)

    assert endpoint.dump(given, json=True) == given
    with pytest.raises(ValidationError, match=r"did you mean 'prompt'"):
        endpoint.dump({**given, "promt": "x"})


@each
def test_an_answer_is_read_generously(name: str) -> None:
    out = getattr(models, name).load({"images": [{"url": URL, "width": 4}], "unknown": 1})

    assert out.images[0].url == URL
    assert (out.seed, out.timings, out.has_nsfw_concepts, out.prompt) == (None, {}, [], None)
    assert out.model_extra == {"unknown": 1}
    with pytest.raises(ResponseValidationError):
        getattr(models, name).load({"images": "none"})


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (models.FluxSchnellInput, {"num_inference_steps": 13}, "less than or equal to 12"),
        (models.Flux2KleinEditInput, {"image_urls": []}, "at least 1"),
        (models.Flux2KleinEditInput, {"image_urls": [URL] * 5}, "at most 4"),
        (models.Flux2KleinLoraInput, {"loras": [{"path": "a"}] * 4}, "at most 3"),
        (models.Flux2KleinInput, {"guidance_scale": 3}, "its base variants"),
        (models.Flux2KleinInput, {"loras": []}, "Flux2KleinLoraInput"),
        (models.FluxDevInput, {"negative_prompt": "x"}, "this endpoint has none"),
        (models.FluxDevInput, {"lora_url": "x"}, "models.FLUX_LORA"),
        (models.HyperSDXLInput, {"num_inference_steps": 3}, "'1', '2' or '4'"),
    ],
)
def test_a_wrong_field_is_refused_with_the_cure(kind: Any, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        kind(prompt="x", **fields)


def test_numbers_of_steps_may_be_numbers() -> None:
    assert models.HYPER_SDXL.dump({"prompt": "x", "num_inference_steps": 4})["num_inference_steps"] == "4"


def size_of(uri: str) -> tuple[int, int] | None:
    header = read_header(parse_data_uri(uri).data)
    assert header is not None
    return header.size


@pytest.mark.parametrize("asked", [None, "square"])
@pytest.mark.parametrize(
    "endpoint", [models.FLUX_LORA_IMAGE_TO_IMAGE, models.CONTROLNET_CANNY, models.FLUX_DEV_IMAGE_TO_IMAGE]
)
def test_a_photo_is_sent_in_its_own_shape_or_in_the_one_asked_for(
    endpoint: models.Endpoint[Any, Any], asked: str | None, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (4000, 3000), "teal").save(photo)
    field = "control_image_url" if endpoint is models.CONTROLNET_CANNY else "image_url"
    sizes = {} if asked is None or endpoint is models.FLUX_DEV_IMAGE_TO_IMAGE else {"image_size": asked}

    sent = endpoint.dump({"prompt": "x", field: photo, **sizes}, json=True)[field]

    assert size_of(sent) == ((512, 512) if sizes else (2048, 1536))


def test_small_pictures_keep_their_size_and_ready_bytes_their_bytes() -> None:
    small = Image.new("RGB", (300, 200), "teal")
    buffer = BytesIO()
    Image.new("RGB", (3000, 20)).save(buffer, "JPEG")

    sent = models.FLUX2_KLEIN_4B_EDIT.dump({"prompt": "x", "image_urls": [small, buffer.getvalue(), URL]})

    assert size_of(sent["image_urls"][0]) == (300, 200)
    assert parse_data_uri(sent["image_urls"][1]).data == buffer.getvalue()
    assert sent["image_urls"][2] == URL


def test_an_address_is_not_fitted() -> None:
    with pytest.raises(ValidationError, match="give it without Fitted"):
        models.FluxDevImageToImageInput(prompt="x", image_url=media.Fitted(URL, "contain"))


def test_an_http_endpoint_is_no_realtime_model() -> None:
    with pytest.raises(ConfigurationError, match="RealtimeModel"):
        falrt.Client(key="a:b").connect(models.FLUX_SCHNELL)  # type: ignore[call-overload]  # the mistake under test


def test_ones_own_endpoint_is_an_id_with_two_types() -> None:
    endpoint = falrt.Endpoint("acme/app", dict, dict)

    assert endpoint.dump({"a": b"x"}, json=True) == {"a": "eA=="}
    with pytest.raises(ConfigurationError, match="app must be an endpoint id"):
        falrt.Endpoint("", dict, dict)
