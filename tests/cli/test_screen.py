from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from falrt.cli.record import Record, Shot
from falrt.cli.screen import Screen, live_line
from falrt.cli.shared import plain_console


def recorded(shots: list[Shot]) -> Record:
    record = Record(open_seconds=2.0)
    for shot in shots:
        record.add(shot)
    return record


def test_line_tells_age_rate_drops_and_cost(shots: list[Shot]) -> None:
    record = recorded(shots)
    record.reconnects.append(1.0)
    record.price_per_second = 0.00194

    line = live_line(record)

    for part in ("5 pictures", "10.0/s", "age 130 ms (p95 150)", "inference 50 ms", "10 frames skipped"):
        assert part in line
    for part in ("1 reconnect  ", "open 2.0 s", "$0.0039"):
        assert part in line


def test_plain_output_has_lines(console: Console, shots: list[Shot]) -> None:
    with Screen(console) as screen:
        screen.waiting("connecting")
        screen.waiting("connecting")
        screen.update(recorded(shots), shots[-1])
        screen.update(recorded(shots), shots[-1])

    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "connecting"
    assert len(lines) == 2, "the second update came within the second"
    assert "5 pictures" in lines[1]


def test_words_are_printed_where_the_terminal_says_that_it_has_no_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    console = plain_console(file=io.StringIO())

    console.print("FAILED    no fal key found")

    assert console.file.getvalue() == "FAILED    no fal key found\n"  # type: ignore[attr-defined]


def test_terminal_shows_prompt_and_preview(shots: list[Shot]) -> None:
    console = plain_console(
        file=io.StringIO(), force_terminal=True, width=80, height=20, color_system="truecolor"
    )
    with Screen(console, preview=True) as screen:
        screen.waiting("connecting")
        screen.update(recorded(shots), shots[-1])

    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "▀" in shown
    assert "gold" in shown


def test_nothing_is_wider_than_a_narrow_terminal(shots: list[Shot]) -> None:
    console = plain_console(file=io.StringIO(), force_terminal=True, width=12, height=4)
    for draft in ("", "a long prompt that is being typed"):
        with Screen(console, draft=lambda draft=draft: draft) as screen:  # type: ignore[misc]
            screen.waiting("fal-ai/flux-2/klein/realtime: open, no picture for a while")
            screen.update(recorded(shots), shots[-1])

    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", console.file.getvalue())  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= 12
    assert "d▏" in shown, "the end of what is being typed can be seen"
