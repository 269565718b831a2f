"""``falrt stream``: frames from anywhere, pictures to anywhere, until the source or the user ends it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from falrt.cli.shared import Fit, Frames, Local, Model, Quiet, Settings, Speed, flag, option, plain_console
from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from falrt.cli.frames import Source
    from falrt.cli.sinks import Sink

__all__ = ["stream"]

_DEFAULT_FOLDER = Path("falrt-stream")
_ANIMATION_SUFFIXES = frozenset({".gif", ".webp"})


def stream(
    source: Annotated[
        str,
        option(
            "SOURCE",
            "A camera's number, a video, GIF or picture, a folder, a pattern of pictures, 'screen', "
            "'screen:X,Y,WIDTH,HEIGHT' or 'scene'.",
        ),
    ] = "scene",
    model: Model = "klein",
    app_id: Annotated[
        str | None, option("ID", "Another endpoint that takes the inputs of --model.", "--app")
    ] = None,
    prompt: Annotated[
        str, option("TEXT", "On a terminal, type another one at any time; '-' reads stdin.")
    ] = "",
    prompt_file: Annotated[
        Path | None, option("FILE", "Read the prompt from a file, again when it changes.")
    ] = None,
    set_: Settings = None,
    fit: Fit = "cover",
    out: Annotated[
        list[Path] | None,
        option("PATH", "A folder, or a .gif, .webp, .mp4, .mov or .mkv file; may be repeated."),
    ] = None,
    beside: Annotated[
        bool, flag("--beside", "In a .gif or .webp, show the frame beside its picture.")
    ] = False,
    preview: Annotated[bool, flag("--preview", "Show pictures in the terminal.")] = False,
    window: Annotated[bool, flag("--window", "Show pictures in a window.")] = False,
    report: Annotated[
        list[Path] | None, option("FILE", "Write an .html or .png report at the end; may be repeated.")
    ] = None,
    fps: Annotated[float | None, option("N", "Frames per second instead of the source's own.")] = None,
    live: Annotated[bool, flag("--live", "Play a file as a camera would: skip what is too old.")] = False,
    loop: Annotated[bool, flag("--loop", "Play a file again from its start.")] = False,
    still: Annotated[bool, flag("--still", "Show a single picture as it is, without movement.")] = False,
    gate: Annotated[
        float | None,
        option("SHARE", "Send only frames that changed by this share, such as 0.05.", min=0, max=1),
    ] = None,
    frames: Frames = None,
    seconds: Annotated[float | None, option("SECONDS", "Stop after this time.", min=0.1)] = None,
    local: Local = False,
    speed: Speed = 1.0,
    max_buffering: Annotated[int | None, option("N", "1 to 60: fal's server-side buffer.")] = None,
    price_per_second: Annotated[
        float, option("USD", "Show the cost of open sockets; klein's price is documented as 0.00194.", min=0)
    ] = 0.0,
    quiet: Quiet = False,
) -> None:
    """Stream frames through a model: a camera, video, pictures or the screen in; files, terminal or window out."""
    from falrt.cli.choices import choose, read_settings
    from falrt.cli.prompts import choose_prompt
    from falrt.cli.record import Record
    from falrt.cli.show import Show
    from falrt.cli.sources import open_source
    from falrt.cli.stage import present
    from falrt.cli.targets import check_apart, distinct

    frames_in = open_source(source, fps=fps, still=still)
    if loop:
        frames_in = frames_in.looped()
    if live:
        frames_in = replace(frames_in, live=True)
    if gate is not None and not frames_in.live:
        raise ConfigurationError("--gate skips frames, but every frame of a file is used: add --live")
    choice = choose(model, read_settings(set_), app=app_id, fit=fit)
    show = Show(
        source=frames_in,
        choice=choice,
        prompt=choose_prompt(prompt, prompt_file),
        frames=frames,
        seconds=seconds,
        gate=gate,
        record=Record(f"{frames_in.title} through {choice.model.app}", price_per_second=price_per_second),
    )
    outs, reports = distinct(out or ()), distinct(report or ())
    if not (outs or reports or preview or window):
        outs = (_DEFAULT_FOLDER,)
    check_apart(source, outs)
    _check_targets(outs, reports)
    present(
        plain_console(quiet=quiet),
        show,
        lambda: _open_sinks(outs, frames_in, beside=beside),
        local=local,
        speed=speed,
        max_buffering=max_buffering,
        preview=preview,
        in_window=window,
        reports=reports,
    )


def _check_targets(outs: Sequence[Path], reports: Sequence[Path]) -> None:
    """Find out what cannot be written while nothing is started or made yet."""
    from falrt.cli.report import check_report_path
    from falrt.cli.targets import check_file, check_folder

    for path in outs:
        if _kind(path) == "folder":
            check_folder("--out", path)
        else:
            check_file("--out", path)
    for path in reports:
        check_report_path(path)


def _open_sinks(outs: Sequence[Path], source: Source, *, beside: bool) -> list[Sink]:
    from falrt.cli.film import Film
    from falrt.cli.sinks import Animation, Folder

    sinks: list[Sink] = []
    for path in outs:
        match _kind(path):
            case "film":
                sinks.append(Film(path, None if source.live else source.fps))
            case "animation":
                sinks.append(Animation(path, beside=beside))
            case "folder":
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
