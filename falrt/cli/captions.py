"""What stands beside a picture on reports and contact sheets."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from PIL import ImageFont

if TYPE_CHECKING:
    from falrt.cli.record import Shot

__all__ = ["moment", "wrapped"]


def moment(shot: Shot) -> str:
    """Say when a picture came and how old it was; of the first one, that says how long the start took."""
    if shot.number == 1:
        return f"{shot.at:.1f} s, the first: start-up"
    return f"{shot.at:.1f} s, age {shot.age * 1000:.0f} ms"


def wrapped(words: str, width: float, size: int, lines: int) -> list[str]:
    """Break a text into lines of Pillow's own font; what does not fit ends in an ellipsis.

    Args:
        words: The text.
        width: Of a line, in pixels.
        size: Of the font, in pixels.
        lines: How many there may be.
    """
    measure, whole = ImageFont.load_default(size).getlength, " ".join(words.split())
    # As many characters a line as fit; few letters are narrower than a quarter of their height.
    for columns in range(min(len(whole), int(4 * width / size)), 1, -1):
        broken = textwrap.wrap(whole, columns, max_lines=lines, placeholder=" …")
        if all(measure(line) <= width for line in broken):
            return broken
    return [whole]
