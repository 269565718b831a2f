from __future__ import annotations

from typing import Any

import pytest

from falrt import models
from falrt.cli.routes import FAMILIES, Wish, image_size, route
from falrt.exceptions import ConfigurationError

KLEIN = "fal-ai/flux-2/klein/4b"
LORA: dict[str, Any] = {"lora_url": "https://x.y/l.safetensors"}
TYPED = {
    value.app: value
    for name in models.__all__
    if isinstance(value := getattr(models, name), models.Endpoint)
    and not isinstance(value, models.RealtimeModel)
}


@pytest.mark.parametrize(
    ("wish", "app", "note"),
    [
        ({}, KLEIN, ""),
        ({"image": "u"}, f"{KLEIN}/edit", "the route that takes a picture"),
        (LORA, f"{KLEIN}/lora", "the route that takes LoRAs"),
        ({"image": "u", **LORA}, f"{KLEIN}/edit/lora", "a picture to start from and LoRAs"),
        ({"negative_prompt": "n"}, f"{KLEIN}/base", "a negative prompt"),
        ({"negative_prompt": "n", "image": "u", **LORA}, f"{KLEIN}/base/edit/lora", "LoRAs and a negative"),
        ({"model": "klein-9b"}, "fal-ai/flux-2/klein/9b", ""),
        ({"model": "fal-ai/flux-2/klein/realtime"}, KLEIN, "which draws from words"),
        ({"model": "fal-ai/flux-2/klein/realtime", "image": "u"}, f"{KLEIN}/edit", "takes a picture"),
        ({"model": "fal-ai/flux-2-turbo"}, "fal-ai/flux-2/turbo", "is fal-ai/flux-2/turbo today"),
        ({"model": "flux-2-turbo", "image": "u"}, "fal-ai/flux-2/turbo/edit", "takes a picture"),
        ({"model": "flux/dev"}, "fal-ai/flux/dev", ""),
        ({"model": "dev", **LORA}, "fal-ai/flux-lora", "LoRAs"),
        ({"model": "dev", "image": "u"}, "fal-ai/flux/dev/image-to-image", "picture"),
        ({"model": "flux-lora", "image": "u"}, "fal-ai/flux-lora/image-to-image", "picture"),
        ({"model": "fal-ai/flux-2/klein/9b/base"}, "fal-ai/flux-2/klein/9b/base", ""),
        ({"model": "hyper", "image": "u"}, "fal-ai/hyper-sdxl/image-to-image", "picture"),
        ({"model": "lcm", "negative_prompt": "n"}, "fal-ai/fast-lcm-diffusion", ""),
        ({"model": "acme/app", "image": "u", "negative_prompt": "n", **LORA}, "acme/app", ""),
    ],
)
def test_a_wish_goes_to_the_route_that_can(wish: dict[str, Any], app: str, note: str) -> None:
    call = route(Wish("a cat", **wish))

    assert call.app == app
    assert len(call.notes) == bool(note)
    assert note in "".join(call.notes)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (
            {"model": "fal-ai/flux-2/klein/realtime", **LORA},
            rf"klein/realtime does not take LoRAs; {KLEIN}/lora does \(-m {KLEIN}/lora\)",
        ),
        ({"model": "schnell", **LORA}, "fal-ai/flux/schnell does not take LoRAs; fal-ai/flux-lora does"),
        ({"model": "schnell", "image": "u"}, "fal-ai/flux/dev/image-to-image does"),
        ({"model": "turbo", "negative_prompt": "n"}, "does not take a negative prompt"),
        ({"model": f"{KLEIN}/edit"}, f"{KLEIN}/edit needs a picture to start from: give --image"),
        ({"model": "klien"}, "unknown model 'klien'; did you mean 'klein'"),
        ({"model": "sora3"}, "use one of schnell, dev"),
        ({"size": "huge"}, "not 'huge'"),
        ({"size": "0x5"}, "WIDTHxHEIGHT such as 640x480"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(wish: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        route(Wish("a cat", **wish))


@pytest.mark.parametrize(
    ("size", "value"),
    [
        ("square", {"width": 1024, "height": 1024}),
        ("landscape", {"width": 1344, "height": 768}),
        ("portrait", {"width": 768, "height": 1344}),
        ("square_hd", "square_hd"),
        ("640x480", {"width": 640, "height": 480}),
        ("640 X 480", {"width": 640, "height": 480}),
    ],
)
def test_sizes_are_the_skills_fals_or_pixels(size: str, value: Any) -> None:
    assert image_size(size) == value


def test_the_input_has_what_was_wished_for_and_settings_win() -> None:
    wish = Wish(
        "a cat",
        size="portrait_4_3",
        seed=7,
        image="u",
        num_images=2,
        lora_url="l",
        lora_scale=0.5,
        settings={"num_inference_steps": 3, "seed": 8},
    )

    assert route(wish).input == {
        "prompt": "a cat",
        "image_size": "portrait_4_3",
        "seed": 8,
        "num_images": 2,
        "loras": [{"path": "l", "scale": 0.5}],
        "image_urls": ["u"],
        "num_inference_steps": 3,
    }


def test_a_field_that_is_not_known_is_sent_and_told() -> None:
    call = route(Wish("a cat", model="schnell", settings={"num_inference_step": 3, "guidance_scale": 2}))

    assert call.input["num_inference_step"] == 3
    (note,) = call.notes
    assert "has no field 'num_inference_step' that falrt knows: did you mean 'num_inference_steps'?" in note


@pytest.mark.parametrize(
    "each", [each for routes in FAMILIES.values() for each in routes], ids=lambda each: each.app
)
def test_the_typed_models_agree_on_ids_and_fields(each: Any) -> None:
    if each.app.startswith(("fal-ai/fast-lcm", "fal-ai/fast-lightning")):
        kind = models.LCMInput if "lcm" in each.app else models.LightningInput
    else:
        kind = TYPED[each.app].input_type
    wish = Wish(
        "x",
        model=each.app,
        size="640x480",
        seed=1,
        num_images=2,
        image="https://x.y/a.jpg" if "image" in each.takes else None,
        negative_prompt="n" if "negative" in each.takes else None,
        lora_url="l" if "lora" in each.takes else None,
    )
    if each.app == "fal-ai/flux/dev/image-to-image":
        wish = Wish("x", model=each.app, seed=1, image="https://x.y/a.jpg")

    call = route(wish)

    assert call.app == each.app
    kind.model_validate(call.input)
