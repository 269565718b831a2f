"""falrt's own client on our proxy: HTTP calls, tokens and a realtime connection, with no key of its own."""

from __future__ import annotations

from typing import Any

import pytest

import falrt
from falrt import server
from falrt.testing import FakeServer
from tests.server.serving import KEY, serving


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FALRT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def paint(message: dict[str, Any]) -> dict[str, Any]:
    return {"echo": message["prompt"]}


async def test_run_and_subscribe_through_the_proxy() -> None:
    async with FakeServer(apps={"acme/app": paint}, key=KEY) as fal:
        app = server.create_app(allow=["acme/app"], authorize=server.anyone, key=KEY, base_url=fal.url)
        async with serving(app) as url, falrt.Client(proxy_url=f"{url}/api/fal/proxy") as client:
            assert await client.run("acme/app", {"prompt": "a fox"}) == {"echo": "a fox"}
            assert await client.subscribe("acme/app", {"prompt": "a hen"}) == {"echo": "a hen"}
            with pytest.raises(falrt.HTTPStatusError, match="not allowed here"):
                await client.run("acme/other", {"prompt": "a fox"})


async def test_a_job_is_followed_and_cancelled_through_the_proxy() -> None:
    async with FakeServer(apps={"acme/app": paint}, key=KEY) as fal:
        app = server.create_app(allow=["acme/app"], authorize=server.anyone, key=KEY, base_url=fal.url)
        async with serving(app) as url, falrt.Client(proxy_url=f"{url}/api/fal/proxy") as client:
            job = await client.submit("acme/app", {"prompt": "a fox"})
            states = [type(status).__name__ async for status in job.events()]
            assert states[-1] == "Completed"
            assert await job.result() == {"echo": "a fox"}
