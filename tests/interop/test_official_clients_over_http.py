"""fal's own clients over HTTP, with only their hosts changed, against the stand-in and the fake server."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from falrt.local import LocalOptions, LocalServer
from falrt.testing import App, BackgroundFakeServer, picture_answer
from falrt.testing.platform.queue import log

HERE = Path(__file__).parent
NODE = shutil.which("node")
KEY = "id:secret"
# A test that takes longer than this hangs.
PATIENCE = 60
PROMPT = {"prompt": "a red fox in the snow", "image_size": "square"}
BAD = {"prompt": "x", "image_size": "no such size"}

pytestmark = pytest.mark.peer


@dataclass(frozen=True)
class Fal:
    url: str
    app: str


class Size:
    """What the fake app takes: fields as they come, but for one bad value."""

    def __init__(self, **fields: Any) -> None:
        if fields.get("image_size") == BAD["image_size"]:
            raise ValueError("image_size: no such size")


def draw(given: Size) -> dict[str, Any]:
    log("drawing")
    return picture_answer()


def parts(given: Size) -> list[dict[str, Any]]:
    return [picture_answer(), picture_answer()]


@pytest.fixture(scope="module", params=["fake", "stand-in"])
def server(request: pytest.FixtureRequest) -> Iterator[Fal]:
    if request.param == "fake":
        app = App(draw, input_type=Size, parts=parts)
        with BackgroundFakeServer(apps={"fal-ai/flux/dev": app}, key=KEY) as fake:
            yield Fal(fake.url, "fal-ai/flux/dev")
    else:
        with LocalServer(LocalOptions(speed=100, key=KEY)) as local:
            yield Fal(local.url, "fal-ai/flux/dev")


# Python.


@pytest.fixture
def python(server: Fal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    fal_client = pytest.importorskip(
        "fal_client", reason="needs the official client: pip install --group peers"
    )
    hosts = {
        "RUN_URL_FORMAT": "fal.run/",
        "QUEUE_URL_FORMAT": "queue.fal.run/",
        "REST_URL": "rest.fal.ai",
        "CDN_URL": "v3.fal.media",
    }
    for name, host in hosts.items():
        monkeypatch.setattr(fal_client.client, name, f"{server.url}/{host}")
    client = fal_client.SyncClient(key=KEY)
    yield client
    client._client.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # its uploads leave a client open, each of them
        gc.collect()


def fetched(url: str) -> httpx.Response:
    reply = httpx.get(url)
    assert reply.status_code == 200
    return reply


def test_python_runs_an_app(server: Fal, python: Any) -> None:
    result = python.run(server.app, PROMPT)

    assert fetched(result["images"][0]["url"]).headers["content-type"].startswith("image/")


def test_python_subscribes_and_sees_the_queue(server: Fal, python: Any) -> None:
    updates: list[Any] = []
    enqueued: list[str] = []
    result = python.subscribe(
        server.app, PROMPT, with_logs=True, on_enqueue=enqueued.append, on_queue_update=updates.append
    )

    assert result["images"]
    assert len(enqueued) == 1
    assert type(updates[-1]).__name__ == "Completed"
    assert any("message" in line for line in updates[-1].logs)


def test_python_submits_asks_and_fetches(server: Fal, python: Any) -> None:
    handle = python.submit(server.app, PROMPT)
    assert python.result(server.app, handle.request_id)["images"]
    assert type(handle.status(with_logs=True)).__name__ == "Completed"


def test_python_streams_parts(server: Fal, python: Any) -> None:
    events = list(python.stream(server.app, PROMPT))

    assert len(events) > 1
    assert fetched(events[-1]["images"][0]["url"]).content


def test_python_uploads(server: Fal, python: Any) -> None:
    url = python.upload(b"a small file", "text/plain", "note.txt")

    assert fetched(url).text == "a small file"


def test_python_gets_fals_errors(server: Fal, python: Any) -> None:
    import fal_client

    with pytest.raises(fal_client.FalClientHTTPError) as invalid:
        python.run(server.app, BAD)
    assert invalid.value.status_code == 422
    with pytest.raises(fal_client.FalClientHTTPError) as unknown:
        python.run("acme/nothing/here", PROMPT)
    assert unknown.value.status_code == 404
    stranger = fal_client.SyncClient(key="someone:else")
    with pytest.raises(fal_client.FalClientHTTPError) as unauthorized:
        stranger.run(server.app, PROMPT)
    assert unauthorized.value.status_code == 401
    stranger._client.close()


# JavaScript.


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
@pytest.mark.skipif(
    not (HERE / "node_modules/@fal-ai/client").is_dir(),
    reason="the official JavaScript client is not installed: make setup, with npm",
)
async def test_javascript_does_it_all(server: Fal) -> None:
    assert NODE is not None
    task = json.dumps({"url": server.url, "key": KEY, "app": server.app, "bad": BAD})
    process = await asyncio.create_subprocess_exec(
        NODE,
        HERE / "official_http.mjs",
        task,
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

    for name in ("run", "streamedStatus", "done"):
        assert seen[name].startswith(server.url), name
    assert seen["requestId"]
    assert seen["subscribed"]["id"] == seen["enqueued"]
    assert seen["statuses"][-1] == "COMPLETED"
    assert seen["logs"]
    assert len(seen["events"]) > 1
    assert seen["uploaded"] == "a small file"
    assert seen["invalid"]["status"] == 422
    assert isinstance(seen["invalid"]["detail"], list)
    assert seen["unknown"] == {"status": 404, "detail": "Path /acme/nothing/here not found"}
    assert seen["unauthorized"]["status"] == 401
