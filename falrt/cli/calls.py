"""The options of the commands that call endpoints over HTTP; what they do is in a file each."""

from __future__ import annotations

from typing import Annotated

import typer

from falrt.cli.shared import Settings, errors_in_a_line

__all__ = ["generate", "types"]


def types(
    app_id: Annotated[str, typer.Argument(metavar="ID", help="Endpoint id, such as fal-ai/flux/dev.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="PLACE", help="A file or address with the document, instead of fal's."
        ),
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
    lora_scale: Annotated[float, typer.Option(metavar="N", help="How strongly they count.")] = 1.0,
    num_images: Annotated[
        int | None, typer.Option(metavar="N", help="Pictures to make; default: one.", min=1)
    ] = None,
    image: Annotated[
        str | None, typer.Option(metavar="PATH", help="A picture to start from: a file or an address.")
    ] = None,
    negative_prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="What to avoid.")] = None,
    set_: Settings = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="PATH", help="Save to a file, or into a folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="Go through fal's queue, and show how far it is.")
    ] = False,
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
