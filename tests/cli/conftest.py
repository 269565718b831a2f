from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator

import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from falrt.cli.main import app
from falrt.cli.record import Shot
from falrt.cli.shared import plain_console


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    """A command takes its threads with it, however it ends."""
    before = {*threading.enumerate()}
    yield
    left = [each for each in threading.enumerate() if each not in before and each.name == "falrt worker"]
    for thread in left:
        thread.join(5)
    assert not [thread for thread in left if thread.is_alive()]


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a command: ``run("demo", "--frames", "1")``."""

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def console() -> Console:
    """No terminal; what was printed is in ``console.file.getvalue()``."""
    return plain_console(file=io.StringIO(), width=200)


@pytest.fixture
def picture_bytes() -> Callable[..., bytes]:
    """``picture_bytes(colour, kind, size)``: a plain picture, encoded."""
    return encoded


def encoded(colour: str = "red", kind: str = "JPEG", size: tuple[int, int] = (64, 64)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


@pytest.fixture
def shots() -> list[Shot]:
    """Five answers a tenth of a second apart, in five colours."""
    return [
        Shot(
            number=number,
            at=1 + number / 10,
            age=0.1 + number / 100,
            latency=0.09,
            inference_time=0.05,
            dropped=2,
            prompt="gold",
            frame=Image.new("RGB", (100, 50), "navy"),
            pictures=(encoded(colour),),
        )
        for number, colour in enumerate(("red", "green", "blue", "yellow", "white"), start=1)
    ]
