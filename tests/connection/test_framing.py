"""Bytes to messages, whatever way they come in; the protocol's own errors; pings that find no room."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from websockets.frames import Close, Frame, Opcode

import falrt
from falrt.connection.framing import ASSEMBLED_MAX_BYTES, Framing
from falrt.connection.handshake import Answer
from falrt.connection.receiving import Buffers, buffers_of
from falrt.testing import FakeServer
from tests.connection.test_handshake import saying
from tests.leaks import leaves_nothing, no_strays, soon, until  # noqa: F401
from tests.raw_server import accepting, raw_server

pytestmark = pytest.mark.usefixtures("no_strays")


def frame(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=False)


def opened(*, max_size: int | None = None) -> tuple[Framing, list[Any]]:
    """Return an open WebSocket, and a list of the messages that it gives, copied."""
    messages: list[Any] = []
    framing = Framing("ws://h/x", {}, max_size=max_size, compression=None)
    framing.on_message = lambda message, size: messages.append(
        bytes(message) if isinstance(message, memoryview) else message
    )
    request = b"".join(framing.bytes_to_send()).decode()
    accept = accepting(request)
    headers = (("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", accept))
    framing.upgrade(Answer(101, headers, 0))
    return framing, messages


def feed(framing: Framing, data: bytes, cuts: list[int]) -> None:
    """Feed bytes in pieces, keeping what was not used, as a socket does."""
    kept = b""
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        kept += data[begin:end]
        used, _ = framing.read(memoryview(kept), len(kept))
        kept = kept[used:]


MESSAGES = (
    frame(Opcode.TEXT, "grün".encode())
    + frame(Opcode.BINARY, b"")
    + frame(Opcode.PING, b"1")
    + frame(Opcode.BINARY, bytes(200))
    + frame(Opcode.BINARY, b"a", fin=False)
    + frame(Opcode.PONG, b"")
    + frame(Opcode.CONT, b"b", fin=False)
    + frame(Opcode.CONT, b"c")
    + frame(Opcode.BINARY, bytes(70_000))
    + frame(Opcode.TEXT, "ü".encode()[:1], fin=False)
    + frame(Opcode.CONT, "ü".encode()[1:])
    + frame(Opcode.BINARY, bytes(ASSEMBLED_MAX_BYTES + 1))
    + frame(Opcode.TEXT, b"end")
)
EXPECTED = ["grün", b"", bytes(200), b"abc", bytes(70_000), "ü", bytes(ASSEMBLED_MAX_BYTES + 1), "end"]


@pytest.mark.parametrize("seed", range(20))
def test_where_the_bytes_are_cut_changes_nothing(seed: int) -> None:
    framing, messages = opened()
    dice = random.Random(seed)
    # Near the headers, which are what may be cut badly, and anywhere.
    cuts = sorted(
        {dice.randrange(500) for _ in range(20)} | {dice.randrange(len(MESSAGES)) for _ in range(5)}
    )
    feed(framing, MESSAGES, cuts)
    assert messages == EXPECTED
    assert framing.bytes_to_send()[0][0] == 0x8A  # the pong


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"\x81\x02\xff\xff", 1007),
        (b"\x01\x01\xc3\x80\x01x", 1007),
        (b"\x01\x01\xc3\x80\x00", 1007),
        (b"\x82\x81\x00\x00\x00\x00x", 1002),
        (b"\x82\xff" + bytes(8), 1002),
        (b"\x83\x00", 1002),
        (b"\x89\x7e\x01\x00" + bytes(256), 1002),
        (b"\x01\x00\x81\x00", 1002),
        (b"\x82\x7f\x7f" + bytes(7), 1009),
        (b"\x82\x7e\x04\x00", 1009),
    ],
)
def test_what_breaks_the_rules_is_answered_with_its_code(bad: bytes, code: int) -> None:
    framing, messages = opened(max_size=1000)
    bad += frame(Opcode.TEXT, b"unheard")
    framing.read(memoryview(bad), len(bad))
    assert framing.is_closing
    # Nothing behind it counts any more.
    framing.read(memoryview(MESSAGES), len(MESSAGES))
    framing.end_of_stream()
    assert messages == []
    complaint = framing.end(None).complaint
    assert complaint is not None
    assert complaint[0] == code


def test_the_size_of_what_is_too_large_is_told() -> None:
    framing, _ = opened(max_size=100)
    data = frame(Opcode.BINARY, bytes(60), fin=False) + frame(Opcode.CONT, bytes(70))
    framing.read(memoryview(data), len(data))
    framing.end_of_stream()
    assert framing.end(None).size == 130


def test_a_close_frame_amid_fragments_is_a_close() -> None:
    framing, messages = opened()
    data = frame(Opcode.TEXT, b"a", fin=False) + frame(Opcode.CLOSE, Close(1000, "bye").serialize())
    framing.read(memoryview(data), len(data))
    framing.end_of_stream()
    assert (framing.end(None).received, framing.end(None).complaint) == ((1000, "bye"), None)
    assert messages == []


def test_of_held_pings_only_the_newest_is_answered() -> None:
    framing, messages = opened()
    framing.holds_pings = True
    pings = b"".join(frame(Opcode.PING, b"%d" % n) for n in range(50))
    feed(framing, pings + frame(Opcode.TEXT, b"x"), [1, 3, len(pings) - 1])
    assert (framing.bytes_to_send(), framing.held_pings, messages) == ([], 50, ["x"])
    framing.answer_pings()
    (pong,) = framing.bytes_to_send()
    assert bytes(byte ^ mask for byte, mask in zip(pong[6:], pong[2:6], strict=False)) == b"49"
    framing.answer_pings()
    assert framing.bytes_to_send() == []


async def test_a_server_that_floods_pings_and_reads_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("falrt.connection.transport.HELD_PINGS_MAX", 10_000)
    ping = frame(Opcode.PING, bytes(125))
    async with raw_server(ping * 200_000, polite=False) as url, leaves_nothing(url):
        options: Any = {"key": "k", "auth": "key", "reconnect": False}
        with pytest.raises(falrt.ConnectionClosedError, match="pings and read nothing"):
            async with falrt.connect("acme/app", base_url=url, **options) as conn:
                await soon(conn.recv())


async def test_one_buffer_serves_all_sockets_of_a_loop() -> None:
    async with (
        FakeServer(lambda message: message) as server,
        server.connect() as one,
        server.connect() as two,
    ):
        pictures = [{"data": bytes([n]) * 300_000} for n in range(6)]
        answers = await soon(
            asyncio.gather(*(conn.request(picture) for picture in pictures for conn in (one, two)))
        )
        assert answers == [picture for picture in pictures for _ in range(2)]
        buffers = buffers_of(asyncio.get_running_loop())
        sockets: Any = [one._core._supervisor.socket, two._core._supervisor.socket]
        assert [socket._buffers for socket in sockets] == [buffers, buffers]
        # Between messages nobody holds a buffer of its own.
        await until(lambda: [socket._own for socket in sockets] == [None, None])


def test_the_largest_buffer_is_kept_for_the_next_message() -> None:
    buffers = Buffers()
    small, large = buffers.take(10), buffers.take(100_000)
    buffers.give_back(large)
    buffers.give_back(small)
    assert buffers.take(50_000) is large
    assert buffers.take(50_000) is not large


async def test_a_loop_within_a_loop_reads_into_another_buffer() -> None:
    async with FakeServer(lambda message: message) as server, server.connect() as conn:
        socket: Any = conn._core._supervisor.socket
        buffers = buffers_of(asyncio.get_running_loop())
        buffers.in_use = True
        assert socket.get_buffer(-1).obj is not buffers.shared.obj
        buffers.in_use = False
        assert await soon(conn.request({"n": 1})) == {"n": 1}
        assert socket.get_buffer(-1).obj is buffers.shared.obj


async def test_the_early_end_of_an_opening_leaves_nothing() -> None:
    async with saying() as url, leaves_nothing(url):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await falrt.connect("acme/app", base_url=url, key="k", auth="key")
