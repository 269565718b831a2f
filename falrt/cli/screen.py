"""What is seen while a stream runs: a line of figures, on a terminal with the picture above it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from falrt.cli.record import Record, Shot

__all__ = ["Screen", "live_line"]

_REFRESH_SECONDS = 0.1
_PLAIN_SECONDS = 1.0
_WINDOW = 60
_INPUT = "new prompt: "
_HINT = "type a new prompt and press Enter"


class Screen:
    """Shows progress; a context manager.

    Args:
        console: Where. Not a terminal: a plain line each second instead of one that changes.
        preview: Show the picture in the terminal, in half-block characters.
        draft: Returns what the user has typed of the next prompt, for the last line; None: nobody can type.
    """

    def __init__(
        self,
        console: Console,
        *,
        preview: bool = False,
        draft: Callable[[], str] | None = None,
    ) -> None:
        self._console, self._draft = console, draft
        self._is_terminal = console.is_terminal and not console.quiet
        self._preview = preview and self._is_terminal
        # Held while drawing: keys come in a thread of their own.
        self._drawing = threading.Lock()
        self._shown: list[str] = []
        # Lines on the terminal that the next drawing overwrites.
        self._lines = 0
        self._shown_at = 0.0
        self._words = ""
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        if self._is_terminal:
            self._console.show_cursor(False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            self._draft = None
            self._draw([])
            self._console.show_cursor(True)

    def typed(self) -> None:
        """Show a key that was pressed; may be called from any thread."""
        if self._is_terminal:
            self._draw(None)

    def waiting(self, words: str) -> None:
        """Say what is waited for, such as a cold model."""
        if words == self._words:
            return
        self._words = words
        if self._is_terminal:
            self._draw([words[: self._console.width - 1]])
        else:
            self._console.print(words)

    def once(self, words: str) -> None:
        """Say something above the figures, the first time that it is said."""
        if words and words not in self._said:
            self._said.add(words)
            self._above(words)

    def problem(self, error: Exception) -> None:
        """Tell of an error that does not end the stream."""
        self._above(str(error), style="yellow")

    def _above(self, words: str, style: str | None = None) -> None:
        if self._is_terminal:
            self._draw([], with_draft=False)
        self._console.print(words, style=style)

    def update(self, record: Record, shot: Shot) -> None:
        """Show the newest answer, at most ten times a second (each second where it is no terminal)."""
        now = time.monotonic()
        if now - self._shown_at < (_REFRESH_SECONDS if self._is_terminal else _PLAIN_SECONDS):
            return
        self._shown_at = now
        self._words = ""
        line = live_line(record)
        if not self._is_terminal:
            self._console.print(line)
            return
        width = self._console.width - 1
        lines = [line[:width], shot.prompt[:width]]
        if self._preview:
            lines = self._blocks(shot) + lines
        self._draw(lines)

    def _blocks(self, shot: Shot) -> list[str]:
        from falrt.cli.blocks import half_blocks
        from falrt.cli.pairs import decode

        # Two pixels to a character cell; the last lines are for words.
        room = (self._console.width - 1, 2 * max(4, self._console.height - 4))
        return half_blocks(
            decode(shot.pictures[-1]), room, true_colour=self._console.color_system == "truecolor"
        )

    def _draw(self, lines: list[str] | None, *, with_draft: bool = True) -> None:
        """Overwrite what was drawn before, in one write so that nothing flickers; None draws the same again."""
        with self._drawing:
            self._shown = self._shown if lines is None else lines
            shown = self._shown
            if with_draft and self._draft is not None:
                # The end of a long one is what the user is typing.
                room, draft = self._console.width - 1, self._draft()
                typed = f"{_INPUT}{draft[-max(1, room - len(_INPUT) - 1) :]}▏"[-room:]
                shown = [*shown, typed if draft else f"\x1b[2m{_HINT[:room]}\x1b[0m"]
            up = f"\x1b[{self._lines}A" if self._lines else ""
            rows = "".join(f"{line}\x1b[K\n" for line in shown)
            # Whatever stood below a longer drawing is erased.
            self._console.file.write(f"\r{up}{rows}\x1b[J")
            self._console.file.flush()
            self._lines = len(shown)


def live_line(record: Record) -> str:
    """Say how the stream is doing, by its last 60 answers."""
    from falrt.cli.record import counted, percentile, rate_of

    ages = record.ages[-_WINDOW:]
    parts = [
        f"{record.at[-1]:6.1f} s",
        counted(record.count, "picture"),
        f"{rate_of(record.at[-_WINDOW:]):.1f}/s",
        f"age {percentile(ages, 50) * 1000:.0f} ms (p95 {percentile(ages, 95) * 1000:.0f})",
    ]
    inference = [seconds for seconds in record.inference_times[-_WINDOW:] if seconds]
    if inference:
        parts.append(f"inference {percentile(inference, 50) * 1000:.0f} ms")
    parts.append(f"{counted(record.dropped_frames, 'frame')} skipped")
    if record.reconnects:
        parts.append(counted(len(record.reconnects), "reconnect"))
    parts.append(f"open {record.open_seconds:.1f} s")
    if record.price_per_second:
        parts.append(f"${record.cost:.4f}")
    return "  ".join(parts)
