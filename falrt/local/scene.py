"""Small landscapes, cities, things and animals for prompts that come without a picture.

Each scene is a plain drawing in natural colours; the painter gives it palette, brush and light afterwards.
Everything is placed by a generator that the caller has seeded, so a seed is a composition.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from falrt.local.animals import ANIMALS, draw_animal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["LANDSCAPES", "SCENES", "draw_scene", "smooth_noise"]

Colour: TypeAlias = tuple[int, int, int]

_SIDE = 384
"""Scenes are drawn this small and square: brush strokes are larger than their pixels."""


def draw_scene(
    kind: str, width: int, height: int, rng: np.random.Generator, *, snow: bool = False
) -> Image.Image:
    """Draw a scene.

    Args:
        kind: One of `SCENES` or `ANIMALS`; anything else is mountains.
        width: Pixels of the picture that it is for; only the proportion matters.
        height: See ``width``.
        rng: Decides the composition.
        snow: Whether snow lies where an animal is.

    Returns:
        An RGB picture of the asked-for proportion, some 384 pixels long.
    """
    side = _SIDE / max(width, height)
    size = (max(16, round(width * side)), max(16, round(height * side)))
    animal = ANIMALS.get(kind)
    scene = SCENES.get(kind, _mountains)(rng) if animal is None else _field(rng, snow=snow)
    if animal is not None:
        draw_animal(animal, ImageDraw.Draw(scene), rng)
    return scene.resize(size, Image.Resampling.BILINEAR)


def smooth_noise(size: int, cells: int, rng: np.random.Generator, octaves: int = 3) -> NDArray[np.float32]:
    """Return ``(size, size)`` noise between about -1 and 1, smooth over ``size / cells`` pixels."""
    total = np.zeros((size, size), dtype=np.float32)
    for octave in range(octaves):
        count = cells * 2**octave + 1
        lattice = Image.fromarray(rng.uniform(-1, 1, (count, count)).astype(np.float32))
        total += np.asarray(lattice.resize((size, size), Image.Resampling.BICUBIC)) / 2**octave
    return total / 1.6


# What scenes are made of.


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    """Go from the one colour (0) to the other (1)."""
    red, green, blue = (int(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _sky(top: Colour, horizon: Colour, rng: np.random.Generator, clouds: float = 0.5) -> Image.Image:
    """A gradient with drifting clouds."""
    down = np.linspace(0, 1, _SIDE, dtype=np.float32)[:, None, None]
    base = np.array(top, dtype=np.float32) * (1 - down) + np.array(horizon, dtype=np.float32) * down
    # Clouds are wider than high: stretch the noise.
    drift = Image.fromarray(smooth_noise(_SIDE, 3, rng, octaves=4)[: _SIDE // 2]).resize((_SIDE, _SIDE))
    cover = np.clip(np.asarray(drift) * 1.5 - 0.1, 0, 1)[..., None] * clouds
    return Image.fromarray((base * (1 - cover) + 250 * cover).clip(0, 255).astype(np.uint8))


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _sun(image: Image.Image, rng: np.random.Generator, y: float, radius: float) -> Image.Image:
    """A bright disc with light around it."""
    x, halo = float(rng.uniform(60, 320)), Image.new("L", image.size)
    ImageDraw.Draw(halo).circle((x, y), radius * 1.7, fill=110)
    halo = halo.filter(ImageFilter.BoxBlur(radius * 0.7))
    ImageDraw.Draw(halo).circle((x, y), radius, fill=255)
    return Image.composite(Image.new("RGB", image.size, (255, 240, 200)), image, halo)


def _ridge(level: float, rough: float, rng: np.random.Generator, cells: int = 4) -> list[tuple[float, float]]:
    """The outline of a range of hills, closed along the lower edge."""
    profile = smooth_noise(_SIDE, cells, rng, octaves=4)[0]
    line = [(float(x), float(level - rough * height)) for x, height in enumerate(profile)]
    return [(0.0, float(_SIDE)), *line, (float(_SIDE), float(_SIDE))]


def _tree(
    draw: ImageDraw.ImageDraw, x: float, foot: float, height: float, near: float, rng: np.random.Generator
) -> None:
    """A trunk under a crown of leaves, darker the nearer it stands."""
    trunk = _mix((120, 112, 92), (50, 36, 26), near)
    draw.line((x, foot, x, foot - height * 0.8), fill=trunk, width=int(3 + 11 * near))
    for angle, reach, glow in rng.random((15, 3)).tolist():
        angle, reach = 2 * pi * angle, height * 0.24 * reach**0.5
        leaf = _mix(_mix((94, 132, 100), (34, 82, 44), near), (170, 190, 110), glow * 0.4)
        _disc(draw, x + cos(angle) * reach, foot - height * 0.82 + sin(angle) * reach, height * 0.11, leaf)


def _field(rng: np.random.Generator, *, snow: bool = False) -> Image.Image:
    """Open ground; in snow, before a line of firs."""
    if not snow:
        image = _sky((126, 160, 150), (214, 206, 160), rng)
        ImageDraw.Draw(image).polygon(_ridge(330, 20, rng), fill=(126, 150, 92))
        return image
    image = _sky((120, 156, 206), (214, 228, 244), rng, clouds=0.4)
    draw = ImageDraw.Draw(image)
    for x in range(-10, _SIDE + 10, 24):
        top = 96 + float(rng.uniform(0, 60))
        for y, reach in ((top, 14), (top + 40, 22), (top + 80, 30)):
            draw.polygon([(x, y), (x - reach, y + 90), (x + reach, y + 90)], fill=(66, 96, 120))
    draw.polygon(_ridge(262, 26, rng), fill=(232, 240, 250))
    draw.polygon(_ridge(330, 22, rng), fill=(246, 250, 254))
    for x, y, size in rng.random((50, 3)).tolist():
        _disc(draw, x * _SIDE, y * 240, 1 + 2 * size, (252, 254, 255))
    return image


# The scenes.


def _mountains(rng: np.random.Generator) -> Image.Image:
    image = _sun(_sky((60, 110, 190), (250, 210, 170), rng), rng, float(rng.uniform(70, 150)), 26)
    draw = ImageDraw.Draw(image)
    for number, tone in enumerate(((142, 150, 186), (96, 112, 152), (66, 98, 96), (40, 66, 44))):
        ridge = _ridge(190 + 42 * number, 92 - 17 * number, rng, cells=4 - number // 2)
        draw.polygon(ridge, fill=tone)
        if number == 0:
            draw.line(ridge[1:-1], fill=(232, 236, 246), width=4)
    lake = float(rng.uniform(120, 270))
    draw.ellipse((lake - 130, 318, lake + 130, 362), fill=(150, 190, 216))
    return image


def _sea(rng: np.random.Generator) -> Image.Image:
    horizon = float(rng.uniform(170, 215))
    image = _sun(_sky((70, 120, 200), (255, 216, 168), rng), rng, horizon - float(rng.uniform(6, 60)), 30)
    draw = ImageDraw.Draw(image)
    for y in np.arange(horizon, _SIDE, 3).tolist():
        depth = (y - horizon) / (_SIDE - horizon)
        draw.rectangle((0, y, _SIDE, y + 3), fill=_mix((70, 140, 170), (24, 80, 120), depth))
        for x in rng.uniform(-20, _SIDE, 3 + int(9 * depth)).tolist():
            draw.line((x, y, x + 8 + 24 * depth, y), fill=(126, 186, 204), width=1 + int(2 * depth))
    for _ in range(int(rng.integers(1, 4))):
        x, y, scale = float(rng.uniform(40, 340)), float(rng.uniform(horizon + 8, 300)), rng.uniform(0.5, 1.3)
        hull = [(-30, 3), (36, 3), (24, 15), (-20, 15)]
        for outline, tone in (
            ([(0, -56), (0, 0), (30, 0)], (246, 240, 228)),
            ([(-4, -46), (-4, 0), (-24, 0)], (220, 110, 84)),
            (hull, (74, 46, 40)),
        ):
            draw.polygon([(x + dx * scale, y + dy * scale) for dx, dy in outline], fill=tone)
    return image


def _forest(rng: np.random.Generator) -> Image.Image:
    image = _sun(_sky((150, 186, 170), (236, 226, 170), rng, clouds=0.3), rng, 150, 40)
    draw = ImageDraw.Draw(image)
    draw.polygon(_ridge(318, 16, rng), fill=(92, 104, 52))
    path = float(rng.uniform(150, 234))
    draw.polygon([(path, 300), (path + 70, _SIDE), (path - 80, _SIDE)], fill=(206, 176, 120))
    for near in np.linspace(0.15, 1, 26).tolist():
        x = float(rng.uniform(-10, _SIDE + 10))
        if abs(x - path) > 26 + 40 * near:
            _tree(draw, x, 296 + 80 * near, 90 + 210 * near, near, rng)
    return image


def _one_tree(rng: np.random.Generator) -> Image.Image:
    image = _field(rng)
    _tree(ImageDraw.Draw(image), float(rng.uniform(150, 234)), 352, 300, 1, rng)
    return image


def _city(rng: np.random.Generator) -> Image.Image:
    sky = _sky((40, 50, 110), (250, 160, 130), rng, clouds=0.35)
    image = _sun(sky, rng, float(rng.uniform(60, 130)), 26)
    draw = ImageDraw.Draw(image)
    for near, tone in ((0.0, (112, 96, 140)), (0.5, (72, 66, 106)), (1.0, (34, 34, 60))):
        left = float(rng.uniform(-30, 0))
        while left < _SIDE:
            wide, top = float(rng.uniform(26, 54)), float(rng.uniform(70 + 90 * near, 220 + 40 * near))
            draw.rectangle((left, top, left + wide, _SIDE), fill=tone)
            step = 9 + 3 * near
            for y in np.arange(top + 7, _SIDE - 8, step).tolist():
                for x in np.arange(left + 5, left + wide - 5, step).tolist():
                    if rng.random() < 0.3 + 0.15 * near:
                        draw.rectangle((x, y, x + 3 + near, y + 4 + near), fill=(255, 214, 130))
            left += wide + float(rng.uniform(0, 14))
    return image


def _house(rng: np.random.Generator) -> Image.Image:
    image = _field(rng)
    draw = ImageDraw.Draw(image)
    _tree(draw, float(rng.choice((46, 340))), 340, 210, 0.7, rng)
    x, wall = 192 + float(rng.uniform(-20, 20)), ((236, 222, 196), (222, 190, 150))[int(rng.integers(2))]
    draw.rectangle((x + 50, 96, x + 74, 170), fill=(120, 74, 62))
    draw.rectangle((x - 104, 190, x + 104, 344), fill=wall)
    draw.polygon([(x - 128, 194), (x, 92), (x + 128, 194)], fill=(168, 62, 48))
    draw.rectangle((x - 22, 262, x + 22, 344), fill=(96, 62, 44))
    for window in (x - 86, x + 38):
        draw.rectangle(
            (window, 216, window + 48, 258), fill=(120, 164, 196), outline=(250, 248, 240), width=5
        )
    return image


def _car(rng: np.random.Generator) -> Image.Image:
    image = _sky((120, 170, 222), (232, 226, 206), rng)
    draw = ImageDraw.Draw(image)
    draw.polygon(_ridge(240, 30, rng), fill=(110, 142, 96))
    draw.rectangle((0, 276, _SIDE, _SIDE), fill=(92, 92, 100))
    paint = ((202, 52, 44), (44, 92, 176), (232, 184, 60))[int(rng.integers(3))]
    x, glass = 192 + float(rng.uniform(-20, 20)), (196, 220, 232)
    roof = [(x - 84, 220), (x - 50, 164), (x + 46, 164), (x + 92, 220)]
    draw.polygon(roof, fill=paint)
    draw.polygon([(x - 66, 218), (x - 42, 174), (x - 6, 174), (x - 6, 218)], fill=glass)
    draw.polygon([(x + 4, 218), (x + 4, 174), (x + 40, 174), (x + 72, 218)], fill=glass)
    draw.rounded_rectangle((x - 146, 216, x + 150, 288), 22, fill=paint)
    for wheel in (x - 84, x + 88):
        _disc(draw, wheel, 290, 34, (34, 32, 36))
        _disc(draw, wheel, 290, 15, (196, 196, 202))
    return image


def _desert(rng: np.random.Generator) -> Image.Image:
    sky = _sky((90, 150, 220), (252, 214, 160), rng, clouds=0.25)
    image = _sun(sky, rng, float(rng.uniform(60, 140)), 32)
    draw = ImageDraw.Draw(image)
    for level, light in ((210, (222, 170, 112)), (262, (232, 178, 104)), (322, (240, 190, 112))):
        crest = _ridge(level, 46, rng, cells=2)
        draw.polygon(crest, fill=light)
        slide = float(rng.uniform(14, 40))
        shade = [(x + slide, y + 16 + 30 * (1 + sin(x / 34))) for x, y in crest[1:-1]]
        draw.polygon([*shade, (_SIDE, _SIDE), (0, _SIDE)], fill=_mix(light, (110, 62, 50), 0.55))
    return image


def _space(rng: np.random.Generator) -> Image.Image:
    red, blue = (smooth_noise(_SIDE, 3, rng, octaves=5) for _ in range(2))
    cloud = np.clip(0.5 + 0.75 * np.stack([red, red * 0.4 + blue * 0.3 - 0.2, blue], axis=-1), 0, 1)
    image = Image.fromarray((12 + 190 * cloud**2.1).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for x, y, bright in rng.random((260, 3)).tolist():
        _disc(draw, x * _SIDE, y * _SIDE, 0.3 + 1.7 * bright**6, (255, 250, int(200 + 55 * bright)))
    x, y, radius = (float(rng.uniform(*span)) for span in ((90, 294), (120, 264), (46, 84)))
    for light in np.linspace(0, 1, 40, endpoint=False).tolist():
        tone = _mix((60, 50, 80), (250, 190, 150), light)
        _disc(draw, x - radius * 0.45 * light, y - radius * 0.4 * light, radius * (1 - light), tone)
    ring = (x - radius * 1.9, y - radius * 0.55, x + radius * 1.9, y + radius * 0.55)
    draw.arc(ring, -18, 198, fill=(236, 214, 180), width=7)
    return image


def _flowers(rng: np.random.Generator) -> Image.Image:
    image = _sky((130, 180, 230), (236, 238, 206), rng, clouds=0.6)
    draw = ImageDraw.Draw(image)
    draw.polygon(_ridge(170, 26, rng), fill=(126, 166, 104))
    draw.polygon(_ridge(205, 18, rng), fill=(84, 138, 70))
    tones = ((226, 60, 66), (246, 190, 60), (238, 130, 176), (250, 244, 236), (150, 90, 200))
    for near in np.linspace(0.1, 1, 44).tolist():
        x, y = float(rng.uniform(0, _SIDE)), 200 + 150 * near + float(rng.uniform(-16, 16))
        radius, tone, petals = 4 + 22 * near, tones[int(rng.integers(len(tones)))], int(rng.integers(5, 9))
        draw.line((x, y, x, y + 20 + 70 * near), fill=(52, 104, 46), width=1 + int(4 * near))
        for number in range(petals):
            angle = 2 * pi * number / petals
            petal = _mix(tone, (0, 0, 0), 0.25 * (number % 2))
            _disc(draw, x + cos(angle) * radius * 0.66, y + sin(angle) * radius * 0.56, radius * 0.46, petal)
        _disc(draw, x, y, radius * 0.32, (250, 206, 70))
    return image


def _portrait(rng: np.random.Generator) -> Image.Image:
    image = _sky((120, 96, 90), (206, 168, 130), rng, clouds=0.4)
    draw = ImageDraw.Draw(image)
    skin = ((236, 196, 164), (206, 150, 112), (150, 100, 72), (246, 214, 190))[int(rng.integers(4))]
    hair = ((50, 34, 28), (122, 70, 36), (216, 176, 96), (34, 34, 44))[int(rng.integers(4))]
    coat = ((36, 70, 130), (150, 40, 56), (44, 96, 76), (92, 60, 120))[int(rng.integers(4))]
    shade, x = _mix(skin, (0, 0, 0), 0.24), 192 + float(rng.uniform(-12, 12))
    draw.ellipse((x - 96, 56, x + 96, 320), fill=hair)
    draw.ellipse((50, 290, 334, 560), fill=coat)
    draw.rectangle((164, 240, 220, 320), fill=shade)
    draw.ellipse((x - 68, 88, x + 68, 276), fill=shade)
    draw.ellipse((x - 68, 88, x + 54, 272), fill=skin)
    draw.pieslice((x - 80, 66, x + 80, 226), 184, 356, fill=hair)
    for eye in (x - 30, x + 28):
        draw.ellipse((eye - 15, 168, eye + 15, 186), fill=(250, 246, 240))
        _disc(draw, eye, 177, 8, (48, 60, 72))
        draw.line((eye - 18, 156, eye, 150, eye + 18, 156), fill=hair, width=5)
    draw.line((x, 180, x + 6, 214, x - 6, 218), fill=shade, width=5)
    draw.ellipse((x - 22, 236, x + 22, 250), fill=(186, 70, 72))
    return image


LANDSCAPES: Final[Mapping[str, Callable[[np.random.Generator], Image.Image]]] = {
    "mountains": _mountains,
    "sea": _sea,
    "forest": _forest,
    "desert": _desert,
    "flowers": _flowers,
    "space": _space,
    "city": _city,
}
"""Scenes without a subject, for prompts that name none that can be drawn."""

SCENES: Final[Mapping[str, Callable[[np.random.Generator], Image.Image]]] = {
    **LANDSCAPES,
    "tree": _one_tree,
    "house": _house,
    "car": _car,
    "portrait": _portrait,
}
