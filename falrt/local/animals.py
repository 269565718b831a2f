"""Animals that sit and look at you, drawn onto a scene of 384 x 384 pixels: one drawing, told apart by a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from PIL import ImageDraw

__all__ = ["ANIMALS", "draw_animal"]

Colour: TypeAlias = tuple[int, int, int]

_WHITE, _BLACK, _PINK = (250, 246, 240), (34, 28, 28), (222, 146, 150)


@dataclass(frozen=True, slots=True)
class Animal:
    """What tells one from another.

    Attributes:
        furs: The colours it comes in.
        ears: Their form.
        pale: Colour of muzzle and bib.
        eyes: Their colour; cats' have slits.
        pointed: Whether the face runs to a point.
        slits: Whether the pupils are slits, with whiskers below.
        stripes: Whether the forehead is striped.
        mane: Colour of the mane, or None.
        brush: Whether a bushy tail with a white tip shows beside it.
    """

    furs: tuple[Colour, ...]
    ears: Literal["pointed", "hanging", "long", "round"]
    pale: Colour = _WHITE
    eyes: Colour = _BLACK
    pointed: bool = False
    slits: bool = False
    stripes: bool = False
    mane: Colour | None = None
    brush: bool = False


_CATS = ((226, 140, 66), (120, 116, 120), (70, 62, 66), (236, 220, 196))

ANIMALS: Final[Mapping[str, Animal]] = {
    "cat": Animal(_CATS, "pointed", eyes=(206, 224, 110), slits=True, stripes=True),
    "tiger": Animal(((232, 136, 40),), "round", eyes=(220, 200, 90), slits=True, stripes=True),
    "lion": Animal(((222, 170, 92),), "round", pale=(244, 222, 180), slits=True, mane=(136, 78, 34)),
    "fox": Animal(((204, 74, 26),), "pointed", pointed=True, brush=True),
    "wolf": Animal(((124, 128, 136), (92, 94, 102)), "pointed", eyes=(226, 178, 60), pointed=True),
    "dog": Animal(((176, 120, 70), (222, 186, 132), (110, 72, 48)), "hanging", eyes=(70, 42, 26)),
    "rabbit": Animal(((190, 170, 150), (226, 220, 212), (140, 120, 104)), "long"),
    "bear": Animal(((116, 76, 46), (84, 58, 42)), "round", pale=(202, 164, 118)),
    "mouse": Animal(((156, 154, 160),), "round", pale=(214, 208, 206)),
}


class _Pen:
    """Draws in pixels right of the middle of an animal, and pixels down."""

    def __init__(self, draw: ImageDraw.ImageDraw, x: float) -> None:
        self._draw, self._x = draw, x

    def disc(self, x: float, y: float, wide: float, high: float, colour: Colour) -> None:
        x += self._x
        self._draw.ellipse((x - wide, y - high, x + wide, y + high), fill=colour)

    def shape(self, colour: Colour, *corners: tuple[float, float]) -> None:
        self._draw.polygon([(self._x + x, y) for x, y in corners], fill=colour)

    def line(self, colour: Colour, width: int, *points: tuple[float, float]) -> None:
        self._draw.line([(self._x + x, y) for x, y in points], fill=colour, width=width)


def draw_animal(animal: Animal, draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Draw an animal onto a scene, sitting a little left or right of its middle."""
    fur = animal.furs[int(rng.integers(len(animal.furs)))]
    dark = (int(fur[0] * 0.66), int(fur[1] * 0.6), int(fur[2] * 0.6))
    pen = _Pen(draw, 192 + float(rng.uniform(-24, 24)))
    if animal.brush:
        side = 1 if rng.random() < 0.5 else -1
        pen.disc(side * 100, 290, 36, 76, fur)
        pen.disc(side * 112, 236, 28, 34, _WHITE)
    if animal.mane is not None:
        pen.disc(0, 190, 158, 152, animal.mane)
    pen.disc(0, 390, 112, 150, fur)
    pen.disc(0, 276, 44, 40, animal.pale)
    for side in (-1, 1):
        _draw_ear(animal, pen, side, fur)
    _draw_face(animal, pen, fur, dark)
    if animal.ears == "hanging":
        pen.disc(-104, 182, 34, 84, dark)
        pen.disc(104, 182, 34, 84, dark)


def _draw_ear(animal: Animal, pen: _Pen, side: int, fur: Colour) -> None:
    match animal.ears:
        case "pointed":
            pen.shape(fur, (side * 108, 50), (side * 30, 118), (side * 108, 176))
            pen.shape(_PINK, (side * 99, 84), (side * 54, 124), (side * 99, 158))
        case "round":
            pen.disc(side * 84, 112, 44, 44, fur)
            pen.disc(side * 84, 112, 26, 26, _PINK)
        case "long":
            pen.disc(side * 48, 72, 27, 84, fur)
            pen.disc(side * 48, 78, 14, 64, _PINK)


def _draw_face(animal: Animal, pen: _Pen, fur: Colour, dark: Colour) -> None:
    if animal.pointed:
        pen.shape(fur, (-84, 100), (84, 100), (118, 176), (0, 286), (-118, 176))
        for side in (-1, 1):
            pen.shape(animal.pale, (side * 118, 176), (side * 30, 204), (0, 286), (side * 52, 250))
        pen.disc(0, 272, 16, 11, _BLACK)
    else:
        pen.disc(0, 198, 116, 100, fur)
        pen.disc(0, 248, 56, 44, animal.pale)
        pen.disc(0, 232, 16, 11, _BLACK)
        pen.line(dark, 4, (-18, 266), (0, 256), (18, 266))
    for side in (-1, 1):
        pen.disc(side * 50, 184, *((24, 22) if animal.slits else (15, 15)), animal.eyes)
        pen.disc(side * 50, 184, 7, 21 if animal.slits else 9, _BLACK)
        pen.disc(side * 50 + 5, 178, 4, 4, _WHITE)
        for whisker in (-8, 0, 8) if animal.slits else ():
            pen.line(_WHITE, 2, (side * 30, 250 + whisker / 2), (side * 130, 240 + whisker * 2.4))
    for stripe in (-34, 0, 34) if animal.stripes else ():
        pen.line(dark, 9, (stripe, 104), (stripe * 0.6, 146))
