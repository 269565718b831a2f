"""Paints a picture from a prompt, a seed and, where there is one, a frame.

The stand-in's models are not neural, but they answer to the same inputs in the same sense: the prompt decides
colours and style, the seed the composition and the hand, steps how fine the work is, strength how much of the
frame gives way, and the frame's light, shade and edges shine through. The same order gives the same picture
on every machine with the same numpy and Pillow.

A picture takes some 10 to 30 ms of one core; the brush strokes are prepared once in a `Painter` (strokes.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from falrt.local.motif import SMALL_PIXELS, Motif, cover, measure
from falrt.local.prompt import LIGHTNESS_STEPS, WARMTH_STEPS, Look, read_prompt
from falrt.local.scene import draw_scene
from falrt.local.strokes import TILE_PIXELS, Layer, Window, detail_layers, ground_layer, mosaic_layer, window

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Order", "Painter"]


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
        frame: The picture to paint after, of any size; cropped about its centre. None: a scene from the
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


class Painter:
    """Holds the prepared brush strokes. One serves any number of threads: nothing in it changes.

    Preparing takes a few tenths of a second.
    """

    def __init__(self) -> None:
        # Broad strokes cover everything; finer ones go on top where there is something to show.
        self._broad = ground_layer(length=46, width=15, seed=1)
        self._middle = ground_layer(length=26, width=8, seed=2)
        self._details = detail_layers(length=15, width=4, seed=3)

    @cached_property
    def _mosaic(self) -> Layer:
        # Slow to lay (0.3 s) and seldom wanted.
        return mosaic_layer(step=17, seed=4)

    def paint(self, order: Order) -> Image.Image:
        """Paint one picture.

        Returns:
            RGB, of exactly the ordered size.
        """
        if (longest := max(order.width, order.height)) > TILE_PIXELS:
            # There are no strokes beyond the tile: a smaller picture is painted and enlarged.
            width, height = (max(1, side * TILE_PIXELS // longest) for side in (order.width, order.height))
            small = self.paint(replace(order, width=width, height=height))
            return small.resize((order.width, order.height), Image.Resampling.BICUBIC)
        look = read_prompt(order.prompt, order.negative_prompt)
        look = replace(look, weight=look.weight * (0.55 + 0.45 * min(1.0, max(0.0, order.guidance))))
        rng = np.random.default_rng((order.seed & 0xFFFFFFFF, look.signature))
        size = (order.width, order.height)
        if order.frame is None:
            source = draw_scene(look.scene, order.width, order.height, rng, snow=look.snow).resize(
                size, Image.Resampling.BILINEAR
            )
        else:
            source = cover(order.frame, size)
        motif = measure(source, np.random.default_rng(order.seed & 0xFFFFFFFF))
        painted = _STYLES[look.style](self, motif, look, order)
        if order.frame is None:
            return painted
        painted = Image.blend(source, painted, min(1.0, 1.05 * max(0.0, order.strength)))
        if order.mask is not None:
            painted = Image.composite(painted, source, cover(order.mask, size).convert("L"))
        return painted

    def _brushed(self, motif: Motif, look: Look, order: Order, *, variation: float = 5.0) -> Image.Image:
        """Cover the canvas with strokes: broad ones everywhere, finer ones where the motif has contours."""
        place = window(order.width, order.height, order.seed & 0xFFFFFFFF)
        broad = self._broad
        colours = _stroke_colours(_spots(broad, place, motif), broad.jitter, motif, look, variation)
        canvas = colours[place.cut(broad)]
        fineness = min(1.0, max(0.0, order.fineness)) ** 0.6
        edge_of_middle = 0.10 - 0.11 * fineness
        _overpaint(canvas, self._middle, place, motif, look, variation * 0.8, edge_of_middle)
        for layer in self._details:
            _overpaint(canvas, layer, place, motif, look, variation * 0.5, 0.34 - 0.30 * fineness)
        return _from_packed(canvas)

    def oil(self, motif: Motif, look: Look, order: Order) -> Image.Image:
        """Thick strokes that catch the light."""
        painted = self._brushed(motif, look, order)
        relief = painted.convert("L").filter(ImageFilter.EMBOSS)
        return ImageChops.soft_light(painted, _grey(relief))

    def watercolour(self, motif: Motif, look: Look, order: Order) -> Image.Image:
        """Thin washes on grained paper, darker where they dry at the rim."""
        paler = replace(look, table=255 - (255 - look.table) * 0.72)
        wash = _graded(motif, paler)
        strokes = self._brushed(motif, paler, order, variation=3.0)
        painted = Image.blend(_soft(wash, 4), strokes.filter(ImageFilter.BoxBlur(1)), 0.6)
        rim = _full(255 - 120 * np.clip(motif.edge - 0.08, 0, 1), order)
        paper = _grain(order, 14)
        return ImageChops.multiply(ImageChops.multiply(painted, _grey(rim)), _grey(paper))

    def sketch(self, motif: Motif, look: Look, order: Order) -> Image.Image:
        """Contours and hatching with a pen in the darkest colour, on toned paper."""
        paper = 255 - (255 - look.table[-4].mean(axis=0)) * 0.5
        pen = look.table[6].mean(axis=0)
        shade = np.asarray(_full(motif.lightness * (255 / LIGHTNESS_STEPS), order))
        down, across = np.ogrid[: order.height, : order.width]
        tremble = 1.6 * np.sin(down / 23 + order.seed % 7) + 1.6 * np.sin(across / 19)
        dark = np.zeros((order.height, order.width), dtype=bool)
        # One more direction of lines for each step down into the shade.
        for slope, level in ((1.0, 118), (-1.0, 78), (0.25, 42)):
            dark |= ((across * slope + down + tremble) % 9 < 1.4) & (shade < level)
        tone = np.where(dark, 110, 255).astype(np.uint8)
        tone = np.minimum(tone, np.asarray(_lines(motif)))
        ink = Image.fromarray(tone).filter(ImageFilter.BoxBlur(0.6))
        drawn = Image.composite(_flat(order, paper), _flat(order, pen), ink)
        tint = Image.blend(drawn, _graded(motif, look), 0.34)
        return ImageChops.multiply(tint, _grey(_grain(order, 12)))

    def neon(self, motif: Motif, look: Look, order: Order) -> Image.Image:
        """Glowing contours over a dark picture."""
        dim = _graded(motif, look).point(_neon_shadow)
        lines = ImageChops.invert(_lines(motif))
        vivid = replace(look, weight=1.0, table=np.broadcast_to(look.table[34], look.table.shape))
        light = _graded(motif, vivid).point(_vivid)
        tubes = ImageChops.multiply(light, _grey(lines))
        glow = _soft(tubes, 7).point(_brighter)
        return ImageChops.screen(ImageChops.screen(dim, glow), tubes)

    def mosaic(self, motif: Motif, look: Look, order: Order) -> Image.Image:
        """Irregular pieces of glass between dark joints."""
        place = window(order.width, order.height, order.seed & 0xFFFFFFFF)
        pieces = self._mosaic
        colours = _stroke_colours(_spots(pieces, place, motif), pieces.jitter, motif, look, 6.0)
        colours[0] = _packed(look.table[3].mean(axis=0)[None])[0]
        painted = _from_packed(colours[place.cut(pieces)])
        return ImageChops.soft_light(painted, _grey(painted.convert("L").filter(ImageFilter.EMBOSS)))

    def comic(self, motif: Motif, look: Look, order: Order) -> Image.Image:
        """Flat tones, dots in the half-shade, ink outlines."""
        levels = 3 + round(3 * order.fineness)
        step = (LIGHTNESS_STEPS - 1) / levels
        flat = replace(
            motif,
            picture=motif.picture.filter(ImageFilter.BoxBlur(2)).point(
                [round(v / 255 * levels) * 255 // levels for v in range(256)] * 3
            ),
            lightness=(motif.lightness / step).round() * step,
        )
        painted = _graded(flat, look, contrast=1.15)
        down, across = (np.arange(length, dtype=np.float32) * 0.74 for length in (order.height, order.width))
        dots = 0.5 + 0.5 * np.cos(down)[:, None] * np.sin(across)
        shade = _full(motif.lightness * (255 / LIGHTNESS_STEPS), order)
        dotted = np.where(dots * 150 + 20 > np.asarray(shade), 205, 255).astype(np.uint8)
        inked = ImageChops.multiply(painted, _grey(Image.fromarray(dotted)))
        return ImageChops.multiply(inked, _grey(_lines(motif)))

    def pixel(self, motif: Motif, look: Look, order: Order) -> Image.Image:
        """Square blocks in few colours, dithered."""
        block = 16 - round(10 * min(1.0, order.fineness))
        size = (max(1, order.width // block), max(1, order.height // block))
        small = _graded(motif, look).resize(size, Image.Resampling.BOX)
        dither = np.tile(np.array([[-6, 2], [6, -2]], dtype=np.float32), (size[1] // 2 + 1, size[0] // 2 + 1))
        values = np.asarray(small, dtype=np.float32) + dither[: size[1], : size[0], None]
        values = (np.clip(values, 0, 255) / 23.2).round() * 23.2
        return Image.fromarray(values.astype(np.uint8)).resize(
            (order.width, order.height), Image.Resampling.NEAREST
        )

    def photo(self, motif: Motif, look: Look, order: Order) -> Image.Image:
        """The motif itself, graded as a film would be, with grain and darker corners."""
        graded = _graded(motif, replace(look, weight=look.weight * 0.62))
        squares = np.linspace(-1, 1, SMALL_PIXELS, dtype=np.float32) ** 2
        corners = _full(255 - 70 * np.clip(squares[:, None] + squares - 0.5, 0, 1.2), order)
        return ImageChops.multiply(ImageChops.multiply(graded, _grey(corners)), _grey(_grain(order, 8)))


_Style: TypeAlias = Callable[[Painter, Motif, Look, Order], Image.Image]

_STYLES: dict[str, _Style] = {
    "oil": Painter.oil,
    "watercolour": Painter.watercolour,
    "sketch": Painter.sketch,
    "neon": Painter.neon,
    "mosaic": Painter.mosaic,
    "comic": Painter.comic,
    "pixel": Painter.pixel,
    "photo": Painter.photo,
}


def _spots(layer: Layer, place: Window, motif: Motif) -> NDArray[np.intp]:
    """Return where in the motif's small maps, flattened, each stroke's centre lies."""
    down, across = place.places(layer)
    height, width = motif.edge.shape
    spots: NDArray[np.intp] = (down * height).astype(np.intp) * width + (across * width).astype(np.intp)
    return spots


def _stroke_colours(
    spots: NDArray[np.intp], jitter: NDArray[np.float32], motif: Motif, look: Look, variation: float
) -> NDArray[np.uint32]:
    """Return the packed colours of strokes."""
    lightness = motif.lightness.ravel()[spots] + variation * jitter
    rows = np.clip(lightness, 0, LIGHTNESS_STEPS - 1).astype(np.intp)
    warmth = motif.warmth.ravel()[spots] - 3 * jitter
    columns = np.clip(warmth, 0, WARMTH_STEPS - 1).astype(np.intp)
    own = motif.colours.reshape(-1, 3)[spots] + 3 * variation * jitter[:, None]
    asked = look.table.reshape(-1, 3)[rows * WARMTH_STEPS + columns]
    return _packed(asked * look.weight + own * (1 - look.weight))


def _overpaint(
    canvas: NDArray[np.uint32],
    layer: Layer,
    place: Window,
    motif: Motif,
    look: Look,
    variation: float,
    edge: float,
) -> None:
    """Put on the strokes that lie on a contour stronger than ``edge`` and, if straight, along it."""
    spots = _spots(layer, place, motif)
    wanted = motif.edge.ravel()[spots] > edge * (1 + 0.3 * layer.jitter)
    if layer.angle is not None:
        turn = np.abs(motif.contour.ravel()[spots] - layer.angle)
        wanted &= np.minimum(turn, np.pi - turn) < 0.45
    wanted[0] = False
    chosen = np.flatnonzero(wanted)
    if not len(chosen):
        return
    # 0 is no colour: strokes that are not wanted leave what is below them.
    colours = np.zeros(len(spots), dtype=np.uint32)
    colours[chosen] = _stroke_colours(spots[chosen], layer.jitter[chosen], motif, look, variation)
    paint = colours[place.cut(layer)]
    np.copyto(canvas, paint, where=paint != 0)


def _packed(colours: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Pack ``(n, 3)`` colours into words of red, green, blue and 255, so that none is 0."""
    words = np.full((len(colours), 4), 255, dtype=np.uint8)
    words[:, :3] = np.clip(colours, 0, 255)
    return words.view(np.uint32)[:, 0]


