"""What is seen while a stream runs: a line of figures, on a terminal with the picture above it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, RenderableType
    from rich.live import Live

    from falrt.cli.record import Record, Shot

__all__ = ["Screen", "live_line"]

_REFRESH_SECONDS = 0.1
_PLAIN_SECONDS = 1.0
_WINDOW = 60


class Screen:
    """Shows progress; a context manager.

    Args:
        console: Where. Not a terminal: a plain line each second instead of one that changes.
        price_per_second: To show what it costs; 0 shows nothing.
        preview: Show the picture in the terminal, in half-block characters.
    """

    def __init__(self, console: Console, *, price_per_second: float = 0.0, preview: bool = False) -> None:
        self._console, self._price = console, price_per_second
        self._preview = preview and console.is_terminal
        self._live: Live | None = None
        self._shown_at = 0.0
        self._words = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def waiting(self, words: str) -> None:
        """Say what is waited for, such as a cold model."""
        if words == self._words:
            return
        self._words = words
        if self._live is not None:
            self._live.update(f"[dim]{words}[/dim]", refresh=True)
        else:
            self._console.print(words, highlight=False)

    def update(self, record: Record, shot: Shot, note: str = "") -> None:
        """Show the newest answer, at most ten times a second (each second where it is no terminal)."""
        now = time.monotonic()
        pause = _PLAIN_SECONDS if self._live is None else _REFRESH_SECONDS
        if now - self._shown_at < pause:
            return
        self._shown_at = now
        line = live_line(record, self._price)
        if self._live is None:
            self._console.print(line, highlight=False, soft_wrap=True)
            return
        parts: list[RenderableType] = [line]
        if shot.prompt:
            parts.append(f"[dim]{_escape(shot.prompt)}[/dim]" + (f"  [dim]{note}[/dim]" if note else ""))
        if self._preview:
            from falrt.cli.blocks import half_blocks
            from falrt.cli.sinks import decode

            # Two pixels to a character cell, and three lines for the words.
            room = (self._console.width, 2 * max(4, self._console.height - 4))
            parts.insert(0, half_blocks(decode(shot.pictures[-1]), room))
        from rich.console import Group

        self._live.update(Group(*parts), refresh=True)


def live_line(record: Record, price_per_second: float = 0.0) -> str:
    """Say how the stream is doing, by its last 60 answers."""
    from falrt.cli.record import percentile

    ages = record.ages[-_WINDOW:]
    at = record.at[-_WINDOW:]
    rate = (len(at) - 1) / (at[-1] - at[0]) if len(at) > 1 and at[-1] > at[0] else 0.0
    parts = [
        f"{record.at[-1]:6.1f} s",
        f"{record.count} pictures",
        f"{rate:.1f}/s",
        f"age {percentile(ages, 50) * 1000:.0f} ms (p95 {percentile(ages, 95) * 1000:.0f})",
    ]
    inference = [seconds for seconds in record.inference_times[-_WINDOW:] if seconds]
    if inference:
        parts.append(f"inference {percentile(inference, 50) * 1000:.0f} ms")
    parts.append(f"{record.dropped_frames} frames skipped")
    if record.reconnects:
        parts.append(f"{len(record.reconnects)} reconnects")
    parts.append(f"open {record.open_seconds:.1f} s")
    if price_per_second:
        parts.append(f"${record.cost(price_per_second):.4f}")
    return "  ".join(parts)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
