"""What the commands share: options that several have, and how errors are told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Fit",
    "Frames",
    "Host",
    "Local",
    "Model",
    "Names",
    "Port",
    "Quiet",
    "Settings",
    "Speed",
    "errors_in_a_line",
    "plain_console",
]

# Metavars in plain words, and short help that click does not cut.
Fit = Annotated[
    str,
    typer.Option(
        metavar="HOW", help="Other aspect ratios: cover crops, contain adds borders, stretch distorts."
    ),
]
Frames = Annotated[int | None, typer.Option(metavar="N", help="Stop after N pictures.", min=1)]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")]
Local = Annotated[bool, typer.Option("--local", help="Use a local stand-in instead of fal; no key.")]
Model = Annotated[str, typer.Option(metavar="NAME", help="klein, lcm, turbo or lightning.")]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="NAME", help="A host name of this server; may be repeated."),
]
Port = Annotated[int, typer.Option(metavar="PORT", help="Port; 0 picks a free one.", min=0, max=65535)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="An input field of the model; may be repeated."),
]
Speed = Annotated[
    float, typer.Option(metavar="N", help="Of the stand-in: how many times faster than the real models.")
]


def plain_console(*, quiet: bool = False, **options: Any) -> Console:
    """Return a console that prints words as they are: brackets and numbers mean nothing, a line is never broken."""
    from rich.console import Console

    return Console(quiet=quiet, highlight=False, markup=False, soft_wrap=True, **options)


@contextlib.contextmanager
def errors_in_a_line() -> Iterator[None]:
    """End with 1 and a line that says what is wrong, instead of a traceback; 2 where an extra is missing."""
    from falrt.exceptions import FalrtError, MissingDependencyError

    try:
        yield
    except FalrtError as error:
        from falrt.cli.endpoint import told

        typer.echo(f"falrt: {told(error)}", err=True)
        raise typer.Exit(2 if isinstance(error, MissingDependencyError) else 1) from error
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise  # Typer ends without a word where nobody reads on, as in `falrt ... | head`
        typer.echo(f"falrt: {error}", err=True)
        raise typer.Exit(1) from error