def _from_packed(canvas: NDArray[np.uint32]) -> Image.Image:
    height, width = canvas.shape
    return Image.frombytes("RGB", (width, height), np.ascontiguousarray(canvas).tobytes(), "raw", "RGBX")


def _graded(motif: Motif, look: Look, contrast: float = 1.0) -> Image.Image:
    """Return the motif in full detail with the colours of the table."""
    size = motif.picture.size
    detail = np.asarray(motif.picture.convert("L"))
    # The stretch that was measured on the small copy, taken as a curve for the full picture.
    small = np.asarray(Image.fromarray(motif.lightness).resize((64, 64), Image.Resampling.BOX))
    grey = np.asarray(motif.picture.convert("L").resize((64, 64), Image.Resampling.BOX), dtype=np.float32)
    slope, offset = (
        np.polyfit(grey.ravel(), small.ravel(), 1) if grey.std() > 2 else (LIGHTNESS_STEPS / 256, 0.0)
    )
    middle = (LIGHTNESS_STEPS - 1) / 2
    curve = ((np.arange(256) * slope + offset - middle) * contrast + middle).clip(0, LIGHTNESS_STEPS - 1)
    rows = curve.astype(np.uint16)[detail]
    columns = np.asarray(
        Image.fromarray(motif.warmth.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    )
    table = _packed(look.table.reshape(-1, 3))
    graded = _from_packed(table[rows * WARMTH_STEPS + columns])
    return Image.blend(motif.picture, graded, look.weight)


def _lines(motif: Motif) -> Image.Image:
    """Return dark contours on white, in full size: what is darker than its surroundings, thin and soft."""
    grey = motif.picture.convert("L").filter(ImageFilter.BoxBlur(1))
    around = grey.filter(ImageFilter.BoxBlur(4))
    valley = ImageChops.subtract(around, grey, scale=1.0, offset=0)
    edge = _full(np.clip(motif.edge - 0.05, 0, 0.4) * 300, motif.picture)
    return ImageChops.invert(
        ImageChops.add(valley.point([min(255, max(0, v - 4) * 9) for v in range(256)]), edge)
    )


def _full(values: NDArray[np.float32], order: Order | Image.Image) -> Image.Image:
    """Return a small map as an 8-bit picture in full size."""
    small = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    return small.resize((order.width, order.height), Image.Resampling.BICUBIC)


def _grain(order: Order, depth: int) -> Image.Image:
    """Return paper: nearly white, ``depth`` levels rough."""
    rng = np.random.default_rng(order.seed & 0xFFFFFFFF)
    tile = Image.fromarray((255 - rng.integers(0, depth, (257, 257))).astype(np.uint8)).filter(
        ImageFilter.BoxBlur(1)
    )
    rows, columns = np.arange(order.height) % 257, np.arange(order.width) % 257
    return Image.fromarray(np.asarray(tile)[rows[:, None], columns[None, :]])


def _flat(order: Order, colour: NDArray[np.float32]) -> Image.Image:
    return Image.new("RGB", (order.width, order.height), tuple(int(channel) for channel in colour))


def _grey(image: Image.Image) -> Image.Image:
    return Image.merge("RGB", (image, image, image))


def _soft(image: Image.Image, radius: int) -> Image.Image:
    """Blur at a quarter of the size, where it costs a sixteenth."""
    small = image.reduce(4).filter(ImageFilter.BoxBlur(max(1, radius // 4))).filter(ImageFilter.BoxBlur(2))
    return small.resize(image.size, Image.Resampling.BILINEAR)


def _neon_shadow(value: int) -> float:
    return value * value / 255 * 0.42


def _vivid(value: int) -> float:
    return min(255.0, 40 + value * 1.1)


def _brighter(value: int) -> float:
    return min(255.0, value * 2.1)
