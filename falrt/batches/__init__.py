"""Many pictures, unattended: ``falrt.batch(...)`` and what ``falrt batch`` is made of."""

from __future__ import annotations

from falrt.batches.report import BatchItem, BatchProgress, BatchReport
from falrt.batches.running import batch

__all__ = ["BatchItem", "BatchProgress", "BatchReport", "batch"]
