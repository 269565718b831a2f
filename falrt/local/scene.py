"""Small landscapes, cities and animals for prompts that come without a picture.

Each scene is a plain drawing in natural colours; the painter gives it palette, brush and light afterwards.
Everything is placed by a generator that the caller has seeded, so a seed is a composition.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from falrt.local.animals import ANIMALS
from falrt.local.strokes import smooth_noise

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["draw_scene"]

Colour: TypeAlias = tuple[int, int, int]

_SIDE = 384
"""Scenes are drawn this small and square: brush strokes are larger than their pixels."""


def draw_scene(
    kind: str, width: int, height: int, rng: np.random.Generator, *, snow: bool = False
) -> Image.Image:
    """Draw a scene.

    Args:
        kind: ``mountains``, ``sea``, ``forest``, ``city``, ``desert``, ``space``, ``flowers``, ``portrait``
            ``cat`` or ``fox``; anything else is mountains.
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
    scene = _SCENES.get(kind, _mountains)(rng) if animal is None else animal(_field(snow, rng), rng)
    return scene.resize(size, Image.Resampling.BILINEAR)


def _sky(top: Colour, horizon: Colour, rng: np.random.Generator, clouds: float = 0.5) -> Image.Image:
    """A gradient with drifting clouds."""
    down = np.linspace(0, 1, _SIDE, dtype=np.float32)[:, None, None]
    base = np.array(top, dtype=np.float32) * (1 - down) + np.array(horizon, dtype=np.float32) * down
    drift = smooth_noise(_SIDE, 3, rng, octaves=4)
    # Clouds are wider than high: stretch the noise.
    drift = np.asarray(Image.fromarray(drift[: _SIDE // 2]).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
    cover = np.clip(drift * 1.5 - 0.1, 0, 1)[..., None] * clouds
    return Image.fromarray((base * (1 - cover) + 250 * cover).clip(0, 255).astype(np.uint8))


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _glow(image: Image.Image, x: float, y: float, radius: float, colour: Colour) -> Image.Image:
    """A bright disc with light around it."""
    halo = Image.new("L", image.size)
    _mask = ImageDraw.Draw(halo)
    _mask.ellipse((x - radius * 1.7, y - radius * 1.7, x + radius * 1.7, y + radius * 1.7), fill=110)
    halo = halo.filter(ImageFilter.BoxBlur(radius * 0.7))
    ImageDraw.Draw(halo).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return Image.composite(Image.new("RGB", image.size, colour), image, halo)


def _ridge(level: float, rough: float, rng: np.random.Generator, cells: int = 4) -> list[tuple[float, float]]:
    """The outline of a range of hills, closed along the lower edge."""
    profile = smooth_noise(_SIDE, cells, rng, octaves=4)[0]
    line = [(float(x), float(level - rough * height)) for x, height in enumerate(profile)]
    return [(0.0, float(_SIDE)), *line, (float(_SIDE), float(_SIDE))]


def _mountains(rng: np.random.Generator) -> Image.Image:
    image = _sky((60, 110, 190), (250, 210, 170), rng)
    image = _glow(
        image,
        float(rng.uniform(60, 320)),
        float(rng.uniform(70, 150)),
        float(rng.uniform(16, 34)),
        (255, 240, 200),
    )
    draw = ImageDraw.Draw(image)
    levels = (190, 235, 275, 315)
    tones: tuple[Colour, ...] = ((142, 150, 186), (96, 112, 152), (66, 98, 96), (40, 66, 44))
    for number, (level, tone) in enumerate(zip(levels, tones, strict=True)):
        ridge = _ridge(level, 92 - 17 * number, rng, cells=4 - number // 2)
        draw.polygon(ridge, fill=tone)
        if number == 0:
            draw.line(ridge[1:-1], fill=(232, 236, 246), width=4)
    lake = float(rng.uniform(120, 270))
    draw.ellipse((lake - 130, 318, lake + 130, 362), fill=(150, 190, 216))
    return image


def _sea(rng: np.random.Generator) -> Image.Image:
    image = _sky((70, 120, 200), (255, 216, 168), rng)
    horizon = float(rng.uniform(170, 215))
    sun = float(rng.uniform(90, 294))
    image = _glow(image, sun, horizon - float(rng.uniform(6, 60)), 30, (255, 236, 170))
    draw = ImageDraw.Draw(image)
    for y in np.arange(horizon, _SIDE, 3).tolist():
        depth = (y - horizon) / (_SIDE - horizon)
        tone = (int(70 - 46 * depth), int(140 - 60 * depth), int(170 - 50 * depth))
        draw.rectangle((0, y, _SIDE, y + 3), fill=tone)
        for _ in range(3 + int(9 * depth)):
            x, reach = float(rng.uniform(-20, _SIDE)), float(rng.uniform(5, 12 + 34 * depth))
            near_sun = abs(x + reach / 2 - sun) < 24 + 60 * depth
            draw.line(
                (x, y, x + reach, y),
                fill=(255, 226, 160) if near_sun else (126, 186, 204),
                width=1 + int(2 * depth),
            )
    for _ in range(int(rng.integers(1, 4))):
        _boat(
            draw,
            float(rng.uniform(40, 340)),
            float(rng.uniform(horizon + 8, 300)),
            float(rng.uniform(0.5, 1.3)),
        )
    return image


def _boat(draw: ImageDraw.ImageDraw, x: float, y: float, scale: float) -> None:
    draw.polygon([(x, y - 56 * scale), (x, y), (x + 30 * scale, y)], fill=(246, 240, 228))
    draw.polygon([(x - 4, y - 46 * scale), (x - 4, y), (x - 24 * scale, y)], fill=(220, 110, 84))
    bow, stern, keel = x - 30 * scale, x + 36 * scale, y + 15 * scale
    draw.polygon(
        [(bow, y + 3), (stern, y + 3), (x + 24 * scale, keel), (x - 20 * scale, keel)], fill=(74, 46, 40)
    )


def _forest(rng: np.random.Generator) -> Image.Image:
    image = _sky((150, 186, 170), (236, 226, 170), rng, clouds=0.3)
    image = _glow(image, float(rng.uniform(110, 270)), 150, 40, (255, 246, 206))
    draw = ImageDraw.Draw(image)
    draw.polygon(_ridge(318, 16, rng), fill=(92, 104, 52))
    path = float(rng.uniform(150, 234))
    draw.polygon(
        [(path - 6, 306), (path + 6, 306), (path + 70, _SIDE), (path - 80, _SIDE)], fill=(206, 176, 120)
    )
    for near in np.linspace(0.15, 1, 26):
        x = float(rng.uniform(-10, _SIDE + 10))
        if abs(x - path) < 26 + 40 * near:
            continue
        _tree(draw, x, 296 + 80 * float(near), 90 + 210 * float(near), float(near), rng)
    return image


def _tree(
    draw: ImageDraw.ImageDraw, x: float, foot: float, height: float, near: float, rng: np.random.Generator
) -> None:
    """A trunk under a crown of leaves, darker the nearer it stands."""
    pale = 1 - near
    trunk = (int(50 + 70 * pale), int(36 + 76 * pale), int(26 + 66 * pale))
    draw.line(
        (x, foot, x + float(rng.uniform(-8, 8)), foot - height * 0.8), fill=trunk, width=int(3 + 11 * near)
    )
    for _ in range(15):
        angle, reach = float(rng.uniform(0, 2 * pi)), float(rng.uniform(0, height * 0.26))
        glow = float(rng.uniform(-22, 40))
        leaf = (int(56 + 60 * pale + glow), int(104 + 50 * pale + glow), int(44 + 56 * pale))
        _disc(draw, x + cos(angle) * reach, foot - height * 0.82 + sin(angle) * reach, height * 0.09, leaf)


def _city(rng: np.random.Generator) -> Image.Image:
    image = _sky((40, 50, 110), (250, 160, 130), rng, clouds=0.35)
    image = _glow(image, float(rng.uniform(60, 320)), float(rng.uniform(60, 130)), 26, (255, 236, 200))
    draw = ImageDraw.Draw(image)
    for near, tone in ((0.0, (112, 96, 140)), (0.5, (72, 66, 106)), (1.0, (34, 34, 60))):
        x = float(rng.uniform(-30, 0))
        while x < _SIDE:
            wide = float(rng.uniform(26, 46 + 18 * near))
            top = float(rng.uniform(70 + 90 * near, 220 + 40 * near))
            draw.rectangle((x, top, x + wide, _SIDE), fill=tone)
            _windows(draw, x, top, wide, near, rng)
            x += wide + float(rng.uniform(0, 14))
    draw.polygon([(150, _SIDE), (234, _SIDE), (198, 316), (186, 316)], fill=(120, 110, 130))
    return image


def _windows(
    draw: ImageDraw.ImageDraw, x: float, top: float, wide: float, near: float, rng: np.random.Generator
) -> None:
    step = 9 + 3 * near
    for wy in np.arange(top + 7, _SIDE - 8, step):
        for wx in np.arange(x + 5, x + wide - 5, step):
            if rng.random() < 0.3 + 0.15 * near:
                draw.rectangle(
                    (wx, wy, wx + 3 + near, wy + 4 + near), fill=(255, int(rng.uniform(180, 240)), 130)
                )


def _desert(rng: np.random.Generator) -> Image.Image:
    image = _sky((90, 150, 220), (252, 214, 160), rng, clouds=0.25)
    image = _glow(image, float(rng.uniform(60, 320)), float(rng.uniform(60, 140)), 32, (255, 244, 214))
    draw = ImageDraw.Draw(image)
    for level, light, dark in (
        (210, (222, 170, 112), (176, 120, 84)),
        (262, (232, 178, 104), (166, 106, 66)),
        (322, (240, 190, 112), (150, 92, 54)),
    ):
        crest = _ridge(level, 46, rng, cells=2)
        draw.polygon(crest, fill=light)
        slide = float(rng.uniform(24, 60))
        shade = [
            (x + slide * (0.3 + i / len(crest)), y + 16 + 30 * (1 + sin(i / 34)))
            for i, (x, y) in enumerate(crest[1:-1])
        ]
        draw.polygon([*shade, (_SIDE, _SIDE), (0, _SIDE)], fill=dark)
    return image


def _space(rng: np.random.Generator) -> Image.Image:
    tint = [smooth_noise(_SIDE, 3, rng, octaves=5) for _ in range(2)]
    channels = (tint[0], tint[0] * 0.4 + tint[1] * 0.3 - 0.2, tint[1])
    cloud = np.stack([np.clip(0.5 + 0.75 * channel, 0, 1) for channel in channels], axis=-1)
    image = Image.fromarray((12 + 190 * cloud**2.1).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for x, y, bright in rng.random((260, 3)).tolist():
        _disc(draw, x * _SIDE, y * _SIDE, 0.3 + 1.7 * bright**6, (255, 250, int(200 + 55 * bright)))
    radius = float(rng.uniform(46, 84))
    x, y = float(rng.uniform(90, 294)), float(rng.uniform(120, 264))
    for step in range(40):
        shrink = 1 - step / 40
        tone = (int(60 + 190 * (1 - shrink)), int(50 + 140 * (1 - shrink)), int(80 + 70 * (1 - shrink)))
        _disc(draw, x - radius * 0.45 * (1 - shrink), y - radius * 0.4 * (1 - shrink), radius * shrink, tone)
    draw.arc(
        (x - radius * 1.9, y - radius * 0.55, x + radius * 1.9, y + radius * 0.55),
        -18,
        198,
        fill=(236, 214, 180),
        width=7,
    )
    return image


def _flowers(rng: np.random.Generator) -> Image.Image:
    image = _sky((130, 180, 230), (236, 238, 206), rng, clouds=0.6)
    draw = ImageDraw.Draw(image)
    draw.polygon(_ridge(170, 26, rng), fill=(126, 166, 104))
    draw.polygon(_ridge(205, 18, rng), fill=(84, 138, 70))
    tones: tuple[Colour, ...] = (
        (226, 60, 66),
        (246, 190, 60),
        (238, 130, 176),
        (250, 244, 236),
        (150, 90, 200),
    )
    for near in np.linspace(0.1, 1, 44):
        depth = float(near)
        x, y = float(rng.uniform(0, _SIDE)), 200 + 150 * depth + float(rng.uniform(-16, 16))
        petal = tones[int(rng.integers(len(tones)))]
        draw.line(
            (x, y, x + float(rng.uniform(-12, 12)), y + 20 + 70 * depth),
            fill=(52, 104, 46),
            width=1 + int(4 * depth),
        )
        _blossom(draw, x, y, 4 + 22 * depth, petal, int(rng.integers(5, 9)))
    return image


def _blossom(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, petal: Colour, count: int) -> None:
    darker = (int(petal[0] * 0.78), int(petal[1] * 0.72), int(petal[2] * 0.76))
    for number in range(count):
        angle = 2 * pi * number / count
        _disc(
            draw,
            x + cos(angle) * radius * 0.66,
            y + sin(angle) * radius * 0.56,
            radius * 0.46,
            darker if number % 2 else petal,
        )
    _disc(draw, x, y, radius * 0.32, (250, 206, 70))


def _portrait(rng: np.random.Generator) -> Image.Image:
    image = _sky((120, 96, 90), (206, 168, 130), rng, clouds=0.4)
    draw = ImageDraw.Draw(image)
    skin = ((236, 196, 164), (206, 150, 112), (150, 100, 72), (246, 214, 190))[int(rng.integers(4))]
    hair = ((50, 34, 28), (122, 70, 36), (216, 176, 96), (34, 34, 44))[int(rng.integers(4))]
    coat = ((36, 70, 130), (150, 40, 56), (44, 96, 76), (92, 60, 120))[int(rng.integers(4))]
    shade = (int(skin[0] * 0.78), int(skin[1] * 0.74), int(skin[2] * 0.74))
    lean = float(rng.uniform(-12, 12))
    draw.ellipse((96 + lean, 56, 288 + lean, 320), fill=hair)
    draw.ellipse((50, 290, 334, 560), fill=coat)
    draw.rectangle((164, 240, 220, 320), fill=shade)
    draw.ellipse((124 + lean, 88, 260 + lean, 276), fill=shade)
    draw.ellipse((124 + lean, 88, 246 + lean, 272), fill=skin)
    draw.pieslice((112 + lean, 66, 272 + lean, 226), 184, 356, fill=hair)
    for eye in (162 + lean, 220 + lean):
        draw.ellipse((eye - 15, 168, eye + 15, 186), fill=(250, 246, 240))
        _disc(draw, eye + lean * 0.3, 177, 8, (48, 60, 72))
        draw.line((eye - 18, 156, eye, 150, eye + 18, 156), fill=hair, width=5)
    draw.line((192 + lean, 180, 198 + lean, 214, 186 + lean, 218), fill=shade, width=5)
    draw.ellipse((170 + lean, 236, 214 + lean, 250), fill=(186, 70, 72))
    return image


def _field(snow: bool, rng: np.random.Generator) -> Image.Image:
    """Where animals are: open ground before a line of firs."""
    if not snow:
        image = _sky((126, 160, 150), (214, 206, 160), rng, clouds=0.5)
        ImageDraw.Draw(image).polygon(_ridge(330, 20, rng), fill=(126, 150, 92))
        return image
    image = _sky((120, 156, 206), (214, 228, 244), rng, clouds=0.4)
    draw = ImageDraw.Draw(image)
    for x in np.arange(-10, _SIDE + 10, 24).tolist():
        top, foot = 110 + float(rng.uniform(0, 60)), 268.0
        for level in np.linspace(0, 1, 4, endpoint=False).tolist():
            y, reach = top + (foot - top) * level, 10 + 22 * level
            draw.polygon([(x, y - 14), (x - reach, y + 40), (x + reach, y + 40)], fill=(66, 96, 120))
    draw.polygon(_ridge(262, 26, rng), fill=(232, 240, 250))
    draw.polygon(_ridge(330, 22, rng), fill=(246, 250, 254))
    for x, y, size in rng.random((50, 3)).tolist():
        _disc(draw, x * _SIDE, y * 240, 1 + 2 * size, (252, 254, 255))
    return image


_SCENES: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "mountains": _mountains,
    "sea": _sea,
    "forest": _forest,
    "city": _city,
    "desert": _desert,
    "space": _space,
    "flowers": _flowers,
    "portrait": _portrait,
}
