"""What a mistake in a test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import falrt
from falrt import models, testing
from falrt.exceptions import ConfigurationError
from falrt.local import LocalOptions
from falrt.testing import App, BackgroundFakeServer, FakeServer, FaultProxy, script
from tests.testing.wire_client import dial, hear_all


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: FakeServer(latencyy=1), "FakeServer takes no 'latencyy': did you mean 'latency'?"),
        (
            lambda: BackgroundFakeServer(buffring=1),
            "FakeServer takes no 'buffring': did you mean 'buffering'?",
        ),
        (lambda: LocalOptions(speeed=2), "LocalOptions takes no 'speeed': did you mean 'speed'?"),
        (lambda: App(modes="bidi"), "App takes no 'modes': did you mean 'mode'?"),
        (lambda: FaultProxy("127.0.0.1", 1, jiter=1), "FaultProxy takes no 'jiter': did you mean 'jitter'?"),
        (lambda: script.Swallow(inputs=1), "Swallow takes no 'inputs': did you mean 'input'?"),
        (
            lambda: script.Hang(banana=1),
            "Hang takes no 'banana': it takes times, connection, probability",
        ),
    ],
)
def test_an_unknown_argument_is_refused_with_the_one_that_was_meant(
    make: Callable[[], Any], text: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("get", "text"),
    [
        (lambda: script.Restet, "falrt.testing.script has no 'Restet': did you mean 'Reset'?"),
        (lambda: script.Nothing9, "falrt.testing.script has no 'Nothing9': it has AcceptFault, AnswerFault"),
        (lambda: testing.FakServer, "falrt.testing has no 'FakServer': did you mean 'FakeServer'?"),
        (lambda: testing.GarbageFrame, "falrt.testing has no 'GarbageFrame': did you mean 'script.Garbage'?"),
        (lambda: testing.Reset, "falrt.testing has no 'Reset': did you mean 'script.Reset'?"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_one_that_was_meant(get: Callable[[], Any], text: str) -> None:
    with pytest.raises(AttributeError) as caught:
        get()
    assert str(caught.value).startswith(text)


async def test_the_repr_tells_where_the_server_is_and_what_has_happened() -> None:
    server = FakeServer()
    assert repr(server) == "<FakeServer, not running>"
    async with server, server.connect() as conn:
        await conn.request({"prompt": "a fox"})
        assert repr(server) == f"<FakeServer {server.url}, 1 connections, 1 inputs>"
    with BackgroundFakeServer() as blocking:
        assert repr(blocking) == f"<BackgroundFakeServer {blocking.url}, 0 connections, 0 inputs>"


async def test_json_where_msgpack_is_expected_is_told_as_such() -> None:
    async with FakeServer() as server, dial(server) as ws:
        await ws.send(json.dumps({"prompt": "a fox"}).encode())
        messages, code = await hear_all(ws)
    assert messages[0]["reason"].startswith("the frame holds JSON, and the app expects msgpack")
    assert code == 1000


async def test_inputs_are_what_the_app_sent() -> None:
    async with FakeServer() as server:
        async with server.connect(models.LCM) as conn:
            await conn.request(models.LCMInput(prompt="a fox"))
            await conn.request(models.LCMInput(prompt="a hen", request_id="mine"))
        raw = server.connections[0].inputs
    assert server.inputs == [{"prompt": "a fox"}, {"prompt": "a hen", "request_id": "mine"}]
    assert raw[0]["request_id"].startswith("falrt-")


def test_the_blocking_server_has_what_the_other_has() -> None:
    names = {name for name in dir(FakeServer) if not name.startswith("_")}
    # Its life is the block's, and what these give is made for asyncio code.
    missing = names - set(dir(BackgroundFakeServer)) - {"start", "close", "options_for"}
    assert missing == set()


def test_blocking_tests_wait_and_break_things_too() -> None:
    with BackgroundFakeServer() as server, server.connect(auth="token") as conn:
        conn.request({"n": 0})
        assert server.wait_for_inputs(1) == server.inputs == [{"n": 0}]
        assert server.wait_for_answers(1) == server.answers
        server.add_fault(script.CloseWith(1012, inputs=2))
        assert conn.request({"n": 1})
        assert server.wait_for_close(0).close_code == 1012
        assert server.wait_for_connection(1).is_open
        server.add_fault(script.Hang(), script.Reset(after=9))
        server.clear_faults()
        server.expire_tokens()
        assert [request.status for request in server.token_requests] == [201]
        assert server.ws_url.startswith("ws://")
        assert server.proxy_url.startswith(server.url)
        assert server.port == int(server.url.rpartition(":")[2])


async def test_what_connect_gives_is_typed() -> None:
    async with FakeServer() as server:
        conn: falrt.RealtimeConnection[models.LCMInput, models.LCMOutput] = server.connect(models.LCM)
        await conn.close()
