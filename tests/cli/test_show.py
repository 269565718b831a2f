from __future__ import annotations

import asyncio
import errno
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from falrt import exceptions
from falrt.cli import show
from falrt.cli.choices import choose
from falrt.cli.frames import Source
from falrt.cli.record import Record, Shot
from falrt.cli.screen import Screen
from falrt.cli.shared import plain_console
from falrt.cli.show import Show
from falrt.cli.sources import open_source
from falrt.local import LocalOptions, LocalServer


class Kept:
    """A sink that keeps shots in memory."""

    path = Path("nowhere")

    def __init__(self) -> None:
        self.shots: list[Shot] = []
        self.closed = 0
        self.on_shot: Callable[[], object] = lambda: None

    def add(self, shot: Shot) -> None:
        self.shots.append(shot)
        self.on_shot()

    def close(self) -> None:
        self.closed += 1


def a_show(server: LocalServer, console: Console, sink: Kept, **rest: object) -> Show:
    return Show(
        source=open_source("scene"),
        choice=choose("klein", {}),
        prompt=lambda seconds: "gold",
        sinks=[sink],
        screen=Screen(console),
        options={"base_url": server.url, "key": "test"},
        **rest,  # type: ignore[arg-type]
    )


async def test_shots_tell_frame_picture_age_and_prompt(console: Console) -> None:
    sink, record = Kept(), Record()
    async with LocalServer(LocalOptions(speed=20)) as server, asyncio.timeout(30):
        await a_show(server, console, sink, frames=3, record=record).run()

    assert [shot.number for shot in sink.shots] == [1, 2, 3]
    assert sink.closed == 1
    for shot in sink.shots:
        assert shot.frame.size == (704, 704)
        assert shot.pictures[0].startswith(b"\xff\xd8")
        assert shot.age >= shot.latency > 0
        assert shot.prompt == "gold"
    assert record.count == 3
    assert record.open_seconds > 0
    assert record.bytes_received > record.bytes_sent > 0


async def test_silence_is_explained(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "_SILENCE_SECONDS", 0.01)
    monkeypatch.setattr(show, "_LOOK_SECONDS", 0.01)
    async with LocalServer(LocalOptions(speed=1)) as server, asyncio.timeout(30):
        await a_show(server, console, Kept(), frames=1).run()

    assert "fal-ai/flux-2/klein/realtime: open, no picture for a while" in console.file.getvalue()  # type: ignore[attr-defined]


async def test_sinks_are_closed_when_the_connection_cannot_be_opened(console: Console) -> None:
    async with LocalServer(LocalOptions(key="right")) as server, asyncio.timeout(30):
        sink = Kept()
        with pytest.raises(exceptions.AuthenticationError):
            await a_show(server, console, sink).run()

    assert sink.closed == 1


async def test_timeout_of_the_source_is_not_taken_for_the_end_of_the_time(console: Console) -> None:
    def frames() -> Iterator[Image.Image]:
        yield Image.new("RGB", (64, 64))
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    sink = Kept()
    async with LocalServer(LocalOptions(speed=20)) as server, asyncio.timeout(30):
        show = replace(a_show(server, console, sink), source=Source("net", frames, fps=0, live=False))
        with pytest.raises(TimeoutError, match="Connection timed out"):
            await show.run()

    assert sink.closed == 1


class Closing:
    """A window that its user closes at the third look, though no picture has come."""

    looks = 0

    @property
    def is_closed(self) -> bool:
        return self.looks >= 3

    def refresh(self) -> None:
        self.looks += 1

    def show(self, shot: Shot) -> None:
        raise AssertionError("no picture can come")


async def test_window_that_is_closed_while_no_picture_comes_ends_the_show(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "_LOOK_SECONDS", 0.01)
    sink, window = Kept(), Closing()
    async with LocalServer(LocalOptions(speed=0.001)) as server, asyncio.timeout(30):
        await a_show(server, console, sink, window=window).run()

    assert (sink.shots, sink.closed, window.looks) == ([], 1, 3)


async def test_cancelled_show_closes_its_sinks(console: Console) -> None:
    sink, record, first = Kept(), Record(), asyncio.Event()
    loop = asyncio.get_running_loop()
    sink.on_shot = lambda: loop.call_soon_threadsafe(first.set)  # called from a thread

    async with LocalServer(LocalOptions(speed=20)) as server, asyncio.timeout(30):
        showing = asyncio.create_task(a_show(server, console, sink, record=record).run())
        await first.wait()
        showing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await showing

    assert sink.closed == 1
    assert record.count >= 1


async def test_sink_that_is_busy_is_not_closed_under_it(console: Console) -> None:
    first, closed, overtaken = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    class Busy(Kept):
        def add(self, shot: Shot) -> None:
            loop.call_soon_threadsafe(first.set)
            overtaken.append(closed.wait(0.3))

        def close(self) -> None:
            closed.set()

    async with LocalServer(LocalOptions(speed=20)) as server, asyncio.timeout(30):
        showing = asyncio.create_task(a_show(server, console, Busy()).run())
        await first.wait()
        showing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await showing

    assert overtaken == [False]


async def test_every_sink_is_closed_though_another_cannot_be(console: Console) -> None:
    class Full(Kept):
        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    good = Kept()
    async with LocalServer(LocalOptions(speed=20)) as server, asyncio.timeout(30):
        show = replace(a_show(server, console, good, frames=1), sinks=[Full(), good, Full()])
        with pytest.raises(
            exceptions.ConfigurationError, match=r"nowhere: cannot be written \(No space left on device\)"
        ):
            await show.run()

    assert (len(good.shots), good.closed) == (1, 1)


def test_problem_is_told_beside_the_line() -> None:
    console = plain_console(file=io.StringIO(), force_terminal=True, width=80)
    with Screen(console) as screen:
        screen.waiting("connecting")
        screen.problem(exceptions.ServerError("INTERNAL_ERROR", "[bad] input"))

    assert "INTERNAL_ERROR: [bad] input" in console.file.getvalue()  # type: ignore[attr-defined]
