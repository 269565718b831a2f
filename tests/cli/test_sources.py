from __future__ import annotations

import asyncio
import itertools
import threading
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from falrt import exceptions
from falrt.cli.frames import Source, captured_at, live_frames, waiting_frames
from falrt.cli.sources import open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, colour in ((1, "red"), (2, "green"), (10, "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"shot{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def colours(source: Source) -> list[tuple[int, int, int]]:
    return [tuple(np.asarray(frame)[4, 4].tolist()) for frame in source.frames()]


def test_folder_gives_its_pictures_in_natural_order(folder: Path) -> None:
    source = open_source(str(folder))

    assert not source.live
    assert colours(source) == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]


def test_pattern_gives_what_it_matches(folder: Path) -> None:
    assert len(colours(open_source(f"{folder}/shot1*.png"))) == 2


def test_gif_gives_its_frames_at_its_own_pace(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=50)

    source = open_source(str(tmp_path / "a.gif"))

    assert (source.fps, source.live) == (20, False)
    assert colours(source) == [(255, 0, 0), (0, 0, 255)]


def test_picture_is_wandered_over_without_end(folder: Path) -> None:
    source = open_source(str(folder / "shot1.png"))

    assert source.live
    assert [frame.size for frame in itertools.islice(source.frames(), 3)] == [(704, 704)] * 3


def test_still_picture_stays_as_it_is(folder: Path) -> None:
    source = open_source(str(folder / "shot1.png"), still=True)

    assert [frame.size for frame in itertools.islice(source.frames(), 3)] == [(8, 8)] * 3


def test_built_in_scene_is_live() -> None:
    source = open_source("scene", fps=12)

    assert (source.live, source.fps) == (True, 12)
    assert next(source.frames()).size == (704, 704)


@pytest.mark.parametrize("fps", [0, -1, 1000])
def test_impossible_pace_is_refused(fps: float) -> None:
    with pytest.raises(exceptions.ConfigurationError, match="--fps"):
        open_source("scene", fps=fps)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("nowhere.mp4", "no such file or folder"),
        ("nothing-*.jpg", "no pictures there"),
        ("screen:1,2,3", "screen:X,Y,WIDTH,HEIGHT"),
        ("screen:0,0,0,5", "screen:X,Y,WIDTH,HEIGHT"),
        ("99", "camera"),
    ],
)
def test_what_is_not_there_is_a_clear_error(spec: str, text: str) -> None:
    with pytest.raises(exceptions.ConfigurationError, match=text):
        open_source(spec)


def test_screen_without_a_display_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    from PIL import ImageGrab

    def grab(bbox: object = None) -> Image.Image:
        raise OSError("no display")

    monkeypatch.setattr(ImageGrab, "grab", grab)
    with pytest.raises(exceptions.ConfigurationError, match=r"screen cannot be read here \(no display\)"):
        open_source("screen")


def test_screen_is_grabbed_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageGrab

    boxes = []

    def grab(bbox: object = None) -> Image.Image:
        boxes.append(bbox)
        return Image.new("RGBA", (30, 40))

    monkeypatch.setattr(ImageGrab, "grab", grab)
    source = open_source("screen:1,2,30,40")

    assert [frame.mode for frame in itertools.islice(source.frames(), 2)] == ["RGB"] * 2
    assert set(boxes) == {(1, 2, 31, 42)}


def test_empty_folder_and_a_text_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(exceptions.ConfigurationError, match="no pictures there"):
        open_source(str(tmp_path))
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(exceptions.ConfigurationError, match="not a picture or video"):
        open_source(str(tmp_path / "notes.txt"))


def test_broken_picture_in_a_folder_is_named(folder: Path) -> None:
    (folder / "shot3.png").write_bytes(b"nonsense")

    with pytest.raises(exceptions.ConfigurationError, match=r"shot3\.png"):
        list(open_source(str(folder)).frames())


def test_every_frame_is_stamped_once(folder: Path) -> None:
    source = open_source(str(folder / "shot1.png"), still=True)

    first, second = itertools.islice(waiting_frames(source), 2)

    assert first is not second
    assert captured_at(first) <= captured_at(second)


async def test_live_frames_come_at_their_pace_and_close_the_source() -> None:
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def frames():  # type: ignore[no-untyped-def]
        try:
            yield from itertools.repeat(Image.new("RGB", (4, 4)))
        finally:
            loop.call_soon_threadsafe(closed.set)

    seen = []
    async with asyncio.timeout(10), aclosing(live_frames(Source("test", frames, 200, live=True))) as live:
        async for frame in live:
            seen.append(captured_at(frame))
            if len(seen) == 3:
                break

    assert seen == sorted(seen)
    async with asyncio.timeout(10):
        await closed.wait()


async def test_live_frames_end_with_the_source(folder: Path) -> None:
    source = open_source(str(folder), fps=200)

    async with asyncio.timeout(10):
        assert len([frame async for frame in live_frames(source)]) == 3


def test_loop_goes_round(folder: Path) -> None:
    source = open_source(str(folder)).looped()

    assert len(list(itertools.islice(source.frames(), 7))) == 7


def test_loop_over_nothing_ends() -> None:
    assert list(Source("nothing", lambda: iter(()), 1, live=False).looped().frames()) == []


async def test_a_stream_left_while_a_frame_is_made_closes_its_source_after_it() -> None:
    """As with a large picture: ``generator already executing`` was raised at the end."""
    making, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def slow():
        try:
            yield Image.new("RGB", (8, 8))
            making.set()
            go_on.wait(5)
            yield Image.new("RGB", (8, 8))
        finally:
            closed.set()

    async def watch() -> None:
        async with aclosing(live_frames(Source("slow", slow, 0, live=True))) as frames:
            async for _ in frames:
                pass

    watching = asyncio.create_task(watch())
    await asyncio.to_thread(making.wait, 5)
    watching.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert closed.is_set()


def test_a_wide_picture_is_wandered_over_in_its_own_shape(tmp_path: Path) -> None:
    Image.new("RGB", (160, 90)).save(tmp_path / "wide.png")

    width, height = next(open_source(str(tmp_path / "wide.png")).frames()).size

    assert abs(width / height - 16 / 9) < 0.01


@pytest.mark.parametrize("still", [True, False])
def test_a_photo_that_lies_on_its_side_is_shown_upright(tmp_path: Path, still: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (90, 160)).save(tmp_path / "phone.jpg", exif=exif.tobytes())

    width, height = next(open_source(str(tmp_path / "phone.jpg"), still=still).frames()).size

    assert width > height
