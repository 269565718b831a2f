"""``Client.upload``: files of every kind and size."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import falrt
from falrt.protocol.wire import storage
from falrt.testing import FakeServer
from falrt.testing.platform.storage import StoredFile
from tests.http.scripted import CUT, Asked, Said, scripted
from tests.leaks import leaves_nothing, soon

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 20
KEY = "0123456789:abcdefghij"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses between tries last no time."""
    monkeypatch.setattr("falrt.http.caller.random.random", lambda: 0.0)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut files of a kilobyte into parts."""
    monkeypatch.setattr(storage, "MULTIPART_BYTES", 1000)
    monkeypatch.setattr(storage, "PART_BYTES", 100)
    monkeypatch.setattr("falrt.http.upload._PIECE_BYTES", 30)


async def stored(source: Any, **options: Any) -> StoredFile:
    """Upload to the fake server and return what it has."""
    async with (
        FakeServer() as server,
        falrt.Client(key="test", base_url=server.url) as fal,
        leaves_nothing(server.url),
    ):
        url = await soon(fal.upload(source, **options))
        await fal.aclose()
        file = server.platform.storage.files["/files/" + url.partition("/files/")[2]]
        assert file.complete
        return file


# Sources.


@pytest.mark.wire("W81")
async def test_bytes_are_stored_by_what_they_are() -> None:
    file = await stored(PNG)
    assert (file.data, file.content_type, file.name) == (PNG, "image/png", "file.png")
    assert (await stored(memoryview(bytearray(PNG)))).data == PNG
    assert (await stored(b"")).data == b""


async def test_a_path_is_stored_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "ä note.txt"
    path.write_bytes(b"hello")
    file = await stored(path)
    assert (file.data, file.content_type, file.name) == (b"hello", "text/plain", "_ note.txt")
    assert (await stored(str(path))).data == b"hello"


async def test_an_open_file_is_stored_from_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"skip-this")
    with path.open("rb") as opened:
        opened.seek(5)
        file = await stored(opened)
        assert not opened.closed
    assert (file.data, file.name) == (b"this", "a.bin")


async def test_a_file_that_can_only_be_read_once_is_stored() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(PNG)
    with os.fdopen(reading, "rb") as source:
        assert (await stored(source)).data == PNG


class Reading:
    """The least that a file can be."""

    def __init__(self, data: bytes | str) -> None:
        self._file = io.BytesIO(data) if isinstance(data, bytes) else io.StringIO(data)

    def read(self, size: int = -1) -> bytes | str:
        return self._file.read(size)


async def test_a_file_that_only_has_read_is_stored() -> None:
    assert (await stored(Reading(PNG))).data == PNG


async def test_a_pipe_is_stored_by_its_path(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "pipe.png")
    writing = asyncio.ensure_future(asyncio.to_thread(path.write_bytes, PNG))
    file = await stored(path)
    await soon(writing)
    assert (file.data, file.name) == (PNG, "pipe.png")


async def test_a_name_with_a_line_feed_is_made_one_line(tmp_path: Path) -> None:
    (path := tmp_path / "a\nX-Evil: 1.png").write_bytes(PNG)
    assert (await stored(path)).name == "a_X-Evil: 1.png"


async def test_a_view_with_gaps_is_stored() -> None:
    assert (await stored(memoryview(b"a.b.c.")[::2])).data == b"abc"


async def test_pictures_are_stored_as_jpeg() -> None:
    for picture in (Image.new("RGB", (8, 8)), np.zeros((8, 8, 3), np.uint8)):
        file = await stored(picture)
        assert (file.content_type, file.name) == ("image/jpeg", "file.jpg")
        assert file.data.startswith(b"\xff\xd8")


async def test_a_data_uri_is_stored_as_what_it_holds() -> None:
    assert (await stored("data:image/png;base64,iVBORw0KGgo=")).content_type == "image/png"


async def test_what_the_caller_says_wins() -> None:
    file = await stored(PNG, content_type="image/x-mine", file_name="cat.png", expires_in="1d")
    assert (file.content_type, file.name) == ("image/x-mine", "cat.png")
    assert file.lifecycle == '{"expiration_duration_seconds": 86400}'
    assert (await stored(PNG, expires_in="never")).lifecycle is None


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"RIFF....WEBPVP8 ", "image/webp"),
        (b"....xxxxWEBP", None),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\0\0\0\x18ftypavif", "image/avif"),
        (b"%PDF-1.7", "application/pdf"),
        (b"", None),
        (b"\xff\xd8", None),
    ],
)
def test_a_file_tells_by_its_head_what_it_is(head: bytes, kind: str | None) -> None:
    assert storage.content_type_of(head) == kind


# Parts.


@pytest.mark.parametrize(
    ("size", "parts"), [(0, [0]), (1000, [1000]), (1001, [100] * 10 + [1]), (1100, [100] * 11)]
)
@pytest.mark.usefixtures("small_parts")
def test_a_large_file_is_cut(size: int, parts: list[int]) -> None:
    assert storage.part_sizes(size) == parts


@pytest.mark.usefixtures("small_parts")
@pytest.mark.wire("W81")
async def test_a_large_file_goes_in_parts_and_tells_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(range(256)) * 10)
    told: list[tuple[int, int]] = []

    async def on_progress(sent: int, total: int) -> None:
        told.append((sent, total))

    file = await stored(path, on_progress=on_progress)
    assert file.data == path.read_bytes()
    assert len(file.parts) == 26
    assert told[-1] == (2560, 2560)
    assert [sent for sent, _ in told] == sorted(sent for sent, _ in told)


class Cdn:
    """Plays the storage; parts may be answered badly first."""

    def __init__(self, *faults: Said, at: str = "/2") -> None:
        self.faults, self.at = list(faults), at
        self.parts: dict[str, bytes] = {}
        self.running = self.most = 0

    async def __call__(self, asked: Asked) -> Said:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        if asked.path.endswith(self.at) and self.faults:
            return self.faults.pop(0)
        origin = f"http://{asked.headers['host']}"
        if asked.path == "/storage/auth/token":
            return Said(
                body={"token": "cdn-token", "token_type": "Bearer", "base_url": "https://v3.fal.media"}
            )
        if asked.path == "/files/upload/multipart":
            return Said(body={"access_url": f"{origin}/files/1/big.bin", "uploadId": "u"})
        if asked.path == "/files/upload":
            return Said(body={"access_url": f"{origin}/files/1/small.bin"})
        if asked.method == "PUT":
            self.parts[asked.path.rpartition("/")[2]] = asked.body
            return Said(body={}, headers={"etag": asked.path[-2:]})
        return Said(body={})


async def sent_to(cdn: Cdn, data: Any, **options: Any) -> tuple[Any, list[Asked]]:
    async with scripted(cdn) as (url, asked), falrt.Client(key=KEY, base_url=url) as fal, leaves_nothing(url):
        try:
            result: Any = await soon(fal.upload(data, **options))
        except Exception as exc:
            result = exc
        await fal.aclose()
    return result, asked


@pytest.mark.usefixtures("small_parts")
async def test_ten_parts_go_at_a_time_with_the_storages_token_and_no_key() -> None:
    data = bytes(range(256)) * 20
    url, asked = await sent_to(cdn := Cdn(), data)
    assert url.endswith("/files/1/big.bin")
    assert b"".join(cdn.parts[str(number)] for number in range(1, 53)) == data
    assert 2 <= cdn.most <= 10
    assert {each.headers["authorization"] for each in asked[1:]} == {"Bearer cdn-token"}
    parts = asked[-1].json()["parts"]
    assert asked[-1].path == "/files/1/big.bin/multipart/u/complete"
    assert [part["partNumber"] for part in parts] == list(range(1, 53))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("fault", [CUT, Said(500, None), Said(503, None), Said(429, None)])
async def test_a_part_that_fails_is_sent_again_alone(fault: Said) -> None:
    data = b"ab" * 600
    url, asked = await sent_to(cdn := Cdn(fault), data)
    assert isinstance(url, str)
    assert b"".join(cdn.parts[str(number)] for number in range(1, 13)) == data
    assert sum(each.path.endswith("/2") for each in asked) == 2
    assert sum(each.path.endswith("/3") for each in asked) == 1


@pytest.mark.usefixtures("small_parts")
async def test_a_part_that_cannot_be_stored_ends_the_upload() -> None:
    error, asked = await sent_to(
        Cdn(Said(413, {"detail": "too large"}, {"x-fal-request-id": "7"})), b"a" * 1200
    )
    assert type(error) is falrt.UploadError
    assert (str(error), error.status) == ("upload: too large (413, request 7)", 413)
    assert not any(each.path.endswith("complete") for each in asked)


async def test_a_single_file_is_sent_again_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"hello")
    url, asked = await sent_to(Cdn(CUT, at="/upload"), path)
    assert isinstance(url, str)
    assert [each.body for each in asked if each.path == "/files/upload"] == [b"hello"] * 2


async def test_a_server_that_stops_in_the_middle_is_an_upload_error() -> None:
    error, _ = await sent_to(Cdn(*[CUT] * 9, at="/upload"), b"hello")
    assert type(error) is falrt.UploadError
    assert error.retryable


@pytest.mark.parametrize("reply", [{}, [], {"token": 3}, b"<html>", {"token": "a\nb"}])
async def test_a_storage_that_gives_no_token_is_an_upload_error(reply: Any) -> None:
    error, _ = await sent_to(Cdn(Said(body=reply), at="/storage/auth/token"), b"hello")
    assert type(error) is falrt.UploadError


async def test_a_refused_key_is_an_authentication_error_and_a_refused_token_is_not() -> None:
    error, _ = await sent_to(Cdn(Said(401, None), at="/storage/auth/token"), b"hello")
    assert isinstance(error, falrt.AuthenticationError)
    error, _ = await sent_to(Cdn(Said(403, None), at="/files/upload"), b"hello")
    assert type(error) is falrt.UploadError


@pytest.mark.usefixtures("small_parts")
async def test_the_storages_token_goes_to_no_other_host() -> None:
    other = Said(body={"access_url": "https://evil.example/files/1", "uploadId": "u"})
    error, asked = await sent_to(Cdn(other, at="/files/upload/multipart"), b"a" * 1200)
    assert type(error) is falrt.UploadError
    assert "evil.example" in str(error)
    assert len(asked) == 2


@pytest.mark.usefixtures("small_parts")
async def test_an_address_that_is_none_is_an_error_of_ours() -> None:
    def answer(asked: Asked) -> Said:
        return Said(body={"upload_url": "http://[half", "file_url": "http://x/1"})

    async with scripted(answer) as (url, _), falrt.Client(proxy_url=f"{url}/proxy") as fal:
        with pytest.raises((falrt.UploadError, falrt.ConfigurationError)):
            await soon(fal.upload(b"hello"))


# Through a proxy.


@pytest.mark.usefixtures("small_parts")
@pytest.mark.wire("W82")
async def test_through_a_proxy_files_go_to_the_address_that_is_given() -> None:
    def answer(asked: Asked) -> Said:
        origin = f"http://{asked.headers['host']}"
        if asked.path == "/proxy":
            return Said(body={"upload_url": f"{origin}/up/1?signature=s", "file_url": f"{origin}/files/1"})
        return Said(body={}, headers={"etag": "e"})

    async with scripted(answer) as (url, asked), falrt.Client(proxy_url=f"{url}/proxy") as fal:
        assert await soon(fal.upload(b"hello", expires_in=60)) == f"{url}/files/1"
        assert await soon(fal.upload(b"a" * 1200)) == f"{url}/files/1"
    target = asked[0].headers["x-fal-target-url"]
    assert target == "https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3"
    assert asked[0].headers["x-fal-object-lifecycle-preference"] == '{"expiration_duration_seconds": 60}'
    assert (asked[1].method, asked[1].path, asked[1].query) == ("PUT", "/up/1", {"signature": "s"})
    assert "initiate-multipart" in asked[2].headers["x-fal-target-url"]
    assert {each.path for each in asked[3:]} == {f"/up/1/{n}" for n in range(1, 13)} | {"/up/1/complete"}
    assert not any("authorization" in each.headers for each in asked)


# Wrong use.


class Shrinking(io.BytesIO):
    """A file that somebody cuts while it is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size) if self.tell() == 0 and size == 32 else b""


