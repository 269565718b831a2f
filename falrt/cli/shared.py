"""What the commands share: options that several have, and how errors are told."""

from __future__ import annotations

import contextlib
import os
import sys
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
    "flag",
    "option",
    "plain_console",
]


def option(metavar: str, help: str, *names: str, min: float | None = None, max: float | None = None) -> Any:
    """Describe an option: a plain word for its value, what it is for, and its names if not the parameter's."""
    return typer.Option(*names, metavar=metavar, help=help, min=min, max=max)


def flag(name: str, help: str, *names: str) -> Any:
    """Describe an option without a value: its name, what it is for, and further names."""
    return typer.Option(name, *names, help=help)


Fit = Annotated[
    str, option("HOW", "Other aspect ratios: cover crops, contain adds borders, stretch distorts.")
]
Frames = Annotated[int | None, option("N", "Stop after N pictures.", min=1)]
Host = Annotated[str, option("ADDRESS", "Address to listen on.")]
Local = Annotated[bool, flag("--local", "Use a local stand-in instead of fal; no key.")]
Model = Annotated[str, option("NAME", "klein, lcm, turbo or lightning.")]
Names = Annotated[list[str] | None, option("NAME", "A host name of this server; may be repeated.", "--name")]
Port = Annotated[int, option("PORT", "Port; 0 picks a free one.", min=0, max=65535)]
Quiet = Annotated[bool, flag("--quiet", "Print nothing but errors.", "-q")]
Settings = Annotated[
    list[str] | None, option("FIELD=VALUE", "An input field of the model; may be repeated.", "--set")
]
Speed = Annotated[float, option("N", "Of the stand-in: how many times faster than the real models.")]


def plain_console(*, quiet: bool = False, **options: Any) -> Console:
    """Return a console that prints words as they are: brackets and numbers mean nothing, a line is never broken."""
    from rich.console import Console

    console = Console(quiet=quiet, highlight=False, markup=False, soft_wrap=True, **options)
    if not console.width:
        # COLUMNS=0, as in containers without a terminal: Rich would print nothing.
        console.width = 80
    return console


@contextlib.contextmanager
def errors_in_a_line() -> Iterator[None]:
    """End with 1 and a line that says what is wrong, instead of a traceback; 2 where an extra is missing."""
    from falrt.exceptions import FalrtError, MissingDependencyError

    try:
        yield
    except FalrtError as exc:
        from falrt.cli.endpoint import told

        typer.echo(f"falrt: {told(exc)}", err=True)
        raise typer.Exit(2 if isinstance(exc, MissingDependencyError) else 1) from exc
    except OSError as exc:
        if isinstance(exc, BrokenPipeError):
            raise  # Typer ends without a word where nobody reads on, as in `falrt ... | head`
        typer.echo(f"falrt: {exc}", err=True)
        try:
            sys.stdout.flush()
        except OSError:
            # It cannot be written: Python would try once more at its end, and exit with 120.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from exc
