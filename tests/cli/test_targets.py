from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from falrt import exceptions
from falrt.cli.targets import check_apart, check_file, check_folder, distinct, writing

CHECKS = pytest.mark.parametrize("check", [check_file, check_folder])


def everything_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@CHECKS
def test_good_target_leaves_no_trace(tmp_path: Path, check: Callable[[str, Path], None]) -> None:
    check("--out", tmp_path / "new" / "folder" / "x")
    check("--out", tmp_path / "x")

    assert everything_in(tmp_path) == []


def test_file_of_an_earlier_run_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.gif").write_bytes(b"earlier")

    check_file("--out", tmp_path / "x.gif")

    assert (tmp_path / "x.gif").read_bytes() == b"earlier"


def test_folder_of_an_earlier_run_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    check_folder("--out", tmp_path / "out")

    assert everything_in(tmp_path) == [tmp_path / "out"]


@CHECKS
def test_target_below_a_file_is_refused(tmp_path: Path, check: Callable[[str, Path], None]) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(exceptions.ConfigurationError, match=r"--out .*x: cannot be written"):
        check("--out", tmp_path / "file" / "x")


@CHECKS
def test_name_that_is_too_long_is_refused_and_leaves_no_trace(
    tmp_path: Path, check: Callable[[str, Path], None]
) -> None:
    with pytest.raises(exceptions.ConfigurationError, match="cannot be written"):
        check("--out", tmp_path / "new" / ("x" * 300))

    assert everything_in(tmp_path) == []


def test_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(exceptions.ConfigurationError, match="cannot be written"):
        check_file("--out", tmp_path)


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(exceptions.ConfigurationError, match="cannot be written"):
        check_folder("--out", tmp_path / "file")


def test_same_place_counts_once_however_it_is_written(tmp_path: Path) -> None:
    other = tmp_path / "b.gif"
    again = tmp_path / "folder" / ".." / "a.gif"

    assert distinct([tmp_path / "a.gif", other, again]) == (tmp_path / "a.gif", other)


def test_error_without_a_reason_of_the_system_keeps_its_words() -> None:
    with (
        pytest.raises(exceptions.ConfigurationError, match=r"^x\.gif: cannot be written \(no encoder\)$"),
        writing("x.gif"),
    ):
        raise OSError("no encoder")


@pytest.mark.parametrize("source", ["film.mp4", "frames", "frames/*.png"])
def test_result_never_takes_the_place_of_its_source(tmp_path: Path, source: str) -> None:
    (tmp_path / "film.mp4").touch()
    (tmp_path / "frames").mkdir()
    out = tmp_path / source.partition("/")[0]
    with pytest.raises(exceptions.ConfigurationError, match="is the source itself"):
        check_apart(str(tmp_path / source), [tmp_path / "elsewhere", out])


@pytest.mark.parametrize("source", ["0", "scene", "screen:0,0,10,10"])
def test_what_is_no_file_may_go_anywhere(tmp_path: Path, source: str) -> None:
    check_apart(source, [Path(), tmp_path])
