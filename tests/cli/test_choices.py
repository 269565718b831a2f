from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from falrt import exceptions
from falrt.cli.choices import MODEL_NAMES, choose, read_settings

FRAME = Image.new("RGB", (8, 8))


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_frame_and_prompt_become_an_input(name: str) -> None:
    choice = choose(name, {"seed": 7})

    given = choice.build(FRAME, "gold")

    assert (given.prompt, given.seed) == ("gold", 7)
    assert choice.frame_of(given) is FRAME


def test_unknown_model_is_told_which_there_are() -> None:
    with pytest.raises(
        exceptions.ConfigurationError, match="unknown model 'sora': use one of klein, lcm, turbo"
    ):
        choose("sora", {})


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"sed": 1}, ": unknown field 'sed'"),
        ({"seed": "x"}, " seed"),
        ({"num_inference_steps": 9}, " num_inference"),
    ],
)
def test_wrong_setting_is_named(settings: dict[str, object], name: str) -> None:
    with pytest.raises(exceptions.ConfigurationError, match=f"--set{name}"):
        choose("klein", settings)


@pytest.mark.parametrize("name", ["prompt", "image_url"])
def test_prompt_and_frame_cannot_be_set(name: str) -> None:
    with pytest.raises(exceptions.ConfigurationError, match=f"{name} cannot be set"):
        choose("klein", {name: "x"})


def test_another_app_with_the_same_types() -> None:
    choice = choose("klein", {}, app="acme/klein")

    assert choice.model.app == "acme/klein"
    assert choice.model.output_type is choose("klein", {}).model.output_type


def test_settings_are_json_where_they_can_be() -> None:
    pairs = [
        "seed=7",
        "enable_interpolation=true",
        "image_size=square_hd",
        "strength=0.5",
        "negative_prompt=a=b",
    ]

    assert read_settings(pairs) == {
        "seed": 7,
        "enable_interpolation": True,
        "image_size": "square_hd",
        "strength": 0.5,
        "negative_prompt": "a=b",
    }


@pytest.mark.parametrize("pair", ["seed", "=7", ""])
def test_setting_without_a_name_or_value_is_refused(pair: str) -> None:
    with pytest.raises(exceptions.ConfigurationError, match="field=value"):
        read_settings([pair])


WIDE = Image.new("RGB", (640, 360))


@pytest.mark.parametrize(
    ("model", "settings", "fit", "words"),
    [
        (
            "klein",
            {},
            "cover",
            "frames of 640 x 360 are cut to their middle 360 x 360 and sent as 704 x 704 (--fit",
        ),
        ("klein", {}, "contain", "frames of 640 x 360 are sent as 704 x 704, with black borders"),
        ("klein", {}, "stretch", "frames of 640 x 360 are distorted to 704 x 704"),
        ("lcm", {"image_size": "landscape_16_9"}, "cover", "frames of 640 x 360 are sent as 1024 x 576"),
        ("lcm", {"image_size": {"width": 640, "height": 360}}, "cover", ""),
    ],
)
def test_what_is_done_to_frames_of_another_shape_is_told(
    model: str, settings: dict[str, object], fit: str, words: str
) -> None:
    told = choose(model, settings, fit=fit).done_to(WIDE)

    assert told.startswith(words)
    assert bool(told) == bool(words)


def test_the_fit_of_the_command_is_that_of_what_is_sent() -> None:
    choice = choose("lcm", {"image_size": "square"}, fit="contain")
    white = Image.new("RGB", (640, 360), "white")

    sent = Image.open(BytesIO(choice.model.dump(choice.build(white, "x"))["image_bytes"]))

    assert sent.size == (512, 512)
    assert sent.getpixel((256, 20)) == (0, 0, 0)


def test_another_fit_is_refused() -> None:
    with pytest.raises(exceptions.ConfigurationError, match="fit must be 'cover', 'contain' or 'stretch'"):
        choose("klein", {}, fit="crop")
