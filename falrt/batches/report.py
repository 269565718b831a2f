"""What a batch came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["BatchItem", "BatchProgress", "BatchReport"]


@dataclass(frozen=True, slots=True)
class BatchItem:
    """The result of one input.

    Attributes:
        index: Its place among the inputs, from 0.
        input: As it was sent.
        status: ``"done"``; ``"failed"``, ``error`` says why; ``"open"``: the batch was stopped before it was run.
        files: Its pictures.
        result: What the endpoint answered.
        error: What went wrong.
        source: Where the result comes from: ``"paid"`` now, ``"before"`` (an earlier run), or ``"cache"``.
        seconds: From the submission to the result, where it was paid now.
    """

    index: int
    input: Mapping[str, Any]
    status: Literal["done", "failed", "open"] = "open"
    files: tuple[Path, ...] = ()
    result: Mapping[str, Any] | None = None
    error: str | None = None
    source: Literal["paid", "before", "cache"] = "paid"
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is.

    Attributes:
        total: Inputs.
        done: Of these, with a result.
        failed: Without one.
        reused: Of ``done``: from the cache or an earlier run.
        pictures: Files saved or found.
        cost: What was paid in this run, by the given price of a picture.
        seconds: Since the beginning.
    """

    total: int
    done: int = 0
    failed: int = 0
    reused: int = 0
    pictures: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Results a minute that were made in this run."""
        made = self.done + self.failed - self.reused
        return 60 * made / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The results of a batch.

    Attributes:
        items: One for each input, in order.
        progress: The figures.
        folder: Where the pictures are.
        manifest: A line of JSON for each input.
        sheet: The contact sheet, or None where there are no pictures or none was wanted.
    """

    items: tuple[BatchItem, ...]
    progress: BatchProgress
    folder: Path
    manifest: Path
    sheet: Path | None

    @property
    def failed(self) -> tuple[BatchItem, ...]:
        """Those without a result."""
        return tuple(item for item in self.items if item.status == "failed")
