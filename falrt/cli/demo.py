"""``falrt demo``: the main job, end to end, with nothing to configure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from falrt.cli.shared import Fit, Frames, Model, Quiet, Settings, flag, option, plain_console

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
    source: Annotated[
        str, option("PATH", "A picture, GIF, video or folder of pictures; default: a built-in scene.")
    ] = "scene",
    model: Model = "klein",
    prompt: Annotated[str | None, option("TEXT", "One prompt; default: a new one every two seconds.")] = None,
    frames: Frames = None,
    seconds: Annotated[float, option("SECONDS", "Stop after this time.", min=0.1)] = 8.0,
    out: Annotated[Path, option("FOLDER", "Folder for the results.")] = Path("falrt-demo"),
    set_: Settings = None,
    fit: Fit = "cover",
    live: Annotated[bool, flag("--live", "Use fal, with FAL_KEY, instead of a local server.")] = False,
    quiet: Quiet = False,
) -> Any:
    """Stream moving pictures through a model, with no key and no network, and save what comes back."""
    from falrt.cli.choices import choose, read_settings
    from falrt.cli.record import Record
    from falrt.cli.show import Show
    from falrt.cli.sinks import Animation, ContactSheet, Folder
    from falrt.cli.sources import open_source
    from falrt.cli.stage import present
    from falrt.cli.targets import check_folder

    frames_in = open_source(source)
    if not frames_in.live:
        frames_in = replace(frames_in.looped(), live=True)
    show = Show(
        source=frames_in,
        choice=choose(model, read_settings(set_), fit=fit),
        prompt=prompt_in_turn(DEMO_PROMPTS if prompt is None else (prompt,)),
        frames=frames,
        seconds=seconds,
        record=Record(
            f"{frames_in.title} through {model} on {'fal' if live else 'a local stand-in for fal'}"
        ),
    )
    check_folder("--out", out)
    present(
        plain_console(quiet=quiet),
        show,
        lambda: [
            ContactSheet(out / "contact-sheet.jpg", show.record),
            Folder(out / "pictures"),
            Animation(out / "before-after.webp", side=320, beside=True),
        ],
        local=not live,
        speed=_SPEED,
    )
    return show.record
