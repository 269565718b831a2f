"""Bounds: what is not read does not fill the memory, and whoever lost something is told how much."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest

import falrt
from falrt.connection.inbox import Inbox
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


def test_a_reader_that_stays_behind_is_told_once_and_of_the_rest_when_there_is_room_again() -> None:
    inbox = Inbox()
    told: list[Any] = []

    def put(count: int) -> None:
        for _ in range(count):
            if inbox.full:
                inbox.discard_oldest()
            inbox.put("result")

    put(300)
    for _ in range(100):  # two come for each that is taken
        told.append(inbox.next())
        put(2)
    while inbox:
        told.append(inbox.next())
    errors = [(n, error.dropped) for n, error in enumerate(told) if isinstance(error, falrt.QueueFullError)]
    assert errors[0] == (0, 44)
    assert len(errors) == 2
    assert len(told) - 2 + 44 + errors[1][1] == 300 + 200


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
    monkeypatch.setattr("falrt.connection.inbox.BYTES_MAX", 1000)
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
        await until(lambda: len(conn._core._supervisor.protocol.main.waiting) == 256)
        late = asyncio.create_task(conn.request({"n": 260}))
        await turns(5)
        assert len(conn._core._supervisor.protocol.main.waiting) == 256
        assert await soon(late) == {"n": 260}
        await soon(asyncio.gather(*sends))


async def test_those_who_wait_for_room_are_told_when_it_ends() -> None:
    faults = [script.Hang(times=None)]
    async with FakeServer(echo, faults=faults) as server, server.connect(lazy=True) as conn:
        sends = [asyncio.create_task(conn.send({"n": n})) for n in range(260)]
        await until(lambda: len(conn._core._supervisor.protocol.main.waiting) == 256)
        await conn.close()
        errors = await soon(asyncio.gather(*sends, return_exceptions=True))
        assert [error.unsent for error in errors] == [({"n": n},) for n in range(260)]


# --- what is refused before anything is sent


async def test_no_input_at_all_is_refused_and_a_stream_says_so() -> None:
    async def camera() -> AsyncIterator[Any]:
        yield {"n": 0}
        yield None

    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(falrt.ConfigurationError, match="must not be None"):
            await conn.request(None)  # type: ignore[arg-type]  # the mistake
        with pytest.raises(falrt.ConfigurationError, match="must not be None"):
            await soon(_all(conn.stream(camera())))


async def _all(replies: AsyncIterator[Any]) -> list[Any]:
    return [reply async for reply in replies]


async def test_an_input_that_holds_itself_is_refused() -> None:
    ring: dict[str, Any] = {}
    ring["ring"] = ring
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises((falrt.ConfigurationError, falrt.EncodeError)):
            await conn.request(ring)


@pytest.mark.parametrize("timeout", ["x", True, 0, -1, float("nan"), float("inf")])
async def test_a_time_out_that_is_none_is_refused(timeout: Any) -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(
            falrt.ConfigurationError, match="timeout must be a positive number of seconds or None"
        ):
            await conn.request({"n": 1}, timeout=timeout)
        with pytest.raises(
            falrt.ConfigurationError, match="timeout must be a positive number of seconds or None"
        ):
            await conn.drain(timeout)


async def test_text_that_no_frame_can_hold_is_refused_and_counts_as_unsent() -> None:
    async with FakeServer(echo) as server, server.connect(encode_message=lambda message: "\udc00") as conn:
        with pytest.raises(falrt.EncodeError, match="surrogate"):
            await conn.send({"n": 1})
        assert conn.stats.sent == 0


async def test_telling_the_end_again_and_again_keeps_no_tracebacks() -> None:
    async with FakeServer(echo) as server:
        conn = await server.connect()
        await conn.close()
        for _ in range(50):
            with contextlib.suppress(falrt.FalrtError):
                await soon(conn.recv())
        error: BaseException | None = None
        try:
            await soon(conn.recv())
        except falrt.FalrtError as exc:
            error = exc
        assert error is not None
        assert len(list(traceback.walk_tb(error.__traceback__))) < 10
