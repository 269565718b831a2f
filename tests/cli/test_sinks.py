from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from falrt import exceptions
from falrt.cli import sinks
from falrt.cli.record import Record, Shot
from falrt.cli.sinks import Animation, ContactSheet, Folder


def test_folder_keeps_the_bytes_as_they_came(
    tmp_path: Path, shots: list[Shot], picture_bytes: Callable[..., bytes]
) -> None:
    folder = Folder(tmp_path / "pictures")
    png, webp = picture_bytes(kind="PNG"), picture_bytes(kind="WEBP")
    folder.add(replace(shots[0], pictures=(shots[0].pictures[0], png)))
    folder.add(replace(shots[1], pictures=(webp,)))
    folder.close()

    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == {
        "picture-0001.jpg": shots[0].pictures[0],
        "picture-0002.png": png,
        "picture-0003.webp": webp,
    }


def test_folder_removes_the_pictures_of_an_earlier_run_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "picture-0007.jpg").write_bytes(b"old")
    (tmp_path / "picture-of-mum.jpg").write_bytes(b"dear")

    Folder(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["picture-of-mum.jpg"]


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(exceptions.ConfigurationError, match="file: cannot be written"):
        Folder(tmp_path / "file")


@pytest.mark.parametrize("name", ["out.gif", "out.webp"])
def test_animation_plays_as_fast_as_the_pictures_came(tmp_path: Path, shots: list[Shot], name: str) -> None:
    animation = Animation(tmp_path / name, side=32)
    for shot in shots:
        animation.add(shot)
    animation.close()

    with Image.open(tmp_path / name) as image:
        assert (image.n_frames, image.size) == (5, (32, 32))
        image.seek(1)
        image.load()
        assert image.info["duration"] == 100


def test_animation_shows_the_frame_beside_the_picture(tmp_path: Path, shots: list[Shot]) -> None:
    animation = Animation(tmp_path / "out.webp", side=32, beside=True)
    animation.add(shots[0])
    animation.close()

    with Image.open(tmp_path / "out.webp") as image:
        picture = image.convert("RGB")
    assert picture.size == (72, 32)
    assert picture.getpixel((10, 16))[2] > 90
    assert picture.getpixel((60, 16))[0] > 200


def test_animation_of_nothing_is_no_file(tmp_path: Path) -> None:
    Animation(tmp_path / "out.gif").close()

    assert list(tmp_path.iterdir()) == []


def sheet_of(folder: Path, shots: list[Shot]) -> Path:
    sheet = ContactSheet(folder / "sheet.png", Record(samples=shots))
    sheet.close()
    return sheet.path


def test_contact_sheet_shows_frames_above_pictures(tmp_path: Path, shots: list[Shot]) -> None:
    path = sheet_of(tmp_path, shots)

    with Image.open(path) as sheet:
        above, below = sheet.getpixel((100, 120)), sheet.getpixel((100, 360))
    assert above == (0, 0, 128)
    assert below[0] > 200


def test_contact_sheet_of_nothing_is_no_file(tmp_path: Path) -> None:
    assert not sheet_of(tmp_path, []).exists()


def test_contact_sheet_of_many_has_twelve_pairs(tmp_path: Path, shots: list[Shot]) -> None:
    path = sheet_of(tmp_path, shots * 10)

    with Image.open(path) as sheet:
        assert sheet.width > 6 * 224
        assert sheet.height < 3 * 2 * 224


def test_long_animation_keeps_every_second_picture(
    tmp_path: Path, shots: list[Shot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "_ANIMATION_FRAMES_MAX", 4)
    animation = Animation(tmp_path / "out.gif", side=16)
    for number in range(12):
        animation.add(replace(shots[number % 5], at=number / 10))
    animation.close()

    with Image.open(tmp_path / "out.gif") as image:
        assert image.n_frames == 3
        assert image.info["duration"] == 400
