"""Video files and cameras, through PyAV (the extra ``video``)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from falrt.cli.frames import Source
from falrt.exceptions import ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL.Image import Image

__all__ = ["camera", "require_av", "video_file"]

_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("vfwcap", "{}")}


def require_av() -> Any:
    """Import PyAV.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as exc:
        raise MissingDependencyError("av", "video", "video files and cameras") from exc
    return av


def video_file(path: Path) -> Source:
    """Read a video file; every frame waits to be asked for.

    Raises:
        ConfigurationError: It holds no video that can be decoded.
        MissingDependencyError: PyAV is absent.
    """
    av = require_av()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            fps = float(stream.average_rate or stream.guessed_rate or 30)
    except (av.FFmpegError, IndexError) as exc:
        raise ConfigurationError(f"--source {path}: no video that can be decoded ({exc})") from exc
    return Source(path.name, lambda: _decoded(str(path), None, {}), fps, live=False)


def camera(number: int) -> Source:
    """Read a camera; it sets its own pace.

    Raises:
        ConfigurationError: There is no such camera, or it cannot be opened.
        MissingDependencyError: PyAV is absent.
    """
    av = require_av()
    system, name = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
    address = name.format(number)
    options = {"framerate": "30", "video_size": "1280x720"} if system == "avfoundation" else {}
    try:
        with av.open(address, format=system, options=options):
            pass
    except (av.FFmpegError, ValueError) as exc:
        raise ConfigurationError(
            f"--source {number}: camera {address} cannot be opened ({exc}); give a file, a folder or 'scene' instead"
        ) from exc
    return Source(f"camera {number}", lambda: _decoded(address, system, options), fps=0, live=True)


def _decoded(address: str, system: str | None, options: dict[str, str]) -> Iterator[Image]:
    av = require_av()
    with av.open(address, format=system, options=options) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            yield frame.to_image()
