"""Paints a picture from a prompt, a seed and, where there is one, a frame.

The stand-in's models are not neural, but they answer to the same inputs in the same sense: the prompt decides
colours and style, the seed the composition and the hand, steps how fine the work is, strength how much of the
frame gives way, and the frame's light, shade and edges shine through. The same order gives the same picture
on every machine with the same numpy and Pillow.

A picture takes some 10 to 40 ms of one core: it is given the look's colours, and then one of `STYLES` works on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import tanh
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps, ImageStat

from falrt.local.prompt import Look, read_prompt
from falrt.local.scene import draw_scene, smooth_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["STYLES", "Order", "paint"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Order:
    """What to paint.

    Attributes:
        prompt: Any text.
        negative_prompt: Words to leave out of account.
        seed: Decides composition and brushwork.
        width: Pixels of the picture.
        height: Pixels of the picture.
        fineness: 0 (a few broad strokes) to 1 (all the detail); models derive it from their steps.
        strength: 0 to 1: how much of the frame gives way to paint. No meaning without a frame.
        guidance: 0 to 1: how strictly colours follow the prompt.
        frame: The RGB picture to paint after, of any size; cropped about its centre. None: a scene from the
            prompt.
        mask: White where paint may go; None: everywhere. No meaning without a frame.
    """

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    width: int = 512
    height: int = 512
    fineness: float = 0.5
    strength: float = 1.0
    guidance: float = 1.0
    frame: Image.Image | None = None
    mask: Image.Image | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What a style works on.

    Attributes:
        source: The frame or the scene, as it is.
        base: The same in the look's colours.
        look: What the prompt asks for.
        fineness: As ordered, 0 to 1.
        rng: The hand; the order's seed decides it.
    """

    source: Image.Image
    base: Image.Image
    look: Look
    fineness: float
    rng: np.random.Generator


def paint(order: Order) -> Image.Image:
    """Paint one picture.

    Returns:
        RGB, of exactly the ordered size.
    """
    look = read_prompt(order.prompt, order.negative_prompt)
    look = replace(look, weight=look.weight * (0.55 + 0.45 * min(1.0, max(0.0, order.guidance))))
    seed, size = order.seed & 0xFFFFFFFF, (order.width, order.height)
    if order.frame is None:
        composition = np.random.default_rng((seed, look.signature))
        source = draw_scene(look.scene, *size, composition, snow=look.snow).resize(size)
    else:
        source = ImageOps.fit(order.frame, size, Image.Resampling.BILINEAR)
    rng = np.random.default_rng(seed)
    fineness = min(1.0, max(0.0, order.fineness))
    painted = STYLES[look.style](Work(source, _graded(source, look, rng), look, fineness, rng))
    if order.frame is None:
        return painted
    painted = Image.blend(source, painted, min(1.0, 1.05 * max(0.0, order.strength)))
    if order.mask is not None:
        mask = ImageOps.fit(order.mask, size, Image.Resampling.BILINEAR).convert("L")
        painted = Image.composite(painted, source, mask)
    return painted


# The styles.


def _oil(work: Work) -> Image.Image:
    """Thick strokes that catch the light."""
    painted = _brushed(work)
    return ImageChops.soft_light(painted, _grey(painted.convert("L").filter(ImageFilter.EMBOSS)))


