# ruff: noqa: SIM117 - servers outside, sockets inside
from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect

import falrt
from falrt import server
from falrt.server.channels import Channel
from falrt.testing import FakeServer
from tests.server.serving import KEY, serving
from tests.server.test_relay import PATIENCE, closing, echo, relay


@contextlib.asynccontextmanager
async def stage(**options: Any) -> AsyncIterator[tuple[server.Channels, str]]:
    """Channels, and the URL at which they are watched."""
    channels = server.Channels()
    defaults = {"allow": ["acme/app"], "authorize": server.anyone, "key": KEY, "channels": channels}
    async with serving(server.create_app(**{**defaults, **options})) as url:
        yield channels, url.replace("http", "ws") + "/api/fal/watch"


async def next_picture(ws: ClientConnection) -> bytes:
    async with asyncio.timeout(PATIENCE):
        while True:
            frame = await ws.recv()
            if isinstance(frame, bytes):
                return frame


async def test_viewers_see_what_is_published() -> None:
    async with stage() as (channels, url), connect(f"{url}/stage") as one, connect(f"{url}/stage") as two:
        await channels.publish("stage", b"\xff\xd8first")
        assert await next_picture(one) == b"\xff\xd8first"
        assert await next_picture(two) == b"\xff\xd8first"
        words = json.loads(await two.recv())
        assert (words["number"], words["viewers"]) == (1, 2)
        await channels.publish("stage", {"images": [{"content": b"second"}]})
        assert msgpack.unpackb(await next_picture(one)) == {"images": [{"content": b"second"}]}


async def test_a_late_viewer_begins_with_the_newest_picture() -> None:
    async with stage() as (channels, url):
        for number in range(5):
            await channels.publish("stage", b"picture %d" % number)
        async with connect(f"{url}/stage") as late:
            assert await next_picture(late) == b"picture 4"


async def test_channels_are_apart() -> None:
    async with stage() as (channels, url), connect(f"{url}/one") as one:
        await channels.publish("two", b"not for one")
        await channels.publish("one", b"for one")
        assert await next_picture(one) == b"for one"


async def test_a_stalled_viewer_costs_the_others_nothing() -> None:
    async with stage() as (channels, url):
        async with connect(f"{url}/stage", max_queue=1) as stalled, connect(f"{url}/stage") as healthy:
            for number in range(50):
                await channels.publish("stage", b"%03d" % number + b"x" * 400_000)
                picture = await next_picture(healthy)
                assert picture[:3] == b"%03d" % number
            # What the stalled one finds when it wakes up: what had left for it, and then the newest.
            seen = []
            while not seen or seen[-1] != 49:
                seen.append(int((await next_picture(stalled))[:3]))
            assert len(seen) < 50


async def test_a_viewer_who_leaves_leaves_nothing_behind() -> None:
    async with stage() as (channels, url):
        async with connect(f"{url}/nobody-publishes-here") as ws:
            await ws.ping()
        async with asyncio.timeout(PATIENCE):
            while channels._channels:  # noqa: ASYNC110 - the server's side ends on its own
                await asyncio.sleep(0.001)


async def test_a_viewer_who_talks_too_much_is_let_go() -> None:
    async with stage() as (_, url), connect(f"{url}/stage") as ws:
        for _ in range(12):
            await ws.send("hello")
        assert (await closing(ws))[0] == 4429


@pytest.mark.parametrize("name", ["a b", "ü", "x" * 101, "%2e%2e%2f", "..", ""])
async def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(falrt.ConfigurationError, match="channel"):
        await server.Channels().publish(name, b"x")


async def test_a_wrong_name_is_4403() -> None:
    async with stage() as (_, url), connect(f"{url}/a%20b") as ws:
        assert (await closing(ws))[0] == 4403


async def test_one_viewer_who_stops_waiting_does_not_stop_the_others() -> None:
    channel = Channel("stage")
    one = asyncio.create_task(channel.newer_than(0))
    two = asyncio.create_task(channel.newer_than(0))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait([one])
    channel.put(b"x")
    assert await two == (1, b"x")


async def test_a_relayed_browser_is_watched_where_it_may_publish() -> None:
    def may_publish(user: object, channel: str) -> bool:
        return channel == "stage"

    async with FakeServer(echo, key=KEY) as fal, relay(fal, may_publish=may_publish) as url:
        async with connect(f"{url}/watch/stage") as viewer:
            async with connect(f"{url}/realtime/acme/app?channel=stage") as host:
                await host.send(msgpack.packb({"prompt": "a fox"}))
                assert msgpack.unpackb(await next_picture(viewer))["echo"] == "a fox"
            async with connect(f"{url}/realtime/acme/app?channel=stage") as again:
                await again.send(msgpack.packb({"prompt": "a hen"}))
                assert msgpack.unpackb(await next_picture(viewer))["echo"] == "a hen"
        async with connect(f"{url}/realtime/acme/app?channel=other") as ws:
            assert (await closing(ws))[0] == 4403


async def test_nobody_may_publish_unless_the_owner_says_so() -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app?channel=stage") as ws:
            assert (await closing(ws))[0] == 4403


async def test_the_last_picture_of_who_has_left_is_not_shown() -> None:
    async with stage() as (channels, url):
        await channels.publish("stage", b"private")
        await channels.forget("stage")
        async with connect(f"{url}/stage") as ws:
            await channels.publish("stage", b"public")
            assert await next_picture(ws) == b"public"
