"""What is to be painted, measured: light, warmth and contours of a frame or a scene."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageFilter

from falrt.local.prompt import LIGHTNESS_STEPS, WARMTH_STEPS
from falrt.local.strokes import smooth_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SMALL_PIXELS", "Motif", "cover", "encode", "measure", "open_picture"]

SMALL_PIXELS = 256
"""Longer side of the copy that strokes take their colours from: a stroke is wider than its pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Motif:
    """The thing to be painted, measured.

    Attributes:
        picture: RGB in the asked-for size.
        colours: Shape ``(h, w, 3)``, float32: a small copy.
        lightness: Shape ``(h, w)``, 0 to ``LIGHTNESS_STEPS - 1``; stretched to use the whole range.
        warmth: Shape ``(h, w)``, 0 to ``WARMTH_STEPS - 1``.
        edge: Shape ``(h, w)``; strength of the contours, some 0 to 1.
        contour: Shape ``(h, w)``; direction of the contours, 0 to pi.
    """

    picture: Image.Image
    colours: NDArray[np.float32]
    lightness: NDArray[np.float32]
    warmth: NDArray[np.float32]
    edge: NDArray[np.float32]
    contour: NDArray[np.float32]


def open_picture(data: bytes, field: str) -> Image.Image:
    """Decode an encoded picture to RGB.

    Args:
        data: JPEG, PNG, WebP or whatever Pillow reads.
        field: The input field that it came in, for the error's text.

    Raises:
        ValueError: Not a picture, or one of more than 64 megapixels.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > 64_000_000:
            raise ValueError(f"{field}: picture of {image.width}x{image.height} pixels is too large")
        return image.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{field}: cannot read a picture from {len(data)} bytes ({error})") from error


def encode(picture: Image.Image, kind: Literal["jpeg", "png"] = "jpeg") -> bytes:
    """Return the picture as a file: JPEG of quality 88, or PNG at the quickest level."""
    out = io.BytesIO()
    if kind == "png":
        picture.save(out, "PNG", compress_level=1)
    else:
        picture.save(out, "JPEG", quality=88)
    return out.getvalue()


def cover(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Crop about the centre to the proportion of ``size``, and resize."""
    scale = max(size[0] / image.width, size[1] / image.height)
    wide, high = size[0] / scale, size[1] / scale
    left, top = (image.width - wide) / 2, (image.height - high) / 2
    box = (left, top, left + wide, top + high)
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.BILINEAR, box=box)


def measure(picture: Image.Image, rng: np.random.Generator) -> Motif:
    """Measure an RGB picture; the generator lets warmth drift over it, so that grey ones have two hues."""
    scale = SMALL_PIXELS / max(picture.size)
    size = (max(8, round(picture.width * scale)), max(8, round(picture.height * scale)))
    small = picture.resize(size, Image.Resampling.BOX)
    colours = np.asarray(small, dtype=np.float32)
    grey = np.asarray(small.convert("L").filter(ImageFilter.BoxBlur(1)), dtype=np.float32)
    low, high = np.percentile(grey[::4, ::4], (2, 98))
    # Stretched, but not noise out of a plain wall: the span counts as at least a third of the range.
    span = max(float(high - low), 85.0)
    middle = float(high + low) / 2
    target = 127.5 + (middle - 127.5) * 0.35
    lightness = np.clip((grey - middle) / span * 235 + target, 0, 255) * ((LIGHTNESS_STEPS - 1) / 255)
    warm = (colours[..., 0] - colours[..., 2]) / 90
    drift = smooth_noise(SMALL_PIXELS, 2, rng, octaves=2)[: size[1], : size[0]]
    warmth = np.clip((warm - warm.mean()) + 0.8 * drift, -1, 1)
    down, across = np.gradient(grey)
    return Motif(
        picture=picture,
        colours=colours,
        lightness=lightness,
        warmth=((warmth + 1) / 2 * (WARMTH_STEPS - 1)).astype(np.float32),
        edge=np.hypot(down, across) / 40,
        contour=(np.arctan2(down, across) + np.pi / 2) % np.pi,
    )
