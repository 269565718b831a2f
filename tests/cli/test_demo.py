from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from falrt.cli.demo import DEMO_PROMPTS, prompt_in_turn


def test_prompts_take_turns() -> None:
    prompt = prompt_in_turn(("a", "b"))

    assert [prompt(seconds) for seconds in (0, 1.9, 2, 3.9, 4)] == ["a", "a", "b", "b", "a"]


@pytest.mark.parametrize("model", ["klein", "lcm", "turbo"])
def test_demo_streams_saves_and_reports(run: Callable[..., Result], tmp_path: Path, model: str) -> None:
    result = run("demo", "--model", model, "--frames", 4, "--out", tmp_path / "out")

    assert result.exit_code == 0
    for words in (f"built-in scene through {model}", "latency", "p50", "p95", "pictures/s", "frames skipped"):
        assert words in result.output
    pictures = sorted((tmp_path / "out" / "pictures").iterdir())
    assert [path.name for path in pictures] == [f"picture-{number:04}.jpg" for number in range(1, 5)]
    with Image.open(tmp_path / "out" / "before-after.webp") as animation:
        assert animation.n_frames == 4
    assert (tmp_path / "out" / "contact-sheet.jpg").exists()


def test_demo_takes_a_folder_of_pictures_and_one_prompt(run: Callable[..., Result], tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for colour in ("red", "blue"):
        Image.new("RGB", (64, 48), colour).save(source / f"{colour}.png")

    result = run("demo", "--source", source, "--prompt", "gold", "--frames", 2, "--out", tmp_path / "out")

    assert result.exit_code == 0
    assert "source/ through klein" in result.output


def test_demo_stops_after_some_seconds(run: Callable[..., Result], tmp_path: Path) -> None:
    assert run("demo", "--seconds", 1.0, "--out", tmp_path).exit_code == 0
    assert len(list((tmp_path / "pictures").iterdir())) >= 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--model", "sora"], "unknown model 'sora'"),
        (["--source", "nowhere.gif"], "no such file or folder"),
        (["--set", "sed=1"], "--set: unknown field 'sed'"),
        (["--set", "seed"], "field=value"),
    ],
)
def test_mistakes_are_told_in_a_line(run: Callable[..., Result], arguments: list[str], text: str) -> None:
    result = run("demo", *arguments)

    assert result.exit_code == 1
    assert text in result.stderr
    assert "Traceback" not in result.output


def test_live_demo_without_a_key_says_so(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FALRT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    result = run("demo", "--live", "--frames", 1, "--out", tmp_path)

    assert result.exit_code == 1
    assert "FAL_KEY" in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_told_first(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    result = run("demo", "--frames", 1, "--out", tmp_path / "file" / "out")

    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    assert result.stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send to a single process")
def test_interrupted_demo_saves_what_there_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "falrt", "demo", "--seconds", "60", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "pictures " in line and not line.startswith("falrt"):
                demo.send_signal(signal.SIGINT)
                break
        rest = demo.stdout.read()

    assert demo.returncode == 0
    assert "interrupted" in rest
    assert (tmp_path / "contact-sheet.jpg").exists()
    assert (tmp_path / "before-after.webp").exists()


def test_every_prompt_of_the_demo_has_another_look() -> None:
    from falrt.local.prompt import read_prompt

    assert len({read_prompt(prompt).style for prompt in DEMO_PROMPTS}) == len(DEMO_PROMPTS)
