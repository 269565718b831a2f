from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from falrt import exceptions
from falrt.cli.film import Film
from falrt.cli.record import Shot

av = pytest.importorskip("av", reason="the extra 'video' is not installed")


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def test_film_of_a_file_has_the_files_pace(tmp_path: Path, shots: list[Shot]) -> None:
    film = Film(tmp_path / "film.mp4", fps=25)
    for shot in shots:
        film.add(shot)
    film.close()

    assert times(film.path) == pytest.approx([0, 0.04, 0.08, 0.12, 0.16], abs=0.002)


def test_film_of_a_live_source_has_the_pace_of_the_answers(tmp_path: Path, shots: list[Shot]) -> None:
    film = Film(tmp_path / "film.mkv", fps=None)
    for shot, at in zip(shots, (1, 1.1, 1.1, 1.5, 2), strict=True):
        film.add(replace(shot, at=at))
    film.close()

    assert times(film.path) == pytest.approx([0, 0.1, 0.101, 0.5, 1], abs=0.002)


def test_pictures_of_one_answer_share_its_time(tmp_path: Path, shots: list[Shot]) -> None:
    film = Film(tmp_path / "film.mp4", fps=10)
    for shot in shots[:2]:
        film.add(replace(shot, pictures=shot.pictures * 2))
    film.close()

    assert times(film.path) == pytest.approx([0, 0.05, 0.1, 0.15], abs=0.06)


def test_odd_and_changing_sizes_are_fitted(
    tmp_path: Path, shots: list[Shot], picture_bytes: Callable[..., bytes]
) -> None:
    film = Film(tmp_path / "film.mp4", fps=10)
    for shot, size in zip(shots, ((33, 21), (64, 64)), strict=False):
        film.add(replace(shot, pictures=(picture_bytes(size=size),)))
    film.close()

    with av.open(str(film.path)) as container:
        assert [(frame.width, frame.height) for frame in container.decode(video=0)] == [(32, 20)] * 2


def test_film_of_nothing_is_no_file(tmp_path: Path) -> None:
    Film(tmp_path / "film.mp4", fps=10).close()

    assert list(tmp_path.iterdir()) == []


def test_film_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").mkdir()

    with pytest.raises(exceptions.ConfigurationError, match="cannot be written"):
        Film(tmp_path / "film.mp4", fps=10)


def test_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)

    with pytest.raises(exceptions.MissingDependencyError, match=r"falrt\[video\]"):
        Film(tmp_path / "film.mp4", fps=10)
