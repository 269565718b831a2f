from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from falrt.cli import window
from falrt.cli.record import Shot
from falrt.local import LocalServer

LOCAL = ("--local", "--speed", "50")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    for number in range(4):
        Image.new("RGB", (64, 48), (60 * number, 0, 90)).save(path / f"{number}.png")
    return path


def test_every_picture_of_a_folder_is_restyled(
    run: Callable[..., Result], tmp_path: Path, folder: Path
) -> None:
    result = run(
        "stream",
        *LOCAL,
        "--source",
        folder,
        "--model",
        "turbo",
        "--prompt",
        "comic",
        "--out",
        tmp_path / "out",
    )

    assert result.exit_code == 0
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert "source/ through fal-ai/fast-turbo-diffusion" in result.output


def test_all_outputs_at_once(run: Callable[..., Result], tmp_path: Path) -> None:
    names = ("pictures", "a.gif", "a.webp", "a.mp4")
    outs = [part for name in names for part in ("--out", tmp_path / name)]

    result = run(
        "stream",
        *LOCAL,
        *outs,
        "--beside",
        "--frames",
        3,
        "--report",
        tmp_path / "r.html",
        "--price-per-second",
        1,
    )

    assert result.exit_code == 0
    for name in (*names, "r.html"):
        assert (tmp_path / name).exists()
        assert name in result.output
    assert "cost" in result.output


def test_report_alone_is_enough(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run("stream", *LOCAL, "--frames", 2, "--report", "r.png", "--preview").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["r.png"]


def test_pictures_go_to_a_folder_by_default(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run("stream", *LOCAL, "--frames", 2, "--max-buffering", 2).exit_code == 0
    assert len(list((tmp_path / "falrt-stream").iterdir())) == 2


def test_file_played_live_and_round(run: Callable[..., Result], tmp_path: Path, folder: Path) -> None:
    result = run(
        "stream",
        *LOCAL,
        "--source",
        folder,
        "--live",
        "--loop",
        "--fps",
        60,
        "--frames",
        6,
        "--out",
        tmp_path / "out",
    )

    assert result.exit_code == 0
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_key_and_address_come_from_the_environment(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalServer() as server:
        monkeypatch.setenv("FALRT_BASE_URL", server.url)
        monkeypatch.setenv("FAL_KEY", "test")
        result = run(
            "stream",
            "--app",
            "fal-ai/flux-2-klein-realtime",
            "--seconds",
            0.1,
            "--out",
            tmp_path,
            "--set",
            "seed=1",
        )

    assert result.exit_code == 0
    assert "through fal-ai/flux-2-klein-realtime" in result.output


def test_frames_that_did_not_change_are_not_sent(run: Callable[..., Result], tmp_path: Path) -> None:
    still = tmp_path / "still.png"
    Image.new("RGB", (64, 48), "teal").save(still)

    result = run(
        *("stream", *LOCAL, "--source", still, "--still", "--fps", 30, "--live", "--gate", 0.05),
        *("--seconds", 0.6, "--out", tmp_path / "out"),
    )

    assert result.exit_code == 0
    # Of some eighteen frames, the first and the one on which the source came to rest.
    assert 1 <= len(list((tmp_path / "out").iterdir())) <= 2


def test_gate_needs_a_live_source(run: Callable[..., Result], folder: Path) -> None:
    result = run("stream", *LOCAL, "--source", folder, "--gate", 0.05)

    assert result.exit_code == 1
    assert "add --live" in result.stderr


def test_closing_the_window_ends_the_stream(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []

    class Shown:
        def __init__(self, title: str) -> None:
            self.is_closed = False

        def show(self, shot: Shot) -> None:
            shown.append(shot.number)
            self.is_closed = shot.number == 2

        def close(self) -> None:
            shown.append(0)

    monkeypatch.setattr(window, "Window", Shown)

    assert run("stream", *LOCAL, "--window").exit_code == 0
    assert shown == [1, 2, 0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--out", "film.avi"],
            "--out film.avi: give a folder or a file ending in .gif, .mkv, .mov, .mp4, .webp",
        ),
        (["--report", "r.pdf"], "an .html or a .png"),
        (["--source", "nowhere"], "no such file or folder"),
        (["--prompt-file", "nowhere"], "--prompt-file nowhere"),
        (["--fps", "0"], "--fps"),
        (["--max-buffering", "99"], "max_buffering"),
    ],
)
def test_mistakes_are_told_in_a_line(run: Callable[..., Result], arguments: list[str], text: str) -> None:
    result = run("stream", *LOCAL, *arguments, "--frames", 1)

    assert result.exit_code == 1
    assert text in result.stderr


def test_failure_on_the_way_saves_what_there_is(
    run: Callable[..., Result], tmp_path: Path, folder: Path
) -> None:
    (folder / "9.png").write_bytes(b"nonsense")

    result = run(
        "stream", *LOCAL, "--source", folder, "--out", tmp_path / "out", "--report", tmp_path / "r.html"
    )

    assert result.exit_code == 1
    assert "9.png" in result.stderr
    assert len(list((tmp_path / "out").iterdir())) >= 3
    assert (tmp_path / "r.html").exists()
