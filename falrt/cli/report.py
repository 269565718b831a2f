"""``--report``: what a stream was like, on one page: HTML that needs nothing else, or a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from falrt.cli.targets import check_file, writing
from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from falrt.cli.record import Record

__all__ = ["check_report_path", "write_report"]


def check_report_path(path: Path) -> Path:
    """Make sure that a report can be written there, before the stream begins.

    Raises:
        ConfigurationError: It is neither .html nor .png, or it cannot be written.
    """
    if path.suffix.lower() not in (".html", ".htm", ".png"):
        raise ConfigurationError(f"--report {path}: a report is an .html or a .png file")
    check_file("--report", path)
    return path


def write_report(path: Path, record: Record) -> Path:
    """Write the report; the file's ending says which kind.

    Raises:
        ConfigurationError: It cannot be written after all, as on a full disk.
    """
    with writing(f"--report {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".png":
            from falrt.cli.report_png import draw_report

            draw_report(record).save(path)
        else:
            from falrt.cli.report_html import html_report

            path.write_text(html_report(record), encoding="utf-8")
    return path
