"""Brush strokes, laid once and coloured for every picture.

Drawing some ten thousand strokes takes tens of milliseconds; looking their colours up takes one. So the
strokes are drawn once into *layers*, arrays that say for every pixel which stroke covers it, and a picture
only chooses the colour of each stroke. A layer is a square tile, no smaller than a picture; the seed moves the
window over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "TILE_PIXELS",
    "Layer",
    "Window",
    "detail_layers",
    "ground_layer",
    "mosaic_layer",
    "smooth_noise",
    "window",
]

TILE_PIXELS = 1024
"""Side of a layer, and the longest side that is painted; smaller pictures have room to move."""

_DETAIL_ANGLES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Strokes drawn over each other.

    Attributes:
        strokes: Shape ``(TILE_PIXELS, TILE_PIXELS)``; the stroke on top at each pixel; 0 is bare canvas.
        centres: Shape ``(n + 1, 2)``; x and y of each stroke in tile pixels; row 0 belongs to the bare
            canvas.
        jitter: Shape ``(n + 1,)``; -1 to 1, how each stroke's colour differs from what it depicts.
        angle: Direction of the strokes in radians, or None where they swirl.
    """

    strokes: NDArray[np.intp]
    centres: NDArray[np.float32]
    jitter: NDArray[np.float32]
    angle: float | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the tile that a picture shows.

    Attributes:
        width: Pixels of the picture.
        height: Pixels of the picture.
        left: Tile column of the picture's first column.
        top: Tile row of the picture's first row.
    """

    width: int
    height: int
    left: int
    top: int

    def cut(self, layer: Layer) -> NDArray[np.intp]:
        """Return the strokes at each pixel of the picture."""
        return layer.strokes[self.top : self.top + self.height, self.left : self.left + self.width]

    def places(self, layer: Layer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return where each stroke's centre lies in the picture, as fractions of its height and width."""
        down = (layer.centres[:, 1] - self.top) / self.height
        across = (layer.centres[:, 0] - self.left) / self.width
        return np.clip(down, 0, 0.9999), np.clip(across, 0, 0.9999)


def window(width: int, height: int, seed: int) -> Window:
    """Place a picture of the given pixels, no more than the tile's, on the tile; the seed decides where."""
    rng = np.random.default_rng(seed)
    left = int(rng.integers(max(1, TILE_PIXELS - width)))
    top = int(rng.integers(max(1, TILE_PIXELS - height)))
    return Window(width, height, left, top)


def smooth_noise(size: int, cells: int, rng: np.random.Generator, octaves: int = 3) -> NDArray[np.float32]:
    """Return ``(size, size)`` noise between about -1 and 1, smooth over ``size / cells`` pixels."""
    total = np.zeros((size, size), dtype=np.float32)
    for octave in range(octaves):
        count = cells * 2**octave + 1
        lattice = Image.fromarray(rng.uniform(-1, 1, (count, count)).astype(np.float32))
        total += np.asarray(lattice.resize((size, size), Image.Resampling.BICUBIC)) / 2**octave
    return total / 1.6


def ground_layer(length: float, width: int, seed: int) -> Layer:
    """Cover the whole tile with curved strokes that swirl, as a brush follows the arm.

    Args:
        length: Pixels of a stroke.
        width: Pixels of the brush.
        seed: Another seed, another hand.
    """
    rng = np.random.default_rng(seed)
    flow = smooth_noise(TILE_PIXELS, 4, rng, octaves=2) * 4.5
    step = (length * width / 3.2) ** 0.5
    centres = _jittered_grid(step=step, rng=rng)
    return _draw(centres, _angles(flow, centres), length, width, rng, dab=step + 1)


def detail_layers(length: float, width: int, seed: int) -> list[Layer]:
    """Return layers of short straight strokes, one for each of four directions.

    They do not cover the tile; a picture uses those that lie along its contours.
    """
    rng = np.random.default_rng(seed)
    layers = []
    for number in range(_DETAIL_ANGLES):
        angle = np.pi * number / _DETAIL_ANGLES
        centres = _jittered_grid(step=(length * width / 1.7) ** 0.5, rng=rng)
        angles = angle + rng.uniform(-0.28, 0.28, len(centres)).astype(np.float32)
        drawn = _draw(centres, angles, length, width, rng, dab=0)
        layers.append(Layer(drawn.strokes, drawn.centres, drawn.jitter, angle=float(angle)))
    return layers


