from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from falrt import exceptions
from falrt.cli.pairs import wrapped
from falrt.cli.record import Record, Shot
from falrt.cli.report import check_report_path, write_report


@pytest.fixture
def record(shots: list[Shot]) -> Record:
    record = Record(
        title="a <film> through klein", open_seconds=3.0, reconnects=[1.25], price_per_second=0.01
    )
    for number in range(100):
        shot = shots[number % 5]
        prompt = "gold" if number < 50 else "teal & pink"
        age = 9.0 if number == 70 else shot.age
        record.add(replace(shot, number=number + 1, at=1 + number / 10, age=age, prompt=prompt))
    return record


def test_html_holds_figures_charts_and_pictures(tmp_path: Path, record: Record) -> None:
    page = write_report(tmp_path / "report.html", record).read_text()

    charts = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert [chart.get("aria-label") for chart in charts] == [
        "Age and latency over time",
        "Skipped frames over time",
        "Histogram of ages",
    ]
    words = " ".join(text for chart in charts for text in chart.itertext())
    assert "reconnect" in words
    assert "1 age beyond the scale" in words
    assert "a &lt;film&gt; through klein" in page
    assert "teal &amp; pink" in page
    assert "$0.0300" in page
    assert page.count("data:image/jpeg;base64,") == 16


def test_prompts_stand_beside_pictures_and_the_first_age_is_named_as_the_start(
    tmp_path: Path, record: Record
) -> None:
    page = write_report(tmp_path / "report.html", record).read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)

    assert captions[0] == "gold<br>1.0 s, the first: start-up"
    assert captions[-1].startswith("teal &amp; pink<br>")
    assert "age " in captions[-1]


def test_values_of_a_tile_break_between_their_parts_only(tmp_path: Path, record: Record) -> None:
    page = write_report(tmp_path / "report.html", record).read_text()

    assert re.search(r"<b><span>p50 \d+ ms</span><span>p95 \d+ ms</span></b>", page)


def test_long_prompts_are_broken_and_end_in_an_ellipsis() -> None:
    assert wrapped("gold", 200, 14, 2) == ["gold"]
    lines = wrapped("a very long prompt " * 9, 120, 14, 2)
    assert len(lines) == 2
    assert lines[-1].endswith("…")
    beginning, rest = wrapped("x" * 300, 120, 14, 2)
    assert 10 < len(beginning) < 30
    assert rest == "…"
    assert wrapped("", 120, 14, 2) == [""]


def test_html_needs_nothing_from_elsewhere(tmp_path: Path, record: Record) -> None:
    page = write_report(tmp_path / "report.html", record).read_text()

    assert not re.findall(r"https?://|<script|<link|@import", page)


def test_png_shows_age_latency_drops_and_reconnects(tmp_path: Path, record: Record) -> None:
    path = write_report(tmp_path / "report.png", record)

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    for colour in ((0x25, 0x63, 0xC9), (0xD9, 0x77, 0x2B), (0x8A, 0x94, 0xA6), (0xC8, 0x32, 0x3B)):
        assert (pixels == colour).all(axis=-1).sum() > 100


@pytest.mark.parametrize("name", ["report.html", "report.png"])
def test_report_of_nothing_says_so(tmp_path: Path, name: str) -> None:
    path = write_report(tmp_path / name, Record(title="nothing"))

    assert path.stat().st_size > 500
    if name.endswith("html"):
        assert "No picture came" in path.read_text()


def test_report_of_a_single_picture(tmp_path: Path, shots: list[Shot]) -> None:
    record = Record(title="one")
    record.add(replace(shots[0], dropped=0))

    for name in ("report.html", "report.png"):
        assert write_report(tmp_path / name, record).exists()


def test_other_kinds_of_report_are_refused(tmp_path: Path) -> None:
    with pytest.raises(exceptions.ConfigurationError, match=r"\.html or a \.png"):
        check_report_path(tmp_path / "report.pdf")


@pytest.mark.parametrize("name", ["report.html", "report.png"])
def test_report_that_cannot_be_written_is_told_before_and_after(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    for write in (check_report_path, lambda path: write_report(path, Record())):
        with pytest.raises(exceptions.ConfigurationError, match=r"--report .*: cannot be written"):
            write(tmp_path / name)


def test_check_of_a_report_leaves_no_trace(tmp_path: Path) -> None:
    check_report_path(tmp_path / "new" / "report.html")

    assert list(tmp_path.iterdir()) == []