def _watercolour(work: Work) -> Image.Image:
    """Thin washes on grained paper, darker where they dry at the rim."""
    wash = Image.blend(_soft(work.base), _brushed(work).filter(ImageFilter.BoxBlur(1)), 0.6)
    pale = Image.blend(wash, Image.new("RGB", wash.size, "white"), 0.28)
    rim = _contours(work.source).point([255 - 110 * level // 255 for level in range(256)])
    return ImageChops.multiply(ImageChops.multiply(pale, _grey(rim)), _grained(work, 14))


def _sketch(work: Work) -> Image.Image:
    """Contours and hatching with a pen in the darkest colour, on toned paper."""
    shade = np.asarray(ImageOps.autocontrast(work.source.convert("L").filter(ImageFilter.BoxBlur(2)), 2))
    height, width = shade.shape
    down, across = (grid.astype(np.float32) for grid in np.ogrid[:height, :width])
    tremble = 1.6 * np.sin(down / 23 + float(work.rng.uniform(0, 6))) + 1.6 * np.sin(across / 19)
    # One more direction of lines for each step down into the shade.
    dark = np.zeros((height, width), dtype=bool)
    for slope, level in ((1.0, 118), (-1.0, 78), (0.25, 42)):
        dark |= ((across * slope + down + tremble) % 9 < 1.4) & (shade < level)
    hatching = Image.fromarray(np.where(dark, 90, 255).astype(np.uint8))
    lines = ImageChops.darker(hatching, ImageChops.invert(_contours(work.source)))
    ink = [work.look.cool[level] // 3 for level in (30, 286, 542)]
    paper = [128 + work.look.warm[level] // 2 for level in (236, 492, 748)]
    drawn = ImageOps.colorize(lines.filter(ImageFilter.BoxBlur(0.6)), tuple(ink), tuple(paper))
    return ImageChops.multiply(Image.blend(drawn, work.base, 0.42), _grained(work, 12))


def _neon(work: Work) -> Image.Image:
    """Glowing contours over a dark picture."""
    dim = work.base.point([int(level * level / 255 * 0.42) for level in range(256)] * 3)
    top, bottom = (_vivid(ramp) for ramp in (work.look.cool, work.look.warm))
    light = ImageOps.colorize(Image.linear_gradient("L").resize(dim.size), top, bottom)
    tubes = ImageChops.multiply(light, _grey(_contours(work.source)))
    glow = _soft(tubes).point([min(255, 2 * level) for level in range(256)] * 3)
    return ImageChops.screen(ImageChops.screen(dim, glow), tubes)


def _mosaic(work: Work) -> Image.Image:
    """Irregular pieces of glass between dark joints."""
    width, height = work.base.size
    step = max(width, height) / (20 + 16 * work.fineness)
    columns, rows = int(width / step) + 2, int(height / step) + 2
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    corners = (grid + work.rng.uniform(-0.7, 0.1, grid.shape)) * step
    colours = np.asarray(work.base.resize((columns - 1, rows - 1), Image.Resampling.BOX))
    joint = tuple(work.look.cool[level] for level in (12, 268, 524))
    painted = Image.new("RGB", work.base.size, joint)
    draw = ImageDraw.Draw(painted)
    around = (corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1])
    pieces = np.concatenate(around, axis=-1).reshape(-1, 8).tolist()
    for piece, colour in zip(pieces, colours.reshape(-1, 3).tolist(), strict=True):
        draw.polygon(piece, fill=tuple(colour), outline=joint)
    return ImageChops.soft_light(painted, _grey(painted.convert("L").filter(ImageFilter.EMBOSS)))


def _comic(work: Work) -> Image.Image:
    """Flat tones, dots in the half-shade, ink outlines."""
    flat = ImageOps.posterize(work.base.filter(ImageFilter.BoxBlur(2)), 2 + round(work.fineness))
    width, height = flat.size
    down, across = np.cos(np.arange(height) * 0.74), np.sin(np.arange(width) * 0.74)
    dots = 95 + 75 * down[:, None] * across
    dotted = np.where(dots > np.asarray(flat.convert("L")), 205, 255).astype(np.uint8)
    inked = ImageChops.darker(Image.fromarray(dotted), ImageChops.invert(_contours(work.source)))
    return ImageChops.multiply(flat.point([min(255, level + 40) for level in range(256)] * 3), _grey(inked))


def _pixel(work: Work) -> Image.Image:
    """Square blocks in few colours."""
    block = 16 - round(10 * work.fineness)
    small = work.base.resize([max(1, side // block) for side in work.base.size], Image.Resampling.BOX)
    return small.quantize(24).convert("RGB").resize(work.base.size, Image.Resampling.NEAREST)


def _photo(work: Work) -> Image.Image:
    """The motif itself, graded as a film would be, with grain and darker corners."""
    corners = Image.radial_gradient("L").point([255 - max(0, level - 120) // 2 for level in range(256)])
    graded = Image.blend(work.source, work.base, 0.6)
    return ImageChops.multiply(
        ImageChops.multiply(graded, _grey(corners.resize(graded.size))), _grained(work, 8)
    )


STYLES: Final[Mapping[str, Callable[[Work], Image.Image]]] = {
    "oil": _oil,
    "watercolour": _watercolour,
    "sketch": _sketch,
    "neon": _neon,
    "mosaic": _mosaic,
    "comic": _comic,
    "pixel": _pixel,
    "photo": _photo,
}


# What styles are made of.


def _graded(source: Image.Image, look: Look, rng: np.random.Generator) -> Image.Image:
    """Return a picture with the colours of the look's ramps, chosen by its light and its warmth."""
    grey = source.convert("L")
    # Stretched by half: enough for a dull frame, and no noise out of a plain wall.
    light = _grey(Image.blend(grey, ImageOps.autocontrast(grey, 2), 0.5))
    red, _, blue = source.split()
    warmth = ImageChops.subtract(red, blue, offset=128)
    # It drifts over the picture, so that grey ones have two hues.
    drift = Image.fromarray((128 + 70 * smooth_noise(64, 2, rng, octaves=2)).clip(0, 255).astype(np.uint8))
    warmth = ImageChops.add(warmth, drift.resize(source.size), offset=-128)
    mean = ImageStat.Stat(warmth).mean[0]
    sides = warmth.point([int(127.5 + 127.5 * tanh((level - mean) / 40)) for level in range(256)])
    graded = Image.composite(light.point(look.warm), light.point(look.cool), sides)
    return Image.blend(source, graded, look.weight)


def _brushed(work: Work) -> Image.Image:
    """Cover the picture with strokes: broad ones everywhere, finer ones where it has contours.

    Strokes are measured by the picture's longer side, so a picture of twice the size shows the same.
    """
    side = max(work.base.size)
    small = work.base.resize(
        [max(2, 256 * length // side) for length in work.base.size], Image.Resampling.BOX
    )
    colours = np.asarray(small, dtype=np.float32)
    down, across = np.gradient(np.asarray(small.convert("L").filter(ImageFilter.BoxBlur(1)), np.float32))
    edge, contour = np.hypot(down, across) / 40, np.arctan2(down, across) + np.pi / 2
    swirl = 4.5 * smooth_noise(256, 4, work.rng, octaves=2)[: edge.shape[0], : edge.shape[1]]
    canvas = small.filter(ImageFilter.BoxBlur(4)).resize(work.base.size)
    draw = ImageDraw.Draw(canvas)
    for length, wide, least in ((0.09, 0.03, -1.0), (0.05, 0.016, 0.1), (0.028, 0.008, 0.3)):
        step = 256 * (length * wide / (3.2 if least < 0 else 2.4)) ** 0.5
        spots = _scattered(edge.shape, step, work.rng)
        turns, shades = work.rng.uniform(-1, 1, (2, len(spots), 1))
        rows, columns = spots.astype(np.intp).T
        angles = (swirl if least < 0 else contour)[rows, columns, None] + 0.3 * turns
        reach = np.concatenate((np.cos(angles), np.sin(angles)), axis=1) * (128 * length)
        centres = spots[:, ::-1]
        paths = np.concatenate((centres - reach, centres + reach), axis=1) * (side / 256)
        tones = (colours[rows, columns] + 14 * shades).clip(0, 255).astype(int)
        # More steps, more strokes that follow the detail.
        wanted = edge[rows, columns] > least * (1.2 - work.fineness**0.6)
        for path, tone in zip(paths[wanted].tolist(), tones[wanted].tolist(), strict=True):
            draw.line(path, fill=tuple(tone), width=max(1, round(wide * side)))
    return canvas


def _scattered(shape: tuple[int, ...], step: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return points within a map, row and column, one in each cell of a grid, in any order."""
    rows, columns = (np.arange(step / 2, length, step) for length in shape)
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    spots = (grid + rng.uniform(-0.5, 0.5, grid.shape) * step).clip(0, np.array(shape) - 1)
    return rng.permutation(spots)


def _contours(source: Image.Image) -> Image.Image:
    """Return contours in white on black: what is darker than its surroundings, and edges, thin and soft."""
    grey = source.convert("L").filter(ImageFilter.BoxBlur(1))
    valleys = ImageChops.subtract(grey.filter(ImageFilter.BoxBlur(4)), grey)
    sharp = valleys.point([min(255, max(0, level - 4) * 9) for level in range(256)])
    edges = grey.filter(ImageFilter.FIND_EDGES).point(
        [min(200, 5 * max(0, level - 6)) for level in range(256)]
    )
    return ImageChops.lighter(sharp, edges.filter(ImageFilter.BoxBlur(1)))


def _grained(work: Work, depth: int) -> Image.Image:
    """Return paper: nearly white, ``depth`` levels rough."""
    width, height = work.base.size
    rough = (255 - work.rng.integers(0, depth, (height, width))).astype(np.uint8)
    return _grey(Image.fromarray(rough).filter(ImageFilter.BoxBlur(1)))


def _vivid(ramp: list[int]) -> tuple[int, int, int]:
    """Return a ramp's middle colour as bright as it can be."""
    red, green, blue = ramp[110::256]
    most = max(red, green, blue, 1)
    return 255 * red // most, 255 * green // most, 255 * blue // most


def _grey(image: Image.Image) -> Image.Image:
    return Image.merge("RGB", (image, image, image))


def _soft(image: Image.Image) -> Image.Image:
    """Blur at a quarter of the size, where it costs a sixteenth."""
    small = image.reduce(4).filter(ImageFilter.BoxBlur(2)).filter(ImageFilter.BoxBlur(2))
    return small.resize(image.size, Image.Resampling.BILINEAR)
