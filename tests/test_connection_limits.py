"""Bounds: what is not read does not fill the memory, and whoever lost something is told how much."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import falrt
from falrt.inbox import Inbox
from falrt.testing import FakeServer, script
from tests.leaks import no_strays, soon, turns, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")


def echo(message: Any) -> dict[str, Any]:
    return {"n": message["n"]}


async def fill(conn: Any, server: FakeServer, count: int) -> None:
    for n in range(count):
        await conn.send({"n": n})
        if n % 50 == 0:
            await server.wait_for_answers(n + 1)
    await until(lambda: conn.stats.received == count)


async def test_of_unread_results_the_oldest_go_and_their_number_is_told_once() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        await fill(conn, server, 300)
        with pytest.raises(falrt.QueueFullError, match="44 unread results") as caught:
            await conn.recv()
        assert (caught.value.queue, caught.value.dropped) == ("receive", 44)
        assert [(await soon(conn.recv()))["n"] for _ in range(256)] == list(range(44, 300))


async def test_requests_are_answered_while_nobody_reads() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        await fill(conn, server, 300)
        assert await soon(conn.request({"n": 7})) == {"n": 7}


async def test_latest_forgives_what_was_not_read() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        await fill(conn, server, 300)
        reply = conn.latest()
        assert reply is not None
        assert reply.output == {"n": 299}
        await conn.send({"n": 300})
        assert await soon(conn.recv()) == {"n": 300}


async def test_the_inbox_counts_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falrt.inbox.BYTES_MAX", 1000)
    inbox = Inbox()
    inbox.put("a", 600)
    assert not inbox.full
    inbox.put("b", 400)
    assert inbox.full
    inbox.discard_oldest()
    assert (inbox.discarded, inbox.full, inbox.take()) == (1, False, "b")
    with pytest.raises(IndexError, match="empty"):
        inbox.take()


async def test_a_send_queue_that_is_full_makes_the_next_sender_wait() -> None:
    faults = [script.SlowHandshake(0.05)]
    async with FakeServer(echo, faults=faults) as server, server.connect(lazy=True) as conn:
        sends = [asyncio.create_task(conn.send({"n": n})) for n in range(260)]
        await until(lambda: len(conn._supervisor.protocol.main.waiting) == 256)
        late = asyncio.create_task(conn.request({"n": 260}))
        await turns(5)
        assert len(conn._supervisor.protocol.main.waiting) == 256
        assert await soon(late) == {"n": 260}
        await soon(asyncio.gather(*sends))


async def test_those_who_wait_for_room_are_told_when_it_ends() -> None:
    faults = [script.Hang(times=None)]
    async with FakeServer(echo, faults=faults) as server, server.connect(lazy=True) as conn:
        sends = [asyncio.create_task(conn.send({"n": n})) for n in range(260)]
        await until(lambda: len(conn._supervisor.protocol.main.waiting) == 256)
        await conn.close()
        errors = await soon(asyncio.gather(*sends, return_exceptions=True))
        assert [error.unsent for error in errors] == [({"n": n},) for n in range(260)]
