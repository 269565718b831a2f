"""A frame and what became of it, on reports and contact sheets: one above the other, with the prompt and the time."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

from falrt.media.pillow import as_rgb

if TYPE_CHECKING:
    from falrt.cli.record import Shot

__all__ = ["decode", "moment", "pair_height", "paste_pair", "wrapped"]

_GAP, _LINE, _TEXT = 8, 18, 14
_PROMPT_LINES = 2


def decode(data: bytes) -> Image.Image:
    """Decode an encoded picture to RGB."""
    return as_rgb(Image.open(io.BytesIO(data)))


def pair_height(side: int) -> int:
    """Return the pixels that a pair takes whose pictures are squares of that side."""
    return 2 * (side + _GAP) + (_PROMPT_LINES + 1) * _LINE


def paste_pair(
    page: Image.Image, shot: Shot, place: tuple[int, int], side: int, *, ink: str, soft: str
) -> None:
    """Draw a pair with its words below, in two colours; pictures of another shape get borders."""
    x, y = place
    for picture in (shot.frame, decode(shot.pictures[-1])):
        page.paste(ImageOps.pad(picture, (side, side)), (x, y))
        y += side + _GAP
    draw = ImageDraw.Draw(page)
    for row, words in enumerate(wrapped(shot.prompt, side, _TEXT, _PROMPT_LINES)):
        draw.text((x, y + row * _LINE), words, fill=ink, font_size=_TEXT)
    draw.text((x, y + _PROMPT_LINES * _LINE), moment(shot), fill=soft, font_size=_TEXT)


def moment(shot: Shot) -> str:
    """Say when a picture came and how old it was; of the first one, that says how long the start took."""
    if shot.number == 1:
        return f"{shot.at:.1f} s, the first: start-up"
    return f"{shot.at:.1f} s, age {shot.age * 1000:.0f} ms"


def wrapped(words: str, width: float, size: int, lines: int) -> list[str]:
    """Break a text into lines of Pillow's own font, width and size in pixels; what does not fit ends in an ellipsis."""
    measure, whole = ImageFont.load_default(size).getlength, " ".join(words.split())
    # As many characters a line as fit; few letters are narrower than a quarter of their height.
    for columns in range(min(len(whole), int(4 * width / size)), 1, -1):
        broken = textwrap.wrap(whole, columns, max_lines=lines, placeholder=" …")
        if all(measure(line) <= width for line in broken):
            return broken
    return [whole]
