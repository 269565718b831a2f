"""Where frames come from: the built-in scene, pictures, folders, GIFs, video files, cameras, the screen."""

from __future__ import annotations

import glob
import itertools
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import sin
from pathlib import Path

from PIL import Image, ImageGrab, ImageSequence

from falrt.cli.frames import Source
from falrt.exceptions import ConfigurationError
from falrt.media.pillow import as_rgb

__all__ = ["open_source"]

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts"})

_SECONDS_PER_PICTURE = 0.5
_DEFAULT_FPS = 30.0


def open_source(spec: str, *, fps: float | None = None, still: bool = False) -> Source:
    """Find out what a ``--source`` means.

    Args:
        spec: ``scene``; a camera's number; ``screen`` or ``screen:X,Y,WIDTH,HEIGHT``; a picture, GIF or video
            file; a folder or a pattern of pictures.
        fps: Frames per second instead of the source's own.
        still: Show a single picture as it is instead of moving over it.

    Raises:
        ConfigurationError: There is no such thing; the text says what can be given.
        MissingDependencyError: Video or a camera without the extra ``video``.
    """
    if fps is not None and not 0 < fps <= 240:
        raise ConfigurationError(f"--fps must be above 0 and at most 240, not {fps}")
    source = _open(spec, still)
    return source if fps is None else replace(source, fps=fps)


def _open(spec: str, still: bool) -> Source:
    if spec == "scene":
        return _scene()
    if spec.isascii() and spec.isdigit():
        from falrt.cli.video import camera

        return camera(int(spec))
    if spec == "screen" or spec.startswith("screen:"):
        return _screen(spec)
    path = Path(spec).expanduser()
    if path.is_dir():
        return _pictures(f"{path.name or path}/", _in_folder(path))
    if path.is_file():
        return _file(path, still)
    if any(sign in spec for sign in "*?["):
        return _pictures(spec, sorted(Path(name) for name in glob.glob(str(path), recursive=True)))
    raise ConfigurationError(
        f"--source {spec}: no such file or folder; give a picture, GIF, video, folder, pattern such as "
        "'shots/*.jpg', a camera's number, 'screen' or 'scene'"
    )


def _file(path: Path, still: bool) -> Source:
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        from falrt.cli.video import video_file

        return video_file(path)
    try:
        return _picture_file(path, still)
    except OSError as exc:
        kinds = ", ".join(sorted(PICTURE_SUFFIXES | {".gif"} | VIDEO_SUFFIXES))
        raise ConfigurationError(
            f"--source {path}: not a picture or video that can be read ({kinds})"
        ) from exc


def _picture_file(path: Path, still: bool) -> Source:
    with Image.open(path) as image:
        count = getattr(image, "n_frames", 1)
        image.load()  # a WebP tells its duration only then
        duration = float(image.info.get("duration") or 100)
        if count > 1:
            return Source(path.name, lambda: _animation(path), 1000 / duration, live=False)
        picture = as_rgb(image)
    if still:
        return Source(path.name, lambda: itertools.repeat(picture), _DEFAULT_FPS, live=True)
    return Source(f"{path.name}, moving", lambda: _wander(picture), _DEFAULT_FPS, live=True)


def _animation(path: Path) -> Iterator[Image.Image]:
    with Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):
            yield as_rgb(frame)


def _in_folder(folder: Path) -> list[Path]:
    return sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES),
        key=lambda path: _natural(path.name),
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort shot2 before shot10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name.lower()) if part
    ]


def _pictures(title: str, paths: list[Path]) -> Source:
    if not paths:
        kinds = ", ".join(sorted(PICTURE_SUFFIXES))
        raise ConfigurationError(f"--source {title}: no pictures there ({kinds})")
    return Source(title, lambda: _read_each(paths), 1 / _SECONDS_PER_PICTURE, live=False)


def _read_each(paths: list[Path]) -> Iterator[Image.Image]:
    for path in paths:
        try:
            with Image.open(path) as image:
                yield as_rgb(image)
        except OSError as exc:
            raise ConfigurationError(f"{path}: not a picture that can be read ({exc})") from exc


def _scene() -> Source:
    from falrt.cli.motion import Motion

    return Source("built-in scene", lambda: _of_now(Motion().draw), _DEFAULT_FPS, live=True)


def _of_now(draw: Callable[[float], Image.Image]) -> Iterator[Image.Image]:
    began = time.monotonic()
    while True:
        yield draw(time.monotonic() - began)


def _wander(picture: Image.Image) -> Iterator[Image.Image]:
    """Move slowly over a picture, nearer and farther: one photograph becomes a film (Ken Burns)."""
    # In its own shape: what is sent is cut or bordered as --fit says.
    scale = min(704 / min(picture.size), 2816 / max(picture.size))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))

    def look(seconds: float) -> Image.Image:
        share = 0.78 + 0.16 * sin(seconds * 0.5)
        width, height = picture.width * share, picture.height * share
        left = (picture.width - width) * (0.5 + 0.5 * sin(seconds * 0.31))
        top = (picture.height - height) * (0.5 + 0.5 * sin(seconds * 0.23 + 1))
        return picture.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))

    return _of_now(look)


def _screen(spec: str) -> Source:
    box = None
    if spec != "screen":
        match = re.fullmatch(r"screen:(\d+),(\d+),([1-9]\d*),([1-9]\d*)", spec)
        if match is None:
            raise ConfigurationError(
                f"--source {spec}: a part of the screen is screen:X,Y,WIDTH,HEIGHT in pixels"
            )
        left, top, width, height = (int(part) for part in match.groups())
        box = (left, top, left + width, top + height)

    def grab() -> Image.Image:
        return ImageGrab.grab(bbox=box).convert("RGB")

    try:
        grab()
    except OSError as exc:
        raise ConfigurationError(f"--source {spec}: the screen cannot be read here ({exc})") from exc
    return Source(spec, lambda: _of_now(lambda _: grab()), _DEFAULT_FPS, live=True)
