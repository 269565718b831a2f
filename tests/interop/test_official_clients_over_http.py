"""fal's own clients call, queue, stream and store against the stand-in and the fake server; only hosts are changed."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from pydantic import BaseModel

from falrt.local import LocalOptions, LocalServer
from falrt.testing import App, BackgroundFakeServer
from falrt.testing.picture import png

fal_client = pytest.importorskip("fal_client", reason="needs the official client: pip install --group peers")
pytestmark = pytest.mark.peer

HERE = Path(__file__).parent
NODE = shutil.which("node")
PATIENCE = 60
APP = "fal-ai/flux/schnell"
INPUT = {"prompt": "a red fox", "image_size": {"width": 64, "height": 64}, "seed": 7}


class Size(BaseModel):
    """Of a picture."""

    width: int
    height: int


class Wanted(BaseModel):
    """The fake server's own model of what the endpoint takes."""

    prompt: str
    image_size: Literal["square", "square_hd"] | Size
    seed: int | None = None


def pictures(wanted: Wanted) -> dict[str, Any]:
    assert isinstance(wanted.image_size, Size)
    picture = {"content": png(wanted.image_size.width), "content_type": "image/png"}
    return {"images": [{**picture, **wanted.image_size.model_dump()}], "seed": wanted.seed}


def in_parts(wanted: Wanted) -> list[dict[str, Any]]:
    return [pictures(wanted), pictures(wanted)]


@pytest.fixture(scope="module", params=["stand-in", "fake server"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "stand-in":
        with LocalServer(LocalOptions(speed=100)) as server:
            yield server.url
    else:
        app = App(pictures, input_type=Wanted, parts=in_parts)
        with BackgroundFakeServer(apps={APP: app}, key=None) as fake:
            yield fake.url


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return the official Python client, sent to one place; it knows fal's addresses only."""
    module = fal_client.client
    monkeypatch.setattr(module, "RUN_URL_FORMAT", f"{url}/fal.run/")
    monkeypatch.setattr(module, "QUEUE_URL_FORMAT", f"{url}/queue.fal.run/")
    monkeypatch.setattr(module, "REST_URL", f"{url}/rest.fal.ai")
    monkeypatch.setattr(module, "CDN_URL", f"{url}/v3.fal.media")
    official = fal_client.SyncClient(key="id:secret")
    opened = [official._client]
    make = fal_client.SyncClient._get_cdn_client

    def noted(self: Any) -> Any:
        opened.append(make(self))
        return opened[-1]

    # It never closes these; a test that leaves sockets fails.
    monkeypatch.setattr(fal_client.SyncClient, "_get_cdn_client", noted)
    yield official
    for each in opened:
        each.close()


def test_python_runs_and_fetches_the_picture(client: Any) -> None:
    result = client.run(APP, INPUT)
    picture = httpx.get(result["images"][0]["url"])
    assert picture.headers["content-type"].startswith("image/")
    assert len(picture.content) == result["images"][0]["file_size"]


def test_python_subscribes(client: Any) -> None:
    told: list[Any] = []
    result = client.subscribe(APP, INPUT, with_logs=True, on_queue_update=told.append)
    assert result["images"]
    assert isinstance(told[-1], fal_client.Completed)
    assert told[-1].logs[0]["message"] == "started"
    assert told[-1].metrics["inference_time"] > 0


def test_python_submits_finds_and_cancels(client: Any) -> None:
    handle = client.submit(APP, INPUT, priority="low", hint="warm")
    assert client.result(APP, handle.request_id)["images"]
    assert isinstance(client.status(APP, handle.request_id), fal_client.Completed)
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        client.cancel(APP, handle.request_id)
    assert caught.value.status_code == 400


def test_python_streams(client: Any) -> None:
    parts = list(client.stream(APP, INPUT))
    assert all(part["images"] for part in parts)


def test_python_uploads_small_and_large_files(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "big.txt"
    path.write_bytes(b"0123456789" * 30)
    assert httpx.get(client.upload_file(path)).content == path.read_bytes()
    monkeypatch.setattr(fal_client.client, "MULTIPART_THRESHOLD", 100)
    monkeypatch.setattr(fal_client.client, "MULTIPART_CHUNK_SIZE", 70)
    assert httpx.get(client.upload_file(path)).content == path.read_bytes()
    stored = client.upload(b"hello", "text/plain", repository="fal", fallback_repository=[])
    assert httpx.get(stored).content == b"hello"


def test_python_sees_fals_own_errors(client: Any) -> None:
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        client.status(APP, "none")
    assert (caught.value.status_code, caught.value.message) == (404, "Request not found")


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
@pytest.mark.skipif(
    not (HERE / "node_modules/@fal-ai/client").is_dir(),
    reason="the official JavaScript client is not installed: make setup, with npm",
)
async def test_javascript_does_all_of_it(url: str) -> None:
    assert NODE is not None
    process = await asyncio.create_subprocess_exec(
        NODE,
        HERE / "official_http.mjs",
        json.dumps({"url": url, "key": "id:secret"}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, err.decode()
    seen = json.loads(out)
    assert all(seen[name]["images"][0]["width"] == 64 for name in ("run", "subscribe", "streamed", "result"))
    assert seen["statuses"][-1] == "COMPLETED"
    assert len(seen["parts"]) > 1
    assert seen["logs"] >= 2
    assert seen["small"] == "hello"
    assert seen["error"] == {"status": 422, "fields": ["prompt", "image_size", "image_size"]}
