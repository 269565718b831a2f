"""Animals, drawn onto a scene of 384 x 384 pixels."""

from __future__ import annotations

from math import pi, sin
from typing import TYPE_CHECKING, Final, TypeAlias

from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

__all__ = ["ANIMALS"]

Colour: TypeAlias = tuple[int, int, int]


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _fox(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Sitting, from the front: a pointed face, black ears and stockings, a white bib, and the brush of a tail."""
    draw = ImageDraw.Draw(image)
    fur, shade, black, white = (204, 74, 26), (160, 52, 22), (40, 28, 28), (250, 246, 240)
    x, side = 192 + float(rng.uniform(-28, 28)), 1 if rng.random() < 0.5 else -1
    for step in range(26):  # the tail, from the ground up, white at its tip
        turn = step / 25
        reach, radius = x + side * (70 + 62 * sin(turn * 2.4)), 15 + 21 * sin(pi * min(1.0, turn * 0.8 + 0.1))
        _disc(
            draw,
            reach,
            352 - 150 * turn,
            radius * (1 - 0.75 * max(0.0, turn - 0.8) / 0.2),
            white if turn > 0.76 else fur,
        )
    draw.ellipse((x - 74, 212, x + 74, 392), fill=fur)
    draw.ellipse((x - 74, 300, x + 74, 396), fill=shade)
    draw.polygon([(x - 46, 224), (x + 46, 224), (x + 22, 326), (x - 22, 326)], fill=white)
    for leg in (-1, 1):
        draw.rounded_rectangle((x + leg * 24 - 16, 290, x + leg * 24 + 16, 380), 14, fill=fur)
        draw.rounded_rectangle((x + leg * 24 - 15, 340, x + leg * 24 + 15, 382), 12, fill=black)
    for ear in (-1, 1):
        draw.polygon([(x + ear * 92, 32), (x + ear * 24, 106), (x + ear * 92, 132)], fill=fur)
        draw.polygon([(x + ear * 92, 32), (x + ear * 66, 60), (x + ear * 92, 78)], fill=black)
        draw.polygon([(x + ear * 82, 66), (x + ear * 46, 102), (x + ear * 80, 118)], fill=shade)
    # A face of two wide cheeks that runs to a point.
    draw.polygon(
        [(x - 60, 98), (x + 60, 98), (x + 106, 168), (x + 30, 222), (x, 254), (x - 30, 222), (x - 106, 168)],
        fill=fur,
    )
    for cheek in (-1, 1):
        draw.polygon(
            [
                (x + cheek * 106, 168),
                (x + cheek * 40, 182),
                (x + cheek * 10, 206),
                (x, 254),
                (x + cheek * 30, 222),
            ],
            fill=white,
        )
        _disc(draw, x + cheek * 40, 160, 11, black)
        _disc(draw, x + cheek * 40 + 4, 156, 4, white)
    draw.ellipse((x - 13, 236, x + 13, 258), fill=black)
    return image


def _cat(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    draw = ImageDraw.Draw(image)
    fur = ((226, 140, 66), (120, 116, 120), (70, 62, 66), (236, 220, 196))[int(rng.integers(4))]
    dark = (int(fur[0] * 0.6), int(fur[1] * 0.56), int(fur[2] * 0.56))
    pale = tuple(int(channel + (250 - channel) * 0.65) for channel in fur)
    light: Colour = (pale[0], pale[1], pale[2])
    x = 192 + float(rng.uniform(-24, 24))
    draw.ellipse((x - 120, 250, x + 120, 520), fill=fur)
    draw.ellipse((x - 60, 280, x + 60, 500), fill=light)
    for side in (-1, 1):
        draw.polygon([(x + side * 108, 66), (x + side * 34, 118), (x + side * 106, 176)], fill=fur)
        draw.polygon([(x + side * 98, 92), (x + side * 54, 124), (x + side * 98, 158)], fill=(226, 150, 150))
    draw.ellipse((x - 116, 98, x + 116, 298), fill=fur)
    draw.ellipse((x - 56, 204, x + 56, 292), fill=light)
    for stripe in (-34, 0, 34):
        draw.line((x + stripe, 106, x + stripe * 0.6, 146), fill=dark, width=9)
    for side in (-1, 1):
        draw.ellipse((x + side * 52 - 25, 168, x + side * 52 + 25, 214), fill=(206, 224, 110))
        draw.ellipse((x + side * 52 - 7, 169, x + side * 52 + 7, 213), fill=(20, 22, 20))
        _disc(draw, x + side * 52 + 6, 182, 4, (255, 255, 255))
        for whisker in (-8, 0, 8):
            draw.line(
                (x + side * 30, 246 + whisker / 2, x + side * 130, 236 + whisker * 2.4),
                fill=(250, 248, 240),
                width=2,
            )
    draw.polygon([(x - 14, 222), (x + 14, 222), (x, 240)], fill=(214, 110, 116))
    draw.line((x, 240, x, 252, x - 18, 262), fill=dark, width=4)
    draw.line((x, 252, x + 18, 262), fill=dark, width=4)
    return image


ANIMALS: Final[Mapping[str, Callable[[Image.Image, np.random.Generator], Image.Image]]] = {
    "cat": _cat,
    "fox": _fox,
}
