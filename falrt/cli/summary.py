"""The table at the end of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from array import array

    from rich.console import Console

    from falrt.cli.record import Record

__all__ = ["print_summary", "summary_rows"]


def summary_rows(record: Record, price_per_second: float = 0.0) -> list[tuple[str, str]]:
    """Return what there is to say, as names and values."""
    rows = [
        ("pictures", f"{record.count} in {record.at[-1]:.1f} s" if record.count else "none"),
    ]
    if record.count:
        rows += [
            ("rate", f"{record.rate:.1f} pictures/s"),
            ("latency, send to picture", _milliseconds(record.latencies)),
            ("age of the picture", _milliseconds(record.ages)),
        ]
    if record.inference_time is not None:
        rows.append(("inference", f"p50 {record.inference_time * 1000:.0f} ms"))
    rows.append(("frames skipped for newer ones", str(record.dropped_frames)))
    rows.append(("reconnects", str(len(record.reconnects))))
    rows.append(("sent, received", f"{record.bytes_sent / 1e6:.1f} MB, {record.bytes_received / 1e6:.1f} MB"))
    rows.append(("socket open", f"{record.open_seconds:.1f} s"))
    if price_per_second:
        rows.append(("cost", f"${record.cost(price_per_second):.4f}"))
    return rows


def _milliseconds(values: array[float]) -> str:
    from falrt.cli.record import percentile

    return f"p50 {percentile(values, 50) * 1000:.0f} ms   p95 {percentile(values, 95) * 1000:.0f} ms"


def print_summary(console: Console, record: Record, price_per_second: float = 0.0) -> None:
    """Print the table."""
    console.print()
    for name, value in summary_rows(record, price_per_second):
        console.print(f"  {name:<30} {value}")
