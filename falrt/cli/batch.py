"""``falrt batch``: prompts times seeds times sizes through one endpoint, stopped and gone on with at will."""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falrt.cli.record import counted
from falrt.cli.routes import Wish, route
from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from falrt.batches import BatchProgress, BatchReport

__all__ = ["BatchPlan", "batch", "inputs_of", "read_file", "read_numbers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """What ``falrt batch`` was asked to do.

    Attributes:
        prompts: From the arguments.
        file: Further ones, from a text, CSV or JSONL file.
        model: A short name, or an endpoint id.
        seeds: Each prompt with each of them; empty: the endpoint's own, random.
        sizes: Likewise.
        settings: Input fields for all.
        out: Folder of the results.
        concurrency: Calls at once.
        cache: A folder, True for the user's own, False for none.
        price: Of a picture.
        sheet: Whether to make a contact sheet.
        dask: Address of a Dask scheduler.
        local: Against a local stand-in instead of fal.
    """

    prompts: Sequence[str] = ()
    file: Path | None = None
    model: str = "klein"
    seeds: Sequence[int] = ()
    sizes: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    out: Path = Path("falrt-batch")
    concurrency: int = 8
    cache: bool | Path = True
    price: float = 0.0
    sheet: bool = True
    dask: str | None = None
    local: bool = False


def batch(console: Console, plan: BatchPlan) -> BatchReport | None:
    """Run a batch until its end or a Ctrl-C, and say how it went; None where it was stopped.

    Raises:
        FalrtError: It cannot be done; the text says why.
    """
    from rich.markup import escape

    from falrt.cli.endpoint import endpoint
    from falrt.cli.interruption import Interruption

    notes: dict[str, None] = {}
    app, inputs = inputs_of(plan, notes)
    for note in notes:
        console.print(note, style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{counted(len(inputs), 'input')} for {escape(app)} into {escape(str(plan.out))}", highlight=False
    )
    reports: list[BatchReport] = []
    with Interruption() as interruption, endpoint(local=plan.local) as options, _bar(console, plan) as tell:

        async def work() -> None:
            reports.append(await _run(plan, app, inputs, options, tell))

        try:
            asyncio.run(interruption.run(work))
        except OSError as exc:
            again = "what was paid is written down: run the same command again when there is room"
            raise ConfigurationError(f"{plan.out}: {exc.strerror or exc}; {again}") from exc
    if not reports:
        console.print("stopped; run the same command again to resume", highlight=False)
        return None
    _summary(console, plan, reports[0])
    return reports[0]


async def _run(
    plan: BatchPlan,
    app: str,
    inputs: list[dict[str, Any]],
    options: Mapping[str, Any],
    tell: Callable[[BatchProgress], None],
) -> BatchReport:
    from falrt.batches import batch as run
    from falrt.client import Client

    async with Client(**options) as client:
        return await run(
            app,
            inputs,
            folder=plan.out,
            client=client,
            concurrency=plan.concurrency,
            cache=plan.cache,
            price=plan.price,
            sheet=plan.sheet,
            dask=plan.dask,
            on_progress=tell,
        )


def inputs_of(plan: BatchPlan, notes: dict[str, None]) -> tuple[str, list[dict[str, Any]]]:
    """Return the endpoint and its inputs: every prompt with every seed and size.

    Args:
        plan: What is asked for.
        notes: Gets what a user should know, each once.

    Raises:
        ConfigurationError: There are no prompts, or the model takes no such input.
    """
    rows = [{"prompt": prompt} for prompt in plan.prompts]
    rows += read_file(plan.file) if plan.file is not None else []
    if not rows:
        raise ConfigurationError("no prompts: give some as arguments, or a file with --file")
    base = Wish("", model=plan.model)
    inputs = []
    apps = set()
    seeds: Sequence[int | None] = plan.seeds or [None]
    sizes: Sequence[str | None] = plan.sizes or [None]
    for row, seed, size in itertools.product(rows, seeds, sizes):
        fields = {**plan.settings, **row}
        call = route(replace(base, seed=seed, size=size, settings=fields))
        apps.add(call.app)
        notes |= dict.fromkeys(call.notes)
        inputs.append(call.input)
    return apps.pop(), inputs


def read_file(path: Path) -> list[dict[str, Any]]:
    """Read inputs from a file, by its extension: CSV with a header, JSONL, or a prompt a line.

    In a CSV file a value is JSON where it can be, except a prompt; empty cells are left out. In a text file empty
    lines and those that begin with ``#`` are left out.

    Raises:
        ConfigurationError: The file cannot be read, or a line has no prompt.
    """
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
    cells = {str(name).strip(): value for name, value in row.items() if name is not None and value}
    return {name: value if name == "prompt" else _value(value) for name, value in cells.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _row(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"prompt": value}
    if not isinstance(value, dict):
        raise ValueError(f"an input is text or a map, not {type(value).__name__}")
    return value


@contextmanager
def _bar(console: Console, plan: BatchPlan) -> Iterator[Callable[[BatchProgress], None]]:
    """Show how far it is: a bar on a terminal, else a line now and then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(progress: BatchProgress) -> None:
            ended = progress.done + progress.failed
            bar.update(task, total=progress.total, completed=ended, description=_figures(plan, progress))
            if not console.is_terminal and (ended == progress.total or ended % 10 == 0):
                console.print(f"{ended} of {progress.total}  {_figures(plan, progress)}", highlight=False)

        yield tell


def _figures(plan: BatchPlan, progress: BatchProgress) -> str:
    parts = [f"{progress.rate:.0f} a minute"]
    parts += [f"{progress.reused} reused"] if progress.reused else []
    parts += [f"{progress.failed} failed"] if progress.failed else []
    parts += [f"${progress.cost:.3f}"] if plan.price else []
    return "  ".join(parts)


def _summary(console: Console, plan: BatchPlan, report: BatchReport) -> None:
    progress = report.progress
    console.print(
        f"{counted(progress.pictures, 'picture')} in {progress.seconds:.1f} s  {_figures(plan, progress)}",
        highlight=False,
    )
    for item in report.failed[:5]:
        console.print(f"input {item.index + 1}: {item.error}", style="yellow", highlight=False, markup=False)
    paths: Iterable[Path | None] = (report.folder, report.manifest, report.sheet)
    for path in paths:
        if path is not None:
            console.print(f"  {path}", highlight=False, markup=False, soft_wrap=True)
