"""The prompt of each frame: fixed, from a file that may change, or typed while the stream runs."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from falrt.exceptions import ConfigurationError

__all__ = ["DEFAULT_PROMPT", "FilePrompt", "TypedPrompt", "choose_prompt"]

DEFAULT_PROMPT = 'Turn this into "Living oil painting, melting gold and sapphire"'
"""Klein's own default; the other models insist on a prompt."""

_LOOK_SECONDS = 0.2


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
            raise ConfigurationError("--prompt and --prompt-file: give one of the two")
        return FilePrompt(file)
    if prompt == "-" or sys.stdin.isatty():
        typed = TypedPrompt(DEFAULT_PROMPT if prompt in ("", "-") else prompt, sys.stdin)
        typed.listen()
        return typed
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
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"--prompt-file {path}: cannot be read ({error})") from error

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
        lines: Read in a thread, line by line.
    """

    def __init__(self, first: str, lines: TextIO) -> None:
        self._text, self._lines = first, lines

    def __call__(self, seconds: float) -> str:
        """Return the newest line that is not empty."""
        return self._text

    def listen(self) -> None:
        """Start reading. The thread is a daemon: nothing can wake it from a terminal where nobody types."""
        threading.Thread(target=self._read, name="falrt-typed-prompt", daemon=True).start()

    def _read(self) -> None:
        for line in self._lines:
            text = line.strip()
            if text:
                self._text = text
