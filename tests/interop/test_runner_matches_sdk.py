"""The fake server against fal's own server SDK: the same client, the same frames, the same answers.

Each test drives both; what they say must be equal. Where fal's own mix depends on timing (wire fact W31), a burst is
sent until it shows what it mostly shows. From Python 3.12 on, fal's reader empties the socket before its worker wakes
even with a session_timeout, since `asyncio.wait_for` no longer gives the loop a turn; and outputs of inputs that came
in one burst may pass each other. The fake server plays what 3.11 does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from ast import literal_eval
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from falrt.testing import App, BackgroundFakeServer

pytestmark = pytest.mark.peer
fal = pytest.importorskip("fal", reason="fal's server SDK is not installed: pip install --group peers")
from tests.interop.fal_app import serve_fal_app  # noqa: E402 - needs fal

WORK = 0.02
"""Seconds of inference where a test needs the worker to be busy."""
IDLE = 0.1
"""A session_timeout that ends soon, and later than any test sends its inputs."""


async def work(self: Any, *inputs: Any) -> dict[str, Any]:
    await asyncio.sleep(WORK)
    return {"inputs": list(inputs)}


async def at_once(self: Any, message: Any) -> dict[str, Any]:
    return {"got": message}


async def burst(self: Any, message: Any) -> AsyncIterator[dict[str, Any]]:
    for number in range(12):
        yield {"n": number}


async def burst_and_fail(self: Any, message: Any) -> AsyncIterator[dict[str, Any]]:
    for number in range(3):
        yield {"n": number}
    raise RuntimeError("boom")


async def slow_stream(self: Any, message: Any) -> AsyncIterator[dict[str, Any]]:
    for number in range(3):
        await asyncio.sleep(0.001)
        yield {"n": number, "of": message}


def sync_stream(self: Any, message: Any) -> Iterator[dict[str, Any]]:
    for number in range(4):
        yield {"n": number}


async def collect(self: Any, inputs: AsyncIterator[Any]) -> dict[str, Any]:
    return {"all": [message async for message in inputs]}


async def echo_two(self: Any, inputs: AsyncIterator[Any]) -> AsyncIterator[dict[str, Any]]:
    left = 2
    async for message in inputs:
        yield {"echo": message}
        left -= 1
        if not left:
            return


async def too_slow(self: Any, message: Any) -> dict[str, Any]:
    await asyncio.sleep(IDLE * 3)
    return {}


async def fail(self: Any, message: Any) -> dict[str, Any]:
    raise ValueError("no memory left")


async def no_map(self: Any, message: Any) -> Any:
    return [1]


MODES = {
    burst: "server_streaming",
    burst_and_fail: "server_streaming",
    slow_stream: "server_streaming",
    sync_stream: "server_streaming",
    collect: "client_streaming",
    echo_two: "bidi",
}

# What is compared. A burst: buffering, session_timeout, how many inputs at once, and which are answered.
BURSTS: list[tuple[int | None, float | None, int, list[int]]] = [
    (1, 5.0, 2, [0, 1]),
    (1, 5.0, 3, [0, 2]),
    (2, 5.0, 10, [0, 8, 9]),
    (None, 5.0, 4, [0, 1, 2, 3]),
    # Without a session_timeout the reader empties the socket before the worker takes the first.
    (1, None, 2, [1]),
    (1, None, 3, [2]),
    (2, None, 2, [0, 1]),
    (2, None, 10, [8, 9]),
    (None, None, 3, [0, 1, 2]),
]

# A whole session: the app, its options, and inputs (bytes and str go as they are).
SESSIONS: list[tuple[Callable[..., Any], dict[str, Any], list[Any]]] = [
    (at_once, {"session_timeout": IDLE}, []),
    (at_once, {"session_timeout": IDLE}, [{"a": 1}]),
    (at_once, {"session_timeout": IDLE, "emit_timings": True}, [{"a": 1}, {"a": 2}]),
    (too_slow, {"session_timeout": IDLE}, [{"a": 1}]),
    (too_slow, {"session_timeout": IDLE * 2, "buffering": 1}, [{"a": 1}, {"a": 2}]),
    (fail, {}, [{"a": 1}]),
    (no_map, {}, [{"a": 1}]),
    (at_once, {}, ["text"]),
    (at_once, {}, [b"\xc1"]),
    (at_once, {}, [b""]),
    (at_once, {}, [{1: 2}]),
    (at_once, {}, [1, None]),
    (burst, {}, [{"go": 1}]),
    (burst, {"buffering": 3}, [{"go": 1}]),
    (burst_and_fail, {}, [{"go": 1}]),
    (burst_and_fail, {"buffering": 2}, [{"go": 1}]),
    (slow_stream, {"emit_timings": True}, [{"go": 1}, {"ignored": 2}]),
    (slow_stream, {"session_timeout": IDLE}, []),
    (sync_stream, {}, [{"go": 1}]),
    (collect, {"session_timeout": IDLE}, [1, 2, 3]),
    (collect, {"emit_timings": True}, [1, 2, None]),
    (collect, {}, [1, b"\xc1"]),
    (echo_two, {}, [1, 2, 3]),
    (echo_two, {"session_timeout": IDLE}, [1]),
]

BATCHES: list[dict[str, Any]] = [
    {"max_batch_size": 4},
    {"max_batch_size": 4, "session_timeout": 5.0},
    {"max_batch_size": 3},
]

Case = tuple[Callable[..., Any], dict[str, Any]]
Talk = Callable[[ClientConnection], Any]


def cases() -> list[Case]:
    """Every app that is compared; each gets a path of its own, so that one server of each kind is enough."""
    bursts = [(work, {"buffering": size, "session_timeout": idle}) for size, idle, _, _ in BURSTS]
    return [
        *bursts,
        *((function, options) for function, options, _ in SESSIONS),
        *((work, o) for o in BATCHES),
    ]


def fal_endpoint(path: str, function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Declare an endpoint. fal's decorator has no argument for timings; the signature that it makes has."""
    sdk = sys.modules["fal.realtime"]
    options = dict(options)
    signature = partial(sdk.RouteSignature, emit_timings=options.pop("emit_timings", False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdk, "RouteSignature", signature)
        return fal.realtime(path, **options)(function)


def fake_app(function: Callable[..., Any], options: dict[str, Any]) -> App:
    return App(partial(function, None), mode=MODES.get(function, "unary"), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def peers() -> Iterator[list[str]]:
    """fal's SDK and the fake server, both with every app."""
    endpoints = {f"c{n}": fal_endpoint(f"/c{n}", *case) for n, case in enumerate(cases())}
    apps = {f"acme/app/c{n}": fake_app(*case) for n, case in enumerate(cases())}
    with (
        serve_fal_app(type("Peer", (fal.App,), endpoints)) as fals,
        BackgroundFakeServer(apps=apps, auth=False) as ours,
    ):
        yield [fals, ours.url]


async def compare(peers: list[str], case: Case, talk: Talk, rounds: int = 1) -> list[Any]:
    """Return the outcomes of a talk with each server; the commonest where it takes several rounds."""
    outcomes = []
    for url in peers:
        address = f"{url.replace('http', 'ws')}/acme/app/c{cases().index(case)}"
        seen = []
        for _ in range(rounds):
            async with connect(address, compression=None, close_timeout=1) as ws:
                seen.append(repr(await talk(ws)))
        outcomes.append(max(seen, key=seen.count))
    return outcomes


async def hear_all(ws: ClientConnection) -> tuple[list[Any], int]:
    messages: list[Any] = []
    async with asyncio.timeout(5):
        try:
            while True:
                frame = await ws.recv()
                message = json.loads(frame) if isinstance(frame, str) else msgpack.unpackb(frame)
                if "timing" in message:
                    message["timing"] = message["timing"] > 0
                messages.append(message)
        except ConnectionClosed as exc:
            return messages, exc.rcvd.code if exc.rcvd is not None else 1006


def send_together(ws: ClientConnection, inputs: tuple[Any, ...]) -> None:
    """Send all in one write, so that the server reads them at once."""
    for message in inputs:
        if isinstance(message, str):
            ws.protocol.send_text(message.encode())
        else:
            ws.protocol.send_binary(message if isinstance(message, bytes) else msgpack.packb(message))
    ws.transport.write(b"".join(ws.protocol.data_to_send()))


def saying(*inputs: Any) -> Talk:
    """A talk: these inputs at once, and everything that comes back."""

    async def talk(ws: ClientConnection) -> Any:
        send_together(ws, inputs)
        return await hear_all(ws)

    return talk


def hearing(*inputs: Any) -> Talk:
    """A talk without an end: these inputs at once, and every answer until the newest has its own."""

    async def talk(ws: ClientConnection) -> Any:
        send_together(ws, inputs)
        answers = []
        async with asyncio.timeout(5):
            while not answers or inputs[-1] not in answers[-1]["inputs"]:
                answers.append(msgpack.unpackb(await ws.recv()))
        return answers

    return talk


def batches(*inputs: list[int]) -> str:
    """Return an outcome: one answer for each batch of inputs."""
    return repr([{"inputs": batch} for batch in inputs])


@pytest.mark.wire("W31")
@pytest.mark.parametrize(("buffering", "session_timeout", "count", "answered"), BURSTS)
async def test_a_burst_loses_the_same_inputs(
    peers: list[str], buffering: int | None, session_timeout: float | None, count: int, answered: list[int]
) -> None:
    case = (work, {"buffering": buffering, "session_timeout": session_timeout})
    fals, ours = await compare(peers, case, hearing(*range(count)), rounds=3)
    assert ours == batches(*([number] for number in answered))
    if sys.version_info >= (3, 12) and buffering is not None:
        answered = answered[-buffering:]
    assert fals == batches(*([number] for number in answered))


@pytest.mark.parametrize("options", BATCHES[:2])
async def test_batches_are_the_same(peers: list[str], options: dict[str, Any]) -> None:
    fals, ours = await compare(peers, (work, options), hearing(*range(6)), rounds=3)
    together, first_alone = batches([0, 1, 2, 3], [4, 5]), batches([0], [1, 2, 3, 4], [5])
    assert ours == (first_alone if "session_timeout" in options else together)
    assert fals == (together if sys.version_info >= (3, 12) else ours)


async def test_a_batch_swallows_the_end_mark(peers: list[str]) -> None:
    fals, ours = await compare(peers, (work, BATCHES[2]), hearing(1, 2, None))
    assert ours == repr([{"inputs": [1, 2, None]}])
    assert ours == fals


@pytest.mark.parametrize(("function", "options", "inputs"), SESSIONS)
async def test_a_session_says_the_same_to_its_end(
    peers: list[str], function: Any, options: dict[str, Any], inputs: list[Any]
) -> None:
    fals, ours = await compare(peers, (function, options), saying(*inputs))
    if len(inputs) > 1 and sys.version_info >= (3, 12):
        fals, ours = (sorted(map(repr, literal_eval(outcome)[0])) for outcome in (fals, ours))
    assert ours == fals


@pytest.mark.wire("W18")
async def test_a_message_that_is_too_large_ends_with_1009(peers: list[str]) -> None:
    async def talk(ws: ClientConnection) -> Any:
        with suppress(ConnectionClosed):  # the server may hang up while it is still being sent
            await ws.send(bytes(17 * 1024 * 1024))
        return (await hear_all(ws))[1]

    fals, ours = await compare(peers, (fail, {}), talk)
    assert ours == fals == "1009"
