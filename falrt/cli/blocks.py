"""A picture in a terminal: two pixels to a character cell, in half-block characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.text import Text

__all__ = ["half_blocks"]


def half_blocks(picture: Image, room: tuple[int, int]) -> Text:
    """Draw a picture with characters.

    Args:
        picture: RGB; left as it is.
        room: Columns, and twice the lines, that may be used; the proportion is kept.

    Returns:
        Rich text, one line for each two rows of pixels.
    """
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    scale = min(room[0] / picture.width, room[1] / picture.height)
    width, height = max(1, int(picture.width * scale)), max(2, int(picture.height * scale) // 2 * 2)
    pixels = picture.resize((width, height)).load()
    assert pixels is not None  # noqa: S101 - a picture that was resized is loaded; for the type checker
    text = Text(no_wrap=True, end="")
    for y in range(0, height, 2):
        for x in range(width):
            upper, lower = (Color.from_rgb(*_rgb(pixels[x, row])) for row in (y, y + 1))
            text.append("▀", Style(color=upper, bgcolor=lower))
        text.append("\n")
    return text


def _rgb(value: object) -> tuple[int, int, int]:
    assert isinstance(value, tuple)  # noqa: S101 - RGB pixels are tuples; for the type checker
    red, green, blue = value[:3]
    return int(red), int(green), int(blue)
