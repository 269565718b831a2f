from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from falrt.cli import report_html, window
from falrt.cli.record import Shot
from falrt.local import LocalOptions, LocalServer

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

        def refresh(self) -> None:
            pass

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
        (["--report", "r.html", "--report", "r.pdf"], "an .html or a .png"),
        (["--source", "nowhere"], "no such file or folder"),
        (["--prompt-file", "nowhere"], "--prompt-file nowhere"),
        (["--fps", "0"], "--fps"),
        (["--max-buffering", "99"], "max_buffering"),
        (["--speed", "0"], "speed must be a positive number"),
        (["--app", "https://fal.run/x/y"], "is a URL"),
        (["--out", "good", "--out", "file/x.gif"], "--out file/x.gif: cannot be written"),
        (["--out", "good.gif", "--out", "file/x"], "--out file/x: cannot be written"),
        (["--out", "good.gif", "--report", "file/r.html"], "--report file/r.html: cannot be written"),
        (["--out", "x" * 300], "cannot be written"),
        (["--out", "x" * 300 + ".gif"], "cannot be written"),
        (["--report", "x" * 300 + ".png"], "cannot be written"),
    ],
)
def test_mistakes_are_told_in_a_line_before_anything_is_started_or_made(
    run: Callable[..., Result],
    arguments: list[str],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()

    result = run("stream", *LOCAL, *arguments, "--frames", 1)

    assert result.exit_code == 1
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("environment", "text"),
    [({}, "FAL_KEY"), ({"FAL_KEY": "test", "FALRT_BASE_URL": "localhost"}, "base_url 'localhost'")],
)
def test_mistakes_of_the_environment_are_told_before_anything_is_started_or_made(
    run: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FALRT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    result = run("stream", "--frames", 1, "--report", "r.html")

    assert result.exit_code == 1
    assert text in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="a folder in which nobody may create a file")
@pytest.mark.parametrize(
    "target",
    [
        ("--out", "/proc/x.gif"),
        ("--out", "/proc/x.webp"),
        ("--out", "/proc/x"),
        ("--report", "/proc/r.html"),
        ("--report", "/proc/r.png"),
    ],
)
def test_target_in_a_folder_that_takes_no_files_is_refused_first(
    run: Callable[..., Result], target: tuple[str, str]
) -> None:
    result = run("stream", *LOCAL, *target, "--frames", 2)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"falrt: {' '.join(target)}: cannot be written")
    assert result.stdout == ""


def test_mistake_leaves_the_pictures_of_an_earlier_run(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "picture-0001.jpg").write_bytes(b"earlier")

    assert run("stream", *LOCAL, "--out", tmp_path, "--report", tmp_path, "--frames", 1).exit_code == 1
    assert (tmp_path / "picture-0001.jpg").read_bytes() == b"earlier"


def test_several_reports_are_written(run: Callable[..., Result], tmp_path: Path) -> None:
    reports = [tmp_path / name for name in ("a.html", "b.png", "new/c.html")]
    options = [part for path in reports for part in ("--report", path)]

    result = run("stream", *LOCAL, "--frames", 1, *options)

    assert result.exit_code == 0
    for path in reports:
        assert path.exists()
        assert str(path) in result.output


def test_target_given_twice_is_written_and_listed_once(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    twice = ("--out", "z.gif", "--out", tmp_path / "z.gif", "--report", "r.html", "--report", "./r.html")

    result = run("stream", *LOCAL, "--frames", 1, *twice)

    assert result.exit_code == 0
    assert result.output.count("z.gif") == 1
    assert result.output.count("r.html") == 1


def test_brackets_in_names_are_shown_as_they_are(
    run: Callable[..., Result], tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder.joinpath("0.png").rename("[bold].png")

    result = run("stream", *LOCAL, "--source", "[bold].png", "--frames", 1, "--out", "[red].gif")

    assert "[bold].png, moving through" in result.output
    assert "  [red].gif" in result.output


def test_report_that_fails_at_the_end_costs_neither_the_summary_nor_the_others(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(record: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(report_html, "html_report", full)

    result = run(
        *("stream", *LOCAL, "--frames", 1, "--report", tmp_path / "r.html", "--report", tmp_path / "r.png")
    )

    assert result.exit_code == 1
    assert "r.html: cannot be written (No space left on device)" in result.stderr
    assert "latency" in result.stdout
    assert (tmp_path / "r.png").exists()


def test_failure_before_the_first_picture_is_told_once_and_without_a_table(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalServer(LocalOptions(key="right")) as server:
        monkeypatch.setenv("FALRT_BASE_URL", server.url)
        monkeypatch.setenv("FAL_KEY", "wrong")
        result = run("stream", "--frames", 1, "--out", tmp_path / "out")

    assert result.exit_code == 1
    assert result.output.count("the key was refused") == 1
    assert "latency" not in result.output
    assert "socket open" not in result.output


def test_quiet_prints_nothing(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("stream", *LOCAL, "--model", "lightning", "--frames", 2, "--quiet", "--out", tmp_path)

    assert (result.exit_code, result.output) == (0, "")
    assert len(list(tmp_path.iterdir())) == 2


def test_large_picture_ends_quietly(run: Callable[..., Result], tmp_path: Path) -> None:
    big = tmp_path / "big.jpg"
    Image.new("RGB", (4000, 3000), "teal").save(big)

    result = run("stream", *LOCAL, "--source", big, "--seconds", 0.6, "--out", tmp_path / "out")

    assert result.exit_code == 0
    assert result.stderr == ""


def test_film_of_an_earlier_run_is_not_listed_where_no_picture_came(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.gif").write_bytes(b"earlier")
    with LocalServer(LocalOptions(key="right")) as server:
        monkeypatch.setenv("FALRT_BASE_URL", server.url)
        monkeypatch.setenv("FAL_KEY", "wrong")
        result = run("stream", "--frames", 1, "--out", tmp_path / "old.gif")

    assert result.exit_code == 1
    assert "old.gif" not in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM that a program can take")
def test_sigterm_ends_the_stream_and_saves_what_there_is(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the extra 'video' is not installed")
    film, report = tmp_path / "o.mp4", tmp_path / "r.html"
    command = [sys.executable, "-m", "falrt", "stream", "--local", "--speed", "5"]
    command += ["--out", str(film), "--report", str(report)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment
    ) as streaming:
        assert streaming.stdout is not None
        for line in streaming.stdout:
            if " pictures " in line:
                streaming.send_signal(signal.SIGTERM)
                break
        rest = streaming.stdout.read()

    assert streaming.returncode == 0
    assert "latency" in rest
    assert str(film) in rest
    assert "Age and latency over time" in report.read_text(encoding="utf-8")
    with av.open(str(film)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 1


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
