"""What surrounds a show: the server, the screen and the keyboard, an early end, and the words at the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from falrt.cli.endpoint import check_endpoint, endpoint
from falrt.cli.interruption import Interruption
from falrt.cli.prompts import TypedPrompt
from falrt.cli.report import write_report
from falrt.cli.screen import Screen
from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from falrt.cli.record import Record
    from falrt.cli.show import Show
    from falrt.cli.sinks import Sink
    from falrt.cli.window import Window

__all__ = ["present"]


def present(
    console: Console,
    show: Show,
    open_sinks: Callable[[], Sequence[Sink]],
    *,
    local: bool,
    speed: float,
    max_buffering: int | None = None,
    preview: bool = False,
    in_window: bool = False,
    reports: Sequence[Path] = (),
) -> None:
    """Run a show until its end, a Ctrl-C or a SIGTERM, and say how it went.

    ``open_sinks`` opens what pictures are written to, and is called when nothing else can fail; the other arguments
    are the options of ``falrt stream``.

    Raises:
        FalrtError: It cannot be done; the text says why. What had been made by then is saved all the same.
    """
    record = show.record
    check_endpoint(show.choice.model, local=local, speed=speed, max_buffering=max_buffering)
    with (
        Interruption() as interruption,
        _window(f"falrt: {show.source.title}") if in_window else contextlib.nullcontext() as window,
        endpoint(local=local, speed=speed) as options,
    ):
        options["max_buffering"] = max_buffering
        sinks = open_sinks()
        console.print(f"{record.title}  (Ctrl-C ends it)")
        try:
            with _screen(console, show, preview=preview) as screen:
                staged = replace(show, sinks=sinks, screen=screen, window=window, options=options)
                interrupted = asyncio.run(interruption.run(staged.run))
        except BaseException:
            if record.count:
                _finish(console, record, sinks, reports, interrupted=False)
            raise
        _finish(console, record, sinks, reports, interrupted=interrupted)


def _finish(
    console: Console,
    record: Record,
    sinks: Sequence[Sink],
    reports: Sequence[Path],
    *,
    interrupted: bool,
) -> None:
    """Write the reports, and say how it went and what there is."""
    # Without pictures, what lies there is from another run, or an empty folder.
    paths = [sink.path for sink in sinks if record.count and sink.path.exists()]
    failures = []
    for path in reports:
        try:
            write_report(path, record)
            paths.append(path)
        except ConfigurationError as exc:
            # The other reports and the summary come all the same.
            failures.append(exc)
    if interrupted and paths:
        console.print("interrupted; saved what was received")
    console.print()
    for name, value in record.summary():
        console.print(f"  {name:<30} {value}")
    console.print()
    for path in paths:
        console.print(f"  {path}")
    if failures:
        raise failures[0]


@contextlib.contextmanager
def _screen(console: Console, show: Show, *, preview: bool) -> Iterator[Screen]:
    """The screen, and the keyboard where prompts may be typed."""
    typed = show.prompt if isinstance(show.prompt, TypedPrompt) else None
    by_key = typed is not None and console.is_terminal and not console.quiet and typed.can_take_keys()
    with Screen(
        console,
        preview=preview,
        draft=(lambda: typed.draft) if typed is not None and by_key else None,
    ) as screen:
        if typed is None:
            yield screen
        elif by_key:
            with typed.keys(screen.typed):
                yield screen
        else:
            typed.listen()
            yield screen


def _window(title: str) -> contextlib.closing[Window]:
    from falrt.cli.window import Window

    return contextlib.closing(Window(title))
