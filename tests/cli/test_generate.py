from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import Result

from falrt.media import data_uri, parse_data_uri, read_header
from tests.http.scripted import Asked, Said, scripted

JPEG = data_uri(Image.new("RGB", (64, 48), "teal"))
RESULT: dict[str, Any] = {
    "images": [{"url": JPEG, "width": 64, "height": 48, "content_type": "image/jpeg", "file_size": 3}],
    "seed": 7,
    "has_nsfw_concepts": [False],
    "timings": {"inference": 0.1},
}


class Fal:
    """A server with one answer; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Said] = lambda asked: Said(body=RESULT)

    @property
    def calls(self) -> list[tuple[str, Any]]:
        return [(each.path.removeprefix("/"), each.json()) for each in self.asked if each.method == "POST"]

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve from a loop in a thread: commands block."""
        import threading

        loop = asyncio.new_event_loop()
        ready, over = threading.Event(), asyncio.Event()
        url: list[str] = []

        async def serve() -> None:
            async with scripted(lambda asked: self.answer(asked)) as (address, asked):
                self.asked = asked
                url.append(address)
                ready.set()
                await over.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
        thread.start()
        ready.wait(10)
        try:
            yield url[0]
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()
            loop.close()


@pytest.fixture
def fal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fal]:
    fal = Fal()
    with fal.serving() as url:
        monkeypatch.setenv("FALRT_BASE_URL", url)
        monkeypatch.setenv("FAL_KEY", "a:b")
        yield fal


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_words_become_a_picture_with_time_and_seed(
    run: Callable[..., Result], fal: Fal, tmp_path: Path
) -> None:
    result = run("generate", "-p", "a cat", "--seed", 7, "--size", "landscape", "-o", "out/cat.jpg")

    assert fal.calls == [
        (
            "fal-ai/flux-2/klein/4b",
            {"prompt": "a cat", "seed": 7, "image_size": {"width": 1344, "height": 768}},
        )
    ]
    assert result.stdout == "out/cat.jpg\n"
    assert result.stderr.startswith("fal-ai/flux-2/klein/4b: ")
    assert result.stderr.endswith(" s, seed 7\n")
    assert (tmp_path / "out/cat.jpg").read_bytes() == parse_data_uri(JPEG).data


def test_json_is_exactly_the_skills(run: Callable[..., Result], fal: Fal) -> None:
    result = run("generate", "--prompt", "a cat", "--json")

    assert json.loads(result.stdout) == {
        "images": [{"url": JPEG, "content_type": "image/jpeg", "width": 64, "height": 48}],
        "seed": 7,
        "has_nsfw_concepts": [False],
    }


