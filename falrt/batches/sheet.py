"""The contact sheet of a batch: every picture, small, with its prompt below."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from falrt.exceptions import DecodeError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["contact_sheet"]

_SIDE: Final = 224
_CAPTION: Final = 40
_GAP: Final = 12
_COLUMNS_MAX: Final = 8
# A sheet of more would be too tall for a JPEG, and for a reader.
_PICTURES_MAX: Final = 400


def contact_sheet(path: Path, pictures: Sequence[tuple[Path, str]]) -> Path | None:
    """Write a sheet of pictures with a caption each; None where none of the files is a picture.

    Args:
        path: Where, such as ``sheet.jpg``.
        pictures: Files and captions. Of more than 400, those are taken that stand evenly apart.

    Raises:
        MissingDependencyError: Pillow is absent.
        OSError: It cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    step = max(1, math.ceil(len(pictures) / _PICTURES_MAX))
    tiles = [(tile, caption) for file, caption in pictures[::step] if (tile := _tile(file)) is not None]
    if not tiles:
        return None
    columns = min(_COLUMNS_MAX, math.ceil(math.sqrt(len(tiles))))
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile, _ in row) + _CAPTION + _GAP for row in rows]
    sheet = Image.new("RGB", (_GAP + columns * (_SIDE + _GAP), _GAP + sum(heights)), "#f4f4f2")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, row in enumerate(rows):
        bottom = _GAP + sum(heights[: number + 1]) - _CAPTION - _GAP
        for column, (tile, caption) in enumerate(row):
            left = _GAP + column * (_SIDE + _GAP)
            sheet.paste(tile, (left + (_SIDE - tile.width) // 2, bottom - tile.height))
            lines = textwrap.wrap(" ".join(caption.split()), 36, max_lines=2, placeholder=" …")
            draw.multiline_text((left, bottom + 4), "\n".join(lines), "#333333", font)
    sheet.save(path, quality=85)
    return path


def _tile(file: Path) -> Image | None:
    from falrt.media import pillow

    try:
        image = pillow.as_rgb(pillow.decode(file.read_bytes()))
    except (OSError, DecodeError):
        return None  # a film or a sound
    image.thumbnail((_SIDE, _SIDE))
    return image
