from __future__ import annotations

import numpy as np
import pytest

from falrt.local.animals import ANIMALS
from falrt.local.prompt import read_prompt
from falrt.local.scene import LANDSCAPES

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize(
    ("prompt", "style"),
    [
        ("an oil painting", "oil"),
        ("Watercolor of a cat", "watercolour"),
        ("a pencil sketch", "sketch"),
        ("neon city", "neon"),
        ("stained glass", "mosaic"),
        ("comic book", "comic"),
        ("pixel art", "pixel"),
        ("a photo", "photo"),
        ("", "oil"),
    ],
)
def test_words_choose_the_style(prompt: str, style: str) -> None:
    assert read_prompt(prompt).style == style


def test_words_choose_the_scene_and_plurals_count() -> None:
    assert read_prompt("tall mountains").scene == "mountains"
    assert read_prompt("two cats").scene == "cat"


@pytest.mark.parametrize(
    ("prompt", "scene"),
    [
        ("a dog", "dog"),
        ("a puppy on the beach", "dog"),
        ("grey wolves", "wolf"),
        ("a tiger", "tiger"),
        ("a bunny", "rabbit"),
        ("a red car", "car"),
        ("an old house", "house"),
        ("an oak tree", "tree"),
    ],
)
def test_what_is_asked_for_is_drawn(prompt: str, scene: str) -> None:
    assert read_prompt(prompt).scene == scene


@pytest.mark.parametrize("subject", ["horse", "cow", "bird", "elephant", "animal", "robot", "quartz"])
def test_what_cannot_be_drawn_is_a_landscape_and_no_other_animal(subject: str) -> None:
    assert read_prompt(f"a {subject}").scene in LANDSCAPES
    assert not ANIMALS.keys() & LANDSCAPES.keys()


def levels(ramp: list[int]) -> np.ndarray:
    """Shape (256, 3): the colours of a ramp."""
    return np.array(ramp, dtype=float).reshape(3, 256).T


def test_named_colours_make_the_ramps() -> None:
    look = read_prompt("gold and sapphire")

    cool, warm = levels(look.cool)[128], levels(look.warm)[128]

    assert cool[2] > cool[0]
    assert warm[0] > warm[2]


@pytest.mark.parametrize("prompt", ["", "gold", "black", "a sunset", "pastel", "noir night", "zebra quartz"])
def test_ramps_keep_light_light_and_dark_dark(prompt: str) -> None:
    look = read_prompt(prompt)

    for ramp in (look.cool, look.warm):
        lightness = levels(ramp) @ LUMA
        assert (np.diff(lightness) > -3).all()
        assert lightness[-1] - lightness[0] > 100


def test_dark_words_darken_and_bright_words_brighten() -> None:
    night, plain, bright = (
        np.mean(read_prompt(f"blue {word}").cool) for word in ("midnight", "thing", "bright")
    )

    assert night < plain < bright


def test_unknown_words_have_their_own_colours_every_time() -> None:
    assert read_prompt("zebra").warm == read_prompt("zebra").warm != read_prompt("quartz").warm


def test_negative_prompt_takes_words_away() -> None:
    assert read_prompt("comic cat", "comic").style == "oil"


def test_colours_weigh_more_where_they_were_named() -> None:
    assert read_prompt("crimson").weight > read_prompt("something").weight


def test_a_fox_in_the_snow_is_a_fox_in_the_snow() -> None:
    look = read_prompt("a red fox in the snow")
    assert (look.scene, look.snow) == ("fox", True)
    assert not read_prompt("a red fox").snow