def mosaic_layer(step: float, seed: int) -> Layer:
    """Return irregular tiles (the nearest of jittered points) with bare joints between them."""
    rng = np.random.default_rng(seed)
    centres = _jittered_grid(step=step, rng=rng, shuffle=False)
    columns = round(TILE_PIXELS / step + 1)
    ys, xs = np.mgrid[0:TILE_PIXELS, 0:TILE_PIXELS].astype(np.float32)
    near = np.full((TILE_PIXELS, TILE_PIXELS), np.inf, dtype=np.float32)
    second = near.copy()
    owner = np.zeros((TILE_PIXELS, TILE_PIXELS), dtype=np.intp)
    home_row, home_column = (ys / step + 0.5).astype(np.intp), (xs / step + 0.5).astype(np.intp)
    for row in (-1, 0, 1):
        for column in (-1, 0, 1):
            candidate = np.clip(home_row + row, 0, columns - 1) * columns + np.clip(
                home_column + column, 0, columns - 1
            )
            place = centres[candidate]
            distance = np.hypot(place[..., 0] - xs, place[..., 1] - ys)
            closer = (distance < near) & (owner != candidate + 1)
            second = np.where(
                closer, near, np.where(owner == candidate + 1, second, np.minimum(second, distance))
            )
            owner = np.where(closer, candidate + 1, owner)
            near = np.minimum(near, distance)
    owner[second - near < 2.0] = 0
    return Layer(
        owner, _with_canvas(centres), _with_canvas(rng.uniform(-1, 1, len(centres)).astype(np.float32))
    )


def _jittered_grid(step: float, rng: np.random.Generator, shuffle: bool = True) -> NDArray[np.float32]:
    """Return points over the tile, one in each cell: even cover without a visible grid."""
    count = round(TILE_PIXELS / step + 1)
    grid = np.stack(np.meshgrid(np.arange(count), np.arange(count)), axis=-1).reshape(-1, 2) * step
    points: NDArray[np.float32] = (grid + rng.uniform(-0.5, 0.5, grid.shape) * step).astype(np.float32)
    if shuffle:
        rng.shuffle(points)
    return points


def _angles(flow: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    x, y = np.clip(centres, 0, TILE_PIXELS - 1).astype(np.intp).T
    angles: NDArray[np.float32] = flow[y, x]
    return angles


def _draw(
    centres: NDArray[np.float32],
    angles: NDArray[np.float32],
    length: float,
    width: int,
    rng: np.random.Generator,
    *,
    dab: float,
) -> Layer:
    """Draw a stroke at each centre, later over earlier, bent a little.

    Args:
        centres: Where.
        angles: In which direction, radians.
        length: Mean length in pixels.
        width: Pixels of the brush.
        rng: Decides bends and lengths.
        dab: Half the side of a square below each stroke that leaves no pixel between them bare; 0 for none.
    """
    count = len(centres)
    reach = length / 2 * rng.uniform(0.7, 1.3, count)
    bend = rng.uniform(-0.35, 0.35, count)
    offsets = [
        np.stack((np.cos(angles + turn), np.sin(angles + turn)), axis=-1) * reach[:, None]
        for turn in (-bend, bend)
    ]
    paths = np.concatenate((centres - offsets[0], centres, centres + offsets[1]), axis=1).round(1).tolist()
    image = Image.new("I", (TILE_PIXELS, TILE_PIXELS))
    draw = ImageDraw.Draw(image)
    if dab:
        for number, (x, y) in enumerate(centres.tolist(), start=1):
            draw.rectangle((x - dab, y - dab, x + dab, y + dab), fill=number)
    for number, path in enumerate(paths, start=1):
        draw.line(path, fill=number, width=width)
    strokes = np.asarray(image).astype(np.intp)
    return Layer(strokes, _with_canvas(centres), _with_canvas(rng.uniform(-1, 1, count).astype(np.float32)))


def _with_canvas(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put a row of zeros in front, for the bare canvas."""
    result: NDArray[np.float32] = np.concatenate((np.zeros_like(values[:1]), values))
    return result
