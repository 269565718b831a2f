"""Where pictures go: a folder, an animation, a contact sheet.

A sink takes every shot as it comes, in a thread, and is closed once, also after an interruption: what there
is by then is saved.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from falrt.exceptions import ConfigurationError
from falrt.media.pillow import as_rgb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from falrt.cli.record import Shot

__all__ = ["Animation", "Folder", "Sink", "contact_sheet", "decode", "fitted_to", "prepare_folder"]

_ANIMATION_FRAMES_MAX = 360
_SHEET_COLUMNS = 6
_SHEET_CELL = 224
_GAP = 8


class Sink(Protocol):
    """Something that keeps pictures."""

    @property
    def path(self) -> Path:
        """The file or folder that is written."""
        ...

    def add(self, shot: Shot) -> None:
        """Take one answer; called from a thread, one at a time."""
        ...

    def close(self) -> None:
        """Finish what is being written; called once."""
        ...


class Folder:
    """Saves each picture as it came, as ``picture-0001.jpg`` and so on.

    Pictures of an earlier run are removed first; other files are left alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = prepare_folder(path)
        for old in path.glob("picture-[0-9][0-9][0-9][0-9]*.*"):
            old.unlink()
        self._count = 0

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    def add(self, shot: Shot) -> None:
        """Write the pictures of one answer."""
        for data in shot.pictures:
            self._count += 1
            kind = "png" if data.startswith(b"\x89PNG") else "webp" if data.startswith(b"RIFF") else "jpg"
            (self._path / f"picture-{self._count:04}.{kind}").write_bytes(data)

    def close(self) -> None:
        """Everything is written already."""


class Animation:
    """An animated WebP or GIF that plays as fast as the pictures came.

    Args:
        path: ``.webp`` or ``.gif``.
        side: Pixels of the longer side.
        beside: Show the frame to the left of the picture.
    """

    def __init__(self, path: Path, *, side: int = 384, beside: bool = False) -> None:
        self._path, self._side, self._beside = path, side, beside
        prepare_folder(path.parent)
        self._frames: list[Image] = []
        self._at: list[float] = []
        self._seen = -1
        self._stride = 1

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def add(self, shot: Shot) -> None:
        """Keep a small copy of one answer; a long stream keeps every second, then every fourth, and so on."""
        self._seen += 1
        if self._seen % self._stride:
            return
        picture = _fitted(decode(shot.pictures[-1]), self._side)
        if self._beside:
            picture = _side_by_side(fitted_to(shot.frame, picture.size), picture)
        self._frames.append(picture)
        self._at.append(shot.at)
        if len(self._frames) > _ANIMATION_FRAMES_MAX:
            self._frames, self._at = self._frames[::2], self._at[::2]
            self._stride *= 2

    def close(self) -> None:
        """Write the file; without pictures there is none."""
        if not self._frames:
            return
        pauses = [
            round(1000 * (later - sooner)) for sooner, later in zip(self._at, self._at[1:], strict=False)
        ]
        # Neither so short that players slow it down, nor a reconnect's pause; the last as long as the others.
        pauses = [min(1000, max(20, pause)) for pause in pauses]
        pauses.append(pauses[-1] if pauses else 500)
        first, *others = self._frames
        if self._path.suffix.lower() == ".gif":
            palette = [frame.quantize(128) for frame in self._frames]
            first, *others = palette
            first.save(self._path, save_all=True, append_images=others, duration=pauses, loop=0)
        else:
            first.save(
                self._path, save_all=True, append_images=others, duration=pauses, loop=0, quality=72, method=0
            )


def contact_sheet(path: Path, shots: Sequence[Shot]) -> Path | None:
    """Save one picture of some shots: each frame, below it what became of it, and the prompt.

    Args:
        path: A ``.jpg`` or ``.png`` file.
        shots: Some dozen look best; 24 at most are used, evenly spread.

    Returns:
        The path, or None where there was nothing to show.
    """
    from PIL import Image, ImageDraw

    from falrt.cli.captions import moment, wrapped

    if not shots:
        return None
    count = min(len(shots), 2 * _SHEET_COLUMNS)
    chosen = [shots[index * len(shots) // count] for index in range(count)]
    columns = min(count, _SHEET_COLUMNS)
    rows = -(-count // columns)
    cell, line, size = _SHEET_CELL, 18, 14
    prompt_lines = 2
    pair = 2 * cell + (1 + prompt_lines) * line + 4 * _GAP
    sheet = Image.new("RGB", (columns * (cell + _GAP) + _GAP, rows * pair + _GAP), "#15171c")
    draw = ImageDraw.Draw(sheet)
    for index, shot in enumerate(chosen):
        x = _GAP + index % columns * (cell + _GAP)
        y = _GAP + index // columns * pair
        draw.text((x, y), moment(shot), fill="#b8bec9", font_size=size)
        y += line
        for picture in (shot.frame, decode(shot.pictures[-1])):
            sheet.paste(fitted_to(picture, (cell, cell)), (x, y))
            y += cell + _GAP
        for words in wrapped(shot.prompt, cell, size, prompt_lines):
            draw.text((x, y), words, fill="#e8ebf0", font_size=size)
            y += line
    sheet.save(path, quality=88)
    return path


def prepare_folder(path: Path) -> Path:
    """Make a folder.

    Raises:
        ConfigurationError: It cannot be made, or is a file.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {path}: {error.strerror}") from error
    return path


def decode(data: bytes) -> Image:
    """Decode an encoded picture to RGB."""
    from PIL import Image

    return as_rgb(Image.open(io.BytesIO(data)))


def _fitted(picture: Image, side: int) -> Image:
    """Return a copy whose longer side has at most so many pixels."""
    picture.thumbnail((side, side))
    return picture


def fitted_to(picture: Image, size: tuple[int, int]) -> Image:
    """Return a copy of exactly that size, with borders where its shape is another."""
    from PIL import ImageOps

    return ImageOps.pad(picture, size)


def _side_by_side(left: Image, right: Image) -> Image:
    from PIL import Image

    both = Image.new("RGB", (left.width + right.width + _GAP, right.height), "#15171c")
    both.paste(left, (0, 0))
    both.paste(right, (left.width + _GAP, 0))
    return both
