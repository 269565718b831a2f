"""The options of the commands that call endpoints over HTTP; what they do is in a file each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from falrt.cli.shared import Settings, errors_in_a_line

__all__ = ["batch", "generate", "types"]


def types(
    app_id: Annotated[str, typer.Argument(metavar="ID", hidden=True)],
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="PLACE", help="A file or URL of the document, instead of fal's."),
    ] = None,
) -> None:
    """Print typed models of an endpoint: falrt types fal-ai/flux/dev > flux_dev.py."""
    with errors_in_a_line():
        from falrt.cli.types import types as run

        typer.echo(run(app_id, source), nl=False)


def generate(
    prompt: Annotated[str, typer.Option("--prompt", "-p", metavar="TEXT", help="What to draw.")],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="klein, klein-9b, schnell, dev, flux-lora, turbo, hyper-sdxl, lcm, lightning, or any endpoint id.",
        ),
    ] = "klein",
    size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="square, landscape, portrait, a preset of fal's, or 640x480."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="The same seed gives the same picture.")
    ] = None,
    lora_url: Annotated[str | None, typer.Option(metavar="URL", help="LoRA weights to use.")] = None,
    lora_scale: Annotated[float, typer.Option(metavar="N", help="Strength of the LoRA weights.")] = 1.0,
    num_images: Annotated[
        int | None, typer.Option(metavar="N", help="Pictures to make; default: one.", min=1)
    ] = None,
    image: Annotated[
        str | None, typer.Option(metavar="PATH", help="A picture to start from: a file or a URL.")
    ] = None,
    negative_prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="What to avoid.")] = None,
    set_: Settings = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="PATH", help="Save to a file, or into a folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    queue: Annotated[bool, typer.Option("--queue", help="Use fal's queue, and show the progress.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the picture.")] = False,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Give up after this time.", min=0.1)
    ] = None,
) -> None:
    """Make a picture from words: prints where it is, the time and the seed."""
    with errors_in_a_line():
        from falrt.cli.choices import read_settings
        from falrt.cli.generate import GeneratePlan
        from falrt.cli.generate import generate as run
        from falrt.cli.routes import Wish

        wish = Wish(
            prompt=prompt,
            model=model,
            size=size,
            seed=seed,
            negative_prompt=negative_prompt,
            lora_url=lora_url,
            lora_scale=lora_scale,
            num_images=num_images,
            settings=read_settings(set_ or []),
        )
        run(
            GeneratePlan(
                wish=wish,
                image=image,
                out=out,
                as_json=as_json,
                queue=queue,
                open=open_,
                timeout=timeout,
            )
        )


def batch(
    prompts: Annotated[list[str] | None, typer.Argument(metavar="PROMPT", hidden=True)] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", metavar="FILE", help="Prompts, one per line; or .csv or .jsonl with fields."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="As for falrt generate.")
    ] = "klein",
    seeds: Annotated[
        str, typer.Option(metavar="N,N-N", help="Each prompt with each seed, such as 1,2,7-9.")
    ] = "",
    sizes: Annotated[
        str, typer.Option(metavar="SIZE,SIZE", help="Each prompt in each size, such as square,landscape.")
    ] = "",
    set_: Settings = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder for the results.")
    ] = Path("falrt-batch"),
    concurrency: Annotated[int, typer.Option(metavar="N", help="Calls at once.", min=1, max=1000)] = 8,
    price: Annotated[
        float, typer.Option(metavar="USD", help="Price of a picture, to show the cost.", min=0)
    ] = 0.0,
    cache: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Cache results here instead of in the user's cache.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Do not use a cache.")] = False,
    no_sheet: Annotated[bool, typer.Option("--no-sheet", help="Make no contact sheet.")] = False,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Make the calls on the workers of a Dask scheduler."),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Use a local stand-in instead of fal; no key.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Make many pictures: prompts times seeds times sizes. Run it again to resume."""
    with errors_in_a_line():
        from rich.console import Console

        from falrt.cli.batch import BatchPlan, read_numbers
        from falrt.cli.batch import batch as run
        from falrt.cli.choices import read_settings

        report = run(
            Console(quiet=quiet),
            BatchPlan(
                prompts=prompts or (),
                file=file,
                model=model,
                seeds=read_numbers(seeds) if seeds else (),
                sizes=[size.strip() for size in sizes.split(",")] if sizes else (),
                settings=read_settings(set_ or []),
                out=out,
                concurrency=concurrency,
                cache=False if no_cache else cache or True,
                price=price,
                sheet=not no_sheet,
                dask=dask,
                local=local,
            ),
        )
    if report is None:
        raise typer.Exit(130)
    if report.failed:
        raise typer.Exit(1)
