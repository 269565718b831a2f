from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from falrt.cli.batch import inputs_of, read_file, read_numbers
from falrt.exceptions import ConfigurationError
from tests.batches.queue_server import Queue
from tests.cli.test_generate import Fal


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Queue]:
    queue, fal = Queue(), Fal()
    fal.answer = queue  # type: ignore[assignment]  # an async answer will do
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAL_KEY", "a:b")
    with fal.serving() as url:
        monkeypatch.setenv("FALRT_BASE_URL", url)
        yield queue


def test_prompts_times_seeds_times_sizes(run: Callable[..., Result], queue: Queue, tmp_path: Path) -> None:
    result = run(
        "batch",
        "a cat",
        "a dog",
        "--seeds",
        "1-3",
        "--sizes",
        "square,portrait",
        "-m",
        "schnell",
        "--price",
        0.003,
    )

    assert result.exit_code == 0
    assert len(queue.paid) == 12
    assert queue.paid[0] == {"prompt": "a cat", "seed": 1, "image_size": {"width": 1024, "height": 1024}}
    assert len(list(tmp_path.glob("falrt-batch/*.jpg"))) == 13
    assert "12 inputs for fal-ai/flux/schnell into falrt-batch" in result.output
    assert "12 pictures in" in result.output
    assert "$0.036" in result.output
    assert "falrt-batch/sheet.jpg" in result.output


def test_the_same_command_again_pays_nothing_here_and_elsewhere(
    run: Callable[..., Result], queue: Queue
) -> None:
    run("batch", "a cat", "--seeds", "1,2")
    again = run("batch", "a cat", "--seeds", "1,2")
    elsewhere = run("batch", "a cat", "--seeds", "1,2", "-o", "other")

    assert len(queue.paid) == 2
    assert "2 reused" in again.output
    assert "2 reused" in elsewhere.output
    assert run("batch", "a cat", "--seeds", "1,2", "-o", "third", "--no-cache").exit_code == 0
    assert len(queue.paid) == 4


def test_a_failed_input_is_told_and_ends_with_one(run: Callable[..., Result], queue: Queue) -> None:
    from tests.http.scripted import Said

    queue.result = lambda given: Said(422, {"detail": "no cats"}) if given["seed"] == 1 else {"images": []}

    result = run("batch", "a cat", "--seeds", "1,2", "--no-cache")

    assert result.exit_code == 1
    assert "input 1: fal-ai/flux-2/klein/4b" in result.output
    assert "1 failed" in result.output


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.txt", "a cat\n\n# no\n  a dog  \n", [{"prompt": "a cat"}, {"prompt": "a dog"}]),
        (
            "a.csv",
            'prompt,seed,image_size\n"a cat, red",7,square\n123,,\n',
            [{"prompt": "a cat, red", "seed": 7, "image_size": "square"}, {"prompt": "123"}],
        ),
        (
            "a.jsonl",
            '"a cat"\n{"prompt": "a dog", "seed": 3}\n',
            [{"prompt": "a cat"}, {"prompt": "a dog", "seed": 3}],
        ),
        ("bom.txt", "\ufeffa cat", [{"prompt": "a cat"}]),
    ],
)
def test_files_of_every_kind_are_read(name: str, content: str, rows: list[Any], tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")

    assert read_file(tmp_path / name) == rows


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.txt", None, "No such file"),
        ("a.jsonl", b"{", "--file"),
        ("a.jsonl", b"5", "an input is text or a map, not int"),
        ("a.jsonl", b'{"seed": 1}', "input 1 has no prompt"),
        ("a.csv", b"words\na cat\n", "input 1 has no prompt"),
        ("a.txt", b"\xff\xfe\x00", "--file"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(
    name: str, content: bytes | None, words: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigurationError, match=words):
        read_file(tmp_path / name)


def test_rows_of_a_file_win_over_options(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "a cat", "seed": 7}))

    rows = read_file(tmp_path / "a.jsonl")

    assert inputs_of(rows, "dev", seeds=[1], settings={"num_inference_steps": 2}) == (
        "fal-ai/flux/dev",
        [{"prompt": "a cat", "seed": 7, "num_inference_steps": 2}],
        [],
    )


def test_seeds_are_numbers_and_ranges() -> None:
    assert read_numbers("1, 2,7-9") == [1, 2, 7, 8, 9]
    for wrong in ("x", "3-1", "1-999999999", "-1", ""):
        with pytest.raises(ConfigurationError, match="--seeds takes numbers"):
            read_numbers(wrong)


def test_one_is_one_and_a_field_that_is_not_known_is_told_once(
    run: Callable[..., Result], queue: Queue
) -> None:
    result = run("batch", "a cat", "-m", "schnell", "--set", "guidance_scal=2", "--seeds", "1")

    assert "1 input for fal-ai/flux/schnell" in result.output
    assert "1 picture in" in result.output
    assert result.output.count("'guidance_scale'?") == 1


def test_no_prompts_are_told(run: Callable[..., Result]) -> None:
    result = run("batch")

    assert result.exit_code == 1
    assert "no prompts: give some as arguments" in result.stderr


def test_a_wrong_size_is_told_by_the_option_that_was_given(run: Callable[..., Result], queue: Queue) -> None:
    result = run("batch", "a cat", "--sizes", "square,huge")

    assert result.exit_code == 1
    assert "--sizes must be one of" in result.stderr
    assert "not 'huge'" in result.stderr
    assert queue.paid == []
