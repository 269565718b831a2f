"""The prompt of each frame: fixed, from a file that may change, or typed while the stream runs."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from falrt.exceptions import ConfigurationError

__all__ = ["DEFAULT_PROMPT", "FilePrompt", "TypedPrompt", "choose_prompt"]

DEFAULT_PROMPT = 'Turn this into "Living oil painting, melting gold and sapphire"'
"""Klein's own default; the other models insist on a prompt."""

_LOOK_SECONDS = 0.2
_ESCAPE = re.compile(r"\x1b(\[[0-9;]*[ -/]*[@-~]|O.)?")


def choose_prompt(prompt: str, file: Path | None) -> Callable[[float], str]:
    """Return where prompts come from.

    Args:
        prompt: The first one; ``"-"`` reads lines from standard input; empty means `DEFAULT_PROMPT`.
        file: Read instead.

    Raises:
        ConfigurationError: Both are given, or the file cannot be read.
    """
    if file is not None:
        if prompt:
            raise ConfigurationError("--prompt and --prompt-file: pass only one of them")
        return FilePrompt(file)
    if prompt == "-" or sys.stdin.isatty():
        return TypedPrompt(DEFAULT_PROMPT if prompt in ("", "-") else prompt, sys.stdin)
    return lambda seconds: prompt or DEFAULT_PROMPT


class FilePrompt:
    """The text of a file, read again whenever the file changes.

    Args:
        path: UTF-8; line breaks count as spaces.

    Raises:
        ConfigurationError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""
        self._stamp: tuple[int, int] | None = None
        self._looked_at = -_LOOK_SECONDS
        try:
            self._look()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigurationError(f"--prompt-file {path}: cannot be read ({exc})") from exc

    def __call__(self, seconds: float) -> str:
        """Return the prompt; looks at the file five times a second at most."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            # An editor may replace the file at this very moment: what was read before still holds.
            with contextlib.suppress(OSError, UnicodeDecodeError):
                self._look()
        return self._text

    def _look(self) -> None:
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._text = " ".join(self._path.read_text(encoding="utf-8").split())
            self._stamp = stamp


class TypedPrompt:
    """The newest line of an input, such as the terminal.

    Args:
        first: The prompt until a line comes.
        lines: Where lines come from.

    Attributes:
        draft: What has been typed of the next line, where keys are taken one by one.
    """

    def __init__(self, first: str, lines: TextIO) -> None:
        self._text, self._lines = first, lines
        self.draft = ""

    def __call__(self, seconds: float) -> str:
        """Return the newest non-empty line."""
        return self._text

    def listen(self) -> None:
        """Read lines in a thread, a daemon: nothing can wake it from a terminal where nobody types."""
        threading.Thread(target=self._read, name="falrt-typed-prompt", daemon=True).start()

    def can_take_keys(self) -> bool:
        """Whether the input is a terminal in whose foreground we run, on a system that gives single keys."""
        try:
            import termios  # noqa: F401 - there is none on Windows

            return self._lines.isatty() and os.tcgetpgrp(self._lines.fileno()) == os.getpgrp()
        except (ImportError, OSError, ValueError):
            return False

    @contextlib.contextmanager
    def keys(self, typed: Callable[[], None]) -> Iterator[None]:
        """Take keys one by one within the block, without echo: a screen that is drawn again and again shows them.

        Args:
            typed: Called, in a thread, after each key.
        """
        import termios
        import tty

        terminal = self._lines.fileno()
        before = termios.tcgetattr(terminal)
        ended = threading.Event()
        thread = threading.Thread(target=self._take, args=(terminal, typed, ended), name="falrt-typed-prompt")
        tty.setcbreak(terminal)
        try:
            thread.start()
            yield
        finally:
            ended.set()
            thread.join()
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)

    def _take(self, terminal: int, typed: Callable[[], None], ended: threading.Event) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        while not ended.is_set():
            if not select.select([terminal], [], [], _LOOK_SECONDS)[0]:
                continue
            pressed = os.read(terminal, 1024)
            if not pressed:
                return
            # Cursor keys and the like come as escape sequences, which a line of this kind has no use for.
            for character in _ESCAPE.sub("", decoder.decode(pressed)):
                self._press(character)
            typed()

    def _press(self, character: str) -> None:
        if character in "\r\n":
            self._text, self.draft = self.draft.strip() or self._text, ""
        elif character in "\x7f\b":
            self.draft = self.draft[:-1]
        elif character == "\x15":  # Ctrl-U
            self.draft = ""
        elif character.isprintable():
            self.draft += character

    def _read(self) -> None:
        for line in self._lines:
            text = line.strip()
            if text:
                self._text = text
