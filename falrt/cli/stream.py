"""``falrt stream``: frames from anywhere, pictures to anywhere, until the source or the user ends it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from falrt.cli.choices import Choice
    from falrt.cli.record import Record
    from falrt.cli.sinks import Sink
    from falrt.cli.sources import Source

__all__ = ["StreamPlan", "open_sinks", "stream"]

_DEFAULT_FOLDER = Path("falrt-stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """What ``falrt stream`` was asked to do.

    Attributes:
        source: Frames.
        choice: The model.
        prompt: For each frame.
        out: Folders and files to write.
        beside: Show each frame beside its picture in animations.
        preview: Show pictures in the terminal.
        window: Show pictures in a window.
        report: Where to write the report, or None.
        gate: Send only frames of a live source that changed by this share, 0 to 1; None: all.
        frames: Stop after so many answers.
        seconds: Stop after so long.
        local: Against a local stand-in instead of fal.
        speed: Of the stand-in.
        max_buffering: For the connection's URL.
        price_per_second: Of an open socket.
    """

    source: Source
    choice: Choice
    prompt: Callable[[float], str]
    out: tuple[Path, ...] = ()
    beside: bool = False
    preview: bool = False
    window: bool = False
    report: Path | None = None
    gate: float | None = None
    frames: int | None = None
    seconds: float | None = None
    local: bool = False
    speed: float = 1.0
    max_buffering: int | None = None
    price_per_second: float = 0.0


def stream(console: Console, plan: StreamPlan) -> Record:
    """Stream until the end, and say how it went.

    Raises:
        FalrtError: It cannot be done; the text says why. What had been made by then is saved all the same.
    """
    from falrt.cli.endpoint import endpoint
    from falrt.cli.record import Record
    from falrt.cli.report import check_report_path, write_report
    from falrt.cli.screen import Screen
    from falrt.cli.show import Show, interruptible
    from falrt.cli.summary import print_summary

    if plan.report is not None:
        check_report_path(plan.report)
    if plan.gate is not None and not plan.source.live:
        raise ConfigurationError("--gate leaves frames out, and of a file every frame is used: add --live")
    if not (plan.out or plan.preview or plan.window or plan.report):
        plan = replace(plan, out=(_DEFAULT_FOLDER,))
    sinks = open_sinks(plan)
    record = Record(title=f"{plan.source.title} through {plan.choice.model.app}")
    console.print(f"{record.title}  [dim](Ctrl-C ends it)[/dim]", highlight=False)
    try:
        with (
            endpoint(local=plan.local, speed=plan.speed) as options,
            _window(plan) as window,
            Screen(console, price_per_second=plan.price_per_second, preview=plan.preview) as screen,
        ):
            if plan.max_buffering is not None:
                options["max_buffering"] = plan.max_buffering
            show = Show(
                source=plan.source,
                choice=plan.choice,
                prompt=plan.prompt,
                sinks=sinks,
                screen=screen,
                options=options,
                frames=plan.frames,
                seconds=plan.seconds,
                window=window,
                gate=plan.gate,
            )
            asyncio.run(interruptible(lambda: show.run(record)))
    finally:
        paths = [sink.path for sink in sinks if sink.path.exists()]
        if plan.report is not None:
            paths.append(write_report(plan.report, record, plan.price_per_second))
        print_summary(console, record, plan.price_per_second)
        console.print()
        for path in paths:
            console.print(f"  {path}", highlight=False, soft_wrap=True)
    return record


def open_sinks(plan: StreamPlan) -> list[Sink]:
    """Open what pictures are written to.

    Raises:
        ConfigurationError: A file's kind is not known, or it cannot be written.
        MissingDependencyError: A film without the extra ``video``.
    """
    from falrt.cli.film import FILM_SUFFIXES, Film
    from falrt.cli.sinks import Animation, Folder

    sinks: list[Sink] = []
    for path in plan.out:
        suffix = path.suffix.lower()
        if suffix in FILM_SUFFIXES:
            sinks.append(Film(path, None if plan.source.live else plan.source.fps))
        elif suffix in (".gif", ".webp"):
            sinks.append(Animation(path, beside=plan.beside))
        elif suffix and not path.is_dir():
            known = ", ".join(sorted(FILM_SUFFIXES | {".gif", ".webp"}))
            raise ConfigurationError(f"--out {path}: give a folder or a file ending in {known}")
        else:
            sinks.append(Folder(path))
    return sinks


@contextlib.contextmanager
def _window(plan: StreamPlan) -> Iterator[Any]:
    if not plan.window:
        yield None
        return
    from falrt.cli.window import Window

    window = Window(f"falrt: {plan.source.title}")
    try:
        yield window
    finally:
        window.close()
