"""``falrt generate``: a picture from words, over HTTP; the command of fal's realtime skill.

Only what is needed for one request is imported, and that when it is needed: repeated calls should be off at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from falrt.cli.shared import Local, Settings, flag, option, plain_console
from falrt.exceptions import ConfigurationError, DecodeError

if TYPE_CHECKING:
    from falrt.cli.routes import Call
    from falrt.models.image import Image
    from falrt.protocol.wire.queue import Status

__all__ = ["generate"]

# Longest side of a picture that is sent: 1 MB, where fal takes 10 MiB.
_MAX_SIDE: Final = 2048
_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def generate(
    prompt: Annotated[str, option("TEXT", "What to draw.", "--prompt", "-p")],
    model: Annotated[
        str,
        option(
            "NAME",
            "klein, klein-9b, schnell, dev, flux-lora, turbo, hyper-sdxl, lcm, lightning, or any endpoint id.",
            "--model",
            "-m",
        ),
    ] = "klein",
    size: Annotated[
        str | None, option("SIZE", "square, landscape, portrait, a preset of fal's, or 640x480.")
    ] = None,
    seed: Annotated[int | None, option("N", "The same seed gives the same picture.")] = None,
    lora_url: Annotated[str | None, option("URL", "LoRA weights to use.")] = None,
    lora_scale: Annotated[float, option("N", "Strength of the LoRA weights.")] = 1.0,
    num_images: Annotated[int | None, option("N", "Pictures to make; default: one.", min=1)] = None,
    image: Annotated[str | None, option("PATH", "A picture to start from: a file or a URL.")] = None,
    negative_prompt: Annotated[str | None, option("TEXT", "What to avoid.")] = None,
    set_: Settings = None,
    out: Annotated[str | None, option("PATH", "Save to a file, or into a folder.", "--out", "-o")] = None,
    as_json: Annotated[bool, flag("--json", "Print the result as JSON.")] = False,
    queue: Annotated[bool, flag("--queue", "Use fal's queue, and show the progress.")] = False,
    open_: Annotated[bool, flag("--open", "Open the picture.")] = False,
    local: Local = False,
    timeout: Annotated[float | None, option("SECONDS", "Give up after this time.", min=0.1)] = None,
) -> None:
    """Make a picture from words: prints where it is, the time and the seed."""
    import asyncio

    from falrt.cli.choices import read_settings
    from falrt.cli.endpoint import endpoint
    from falrt.cli.routes import Wish, route

    call = route(
        Wish(
            prompt=prompt,
            model=model,
            size=size,
            seed=seed,
            image=None if image is None else _as_input(image),
            negative_prompt=negative_prompt,
            lora_url=lora_url,
            lora_scale=lora_scale,
            num_images=num_images,
            settings=read_settings(set_),
        )
    )
    if out is not None:
        _check_out(out)
    for note in call.notes:
        _say(note)
    with endpoint(local=local) as options:
        result, seconds = asyncio.run(_called(call, options, queue=queue, timeout=timeout))
        pictures = _pictures(call, result)
        # The stand-in's addresses end with it; pictures in the answer itself have none but for a program.
        saved = _save(
            pictures,
            out,
            [local or (not as_json and each["url"].startswith("data:")) for each in pictures],
        )
    if as_json:
        import json

        print(json.dumps(_summary(result, pictures), ensure_ascii=False, indent=2))
    else:
        for picture, path in zip(pictures, saved, strict=True):
            print(path or picture["url"])
        seeded = "" if result.get("seed") is None else f", seed {result['seed']}"
        _say(f"{call.app}: {seconds:.2f} s{seeded}")
    if open_:
        import webbrowser

        webbrowser.open(saved[0].resolve().as_uri() if saved[0] else pictures[0]["url"])


def _check_out(out: str) -> None:
    """Find out before anything is paid whether the picture can be saved."""
    from falrt.cli.targets import check_file, check_folder

    path = Path(out)
    if out == "-":
        raise ConfigurationError("--out -: pictures are not written to stdout; give a file or a folder")
    if _is_folder(out):
        check_folder("--out", path)
    elif path.suffix.lower() not in _SUFFIXES:
        known = ", ".join(_SUFFIXES)
        raise ConfigurationError(f"--out {out}: {path.suffix} is not a picture format; use {known}")
    else:
        check_file("--out", path)


def _is_folder(out: str) -> bool:
    return out.endswith(("/", os.sep)) or not Path(out).suffix or os.path.isdir(out)


def _as_input(image: str) -> str:
    """Return a picture as an input takes it: an address as it is, a file scaled and as a data URI."""
    from falrt.media.data_uri import encode_image, wrap_data_uri
    from falrt.media.source import is_web_url

    if is_web_url(image):
        return image
    try:
        return wrap_data_uri(encode_image(image, quality=90, max_side=_MAX_SIDE))
    except OSError as exc:
        raise ConfigurationError(f"--image {image}: {exc.strerror or exc}") from exc


async def _called(
    call: Call, options: Mapping[str, Any], *, queue: bool, timeout: float | None
) -> tuple[dict[str, Any], float]:
    from falrt.client import Client

    async with Client(**options) as fal:
        began = time.monotonic()
        if queue:
            with _progress() as on_update:
                result = await fal.subscribe(call.app, call.input, timeout=timeout, on_update=on_update)
        else:
            result = await fal.run(call.app, call.input, timeout=timeout)
        return result, time.monotonic() - began


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[Status], None]]:
    """Show a job's way through the queue on stderr: a bar on a terminal, else a line for each step."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from falrt.protocol.wire.queue import InProgress, Queued

    console = plain_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
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
                console.print(words)

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


def _save(pictures: list[dict[str, Any]], out: str | None, without_out: list[bool]) -> list[Path | None]:
    """Save what ``--out`` asks for, and without it those that need it, here."""
    if out is None and not any(without_out):
        return [None] * len(pictures)
    from falrt.cli.targets import writing
    from falrt.models.image import Image

    target, is_folder = Path(out or ""), out is None or _is_folder(out)
    saved: list[Path | None] = []
    with writing(f"--out {out or '.'}"):
        (target if is_folder else target.parent).mkdir(parents=True, exist_ok=True)
        for number, (each, needs_it) in enumerate(zip(pictures, without_out, strict=True), start=1):
            image = Image(url=each["url"])
            if out is None and not needs_it:
                saved.append(None)
            elif is_folder:
                saved.append(image.save(_free(target / f"falrt.{_suffix(image)}")))
            else:
                name = target if number == 1 else target.with_stem(f"{target.stem}-{number}")
                saved.append(image.save(name))
    return saved


def _suffix(image: Image) -> str:
    image.bytes()  # fetched where it is an address
    return (image.format or "jpg").replace("jpeg", "jpg")


def _free(path: Path) -> Path:
    """Return the path, with a number where that name is taken."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def _say(words: str) -> None:
    print(words, file=sys.stderr)
