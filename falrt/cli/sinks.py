"""Where pictures go: a folder, an animation, a contact sheet.

A sink takes every shot as it comes, in a thread, and is closed once, also after an interruption: what there
is by then is saved.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image, ImageOps

from falrt.cli.pairs import decode, pair_height, paste_pair
from falrt.cli.record import spread
from falrt.cli.targets import writing

if TYPE_CHECKING:
    from falrt.cli.record import Record, Shot

__all__ = ["Animation", "ContactSheet", "Folder", "Sink"]

_ANIMATION_FRAMES_MAX = 360
_SHEET_COLUMNS = 6
_SHEET_CELL = 224
_GAP = 8
_DARK = "#15171c"


class Sink(Protocol):
    """Something that keeps pictures.

    Attributes:
        path: The file or folder that is written.
    """

    path: Path

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
        self.path = path
        self._count = 0
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            for old in path.glob("picture-[0-9][0-9][0-9][0-9]*.*"):
                old.unlink()

    def add(self, shot: Shot) -> None:
        """Write the pictures of one answer."""
        for data in shot.pictures:
            self._count += 1
            kind = "png" if data.startswith(b"\x89PNG") else "webp" if data.startswith(b"RIFF") else "jpg"
            (self.path / f"picture-{self._count:04}.{kind}").write_bytes(data)

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
        self.path, self._side, self._beside = path, side, beside
        self._frames: list[Image.Image] = []
        self._at: list[float] = []
        self._seen = -1
        self._stride = 1

    def add(self, shot: Shot) -> None:
        """Keep a small copy of one answer; a long stream keeps every second, then every fourth, and so on."""
        self._seen += 1
        if self._seen % self._stride:
            return
        picture = decode(shot.pictures[-1])
        picture.thumbnail((self._side, self._side))
        if self._beside:
            both = Image.new("RGB", (2 * picture.width + _GAP, picture.height), _DARK)
            both.paste(ImageOps.pad(shot.frame, picture.size), (0, 0))
            both.paste(picture, (picture.width + _GAP, 0))
            picture = both
        self._frames.append(picture)
        self._at.append(shot.at)
        if len(self._frames) > _ANIMATION_FRAMES_MAX:
            self._frames, self._at = self._frames[::2], self._at[::2]
            self._stride *= 2

    def close(self) -> None:
        """Write the file; without pictures there is none."""
        if not self._frames:
            return
        # Neither so short that players slow it down, nor a reconnect's pause; the last as long as the others.
        pauses = [min(1000, max(20, round(1000 * (later - sooner)))) for sooner, later in pairwise(self._at)]
        pauses.append(pauses[-1] if pauses else 500)
        is_gif = self.path.suffix.lower() == ".gif"
        first, *others = [frame.quantize(128) for frame in self._frames] if is_gif else self._frames
        quality: dict[str, Any] = {} if is_gif else {"quality": 72, "method": 0}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        first.save(self.path, save_all=True, append_images=others, duration=pauses, loop=0, **quality)


class ContactSheet:
    """One picture of some shots of a record, at its end: each frame, below it what became of it, and the prompt.

    Args:
        path: A ``.jpg`` or ``.png`` file.
        record: Of its samples 12 at most are shown, evenly spread; without any there is no file.
    """

    def __init__(self, path: Path, record: Record) -> None:
        self.path, self._record = path, record

    def add(self, shot: Shot) -> None:
        """The record keeps the samples."""

    def close(self) -> None:
        """Write the file."""
        chosen = spread(self._record.samples, 2 * _SHEET_COLUMNS)
        if not chosen:
            return
        columns = min(len(chosen), _SHEET_COLUMNS)
        rows = -(-len(chosen) // columns)
        pair = pair_height(_SHEET_CELL) + _GAP
        sheet = Image.new("RGB", (columns * (_SHEET_CELL + _GAP) + _GAP, rows * pair + _GAP), _DARK)
        for index, shot in enumerate(chosen):
            row, column = divmod(index, columns)
            place = (_GAP + column * (_SHEET_CELL + _GAP), _GAP + row * pair)
            paste_pair(sheet, shot, place, _SHEET_CELL, ink="#e8ebf0", soft="#b8bec9")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(self.path, quality=88)
