"""What the log says of a connection: directions, numbers and sizes, never what is in them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from falrt import events
from falrt.connection.delivery import bytes_in_words
from falrt.testing import FakeServer, script
from tests.leaks import no_strays, soon, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")


def echo(message: Any) -> Any:
    return {"n": message["n"], "image": b"\x01" * 81_000}


async def test_debug_shows_what_goes_and_comes_and_no_payload(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "falrt")
    faults = [script.Reset(after=2)]
    async with FakeServer(echo, faults=faults) as server, server.connect() as conn:
        for n in range(3):
            await soon(conn.request({"n": n, "prompt": "a secret fox", "image": bytes(64_000)}))
    lines = [record.getMessage() for record in caplog.records if record.name == "falrt.connection"]
    assert lines[:2] == ["acme/app: open", "acme/app: > #1 input 64 kB"]
    assert lines[2].startswith("acme/app: < #1 result 81 kB in ")
    assert any("code 1006" in line for line in lines)
    assert "secret" not in caplog.text
    assert "x01" not in caplog.text


async def test_what_the_server_dropped_is_logged_and_told_and_leaves_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "falrt")
    seen: list[events.Event] = []

    async def slow(message: Any) -> Any:
        await asyncio.sleep(0.01)
        return {"n": message["n"], "request_id": message["request_id"]}

    options: Any = {"on_event": seen.append}
    async with FakeServer(slow, buffering=1) as server, server.connect(**options) as conn:
        await soon(conn.request({"n": 0, "request_id": "a"}))
        requests = [conn.request({"n": n, "request_id": f"b{n}"}) for n in range(1, 6)]
        answers = await soon(asyncio.gather(*requests))
        assert [answer["n"] for answer in answers] == [1, 2, 3, 4, 5]
    dropped = [event.input for event in seen if isinstance(event, events.Dropped)]
    assert bool(dropped) == ("dropped by the server" in caplog.text)
    assert all(f"> #{input.number} input" in caplog.text for input in dropped)


async def test_a_socket_that_could_not_be_opened_is_told_from_one_that_was_lost() -> None:
    seen: list[events.Event] = []
    faults = [script.RefuseHandshake(503, times=1), script.Reset(after=1)]
    async with FakeServer(echo, faults=faults) as server, server.connect(on_event=seen.append) as conn:
        await soon(conn.request({"n": 1}))
        await until(lambda: sum(isinstance(event, events.Lost) for event in seen) == 2)
    assert [event.opened for event in seen if isinstance(event, events.Lost)] == [False, True]


def test_sizes_are_short() -> None:
    assert [bytes_in_words(size) for size in (7, 64_200, 1_540_000)] == ["7 B", "64 kB", "1.5 MB"]