def test_an_address_is_printed_and_a_picture_without_one_is_saved(
    run: Callable[..., Result], fal: Fal, tmp_path: Path
) -> None:
    address = "https://v3.fal.media/files/a.jpg"
    fal.answer = lambda asked: Said(body={"images": [{"url": address}, {"url": JPEG}]})

    assert run("generate", "-p", "x").stdout.split() == [address, "falrt.jpg"]
    assert run("generate", "-p", "x").stdout.split() == [address, "falrt-2.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["falrt-2.jpg", "falrt.jpg"]


def test_several_pictures_are_numbered(run: Callable[..., Result], fal: Fal, tmp_path: Path) -> None:
    fal.answer = lambda asked: Said(body={"images": [{"url": JPEG}] * 2})

    assert run("generate", "-p", "x", "--num-images", 2, "-o", "a.png").stdout.split() == ["a.png", "a-2.png"]
    assert run("generate", "-p", "x", "-o", "folder/").stdout.split() == [
        "folder/falrt.jpg",
        "folder/falrt-2.jpg",
    ]
    with Image.open(tmp_path / "a-2.png") as image:
        assert image.format == "PNG"


@pytest.mark.parametrize("out", ["new", "there", "new/", "new/below", "v1.5/"])
def test_a_name_without_extension_is_a_folder(
    run: Callable[..., Result], fal: Fal, tmp_path: Path, out: str
) -> None:
    (tmp_path / "there").mkdir()
    fal.answer = lambda asked: Said(body={"images": [{"url": JPEG}] * 2})

    result = run("generate", "-p", "a fox", "--out", out)

    folder = out.rstrip("/")
    assert result.stdout.split() == [f"{folder}/falrt.jpg", f"{folder}/falrt-2.jpg"]
    assert sorted(path.name for path in (tmp_path / folder).iterdir()) == ["falrt-2.jpg", "falrt.jpg"]


def test_a_file_without_extension_is_not_a_folder(
    run: Callable[..., Result], fal: Fal, tmp_path: Path
) -> None:
    (tmp_path / "notes").write_text("mine")

    result = run("generate", "-p", "a fox", "--out", "notes")

    assert "--out notes: cannot be written" in result.stderr
    assert ((tmp_path / "notes").read_text(), fal.asked) == ("mine", [])


def test_no_key_is_needed_for_the_stand_in(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FALRT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    result = run("generate", "-p", "a fox", "--local", "-o", "fox.jpg")

    assert result.stdout == "fox.jpg\n"
    with Image.open(tmp_path / "fox.jpg") as image:
        assert image.format == "JPEG"


def test_a_photo_is_scaled_and_turned_before_it_is_sent(
    run: Callable[..., Result], fal: Fal, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (3000, 4000)).save(tmp_path / "me.jpg", exif=exif.tobytes())

    result = run(
        "generate", "-p", "x", "--image", "me.jpg", "--lora-url", "https://x.y/l", "--lora-scale", 0.5
    )

    ((app, input),) = fal.calls
    assert app == "fal-ai/flux-2/klein/4b/edit/lora"
    assert input["loras"] == [{"path": "https://x.y/l", "scale": 0.5}]
    header = read_header(parse_data_uri(input["image_urls"][0]).data)
    assert header is not None
    assert header.size == (2048, 1536)
    assert "calling fal-ai/flux-2/klein/4b/edit/lora, the route that takes" in result.stderr


def test_an_address_of_a_picture_is_passed_on(run: Callable[..., Result], fal: Fal) -> None:
    run("generate", "-p", "x", "-m", "dev", "--image", "https://x.y/a.jpg", "--set", "strength=0.5")

    assert fal.calls == [
        (
            "fal-ai/flux/dev/image-to-image",
            {"prompt": "x", "image_url": "https://x.y/a.jpg", "strength": 0.5},
        )
    ]


def test_the_queue_is_watched(run: Callable[..., Result], fal: Fal) -> None:
    statuses = iter([{"status": "IN_QUEUE", "queue_position": 3}, {"status": "IN_PROGRESS"}])

    def answer(asked: Asked) -> Said:
        if asked.method == "POST":
            return Said(body={"request_id": "r1"})
        if asked.path.endswith("/status/stream"):
            return Said(404, {"detail": "not found"})
        if asked.path.endswith("/status"):
            return Said(202, next(statuses, {"status": "COMPLETED"}))
        return Said(body=RESULT)

    fal.answer = answer
    result = run("generate", "-p", "x", "--queue", "-o", "a.jpg")

    *steps, end = result.stderr.splitlines()
    assert steps == ["waiting, 3 before it", "in progress", "done"]
    assert end.startswith("fal-ai/flux-2/klein/4b: ")
    assert result.stdout == "a.jpg\n"


def test_the_picture_is_opened(
    run: Callable[..., Result], fal: Fal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    run("generate", "-p", "x", "-o", "a.jpg", "--open")

    assert opened == [(tmp_path / "a.jpg").as_uri()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image", "none.jpg"], "--image none.jpg: No such file or directory"),
        (["-m", "klien"], "unknown model 'klien'; did you mean 'klein'"),
        (
            ["-m", "schnell", "--lora-url", "l"],
            "fal-ai/flux/schnell does not take LoRAs; fal-ai/flux-lora does",
        ),
        (["--size", "huge"], "--size must be one of"),
        (["-o", "a.doc"], "is not a picture format; use .jpg"),
        (["-o", "-"], "pictures are not written to stdout; give a file or a folder"),
    ],
)
def test_a_mistake_is_a_line(run: Callable[..., Result], fal: Fal, arguments: list[str], words: str) -> None:
    result = run("generate", "-p", "x", *arguments)

    assert result.exit_code == 1
    assert words in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            Said(422, {"detail": [{"loc": ["body", "seed"], "msg": "too big", "type": "x"}]}),
            "seed: too big (422",
        ),
        (Said(401, {"detail": "Unauthorized"}), "401"),
        (Said(body={"video": {}}), "answered without pictures; it has video"),
    ],
)
def test_what_the_service_says_is_a_line(
    run: Callable[..., Result], fal: Fal, said: Said, words: str
) -> None:
    fal.answer = lambda asked: said

    result = run("generate", "-p", "x")

    assert result.exit_code == 1
    assert words in result.stderr


def test_only_what_is_needed_is_imported_before_the_request() -> None:
    code = (
        "import sys, falrt.cli.main, falrt.cli.generate, falrt.client, falrt.http.run\n"
        "print({'pydantic', 'numpy', 'PIL', 'cv2', 'websockets', 'rich', 'starlette'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("out", ["a.doc", "file/a.jpg"])
def test_nothing_is_paid_for_what_cannot_be_saved(
    run: Callable[..., Result], fal: Fal, out: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    assert run("generate", "-p", "x", "-o", out).exit_code == 1
    assert fal.asked == []


def test_a_picture_may_be_a_bmp(run: Callable[..., Result], fal: Fal, tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "BMP")
    (tmp_path / "a.bmp").write_bytes(buffer.getvalue())

    run("generate", "-p", "x", "--image", "a.bmp")

    assert fal.calls[0][1]["image_urls"][0].startswith("data:image/jpeg")
