"""Every form in which a message may come: whole, in fragments, byte by byte, compressed, with the handshake."""

from __future__ import annotations

import asyncio
import collections
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

import falrt
from falrt import codecs
from falrt.connection.framing import FRAMES_A_TURN
from falrt.testing import FakeServer, FaultProxy
from tests.leaks import leaves_nothing, no_strays, soon, until  # noqa: F401
from tests.raw_server import raw_server

pytestmark = pytest.mark.usefixtures("no_strays")

SIZES = [0, 1, 125, 126, 65_535, 65_536, 300_000]


def frame(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=False)


async def opened(server: FakeServer, **options: Any) -> tuple[Any, Any]:
    conn = await server.connect(**options)
    return conn, server.connections[0].socket


@pytest.mark.parametrize("size", SIZES)
async def test_messages_of_every_size_go_both_ways(size: int) -> None:
    async with FakeServer(lambda message: message) as server, server.connect() as conn:
        message = {"data": bytes(size), "text": "ä" * (size // 2)}
        assert await soon(conn.request(message)) == message


@pytest.mark.parametrize("size", SIZES)
async def test_fragments_make_one_message_with_a_ping_among_them(size: int) -> None:
    async with FakeServer() as server:
        conn, socket = await opened(server)
        async with leaves_nothing(server.url):
            data = codecs.Msgpack().encode({"data": bytes(size)})
            socket.send_bytes(
                frame(Opcode.BINARY, data[:1], fin=False)
                + frame(Opcode.PING, b"alive?")
                + frame(Opcode.CONT, data[1:2], fin=False)
                + frame(Opcode.CONT, data[2:])
            )
            assert await soon(conn.recv()) == {"data": bytes(size)}
            await conn.close()


async def test_a_message_that_comes_byte_by_byte_is_whole() -> None:
    async with FakeServer() as server:
        conn, socket = await opened(server)
        for text, opcode in (('{"a": "ä"}'.encode(), Opcode.TEXT), (b"\x81\xa1a\x01", Opcode.BINARY)):
            for byte in frame(opcode, text):
                socket.send_bytes(bytes([byte]))
                await asyncio.sleep(0.001)
        assert await soon(conn.recv()) == {"a": "ä"}
        assert await soon(conn.recv()) == {"a": 1}
        await conn.close()


async def test_many_messages_in_one_piece_come_in_order() -> None:
    async with FakeServer() as server:
        conn, socket = await opened(server)
        encode = codecs.Msgpack().encode
        socket.send_bytes(b"".join(frame(Opcode.BINARY, encode({"n": n})) for n in range(100)))
        assert [(await soon(conn.recv()))["n"] for _ in range(100)] == list(range(100))
        await conn.close()


@pytest.mark.parametrize("payload", [b"\x00", bytes(2000)])
async def test_a_flood_of_messages_leaves_the_loop_its_turns_and_is_told_whole_before_the_end(
    payload: bytes,
) -> None:
    loop = asyncio.get_running_loop()
    turns = 0
    told: list[int] = []  # the turn of the loop in which each message was told
    lost = asyncio.Event()

    def turn() -> None:
        nonlocal turns, turning
        turns += 1
        turning = loop.call_soon(turn)

    def on_event(event: falrt.events.Event) -> None:
        if isinstance(event, falrt.events.Pushed):
            told.append(turns)
        elif isinstance(event, falrt.events.Lost):
            lost.set()

    turning = loop.call_soon(turn)
    async with FakeServer() as server:
        conn, socket = await opened(server, on_event=on_event, reconnect=False)
        message = frame(Opcode.BINARY, codecs.Msgpack().encode({"data": payload}))
        socket.send_bytes(message * 3000 + frame(Opcode.CLOSE, b"\x03\xe8"))
        await soon(lost.wait())
        assert len(told) == 3000
        reads = 1 if isinstance(loop, asyncio.BaseEventLoop) else 32  # libuv reads so often in one turn
        assert max(collections.Counter(told).values()) <= 2 * FRAMES_A_TURN * reads
        await conn.close()
    turning.cancel()


async def test_messages_in_the_very_bytes_of_the_handshake_are_not_lost() -> None:
    encode = codecs.Msgpack().encode
    said = b"".join(frame(Opcode.BINARY, encode({"early": n})) for n in range(3))
    async with (
        raw_server(said) as url,
        falrt.connect("acme/app", base_url=url, key="k", auth="key") as conn,
    ):
        assert [(await soon(conn.recv()))["early"] for _ in range(3)] == [0, 1, 2]


async def test_empty_fragments_cost_and_hold_nothing() -> None:
    async with FakeServer() as server:
        conn, socket = await opened(server, max_size=1000)
        # Ten seconds of a loop that stands still, where each fragment is added to a tuple.
        socket.send_bytes(frame(Opcode.BINARY, b"", fin=False) + frame(Opcode.CONT, b"", fin=False) * 100_000)
        socket.send_bytes(frame(Opcode.CONT, codecs.Msgpack().encode({"n": 1})))
        assert await soon(conn.recv()) == {"n": 1}
        await conn.close()


async def test_fragments_hold_no_more_than_their_bytes() -> None:
    said = frame(Opcode.TEXT, b"{", fin=False) + frame(Opcode.CONT, b" ", fin=False) * 999
    async with (
        raw_server(said) as url,
        falrt.connect("acme/app", base_url=url, key="k", auth="key", max_size=1000) as conn,
    ):
        framing: Any = conn._core._supervisor.socket._framing  # type: ignore[union-attr]
        await until(lambda: framing._fragments == b"{" + b" " * 999)


async def test_compression_is_spoken_where_it_is_asked_for() -> None:
    async def app(ws: ServerConnection) -> None:
        assert ws.protocol.extensions
        async for message in ws:
            await ws.send(message)

    async with serve(app, "127.0.0.1", 0, compression="deflate") as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        options: Any = {"base_url": url, "key": "k", "auth": "key", "compression": "deflate"}
        async with falrt.connect("acme/app", **options) as conn:
            message = {"prompt": "a fox " * 1000}
            assert await soon(conn.request(message)) == message


@pytest.mark.parametrize("bad", [b"\x83\x00", b"\x82\xff", b"\xc2\x00", b"\x80\x01x", b"\x81\x02\xff\xff"])
async def test_what_breaks_the_protocol_is_a_decode_error_and_the_connection_comes_back(bad: bytes) -> None:
    async with FakeServer(lambda message: message) as server:
        conn, socket = await opened(server, reconnect=falrt.Backoff(initial=0.01, maximum=0.02))
        socket.send_bytes(bad)
        with pytest.raises(falrt.DecodeError):
            await soon(conn.recv())
        assert await soon(conn.request({"n": 1})) == {"n": 1}
        await conn.close()


async def test_a_slow_line_that_cuts_everywhere_changes_nothing() -> None:
    async with FakeServer(lambda message: message) as server:
        port = int(server.url.rpartition(":")[2])
        async with (
            FaultProxy("127.0.0.1", port, jitter=0.001, bandwidth=20_000_000) as proxy,
            server.connect(base_url=proxy.url) as conn,
        ):
            for size in SIZES:
                assert await soon(conn.request({"data": bytes(size)})) == {"data": bytes(size)}
