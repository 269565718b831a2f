"""fal's own Python client against the stand-in and the fake server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from falrt.local import LocalOptions, LocalServer
from falrt.media import data_uri
from falrt.testing import BackgroundFakeServer, FakeServer

fal_client = pytest.importorskip("fal_client", reason="needs the official client: pip install --group peers")
pytestmark = pytest.mark.peer

KEY = "id:secret"
# A test that takes longer than this hangs.
PATIENCE = 30
JPEG = b"\xff\xd8\xff"


@pytest.fixture(scope="module")
def stand_in() -> Iterator[LocalServer]:
    with LocalServer(LocalOptions(speed=100)) as server:
        yield server


@pytest.fixture(scope="module")
def photo() -> str:
    from PIL import Image

    return data_uri(Image.radial_gradient("L").convert("RGB"), size=(704, 704))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Send the client to one place; it knows fal's addresses only."""

    def point(url: str) -> None:
        monkeypatch.setattr(fal_client.client, "REALTIME_URL_FORMAT", url.replace("http", "ws") + "/")
        monkeypatch.setattr(fal_client.client, "REST_URL", url)

    return point


@pytest.fixture
async def official(at: Any) -> AsyncIterator[Any]:
    """The asyncio client; it never closes its own HTTP client."""
    client = fal_client.AsyncClient(key=KEY)
    yield client
    await (await client._client).aclose()


def a_jpeg(result: Any) -> bytes:
    picture: bytes = result["images"][-1]["content"]
    assert picture.startswith(JPEG)
    return picture


@pytest.mark.parametrize("use_jwt", [True, False], ids=["token", "key"])
async def test_klein_answers_three_frames(
    stand_in: LocalServer, at: Any, official: Any, photo: str, use_jwt: bool
) -> None:
    at(stand_in.url)
    pictures = []
    # With the documented id, which ends in /realtime, this client asks for /realtime/realtime.
    async with (
        asyncio.timeout(PATIENCE),
        official.realtime("fal-ai/flux-2/klein", use_jwt=use_jwt, max_buffering=2) as conn,
    ):
        for n in range(3):
            await conn.send({"image_url": photo, "prompt": "oil painting", "seed": n})
            result = await conn.recv()
            assert result["seed"] == n
            pictures.append(a_jpeg(result))

    assert len(set(pictures)) == 3


@pytest.mark.parametrize("app", ["fal-ai/fast-lcm-diffusion", "fal-ai/fast-turbo-diffusion"])
async def test_the_diffusion_models_answer_prompts_and_pictures(
    stand_in: LocalServer, at: Any, official: Any, photo: str, app: str
) -> None:
    at(stand_in.url)
    inputs: list[dict[str, Any]] = [{}, {"image_url": photo}, {"seed": 7}]
    async with asyncio.timeout(PATIENCE), official.realtime(app) as conn:
        for n, more in enumerate(inputs):
            message = {"prompt": "a fox", "image_size": "square", "sync_mode": True, "request_id": str(n)}
            await conn.send({**message, **more})
            result = await conn.recv()
            assert result["request_id"] == str(n)
            a_jpeg(result)


def test_the_blocking_client_works_as_well(stand_in: LocalServer, at: Any) -> None:
    at(stand_in.url)
    client = fal_client.SyncClient(key=KEY)
    with client.realtime("fal-ai/fast-lcm-diffusion") as conn:
        conn.send({"prompt": "a fox", "image_size": "square"})
        a_jpeg(conn.recv())
    client._client.close()


async def test_an_app_error_is_the_clients_realtime_error(
    stand_in: LocalServer, at: Any, official: Any
) -> None:
    at(stand_in.url)
    async with asyncio.timeout(PATIENCE), official.realtime("fal-ai/flux-2/klein") as conn:
        await conn.send({"prompt": "no picture"})
        with pytest.raises(fal_client.client.RealtimeError, match="image_url"):
            await conn.recv()


async def test_the_fake_server_serves_it_with_a_token(at: Any, official: Any) -> None:
    async with FakeServer(key=KEY) as server:
        at(server.url)
        async with asyncio.timeout(PATIENCE), official.realtime("acme/app") as conn:
            await conn.send({"prompt": "a fox", "request_id": "1"})
            assert (await conn.recv())["request_id"] == "1"

    assert server.inputs == [{"prompt": "a fox", "request_id": "1"}]


def test_the_fake_server_in_the_background_serves_the_blocking_client(at: Any) -> None:
    with BackgroundFakeServer(key=KEY) as server:
        at(server.url)
        client = fal_client.SyncClient(key=KEY)
        with client.realtime("acme/app") as conn:
            conn.send({"prompt": "a fox"})
            assert conn.recv()["images"][0]["content_type"] == "image/png"
        client._client.close()


async def test_a_wrong_key_gets_no_token(at: Any, official: Any) -> None:
    async with FakeServer(key="another:key") as server:
        at(server.url)
        with pytest.raises(fal_client.FalClientHTTPError):
            async with asyncio.timeout(PATIENCE), official.realtime("acme/app"):
                pass
