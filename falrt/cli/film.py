"""A video file of the pictures, through PyAV (the extra ``video``)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falrt.cli.pairs import decode
from falrt.cli.video import require_av
from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from falrt.cli.record import Shot

__all__ = ["FILM_SUFFIXES", "Film"]

FILM_SUFFIXES = frozenset({".mp4", ".mov", ".mkv"})

_TICK = Fraction(1, 1000)


class Film:
    """Writes an H.264 video as pictures come; a sink.

    Args:
        path: ``.mp4``, ``.mov`` or ``.mkv``.
        fps: Frames per second where every frame of a source is used; None gives each picture the moment at which it
            came, for live sources.

    Raises:
        ConfigurationError: The file cannot be written.
        MissingDependencyError: PyAV is absent.
    """

    def __init__(self, path: Path, fps: float | None) -> None:
        self._av = require_av()
        self.path, self._fps = path, fps
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("wb").close()  # PyAV would notice only at the first picture
            self._container = self._av.open(str(path), "w")
        except (self._av.FFmpegError, OSError) as exc:
            raise ConfigurationError(f"--out {path}: cannot be written ({exc})") from exc
        # Made with the first picture, whose size is the film's.
        self._stream: Any = None
        self._began_at = 0.0
        # Tick of the newest picture: two must never share one.
        self._tick = -1

    def add(self, shot: Shot) -> None:
        """Encode the pictures of one answer; several share its time, the in-between ones first."""
        count = len(shot.pictures)
        for index, data in enumerate(shot.pictures, start=1):
            picture = decode(data)
            if self._stream is None:
                self._begin(picture.width, picture.height, shot.at)
            picture = picture.resize((self._stream.width, self._stream.height))
            part = index / count
            if self._fps is None:
                at = shot.at - self._began_at - (1 - part) * shot.latency
            else:
                at = (shot.number - 2 + part) / self._fps
            self._tick = max(self._tick + 1, round(at / _TICK))
            frame = self._av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = self._tick, _TICK
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file; without pictures there is none."""
        if self._stream is None:
            self._container.close()
            self.path.unlink(missing_ok=True)
            return
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def _begin(self, width: int, height: int, at: float) -> None:
        rate = Fraction(self._fps or 30).limit_denominator(1001)
        self._stream = self._container.add_stream(
            "libx264", rate=rate, options={"preset": "veryfast", "crf": "20"}
        )
        # The pixel format that every player knows halves the colours' resolution, so sides must be even.
        self._stream.width, self._stream.height = width // 2 * 2, height // 2 * 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = _TICK
        self._began_at = at
