"""``falrt stream``: frames from anywhere, pictures to anywhere, until the source or the user ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from falrt.cli.choices import Choice
    from falrt.cli.frames import Source
    from falrt.cli.record import Record
    from falrt.cli.screen import Screen
    from falrt.cli.sinks import Sink

__all__ = ["StreamPlan", "open_sinks", "stream"]

_DEFAULT_FOLDER = Path("falrt-stream")
_ANIMATION_SUFFIXES = frozenset({".gif", ".webp"})


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
        reports: Where to write reports.
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
    reports: tuple[Path, ...] = ()
    gate: float | None = None
    frames: int | None = None
    seconds: float | None = None
    local: bool = False
    speed: float = 1.0
    max_buffering: int | None = None
    price_per_second: float = 0.0


def stream(console: Console, plan: StreamPlan) -> Record:
    """Stream until the end, a Ctrl-C or a SIGTERM, and say how it went.

    Raises:
        FalrtError: It cannot be done; the text says why. What had been made by then is saved all the same.
    """
    from rich.markup import escape

    from falrt.cli.endpoint import endpoint
    from falrt.cli.interruption import Interruption
    from falrt.cli.record import Record
    from falrt.cli.show import Show

    plan = _checked(plan)
    record = Record(title=f"{plan.source.title} through {plan.choice.model.app}")
    with (
        Interruption() as interruption,
        _window(plan) as window,
        endpoint(local=plan.local, speed=plan.speed) as options,
    ):
        if plan.max_buffering is not None:
            options["max_buffering"] = plan.max_buffering
        sinks = open_sinks(plan)
        console.print(f"{escape(record.title)}  [dim](Ctrl-C ends it)[/dim]", highlight=False)
        try:
            with _screen(console, plan) as screen:
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
                asyncio.run(interruption.run(lambda: show.run(record)))
        except BaseException:
            if record.count:
                _finish(console, plan, record, sinks)
            raise
        _finish(console, plan, record, sinks)
    return record


def _checked(plan: StreamPlan) -> StreamPlan:
    """Find mistakes while nothing is started or written yet; return the plan with its default."""
    from falrt.cli.endpoint import check_endpoint
    from falrt.cli.report import check_report_path
    from falrt.cli.targets import check_file, check_folder, distinct

    check_endpoint(plan.choice.model, local=plan.local, speed=plan.speed, max_buffering=plan.max_buffering)
    if plan.gate is not None and not plan.source.live:
        raise ConfigurationError("--gate skips frames, but every frame of a file is used: add --live")
    if not (plan.out or plan.preview or plan.window or plan.reports):
        plan = replace(plan, out=(_DEFAULT_FOLDER,))
    plan = replace(plan, out=distinct(plan.out), reports=distinct(plan.reports))
    for path in plan.out:
        if _kind(path) == "folder":
            check_folder("--out", path)
        else:
            check_file("--out", path)
    for path in plan.reports:
        check_report_path(path)
    return plan


def _finish(console: Console, plan: StreamPlan, record: Record, sinks: list[Sink]) -> None:
    """Write the reports, and say how it went and what there is."""
    from falrt.cli.report import write_report
    from falrt.cli.summary import print_summary

    # Without pictures, what lies there is from another run, or an empty folder.
    paths = [sink.path for sink in sinks if record.count and sink.path.exists()]
    failures = []
    for path in plan.reports:
        try:
            paths.append(write_report(path, record, plan.price_per_second))
        except ConfigurationError as error:
            # The other reports and the summary come all the same.
            failures.append(error)
    print_summary(console, record, plan.price_per_second)
    console.print()
    for path in paths:
        console.print(f"  {path}", highlight=False, markup=False, soft_wrap=True)
    if failures:
        raise failures[0]


def open_sinks(plan: StreamPlan) -> list[Sink]:
    """Open what pictures are written to.

    Raises:
        ConfigurationError: A file's kind is not known, or it cannot be written.
        MissingDependencyError: A film without the extra ``video``.
    """
    from falrt.cli.sinks import Animation, Folder

    sinks: list[Sink] = []
    for path in plan.out:
        kind = _kind(path)
        if kind == "film":
            from falrt.cli.film import Film

            sinks.append(Film(path, None if plan.source.live else plan.source.fps))
        elif kind == "animation":
            sinks.append(Animation(path, beside=plan.beside))
        else:
            sinks.append(Folder(path))
    return sinks


def _kind(path: Path) -> Literal["film", "animation", "folder"]:
    from falrt.cli.film import FILM_SUFFIXES
    from falrt.cli.video import require_av

    suffix = path.suffix.lower()
    if suffix in FILM_SUFFIXES:
        require_av()
        return "film"
    if suffix in _ANIMATION_SUFFIXES:
        return "animation"
    # Not path.is_dir(), which raises where a name is too long.
    if suffix and not os.path.isdir(path):
        known = ", ".join(sorted(FILM_SUFFIXES | _ANIMATION_SUFFIXES))
        raise ConfigurationError(f"--out {path}: give a folder or a file ending in {known}")
    return "folder"


@contextlib.contextmanager
def _screen(console: Console, plan: StreamPlan) -> Iterator[Screen]:
    """The screen, and the keyboard where prompts may be typed."""
    from falrt.cli.prompts import TypedPrompt
    from falrt.cli.screen import Screen

    prompt = plan.prompt
    typed = prompt if isinstance(prompt, TypedPrompt) else None
    by_key = typed is not None and console.is_terminal and not console.quiet and typed.can_take_keys()
    with Screen(
        console,
        price_per_second=plan.price_per_second,
        preview=plan.preview,
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
