from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

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
    with pytest.raises(exceptions.ConfigurationError, match="pass only one of them"):
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
    assert isinstance(prompt, TypedPrompt)
    prompt.listen()

    for thread in threading.enumerate():
        if thread.name == "falrt-typed-prompt":
            thread.join(10)
    assert prompt(0) == "teal"


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """A keyboard to type on, and the terminal that it belongs to."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    keyboard, screen = pty.openpty()
    with open(screen, closefd=True) as lines:
        yield keyboard, lines
    os.close(keyboard)


def test_keys_are_taken_one_by_one_and_shown_before_enter(terminal: tuple[int, TextIO]) -> None:
    import termios

    keyboard, lines = terminal
    before = termios.tcgetattr(lines)
    prompt, pressed = TypedPrompt("gold", lines), threading.Event()

    def press(keys: str) -> None:
        pressed.clear()
        os.write(keyboard, keys.encode())
        assert pressed.wait(5)

    with prompt.keys(pressed.set):
        press("té x\x7f")
        assert (prompt(0), prompt.draft) == ("gold", "té ")
        press("al\x1b[D\r")
        assert (prompt(0), prompt.draft) == ("té al", "")
        press("nonsense\x15")
        assert prompt.draft == ""
        press("\n")
        assert prompt(0) == "té al", "an empty line changes nothing"
    assert termios.tcgetattr(lines) == before


def test_keys_are_taken_from_the_foreground_terminal_only(terminal: tuple[int, TextIO]) -> None:
    assert not TypedPrompt("gold", io.StringIO()).can_take_keys()
    # Not the terminal that controls this process: whoever is in its foreground, it is not us.
    assert not TypedPrompt("gold", terminal[1]).can_take_keys()
