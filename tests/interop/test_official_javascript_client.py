"""fal's own JavaScript client in Node against the stand-in and the fake server."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from falrt.local import LocalOptions, LocalServer
from falrt.media import data_uri
from falrt.testing import FakeServer

HERE = Path(__file__).parent
NODE = shutil.which("node")
KEY = "id:secret"
# A test that takes longer than this hangs.
PATIENCE = 40
JPEG = "ffd8ff"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(NODE is None, reason="Node is not installed"),
    pytest.mark.skipif(
        not (HERE / "node_modules/@fal-ai/client").is_dir(),
        reason="the official JavaScript client is not installed: make setup, with npm",
    ),
]


@pytest.fixture(scope="module")
def stand_in() -> Iterator[LocalServer]:
    with LocalServer(LocalOptions(speed=100)) as server:
        yield server


@pytest.fixture(scope="module")
def photo() -> bytes:
    from PIL import Image

    return base64.b64decode(
        data_uri(Image.radial_gradient("L").convert("RGB"), size=(704, 704)).split(",", 1)[1]
    )


async def run(
    url: str, app: str, inputs: list[dict[str, Any]], *, tokens: str = "provider", key: str = KEY
) -> dict[str, Any]:
    """Let the client send each input when the one before was answered; return what it saw."""
    task = json.dumps({"url": url, "app": app, "inputs": inputs, "tokens": tokens, "key": key})
    assert NODE is not None
    process = await asyncio.create_subprocess_exec(
        NODE,
        HERE / "official_client.mjs",
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
    seen: dict[str, Any] = json.loads(out)
    return seen


def as_uri(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


async def test_klein_answers_three_frames(stand_in: LocalServer, photo: bytes) -> None:
    inputs = [{"image_url": as_uri(photo), "prompt": f"oil painting {n}", "seed": n} for n in range(3)]
    seen = await run(stand_in.url, "fal-ai/flux-2/klein/realtime", inputs)

    assert seen["errors"] == []
    assert seen["tokenApps"] == ["fal-ai/flux-2/klein/realtime"]
    assert seen["upgrades"] == ["/fal-ai/flux-2/klein/realtime?fal_jwt_token=...&max_buffering=2"]
    assert [result["seed"] for result in seen["results"]] == [0, 1, 2]
    for result in seen["results"]:
        (image,) = result["images"]
        assert image["content"]["start"].startswith(JPEG)
        assert (image["width"], image["height"]) == (768, 768), "klein's own meaning of square"


@pytest.mark.parametrize("app", ["fal-ai/fast-lcm-diffusion", "fal-ai/fast-turbo-diffusion"])
async def test_the_diffusion_models_answer_three_prompts_by_id(
    stand_in: LocalServer, app: str, photo: bytes
) -> None:
    inputs: list[dict[str, Any]] = [
        {"prompt": f"a fox {n}", "request_id": f"r{n}", "sync_mode": True, "image_size": "square"}
        for n in range(3)
    ]
    inputs[1]["image_url"] = as_uri(photo)
    inputs[2]["image_bytes"] = {"base64": base64.b64encode(photo).decode()}
    seen = await run(stand_in.url, app, inputs)

    assert seen["errors"] == []
    assert seen["tokenApps"] == [f"{app}/realtime"]
    assert [result["request_id"] for result in seen["results"]] == ["r0", "r1", "r2"]
    assert all(result["images"][0]["content"]["start"].startswith(JPEG) for result in seen["results"])
    assert len({result["images"][0]["content"]["bytes"] for result in seen["results"]}) > 1


async def test_the_clients_own_token_request_is_understood(stand_in: LocalServer) -> None:
    seen = await run(
        stand_in.url,
        "fal-ai/fast-lcm-diffusion",
        [{"prompt": "a fox", "image_size": "square"}],
        tokens="default",
    )

    assert seen["errors"] == []
    assert seen["upgrades"] == ["/fal-ai/fast-lcm-diffusion/realtime?fal_jwt_token=...&max_buffering=2"]
    assert seen["results"][0]["images"][0]["content"]["start"].startswith(JPEG)


async def test_the_documented_token_provider_works(stand_in: LocalServer) -> None:
    inputs = [{"prompt": "a fox", "image_size": "square"}]
    seen = await run(stand_in.url, "fal-ai/fast-lcm-diffusion", inputs, tokens="documented")

    assert seen["errors"] == []
    assert seen["tokenApps"] == ["fal-ai/fast-lcm-diffusion/realtime"]
    assert seen["results"][0]["images"][0]["content"]["start"].startswith(JPEG)


async def test_an_app_error_reaches_the_clients_error_callback(stand_in: LocalServer) -> None:
    seen = await run(stand_in.url, "fal-ai/flux-2/klein/realtime", [{"prompt": "no picture"}])

    assert seen["results"] == []
    assert "image_url" in seen["errors"][0]


async def test_the_fake_server_serves_it_too() -> None:
    async with FakeServer(key=KEY) as server:
        seen = await run(
            server.url, "acme/app", [{"prompt": "a fox", "request_id": "1"}, {"prompt": "a hen"}]
        )

    assert seen["errors"] == []
    assert [result.get("request_id") for result in seen["results"]] == ["1", None]
    assert server.inputs == [{"prompt": "a fox", "request_id": "1"}, {"prompt": "a hen"}]
