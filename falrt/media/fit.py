"""How a picture is cropped, bordered or stretched to fill a frame of another shape.

Only numbers are computed here; Pillow or OpenCV move the pixels.
"""

from __future__ import annotations

import functools
import logging
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ["FITS", "Fit", "Placement", "centre_box", "place", "say_if_cut", "within"]

log = logging.getLogger(__name__)

Fit: TypeAlias = Literal["cover", "contain", "stretch"]
"""What happens to a picture of another shape: ``"cover"`` crops it to the center, ``"contain"`` keeps all of it and
adds black borders, ``"stretch"`` distorts it."""

FITS: Final = ("cover", "contain", "stretch")

# Rounding to whole pixels, and the difference between 4:3 and 1.34:1, are not worth a warning.
_NOTICEABLE_SHARE = 0.02


class Placement(NamedTuple):
    """How the pixels of a picture fill a frame.

    Attributes:
        box: Left, top, right and bottom of the part that is used, in the picture's pixels.
        inner: Width and height that this part is scaled to.
        size: Width and height of the frame; the rest around ``inner`` is black.
    """

    box: tuple[int, int, int, int]
    inner: tuple[int, int]
    size: tuple[int, int]

    @property
    def offset(self) -> tuple[int, int]:
        """Left and top of the scaled part in the frame."""
        return (self.size[0] - self.inner[0]) // 2, (self.size[1] - self.inner[1]) // 2

    @property
    def box_size(self) -> tuple[int, int]:
        """Width and height of ``box``."""
        left, top, right, bottom = self.box
        return right - left, bottom - top


def place(source: tuple[int, int], size: tuple[int, int], fit: Fit | None) -> Placement:
    """Compute how a picture of ``source`` pixels fills a frame of ``size``; None means ``"cover"``."""
    whole = (0, 0, *source)
    if fit == "stretch":
        return Placement(whole, size, size)
    if fit == "contain":
        scale = min(size[0] / source[0], size[1] / source[1])
        inner = max(1, round(source[0] * scale)), max(1, round(source[1] * scale))
        return Placement(whole, inner, size)
    return Placement(centre_box(source, size), size, size)


def within(source: tuple[int, int], max_side: int | None) -> tuple[int, int] | None:
    """Return the size in the shape of ``source`` whose longer side is ``max_side``; None if it is not longer."""
    longest = max(source)
    if max_side is None or longest <= max_side:
        return None
    return max(1, round(source[0] * max_side / longest)), max(1, round(source[1] * max_side / longest))


def centre_box(source: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the largest centered rectangle with the target's aspect ratio.

    In pixels, right and bottom exclusive; at least one pixel wide and high.
    """
    (width, height), (target_width, target_height) = source, target
    if width * target_height > height * target_width:
        cut_width, cut_height = max(1, round(height * target_width / target_height)), height
    else:
        cut_width, cut_height = width, max(1, round(width * target_height / target_width))
    left, top = (width - cut_width) // 2, (height - cut_height) // 2
    return left, top, left + cut_width, top + cut_height


def say_if_cut(source: tuple[int, int], size: tuple[int, int] | None, fit: Fit | None) -> None:
    """Log a warning if a picture is cropped although ``fit`` was not given."""
    if fit is None and size is not None:
        _say_once_if_cut(source, size)


# Cached, so that a video logs one line and not thirty a second. A Python warning would do the same, but would end
# programs that run with warnings as errors, although the picture is as documented.
@functools.lru_cache(maxsize=64)
def _say_once_if_cut(source: tuple[int, int], size: tuple[int, int]) -> None:
    width, height = place(source, size, "cover").box_size
    if width * height < (1 - _NOTICEABLE_SHARE) * source[0] * source[1]:
        log.warning(
            "pictures of %d x %d pixels are cut to their middle %d x %d for a size of %d x %d; pass fit='cover' if "
            "that is meant, fit='contain' or 'stretch' to keep all of them",
            *source, width, height, *size,
        )  # fmt: skip
