"""``falrt generate``: a picture from words, over HTTP; the command of fal's realtime skill.

Only what is needed for one request is imported, and that when it is needed: repeated calls should be off at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from falrt.cli.routes import Call, Wish, route
from falrt.exceptions import ConfigurationError, DecodeError

if TYPE_CHECKING:
    from falrt.models.image import Image
    from falrt.protocol.wire.queue import Status

__all__ = ["GeneratePlan", "generate"]

# Longest side of a picture that is sent: 1 MB, where fal takes 10 MiB.
_MAX_SIDE: Final = 2048
_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratePlan:
    """What ``falrt generate`` was asked to do.

    Attributes:
        wish: The picture.
        image: File, address or data URI to start from.
        out: Where to save the picture: a file, or a folder (which exists, or ends in a slash).
        as_json: Print the result as the skill does.
        queue: Go through the queue, and show how far it is.
        open: Open the picture.
        local: Against a local stand-in instead of fal.
        timeout: Seconds; None for no limit.
    """

    wish: Wish
    image: str | None = None
    out: str | None = None
    as_json: bool = False
    queue: bool = False
    open: bool = False
    local: bool = False
    timeout: float | None = None


def generate(plan: GeneratePlan) -> None:
    """Make the pictures, save them, and say where they are.

    Raises:
        FalrtError: It cannot be done; the text says why.
    """
    from falrt.cli.endpoint import endpoint

    call = route(_with_picture(plan))
    if plan.out is not None:
        _check_out(plan.out)
    for note in call.notes:
        _say(note)
    with endpoint(local=plan.local) as options:
        result, seconds = asyncio.run(_called(plan, call, options))
    pictures = _pictures(call, result)
    saved = _save(plan, pictures)
    if plan.as_json:
        print(json.dumps(_summary(result, pictures), ensure_ascii=False, indent=2))
    else:
        for picture, path in zip(pictures, saved, strict=True):
            print(path or picture["url"])
        seed = "" if result.get("seed") is None else f", seed {result['seed']}"
        _say(f"{call.app}: {seconds:.2f} s{seed}")
    if plan.open:
        import webbrowser

        webbrowser.open(saved[0].resolve().as_uri() if saved[0] else pictures[0]["url"])


def _check_out(out: str) -> None:
    """Find out before anything is paid whether the picture can be saved."""
    from falrt.cli.targets import check_file, check_folder

    if _is_folder(out):
        check_folder("--out", Path(out))
    else:
        if (suffix := Path(out).suffix.lower()) not in _SUFFIXES:
            known = ", ".join(_SUFFIXES)
            raise ConfigurationError(
                f"--out {out}: {suffix or 'no extension'} is not a picture format; use {known}"
            )
        check_file("--out", Path(out))


def _is_folder(out: str) -> bool:
    return out.endswith(("/", os.sep)) or Path(out).is_dir()


def _with_picture(plan: GeneratePlan) -> Wish:
    """Return the wish with its picture as an input takes it."""
    if plan.image is None:
        return plan.wish
    from falrt.media.data_uri import encode_image, wrap_data_uri
    from falrt.media.source import is_web_url

    if is_web_url(plan.image):
        return replace(plan.wish, image=plan.image)
    try:
        data = encode_image(plan.image, quality=90, max_side=_MAX_SIDE)
    except OSError as exc:
        raise ConfigurationError(f"--image {plan.image}: {exc.strerror or exc}") from exc
    return replace(plan.wish, image=wrap_data_uri(data))


async def _called(plan: GeneratePlan, call: Call, options: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    from falrt.client import Client

    async with Client(**options) as fal:
        began = time.monotonic()
        if plan.queue:
            with _progress() as on_update:
                result = await fal.subscribe(call.app, call.input, timeout=plan.timeout, on_update=on_update)
        else:
            result = await fal.run(call.app, call.input, timeout=plan.timeout)
        return result, time.monotonic() - began


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[Status], None]]:
    """Show a job's way through the queue on stderr: a bar on a terminal, else a line for each step."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from falrt.protocol.wire.queue import InProgress, Queued

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task("submitting", total=None)
        told: list[str] = []

        def on_update(status: Status) -> None:
            match status:
                case Queued(position):
                    words = f"waiting, {position} before it"
                case InProgress():
                    words = "in progress"
                case _:
                    words = "done"
            progress.update(task, description=words)
            if not console.is_terminal and [words] != told[-1:]:
                told.append(words)
                console.print(words, highlight=False)

        yield on_update


def _pictures(call: Call, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the pictures of a result, each with an address: raw ones become data URIs."""
    found = result.get("images") or ([result["image"]] if isinstance(result.get("image"), dict) else [])
    pictures = [dict(each) for each in found if isinstance(each, dict) and isinstance(each.get("url"), str)]
    if not pictures:
        raise DecodeError(
            f"{call.app} answered without pictures; it has {', '.join(map(str, result))[:200]}", size=0
        )
    return pictures


def _summary(result: Mapping[str, Any], pictures: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the skill prints."""
    return {
        "images": [
            {name: each.get(name) for name in ("url", "content_type", "width", "height")} for each in pictures
        ],
        "seed": result.get("seed"),
        "has_nsfw_concepts": result.get("has_nsfw_concepts"),
    }


def _save(plan: GeneratePlan, pictures: list[dict[str, Any]]) -> list[Path | None]:
    """Save what ``--out`` asks for, and without it what has no address of its own."""
    inline = [each["url"].startswith("data:") for each in pictures]
    if plan.out is None and (plan.as_json or not any(inline)):
        return [None] * len(pictures)
    from falrt.models.image import Image

    images = [Image(url=each["url"]) for each in pictures]
    try:
        if plan.out is None:
            return [
                image.save(_free(f"falrt.{_suffix(image)}")) if is_inline else None
                for image, is_inline in zip(images, inline, strict=True)
            ]
        target = Path(plan.out)
        if _is_folder(plan.out):
            target.mkdir(parents=True, exist_ok=True)
            return [image.save(_free(target / f"falrt.{_suffix(image)}")) for image in images]
        target.parent.mkdir(parents=True, exist_ok=True)
        names = [target, *(target.with_stem(f"{target.stem}-{n}") for n in range(2, len(images) + 1))]
        return [image.save(name) for image, name in zip(images, names, strict=True)]
    except OSError as exc:
        raise ConfigurationError(f"--out {plan.out}: cannot be written ({exc.strerror or exc})") from exc


def _suffix(image: Image) -> str:
    image.bytes()  # fetched where it is an address
    return (image.format or "jpg").replace("jpeg", "jpg")


def _free(path: str | Path) -> Path:
    """Return the path, with a number where that name is taken."""
    first = Path(path)
    number, found = 1, first
    while found.exists():
        number += 1
        found = first.with_stem(f"{first.stem}-{number}")
    return found


def _say(words: str) -> None:
    print(words, file=sys.stderr)
