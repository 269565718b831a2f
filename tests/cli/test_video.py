from __future__ import annotations

import sys
import wave
from pathlib import Path

import pytest
from PIL import Image

from falrt import exceptions
from falrt.cli import video
from falrt.cli.sources import open_source

av = pytest.importorskip("av", reason="the extra 'video' is not installed")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for colour in ("red", "red", "blue", "blue"):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 64), colour))))
        container.mux(stream.encode(None))
    return path


def test_video_gives_every_frame(film: Path) -> None:
    source = open_source(str(film))

    assert (source.live, source.fps) == (False, 25)
    reds = [frame.getpixel((32, 32))[0] > 128 for frame in source.frames()]
    assert reds == [True, True, False, False]


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"nonsense")

    with pytest.raises(exceptions.ConfigurationError, match="no video that can be decoded"):
        open_source(str(tmp_path / "film.mp4"))


def test_missing_package_names_the_extra(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)

    with pytest.raises(exceptions.MissingDependencyError, match=r"falrt\[video\]"):
        open_source(str(film))


def test_camera_gives_frames_at_its_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_CAMERAS", {sys.platform: ("lavfi", "testsrc=size=64x48:rate=30")})

    source = open_source("0")

    assert (source.live, source.fps) == (True, 0)
    assert next(source.frames()).size == (64, 48)


def test_video_without_pictures_is_refused(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "sound.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1000))

    with pytest.raises(exceptions.ConfigurationError, match="no video that can be decoded"):
        open_source(str(tmp_path / "sound.mp4"))
