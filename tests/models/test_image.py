from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image as PILModule
from pydantic import ValidationError

from falrt.exceptions import ConfigurationError, DecodeError, HTTPStatusError
from falrt.media import data_uri, image_format
from falrt.models import Image


def encoded(format: str = "JPEG") -> bytes:
    buffer = BytesIO()
    PILModule.new("RGB", (30, 20), (250, 100, 10)).save(buffer, format, quality=95)
    return buffer.getvalue()


JPEG = encoded()


class Files(BaseHTTPRequestHandler):
    """Serves JPEG at /a.jpg and counts."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        found = self.path == "/a.jpg"
        self.send_response(200 if found else 404)
        self.end_headers()
        if found:
            self.wfile.write(JPEG)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def files() -> Iterator[str]:
    Files.asked = []
    with HTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.wire("W64")
@pytest.mark.parametrize(
    "fields",
    [
        {"content": JPEG, "width": 30, "height": 20},
        {"content": base64.b64encode(JPEG).decode(), "content_type": "image/jpeg"},
        {"content": data_uri(JPEG)},
        {"url": data_uri(JPEG), "content_type": None},
        {"url": data_uri(JPEG), "content": None},
        {"url": data_uri(JPEG), "content": b""},
    ],
)
async def test_the_same_picture_whichever_way_it_came(fields: dict[str, Any], tmp_path: Path) -> None:
    image = Image.model_validate(fields)

    assert image.bytes() == await image.abytes() == JPEG
    assert image.format == "jpeg"
    assert image.save(tmp_path / "out.jpg").read_bytes() == JPEG
    assert image.to_pil().size == (30, 20)
    array = image.to_numpy()
    assert (array.shape, array.dtype) == ((20, 30, 3), np.uint8)
    assert np.abs(array[10, 10].astype(int) - (250, 100, 10)).max() < 6


async def test_a_web_address_is_fetched_once_and_only_when_asked(files: str) -> None:
    image = Image(url=f"{files}/a.jpg")

    assert (image.format, Files.asked) == (None, [])
    assert await image.abytes() == image.bytes() == JPEG
    assert image.to_pil().size == (30, 20)
    assert (image.format, Files.asked) == ("jpeg", ["/a.jpg"])


def test_a_web_address_is_fetched_by_blocking_calls(files: str) -> None:
    image = Image(url=f"{files}/a.jpg")

    assert image.to_numpy().shape == (20, 30, 3)
    assert image.bytes() == JPEG
    assert Files.asked == ["/a.jpg"]


async def test_a_missing_file_on_the_web_is_an_http_status_error(files: str) -> None:
    with pytest.raises(HTTPStatusError, match="404"):
        await Image(url=f"{files}/b.jpg").abytes()


@pytest.mark.parametrize(
    "fields", [{}, {"content": b""}, {"url": ""}, {"width": 5}, {"content": "not base64!"}, {"content": 5}]
)
def test_an_image_without_a_picture_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Image.model_validate(fields)


def test_the_format_is_told_by_the_bytes_whatever_the_server_says() -> None:
    assert Image(url=data_uri(encoded("WEBP")), content_type="image/jpeg").format == "webp"


def test_unknown_fields_are_kept() -> None:
    image = Image.model_validate({"content": JPEG, "file_data": None, "blur": 3})

    assert image.model_extra == {"file_data": None, "blur": 3}


@pytest.mark.parametrize(
    ("name", "format"), [("a.png", "png"), ("a.WEBP", "webp"), ("a.jpeg", "jpeg"), ("a", "jpeg")]
)
def test_save_converts_where_the_extension_says_so(name: str, format: str, tmp_path: Path) -> None:
    path = Image(content=JPEG).save(str(tmp_path / name))

    assert image_format(path.read_bytes()) == format
    with PILModule.open(path) as image:
        assert image.size == (30, 20)


def test_save_refuses_an_extension_that_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'\.doc'; use \.jpg"):
        Image(content=JPEG).save(tmp_path / "a.doc")

    assert list(tmp_path.iterdir()) == []


def test_unknown_bytes_are_saved_as_they_are_without_an_extension(tmp_path: Path) -> None:
    assert Image(content=b"raw").save(tmp_path / "a").read_bytes() == b"raw"
    assert Image(content=b"raw").format is None


async def test_damaged_pictures_are_decode_errors() -> None:
    with pytest.raises(DecodeError, match="url"):
        Image(url="data:image/jpeg;base64,A").bytes()
    with pytest.raises(DecodeError, match="url"):
        await Image(url="data:nothing").abytes()
    with pytest.raises(DecodeError):
        Image(content=b"raw").to_pil()
    with pytest.raises(DecodeError):
        Image(content=b"raw").to_numpy()


async def test_another_kind_of_address_is_never_opened() -> None:
    with pytest.raises(ConfigurationError, match="only http and https"):
        Image(url="file:///etc/passwd").bytes()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image(content=JPEG, width=30), f"Image('jpeg', content='{len(JPEG)} bytes', width=30)"),
        (Image(content=b"raw", content_type="x/y"), "Image('x/y', content='3 bytes')"),
        (Image(url="https://x.y/a.jpg"), "Image(url='https://x.y/a.jpg')"),
        (
            Image(url="data:image/png;base64,AAAA", height=2),
            "Image(url='data URI of 26 characters', height=2)",
        ),
    ],
)
def test_repr_is_short(image: Image, words: str) -> None:
    assert repr(image) == words


def test_json_round_trip() -> None:
    image = Image(content=JPEG, width=30)

    assert Image.model_validate_json(image.model_dump_json()).bytes() == JPEG
