"""What the commands share: how errors are told, and options that several have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer

__all__ = ["Settings", "errors_in_a_line"]

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="An input field of the model; may be repeated."),
]


@contextlib.contextmanager
def errors_in_a_line() -> Iterator[None]:
    """End with 1 and a line that says what is wrong, instead of a traceback; 2 where an extra is missing."""
    from falrt.exceptions import FalrtError, MissingDependencyError

    try:
        yield
    except MissingDependencyError as error:
        typer.echo(f"falrt: {error}", err=True)
        raise typer.Exit(2) from error
    except FalrtError as error:
        from falrt.cli.endpoint import told

        typer.echo(f"falrt: {told(error)}", err=True)
        raise typer.Exit(1) from error
