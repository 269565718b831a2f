"""``falrt batch``: prompts times seeds times sizes through one endpoint, stopped and gone on with at will."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from falrt.cli.shared import Local, Quiet, Settings, flag, option, plain_console
from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from falrt.batches import BatchProgress, BatchReport

__all__ = ["batch", "inputs_of", "read_file", "read_numbers"]


def batch(
    prompts: Annotated[list[str] | None, typer.Argument(metavar="PROMPT", hidden=True)] = None,
    file: Annotated[
        Path | None, option("FILE", "Prompts, one per line; or .csv or .jsonl with fields.", "--file", "-f")
    ] = None,
    model: Annotated[str, option("NAME", "As for falrt generate.", "--model", "-m")] = "klein",
    seeds: Annotated[str, option("N,N-N", "Each prompt with each seed, such as 1,2,7-9.")] = "",
    sizes: Annotated[str, option("SIZE,SIZE", "Each prompt in each size, such as square,landscape.")] = "",
    set_: Settings = None,
    out: Annotated[Path, option("FOLDER", "Folder for the results.", "--out", "-o")] = Path("falrt-batch"),
    concurrency: Annotated[int, option("N", "Calls at once.", min=1, max=1000)] = 8,
    price: Annotated[float, option("USD", "Price of a picture, to show the cost.", min=0)] = 0.0,
    cache: Annotated[
        Path | None, option("FOLDER", "Cache results here instead of in the user's cache.")
    ] = None,
    no_cache: Annotated[bool, flag("--no-cache", "Do not use a cache.")] = False,
    no_sheet: Annotated[bool, flag("--no-sheet", "Make no contact sheet.")] = False,
    dask: Annotated[
        str | None, option("ADDRESS", "Make the calls on the workers of a Dask scheduler.")
    ] = None,
    local: Local = False,
    quiet: Quiet = False,
) -> None:
    """Make many pictures: prompts times seeds times sizes. Run it again to resume."""
    import asyncio

    from falrt.batches import batch as run
    from falrt.cli.choices import read_settings
    from falrt.cli.endpoint import endpoint
    from falrt.cli.interruption import Interruption
    from falrt.cli.record import counted
    from falrt.client import Client

    rows = [*({"prompt": prompt} for prompt in prompts or ()), *(read_file(file) if file else ())]
    app, inputs, notes = inputs_of(
        rows,
        model,
        seeds=read_numbers(seeds) if seeds else (),
        sizes=[size.strip() for size in sizes.split(",")] if sizes else (),
        settings=read_settings(set_),
    )
    console = plain_console(quiet=quiet)
    for note in notes:
        console.print(note, style="yellow")
    console.print(f"{counted(len(inputs), 'input')} for {app} into {out}")
    reports: list[BatchReport] = []
    with Interruption() as interruption, endpoint(local=local) as options, _bar(console, price) as tell:

        async def work() -> None:
            async with Client(**options) as client:
                report = await run(
                    app,
                    inputs,
                    folder=out,
                    client=client,
                    concurrency=concurrency,
                    cache=False if no_cache else cache or True,
                    price=price,
                    sheet=not no_sheet,
                    dask=dask,
                    on_progress=tell,
                )
            reports.append(report)

        try:
            asyncio.run(interruption.run(work))
        except OSError as exc:
            again = "what was paid is written down: run the same command again when there is room"
            raise ConfigurationError(f"{out}: {exc.strerror or exc}; {again}") from exc
    if not reports:
        console.print("stopped; run the same command again to resume")
        raise typer.Exit(130)
    _summary(console, reports[0], price)
    if reports[0].failed:
        raise typer.Exit(1)


def inputs_of(
    rows: Sequence[Mapping[str, Any]],
    model: str,
    *,
    seeds: Sequence[int] = (),
    sizes: Sequence[str] = (),
    settings: Mapping[str, Any],
) -> tuple[str, list[dict[str, Any]], list[str]]:
    """Return the endpoint, its inputs (every row with every seed and size), and what a user should know, each once.

    Raises:
        ConfigurationError: There are no prompts, or the model takes no such input.
    """
    from falrt.cli.routes import Wish, image_size, route

    if not rows:
        raise ConfigurationError("no prompts: give some as arguments, or a file with --file")
    for size in sizes:
        image_size(size, "--sizes")
    all_seeds: Sequence[int | None] = seeds or [None]
    all_sizes: Sequence[str | None] = sizes or [None]
    calls = [
        route(Wish("", model=model, seed=seed, size=size, settings={**settings, **row}))
        for row, seed, size in itertools.product(rows, all_seeds, all_sizes)
    ]
    notes = dict.fromkeys(note for call in calls for note in call.notes)
    return calls[0].app, [call.input for call in calls], list(notes)


def read_file(path: Path) -> list[dict[str, Any]]:
    """Read inputs from a file, by its extension: CSV with a header, JSONL, or a prompt a line.

    In a CSV file a value is JSON where it can be, except a prompt; empty cells are left out. In a text file empty
    lines and those that begin with ``#`` are left out.

    Raises:
        ConfigurationError: The file cannot be read, or a line has no prompt.
    """
    import csv
    import json

    try:
        text = path.read_text(encoding="utf-8-sig")
        match path.suffix.lower():
            case ".csv":
                rows = [_cells(row) for row in csv.DictReader(text.splitlines(keepends=True))]
            case ".jsonl" | ".ndjson":
                rows = [_row(json.loads(line)) for line in text.splitlines() if line.strip()]
            case _:
                lines = (line.strip() for line in text.splitlines())
                rows = [{"prompt": line} for line in lines if line and not line.startswith("#")]
    except OSError as exc:
        raise ConfigurationError(f"--file {path}: {exc.strerror or exc}") from exc
    except (ValueError, csv.Error) as exc:
        raise ConfigurationError(f"--file {path}: {exc}") from exc
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get("prompt"), str):
            raise ConfigurationError(f"--file {path}: input {number} has no prompt")
    return rows


def read_numbers(text: str) -> list[int]:
    """Read ``"1,2,7-9"``.

    Raises:
        ConfigurationError: It is something else.
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,19})(?:\s*-\s*(\d{1,19}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + 100_000:
            raise ConfigurationError(f"--seeds takes numbers and ranges such as 1,2,7-9, not {text!r:.60}")
        numbers += range(first, last + 1)
    return numbers


def _cells(row: dict[str | None, Any]) -> dict[str, Any]:
    from falrt.cli.choices import json_or_text

    cells = {str(name).strip(): value for name, value in row.items() if name is not None and value}
    return {name: value if name == "prompt" else json_or_text(value) for name, value in cells.items()}


def _row(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"prompt": value}
    if not isinstance(value, dict):
        raise ValueError(f"an input is text or a map, not {type(value).__name__}")
    return value


@contextmanager
def _bar(console: Console, price: float) -> Iterator[Callable[[BatchProgress], None]]:
    """Show how far it is: a bar on a terminal, else a line now and then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(progress: BatchProgress) -> None:
            ended = progress.done + progress.failed
            bar.update(task, total=progress.total, completed=ended, description=_figures(progress, price))
            if not console.is_terminal and (ended == progress.total or ended % 10 == 0):
                console.print(f"{ended} of {progress.total}  {_figures(progress, price)}")

        yield tell


def _figures(progress: BatchProgress, price: float) -> str:
    parts = [f"{progress.rate:.0f} a minute"]
    parts += [f"{progress.reused} reused"] if progress.reused else []
    parts += [f"{progress.failed} failed"] if progress.failed else []
    parts += [f"${progress.cost:.3f}"] if price else []
    return "  ".join(parts)


def _summary(console: Console, report: BatchReport, price: float) -> None:
    from falrt.cli.record import counted

    progress = report.progress
    console.print(
        f"{counted(progress.pictures, 'picture')} in {progress.seconds:.1f} s  {_figures(progress, price)}",
    )
    for item in report.failed[:5]:
        console.print(f"input {item.index + 1}: {item.error}", style="yellow")
    for path in (report.folder, report.manifest, report.sheet):
        if path is not None:
            console.print(f"  {path}")
