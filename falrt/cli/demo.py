"""``falrt demo``: the main job, end to end, with nothing to configure."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from falrt.cli.choices import Choice
    from falrt.cli.frames import Source
    from falrt.cli.record import Record

__all__ = ["DEMO_PROMPTS", "demo", "prompt_in_turn"]

DEMO_PROMPTS = (
    'Turn this into "Living oil painting, melting gold and sapphire"',
    "watercolor, coral and turquoise",
    "neon night city, magenta and cyan",
    "stained glass at sunset",
)
"""One after the other, two seconds each: a prompt may change with every frame."""

_SECONDS_PER_PROMPT = 2.0

_SPEED = 2.5
"""Klein takes 0.25 s; the demo's stand-in 0.1 s, which is livelier to watch."""


def prompt_in_turn(prompts: tuple[str, ...]) -> Callable[[float], str]:
    """Return a prompt for any moment: each in turn, from the beginning again after the last."""
    return lambda seconds: prompts[int(seconds / _SECONDS_PER_PROMPT) % len(prompts)]


def demo(
    console: Console,
    *,
    choice: Choice,
    source: Source,
    prompt: str | None,
    folder: Path,
    frames: int | None,
    seconds: float,
    live: bool,
) -> Record:
    """Stream frames through a model and save what comes back.

    Args:
        console: Where progress goes.
        choice: The model.
        source: Frames; one that does not go on by itself is played as if it did, round and round.
        prompt: None changes it every two seconds.
        folder: Where results go.
        frames: Stop after so many pictures.
        seconds: Stop after so long.
        live: Against fal, with the key in the environment, instead of a local server.

    Raises:
        FalrtError: It cannot be done; the text says why.
    """
    from dataclasses import replace

    from rich.markup import escape

    from falrt.cli.endpoint import check_endpoint, endpoint
    from falrt.cli.interruption import Interruption
    from falrt.cli.record import Record
    from falrt.cli.screen import Screen
    from falrt.cli.show import Show
    from falrt.cli.sinks import Animation, Folder, Sink, contact_sheet
    from falrt.cli.targets import check_folder, writing

    check_endpoint(choice.model, local=not live, speed=_SPEED)
    check_folder("--out", folder)
    if not source.live:
        source = replace(source.looped(), live=True)
    place = "fal" if live else "a local stand-in for fal"
    record = Record(title=f"{source.title} through {choice.name} on {place}")
    console.print(f"[bold]falrt demo[/bold]: {escape(record.title)}", highlight=False)
    sinks: list[Sink] = [
        Folder(folder / "pictures"),
        Animation(folder / "before-after.webp", side=320, beside=True),
    ]
    with Interruption() as interruption:
        with endpoint(local=not live, speed=_SPEED) as options, Screen(console) as screen:
            show = Show(
                source=source,
                choice=choice,
                prompt=prompt_in_turn(DEMO_PROMPTS if prompt is None else (prompt,)),
                sinks=sinks,
                screen=screen,
                options=options,
                frames=frames,
                seconds=seconds,
            )
            interrupted = asyncio.run(interruption.run(lambda: show.run(record)))
        paths = [sink.path for sink in sinks]
        with writing(folder / "contact-sheet.jpg"):
            sheet = contact_sheet(folder / "contact-sheet.jpg", record.samples)
        if sheet is not None:
            paths.insert(0, sheet)
        _summary(console, record, paths, interrupted)
    return record


def _summary(console: Console, record: Record, paths: list[Path], interrupted: bool) -> None:
    from falrt.cli.summary import print_summary

    if interrupted:
        console.print("interrupted; saved what was received")
    print_summary(console, record)
    if record.count:
        console.print()
        for path in paths:
            console.print(f"  {path}", highlight=False, markup=False, soft_wrap=True)
