"""Two workers and a real Redis behave like one server."""

# ruff: noqa: SIM117 - servers outside, sockets inside
from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgpack
import pytest
from websockets.asyncio.client import connect

import falrt
from falrt import server
from falrt.server import shared
from falrt.server.entrance import Entrance, Visitor
from falrt.server.origins import Origins
from falrt.server.targets import Refused
from falrt.testing import FakeServer
from tests.server.serving import KEY, serving
from tests.server.test_relay import PATIENCE, closing, echo, next_result
from tests.server.test_watch import next_picture

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server here")

TOKEN = "/api/fal/token?app=acme/app"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of our own: its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    folder: Path = tmp_path_factory.mktemp("redis")
    command = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("Ready to accept" in line for line in process.stdout)
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()


@contextlib.asynccontextmanager
async def workers(redis: str, fal: FakeServer, **options: Any) -> AsyncIterator[list[str]]:
    """Two processes' worth of a server; gives their URLs."""
    async with contextlib.AsyncExitStack() as stack:
        urls = []
        for _ in range(2):
            defaults = {"allow": ["acme/app"], "authorize": server.anyone, "key": KEY, "base_url": fal.url}
            app = server.create_app(**{**defaults, "redis": redis, **options})
            urls.append(await stack.enter_async_context(serving(app)))
        yield urls


def sockets_of(url: str) -> str:
    return url.replace("http", "ws") + "/api/fal"


@pytest.fixture(autouse=True)
async def empty(redis: str) -> None:
    client = shared.connected(redis)
    await client.flushall()
    await client.aclose()


async def test_requests_are_counted_over_all_workers(redis: str) -> None:
    async with FakeServer(key=KEY) as fal, workers(redis, fal, limit=server.Limit(requests=3)) as urls:
        async with httpx.AsyncClient() as http:
            statuses = [(await http.get(urls[number % 2] + TOKEN)).status_code for number in range(5)]
            refused = await http.get(urls[0] + TOKEN)
    assert statuses == [200, 200, 200, 429, 429]
    assert 1 <= int(refused.headers["retry-after"]) <= 20


async def test_sockets_are_counted_over_all_workers_and_given_back(redis: str) -> None:
    async with FakeServer(echo, key=KEY) as fal, workers(redis, fal, limit=server.Limit(sockets=1)) as urls:
        one, two = (f"{sockets_of(url)}/realtime/acme/app" for url in urls)
        async with connect(one) as first:
            await first.send(msgpack.packb({"prompt": "a fox"}))
            await next_result(first)
            async with connect(two) as second:
                assert (await closing(second))[0] == 4429
        async with asyncio.timeout(PATIENCE):
            while True:
                async with connect(two) as third:
                    await third.send(msgpack.packb({"prompt": "a hen"}))
                    with contextlib.suppress(Exception):
                        await next_result(third)
                        break


