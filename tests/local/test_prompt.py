from __future__ import annotations

import numpy as np
import pytest

from falrt.local.prompt import LIGHTNESS_STEPS, WARMTH_STEPS, read_prompt

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


def test_named_colours_fill_the_table() -> None:
    table = read_prompt("gold and sapphire").table
    middle = table[LIGHTNESS_STEPS // 2]

    cool, warm = middle[0], middle[-1]

    assert cool[2] > cool[0]
    assert warm[0] > warm[2]


@pytest.mark.parametrize("prompt", ["", "gold", "black", "a sunset", "pastel", "noir night", "zebra quartz"])
def test_table_keeps_light_light_and_dark_dark(prompt: str) -> None:
    table = read_prompt(prompt).table

    assert table.shape == (LIGHTNESS_STEPS, WARMTH_STEPS, 3)
    assert (np.diff(table @ LUMA, axis=0) > -3).all()
    assert (table[-1] @ LUMA - table[0] @ LUMA > 100).all()


def test_dark_words_darken_and_bright_words_brighten() -> None:
    night, plain, bright = (
        read_prompt(f"blue {word}").table.mean() for word in ("midnight", "thing", "bright")
    )

    assert night < plain < bright


def test_unknown_words_have_their_own_colours_every_time() -> None:
    assert (read_prompt("zebra").table == read_prompt("zebra").table).all()
    assert (read_prompt("zebra").table != read_prompt("quartz").table).any()


def test_negative_prompt_takes_words_away() -> None:
    assert read_prompt("comic cat", "comic").style == "oil"


def test_colours_weigh_more_where_they_were_named() -> None:
    assert read_prompt("crimson").weight > read_prompt("something").weight


def test_a_fox_in_the_snow_is_a_fox_in_the_snow() -> None:
    look = read_prompt("a red fox in the snow")
    assert (look.scene, look.snow) == ("fox", True)
    assert not read_prompt("a red fox").snow