async def test_a_file_that_shrinks_is_an_upload_error() -> None:
    error, _ = await sent_to(Cdn(), Shrinking(b"hello"))
    assert type(error) is falrt.UploadError
    assert "shorter" in str(error)


class TextInDisguise(io.BytesIO):
    """Gives text, as a temporary file in text mode does, which is no ``TextIOBase``."""

    def read(self, size: int | None = -1, /) -> Any:
        return super().read(size).decode()


@pytest.mark.parametrize(
    ("source", "options", "text"),
    [
        (3, {}, "cannot be made from int"),
        (None, {}, "cannot be made"),
        ("https://v3.fal.media/a.png", {}, "web address already"),
        (io.StringIO("a"), {}, "binary mode"),
        (Reading("a"), {}, "binary mode"),
        (TextInDisguise(b"a"), {}, "binary mode"),
        ("/", {}, "folder"),
        (os.devnull, {}, "device"),
        ("data:image/png;base64,%%%", {}, "base64"),
        (b"a", {"content_type": ""}, "content_type"),
        (b"a", {"content_type": "imagé/x"}, "content_type"),
        (b"a", {"file_name": "a\nb"}, "file_name"),
        (b"a", {"expires_in": -1}, "expires_in"),
        (b"a", {"on_progress": 3}, "on_progress"),
    ],
)
async def test_what_cannot_be_uploaded_is_named_before_anything_is_sent(
    source: Any, options: Any, text: str
) -> None:
    async with falrt.Client(key=KEY, base_url="http://127.0.0.1:1") as fal:
        with pytest.raises(falrt.ConfigurationError, match=text):
            await soon(fal.upload(source, **options))


async def test_a_file_that_is_not_there_is_the_systems_error(tmp_path: Path) -> None:
    async with falrt.Client(key=KEY, base_url="http://127.0.0.1:1") as fal:
        with pytest.raises(FileNotFoundError):
            await soon(fal.upload(tmp_path / "none"))


async def test_an_error_of_on_progress_comes_out_and_ends_the_upload() -> None:
    def refuse(*_: object) -> None:
        raise KeyError("mine")

    error, _ = await sent_to(Cdn(), b"hello", on_progress=refuse)
    assert isinstance(error, KeyError)


@pytest.mark.usefixtures("small_parts")
async def test_a_cancelled_upload_leaves_nothing() -> None:
    begun, never = asyncio.Event(), asyncio.Event()
    cdn = Cdn()

    async def stall(asked: Asked) -> Said:
        if asked.method == "PUT":
            begun.set()
            await never.wait()
        return await cdn(asked)

    async with scripted(stall) as (url, _), falrt.Client(key=KEY, base_url=url) as fal, leaves_nothing(url):
        task = asyncio.ensure_future(fal.upload(b"a" * 1200))
        await soon(begun.wait())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await fal.aclose()
