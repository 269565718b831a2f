from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from falrt.local.painter import STYLES, Order, paint
from falrt.local.scene import draw_scene


@pytest.fixture(scope="module")
def frame() -> Image.Image:
    return draw_scene("cat", 512, 512, np.random.default_rng(3)).resize((512, 512))


def order(frame: Image.Image | None = None, prompt: str = "gold and sapphire") -> Order:
    return Order(prompt=prompt, seed=35, width=512, height=512, frame=frame)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of the channels, 0-255."""
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


def likeness(one: Image.Image, other: Image.Image) -> float:
    """Correlation of lightness, as seen from a little distance."""
    pixels = [np.asarray(each.convert("L").filter(ImageFilter.BoxBlur(5))).ravel() for each in (one, other)]
    return float(np.corrcoef(*pixels)[0, 1])


def test_same_order_gives_the_same_picture(frame: Image.Image) -> None:
    assert paint(order(frame)).tobytes() == paint(order(frame)).tobytes()


@pytest.mark.parametrize("size", [(512, 512), (300, 200), (200, 300), (1100, 64)])
def test_picture_has_the_ordered_size(size: tuple[int, int]) -> None:
    assert paint(replace(order(), width=size[0], height=size[1])).size == size


def test_a_larger_picture_shows_the_same() -> None:
    wide = replace(order(prompt="a red fox in the snow"), width=1024, height=512)

    wider = paint(replace(wide, width=1536, height=768))

    assert likeness(paint(wide), wider.resize((1024, 512))) > 0.99


@pytest.mark.parametrize("style", [style for style in STYLES if style != "neon"])
@pytest.mark.parametrize("kind", ["cat", "city", "sea"])
def test_frame_shines_through_every_style(style: str, kind: str) -> None:
    frame = draw_scene(kind, 512, 512, np.random.default_rng(3)).resize((512, 512))
    other = draw_scene("flowers", 512, 512, np.random.default_rng(4)).resize((512, 512))

    painted = paint(order(frame, f"{style} blue"))

    # A drawing in lines has the light of its paper.
    assert likeness(painted, frame) > (0.5 if style == "sketch" else 0.7)
    # A pen draws contours; what it leaves of light and shade is little.
    assert likeness(painted, frame) > likeness(painted, other) + (0.03 if style == "sketch" else 0.1)


def test_contours_of_the_frame_glow_in_neon(frame: Image.Image) -> None:
    painted = paint(order(frame, "neon blue"))

    contours = np.asarray(frame.convert("L").filter(ImageFilter.FIND_EDGES).filter(ImageFilter.BoxBlur(2)))
    light = np.asarray(painted.convert("L"), dtype=float)
    assert light[contours > 20].mean() > 2 * light[contours < 4].mean()


@pytest.mark.parametrize("style", STYLES)
def test_every_style_changes_the_frame(frame: Image.Image, style: str) -> None:
    assert difference(paint(order(frame, f"{style} blue")), frame) > 10


def test_prompt_changes_the_picture(frame: Image.Image) -> None:
    gold, forest = (paint(order(frame, prompt)) for prompt in ("gold", "emerald forest"))

    assert difference(gold, forest) > 15
    assert np.asarray(gold)[..., 0].mean() > np.asarray(forest)[..., 0].mean() + 20


def test_seed_changes_brushwork_but_not_the_motif(frame: Image.Image) -> None:
    one, other = (paint(replace(order(frame), seed=seed)) for seed in (1, 2))

    assert difference(one, other) > 5
    assert likeness(one, other) > 0.85


def test_seed_changes_the_composition_of_a_scene() -> None:
    one, other = (paint(replace(order(prompt="the sea"), seed=seed)) for seed in (1, 2))

    assert difference(one, other) > 10


def test_strength_decides_how_much_of_the_frame_stays(frame: Image.Image) -> None:
    away = [difference(paint(replace(order(frame), strength=s)), frame) for s in (0, 0.1, 0.5, 0.9)]

    assert away[0] == 0
    assert away[1] * 1.5 < away[2] < away[3] / 1.5


def test_guidance_brings_colours_nearer_to_the_prompt(frame: Image.Image) -> None:
    loose, strict = (paint(replace(order(frame, "crimson"), guidance=g)) for g in (0, 1))
    redness = [
        float((np.asarray(p, float)[..., 0] - np.asarray(p, float)[..., 1]).mean()) for p in (loose, strict)
    ]

    assert redness[1] > redness[0] + 5


def test_more_steps_show_more_of_the_detail(frame: Image.Image) -> None:
    errors = []
    for fineness in (0.0, 1.0):
        painted = paint(replace(order(frame), fineness=fineness)).convert("L")
        edges = [
            np.asarray(each.filter(ImageFilter.FIND_EDGES), float) for each in (painted, frame.convert("L"))
        ]
        errors.append(np.corrcoef(edges[0].ravel(), edges[1].ravel())[0, 1])

    assert errors[1] > errors[0]


def test_mask_keeps_the_frame_where_it_is_black(frame: Image.Image) -> None:
    mask = Image.new("L", (512, 512))
    mask.paste(255, (256, 0, 512, 512))

    painted = paint(replace(order(frame), mask=mask))

    assert difference(painted.crop((0, 0, 240, 512)), frame.crop((0, 0, 240, 512))) == 0
    assert difference(painted.crop((272, 0, 512, 512)), frame.crop((272, 0, 512, 512))) > 10


@pytest.mark.parametrize("colour", ["black", "white", "grey"])
@pytest.mark.parametrize("style", STYLES)
def test_plain_frames_can_be_painted(style: str, colour: str) -> None:
    plain = Image.new("RGB", (64, 64), colour)

    assert paint(order(plain, style)).size == (512, 512)


def test_a_frame_is_cropped_about_its_centre() -> None:
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("blue", (100, 0, 200, 100))

    square = np.asarray(paint(Order(prompt="x", width=50, height=50, frame=wide, strength=0)))

    assert square.shape == (50, 50, 3)
    assert (square[:, 5:-5] == (0, 0, 255)).all()


def test_negative_seeds_are_seeds() -> None:
    assert paint(replace(order(), seed=-1)).size == (512, 512)


@pytest.mark.parametrize("seed", range(4))
def test_a_red_fox_in_the_snow_is_red_and_stands_in_snow(seed: int) -> None:
    picture = np.asarray(paint(Order(prompt="a red fox in the snow", seed=seed)), dtype=float)
    fox, snow = picture[400:470, 200:310].mean(axis=(0, 1)), picture[470:, :60].mean(axis=(0, 1))

    assert fox[0] > 1.8 * fox[2], "red"
    assert snow.min() > 190, "white"


def test_a_sketch_is_lines_on_light_paper() -> None:
    picture = np.asarray(paint(Order(prompt="a cat, pencil sketch", seed=7)), dtype=float).mean(axis=2)

    paper, lines = np.percentile(picture, (90, 2))
    assert paper > 200
    assert lines < 110
    assert (picture > 170).mean() > 0.4, "most of it is paper"
