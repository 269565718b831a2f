"""What stands beside a picture on reports and contact sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from PIL import ImageFont

    measure = ImageFont.load_default(size).getlength
    broken = [""]
    for word in words.split():
        longer = f"{broken[-1]} {word}".lstrip()
        if measure(longer) <= width or not broken[-1]:
            broken[-1] = longer
        else:
            broken.append(word)
    shown = broken[:lines]
    if len(broken) > lines:
        shown[-1] += " …"
    for index, line in enumerate(shown):
        cut = line
        while measure(cut) > width and len(cut) > 2:
            cut = cut.removesuffix("…").rstrip()[:-1] + "…"
        shown[index] = cut
    return shown
