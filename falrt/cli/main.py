"""The commands, in the order of the help; each is in a file of its own."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from falrt.cli.batch import batch
from falrt.cli.demo import demo
from falrt.cli.doctor import doctor
from falrt.cli.generate import generate
from falrt.cli.playground import playground
from falrt.cli.proxy import proxy
from falrt.cli.serve import serve
from falrt.cli.shared import errors_in_a_line
from falrt.cli.stream import stream
from falrt.cli.types import types

__all__ = ["app"]


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        with errors_in_a_line():
            return super().invoke(ctx)


app = typer.Typer(
    name="falrt",
    cls=_Commands,
    help="Drive fal's realtime image models: frames in, the freshest picture out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from falrt import __version__

        typer.echo(f"falrt {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version


app.command(short_help="Serve a local stand-in for fal.")(serve)
app.command(short_help="Let browsers use fal with this machine's key.")(proxy)
app.command(short_help="Open a page to play with the models.")(playground)
app.command(short_help="Stream moving pictures through a model; no key, no network.")(demo)
app.command(short_help="Stream a camera, video, pictures or the screen through a model.")(stream)
app.command(short_help="Check key, token, socket and one picture; say what is wrong.")(doctor)
app.command(short_help="Print typed models of an endpoint, from its OpenAPI document.")(types)
app.command(short_help="Make a picture from words.")(generate)
app.command(short_help="Make many pictures; run again to resume.")(batch)
