"""falrt against fal's own server SDK: the three modes whose sessions end, and codecs of the app's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import falrt
from tests.interop.fal_app import FalAppServer
from tests.interop.peer_app import PeerApp

pytestmark = pytest.mark.peer

APP = "acme/app"
# A test that takes longer than this hangs.
PATIENCE = 20


class In(BaseModel):
    n: int


class Out(BaseModel):
    n: int


@pytest.fixture(scope="module")
def running() -> Iterator[FalAppServer]:
    with FalAppServer(PeerApp) as server:
        yield server


@pytest.fixture
def server(running: FalAppServer) -> FalAppServer:
    running.app.setup()
    return running


def connect(server: FalAppServer, path: str, **options: Any) -> falrt.RealtimeConnection[Any, Any]:
    return falrt.connect(APP, path=path, base_url=server.url, key="id:secret", **options)


# One input, many outputs.


@pytest.mark.wire("W30")
@pytest.mark.parametrize("path", ["/count", "/count/sync"])
async def test_a_server_stream_ends_iteration_where_the_app_ends(server: FalAppServer, path: str) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, path, mode="server_streaming") as conn:
        await conn.send({"n": 5, "work_seconds": 0.001})
        assert [output["n"] async for output in conn] == [0, 1, 2, 3, 4]


async def test_each_further_input_of_a_server_stream_starts_a_new_session(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/count", mode="server_streaming") as conn:
        for n in (3, 2):
            await conn.send({"n": n, "work_seconds": 0.001})
            assert [output["n"] async for output in conn] == list(range(n))


async def test_recv_after_the_end_of_a_server_stream_raises(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/count", mode="server_streaming") as conn:
        await conn.send({"n": 1})
        assert (await conn.recv())["n"] == 0
        for _ in range(2):
            with pytest.raises(falrt.ConnectionClosedOK):
                await conn.recv()


async def test_an_app_that_fails_in_mid_stream_is_a_server_error(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/count", mode="server_streaming") as conn:
        await conn.send({"n": 2, "work_seconds": 0.01, "fail": "out of paper"})
        assert [(await conn.recv())["n"], (await conn.recv())["n"]] == [0, 1]
        with pytest.raises(falrt.ServerError, match="out of paper"):
            await conn.recv()


async def test_a_typed_model_carries_its_mode(server: FalAppServer) -> None:
    model = falrt.RealtimeModel(APP, In, Out, path="/count", mode="server_streaming")
    async with (
        asyncio.timeout(PATIENCE),
        falrt.connect(model, base_url=server.url, key="id:secret") as conn,
    ):
        await conn.send(In(n=2))
        assert [output async for output in conn] == [Out(n=0), Out(n=1)]


@pytest.mark.parametrize("mode", ["server_streaming", "client_streaming", "bidi"])
async def test_request_and_stream_are_refused_where_answers_have_no_question(
    server: FalAppServer, mode: Any
) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/count", mode=mode) as conn:
        with pytest.raises(falrt.ConfigurationError, match="send\\(\\) and recv\\(\\)"):
            await conn.request({"n": 1})
        with pytest.raises(falrt.ConfigurationError, match="send\\(\\) and recv\\(\\)"):
            conn.stream([{"n": 1}])


# Many inputs, one output.


@pytest.mark.wire("W30")
async def test_a_client_stream_is_answered_when_inputs_pause(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/sum", mode="client_streaming") as conn:
        for n in range(1, 5):
            await conn.send({"n": n})
        assert [output["n"] async for output in conn] == [10]


async def test_a_client_stream_may_be_ended_by_nil_where_the_app_is_untyped(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/sum/untyped", mode="client_streaming") as conn:
        for n in range(1, 5):
            await conn.send({"n": n})
        await conn.send(None)  # type: ignore[arg-type]  # the app's own end mark is no map
        assert [output["sum"] async for output in conn] == [10]


async def test_a_client_stream_can_be_followed_by_another(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/sum", mode="client_streaming") as conn:
        for numbers in ([1, 2], [3, 4]):
            for n in numbers:
                await conn.send({"n": n})
            assert [output["n"] async for output in conn] == [sum(numbers)]


# Many inputs, many outputs.


@pytest.mark.wire("W30")
async def test_bidi_gives_outputs_in_the_apps_own_rhythm_and_ends_with_it(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/chat", mode="bidi") as conn:
        for n in (1, 2):
            await conn.send({"n": n})
            assert [(await conn.recv())["n"], (await conn.recv())["n"]] == [n, n]
        await conn.send({"n": 0})
        assert [output async for output in conn] == []


async def test_a_bidi_app_that_fails_is_a_server_error(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/chat", mode="bidi") as conn:
        await conn.send({"n": 1, "fail": "lost my voice"})
        with pytest.raises(falrt.ServerError, match="lost my voice"):
            await conn.recv()


async def test_a_bidi_session_lost_in_the_middle_is_an_error_not_an_end() -> None:
    with FalAppServer(PeerApp) as server:
        async with asyncio.timeout(PATIENCE), connect(server, "/chat", mode="bidi") as conn:
            await conn.send({"n": 1})
            assert [(await conn.recv())["n"], (await conn.recv())["n"]] == [1, 1]
            await asyncio.to_thread(server.stop)
            with pytest.raises(falrt.ConnectionClosedError):
                await conn.recv()


# Codecs.


@pytest.mark.wire("W55")
async def test_an_app_with_json_bytes(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/json", codec=falrt.codecs.Json()) as conn:
        assert await conn.request({"n": 1}) == {"got": {"n": 1}}


@pytest.mark.wire("W55")
async def test_an_app_that_answers_with_text(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/json/text", codec=falrt.codecs.Json()) as conn:
        assert await conn.request({"n": 1}) == {"got": {"n": 1}}


async def test_an_app_with_a_codec_of_its_own_by_hooks(server: FalAppServer) -> None:
    async def decode(data: bytes | str) -> Any:
        assert isinstance(data, bytes)
        await asyncio.sleep(0)
        return json.loads(data[::-1])

    async with (
        asyncio.timeout(PATIENCE),
        connect(
            server,
            "/reversed",
            encode_message=lambda message: json.dumps(message).encode()[::-1],
            decode_message=decode,
        ) as conn,
    ):
        answers = await asyncio.gather(*(conn.request({"n": n}) for n in range(10)))

    assert answers == [{"got": {"n": n}} for n in range(10)]


async def test_an_app_with_a_codec_of_its_own_by_an_object(server: FalAppServer) -> None:
    class Reversed:
        def encode(self, message: Any) -> bytes:
            return json.dumps(message).encode()[::-1]

        def decode(self, data: bytes | str) -> Any:
            return json.loads(data[::-1])

    async with asyncio.timeout(PATIENCE), connect(server, "/reversed", codec=Reversed()) as conn:
        assert await conn.request({"n": 1}) == {"got": {"n": 1}}


@pytest.mark.wire("W26")
async def test_a_control_frame_reaches_no_hook(server: FalAppServer) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        connect(
            server, "/reversed", encode_message=lambda _: b"garble", decode_message=lambda _: 1 / 0
        ) as conn,
    ):
        with pytest.raises(falrt.ServerError, match="INTERNAL_ERROR"):
            await conn.request({"n": 1})


async def test_the_wrong_codec_is_a_decode_error(server: FalAppServer) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        connect(
            server, "/reversed", encode_message=lambda message: json.dumps(message).encode()[::-1]
        ) as conn,
    ):
        with pytest.raises(falrt.DecodeError):
            await conn.request({"n": 1})
