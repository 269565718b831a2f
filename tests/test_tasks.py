"""What tasks and their loop allow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import falrt
from falrt.tasks import address_race
from falrt.testing import FakeServer
from tests.leaks import no_strays, soon  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")


def made(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    return asyncio.Task(work, loop=loop, **options)


async def test_only_the_addresses_of_a_name_race_and_only_where_asyncio_makes_the_tasks() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(None)
    assert [address_race(host) for host in ("127.0.0.1", "::1")] == [{}, {}]
    assert bool(address_race("fal.run")) == isinstance(loop, asyncio.BaseEventLoop)
    loop.set_task_factory(made)
    assert address_race("fal.run") == {}


async def test_a_named_host_is_reached_with_eager_tasks() -> None:
    factory = getattr(asyncio, "eager_task_factory", made)  # Python 3.12
    asyncio.get_running_loop().set_task_factory(factory)
    async with FakeServer(lambda message: message) as server:
        place = server.url.replace("127.0.0.1", "localhost")
        async with falrt.Client(key="test", base_url=place) as fal, fal.connect("acme/app") as conn:
            assert await soon(conn.request({"n": 1})) == {"n": 1}
