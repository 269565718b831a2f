from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from falrt import exceptions
from falrt.cli import prompts
from falrt.cli.prompts import DEFAULT_PROMPT, FilePrompt, TypedPrompt, choose_prompt


def test_fixed_prompt_stays() -> None:
    assert choose_prompt("gold", None)(5.0) == "gold"
    assert choose_prompt("", None)(5.0) == DEFAULT_PROMPT


def test_file_is_read_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(prompts.time, "monotonic", lambda: now[0])
    path = tmp_path / "prompt.txt"
    path.write_text("gold and\nsapphire\n")
    prompt = choose_prompt("", path)
    assert prompt(0) == "gold and sapphire"

    path.write_text("teal")
    assert prompt(0) == "gold and sapphire", "it is looked at five times a second"
    now[0] = 0.3
    assert prompt(0) == "teal"

    path.unlink()
    now[0] = 0.6
    assert prompt(0) == "teal", "a file that is being replaced keeps its prompt"


@pytest.mark.skipif(os.name == "nt", reason="paths of folders read differently there")
def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.txt"):
        with pytest.raises(exceptions.ConfigurationError, match="--prompt-file"):
            FilePrompt(path)


def test_prompt_and_file_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(exceptions.ConfigurationError, match="one of the two"):
        choose_prompt("gold", tmp_path / "prompt.txt")


def test_typed_line_becomes_the_prompt() -> None:
    read, write = os.pipe()
    with open(read) as lines, open(write, "w") as keyboard:
        prompt = TypedPrompt("gold", lines)
        prompt.listen()
        assert prompt(0) == "gold"

        keyboard.write("teal\n\n")
        keyboard.close()
        for thread in threading.enumerate():
            if thread.name == "falrt-typed-prompt":
                thread.join(10)

        assert prompt(0) == "teal"


def test_standard_input_is_read_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("teal\n"))

    prompt = choose_prompt("-", None)

    for thread in threading.enumerate():
        if thread.name == "falrt-typed-prompt":
            thread.join(10)
    assert prompt(0) == "teal"