async def test_the_places_of_a_worker_that_died_come_free(
    redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LEASE", 0.05)
    died, other = shared.RedisLimiter(redis), shared.RedisLimiter(redis)
    assert await died.enter("anna", 1) is not None
    await died.aclose()  # without leaving
    async with asyncio.timeout(PATIENCE):
        while await other.enter("anna", 1) is None:  # noqa: ASYNC110 - nothing tells when a lease has run out
            await asyncio.sleep(0.01)
    await other.aclose()


async def test_a_place_that_is_held_stays_taken(redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "LEASE", 0.3)
    holder, other = shared.RedisLimiter(redis), shared.RedisLimiter(redis)
    place = await holder.enter("anna", 1)
    assert place is not None
    for _ in range(8):
        await asyncio.sleep(0.1)
        assert await other.enter("anna", 1) is None
    await holder.leave("anna", place)
    assert await other.enter("anna", 1) is not None
    await holder.aclose()
    await other.aclose()


async def test_what_a_user_has_submitted_at_one_worker_is_nobody_elses_at_another(redis: str) -> None:
    at_one, at_another = shared.RedisLimiter(redis), shared.RedisLimiter(redis)
    await at_one.keep("r-7", "anna")
    assert await at_another.may_follow("r-7", "anna")
    assert not await at_another.may_follow("r-7", "ben")
    assert not await at_another.may_follow("r-7", None)
    assert await at_another.may_follow("r-8", "ben")
    await at_one.aclose()
    await at_another.aclose()


async def test_what_one_worker_publishes_is_seen_in_the_other_and_by_who_comes_late(redis: str) -> None:
    channels = server.RedisChannels(redis)
    async with FakeServer(key=KEY) as fal, workers(redis, fal, limit=server.Limit(sockets=8)) as urls:
        async with connect(f"{sockets_of(urls[0])}/watch/stage") as one:
            async with connect(f"{sockets_of(urls[1])}/watch/stage") as two:
                await channels.publish("stage", b"first")
                assert await next_picture(one) == b"first"
                assert await next_picture(two) == b"first"
                async with connect(f"{sockets_of(urls[1])}/watch/stage") as late:
                    assert await next_picture(late) == b"first"
                await channels.publish("stage", b"second")
                assert await next_picture(one) == b"second"
        async with connect(f"{sockets_of(urls[1])}/watch/stage") as later:
            assert await next_picture(later) == b"second"
        await channels.forget("stage")
        async with connect(f"{sockets_of(urls[0])}/watch/stage") as latest:
            await channels.publish("stage", b"third")
            assert await next_picture(latest) == b"third"
    await channels.aclose()


async def test_nobody_is_let_in_where_limits_cannot_be_checked() -> None:
    async with FakeServer(key=KEY) as fal, workers("redis://127.0.0.1:9", fal) as urls:
        async with httpx.AsyncClient() as http:
            answer = await http.get(urls[0] + TOKEN)
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        async with connect(f"{sockets_of(urls[0])}/realtime/acme/app") as ws:
            assert (await closing(ws))[0] == 1013
        assert fal.token_requests == []


async def test_a_viewer_who_could_not_be_let_in_does_not_count_as_one(redis: str) -> None:
    # The next one would not be the first, and nobody would listen to the channel.
    channels = server.RedisChannels("redis://127.0.0.1:9")
    with pytest.raises(Refused):
        await channels.open("stage")
    assert channels.channel("stage").viewers == 0
    await channels.aclose()


async def test_an_answer_to_a_submission_is_told_though_its_owner_cannot_be_kept() -> None:
    # The request runs already: a refusal would make its caller submit it once more.
    limiter = shared.RedisLimiter("redis://127.0.0.1:9")
    entrance = Entrance(server.anyone, Origins(), server.Limit(), limiter)
    await entrance.submitted(Visitor("anna", "anna", "192.0.2.7"), "r-7")
    with pytest.raises(Refused):
        await entrance.check_owner(Visitor("ben", "ben", "192.0.2.8"), "r-7")
    await limiter.aclose()


async def test_redis_is_told_no_names_and_no_addresses(redis: str) -> None:
    limiter = shared.RedisLimiter(redis)
    await limiter.wait("requests user anna@example.com", 5, 60)
    await limiter.enter("relay user anna@example.com", 5)
    await limiter.keep("r-7", "anna@example.com")
    client = shared.connected(redis)
    keys = [key.decode() for key in await client.keys("*")]
    assert len(keys) == 3
    owners = [key for key in keys if key.startswith("falrt:owner:")]
    assert not any("anna" in text for text in [*keys, (await client.get(owners[0])).decode()])
    await limiter.aclose()
    await client.aclose()


def test_a_wrong_url_is_told_without_its_password() -> None:
    with pytest.raises(falrt.ConfigurationError, match="redis must be a URL") as caught:
        shared.connected("http://:secret@localhost")
    assert "secret" not in str(caught.value)
