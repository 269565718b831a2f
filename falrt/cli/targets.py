"""Whether results can be written where they should go: found out before the first frame, not after the last."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["check_apart", "check_file", "check_folder", "distinct", "writing"]


def distinct(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Leave out paths that lead to the same place as one before."""
    places: dict[str, Path] = {}
    for path in paths:
        places.setdefault(os.path.realpath(path), path)
    return tuple(places.values())


def check_apart(source: str, out: Iterable[Path]) -> None:
    """Make sure that no result takes the place of what it is made from: ``--source``, as it was given.

    Raises:
        ConfigurationError: One would.
    """
    if os.path.exists(source):
        place = source
    elif any(mark in source for mark in "*?["):
        place = os.path.dirname(source) or "."
    else:
        return  # a camera, the screen or the scene
    for path in out:
        if os.path.realpath(path) == os.path.realpath(place):
            raise ConfigurationError(f"--out {path} is the source itself: results would overwrite it")


def check_folder(option: str, path: Path) -> None:
    """Make sure that files can be written to the folder of an option, which may not exist yet; leaves no trace.

    Raises:
        ConfigurationError: They cannot.
    """
    with writing(f"{option} {path}"), _for_a_moment(path), tempfile.TemporaryFile(dir=path):
        pass


def check_file(option: str, path: Path) -> None:
    """Make sure that the file of an option can be written, which may not exist yet; leaves no trace.

    Raises:
        ConfigurationError: It cannot.
    """
    with writing(f"{option} {path}"), _for_a_moment(path.parent):
        try:
            path.open("xb").close()
        except FileExistsError:
            path.open("ab").close()
        else:
            path.unlink()


@contextlib.contextmanager
def writing(what: object) -> Iterator[None]:
    """Turn an error of the file system into one that says what could not be written.

    Raises:
        ConfigurationError: Something in the block raised an OSError.
    """
    try:
        yield
    except OSError as exc:
        raise ConfigurationError(f"{what}: cannot be written ({exc.strerror or exc})") from exc


@contextlib.contextmanager
def _for_a_moment(folder: Path) -> Iterator[None]:
    """Let a folder exist within the block."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for path in missing:
            # It was not made, or somebody else uses it by now.
            with contextlib.suppress(OSError):
                path.rmdir()
