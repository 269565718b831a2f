"""Cutting plain frames out of bytes; the WebSocket library's own parser is the judge."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from falrt.protocol.framing import BINARY, PIECES_MAX, TEXT, VIEWED_BYTES, FrameCutter


def frame(opcode: int, data: bytes, *, fin: bool = True, mask: bool = False) -> bytes:
    return Frame(Opcode(opcode), data, fin=fin).serialize(mask=mask)


def binary(data: bytes) -> bytes:
    return frame(BINARY, data)


def cut(cutter: FrameCutter, *chunks: bytes) -> list[tuple[int | None, bytes]]:
    return [(opcode, bytes(piece)) for chunk in chunks for opcode, piece in cutter.feed(chunk)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_a_whole_frame_is_a_message(size: int) -> None:
    data = bytes(size)
    assert cut(FrameCutter(None), binary(data)) == [(BINARY, data)]


def test_text_is_told_from_binary() -> None:
    assert cut(FrameCutter(None), frame(TEXT, b"{}") + binary(b"\x80")) == [(TEXT, b"{}"), (BINARY, b"\x80")]


def test_a_frame_may_come_byte_by_byte() -> None:
    for size in (3, 126, 70_000):
        whole = binary(bytes(size))
        cutter = FrameCutter(None)
        assert cut(cutter, *(whole[at : at + 1] for at in range(len(whole) - 1))) == []
        assert cut(cutter, whole[-1:]) == [(BINARY, bytes(size))]


def test_many_tiny_pieces_are_not_kept_as_objects() -> None:
    cutter = FrameCutter(None)
    cut(cutter, binary(bytes(50_000))[:10], *([b"\x00"] * 40_000))
    assert len(cutter._pieces) == PIECES_MAX
    assert len(cutter._crumbs) > 39_000


def test_large_payloads_are_not_copied() -> None:
    ((_, large),) = FrameCutter(None).feed(binary(bytes(VIEWED_BYTES)))
    ((_, small),) = FrameCutter(None).feed(binary(bytes(VIEWED_BYTES - 1)))
    assert isinstance(large, memoryview)
    assert isinstance(small, bytes)


def test_control_frames_are_passed_on_between_messages() -> None:
    ping = frame(Opcode.PING, b"falrt")
    assert cut(FrameCutter(None), binary(b"1") + ping + binary(b"2")) == [
        (BINARY, b"1"),
        (None, ping),
        (BINARY, b"2"),
    ]


def test_a_control_frame_in_pieces_is_passed_on_in_pieces() -> None:
    ping = frame(Opcode.PING, b"falrt")
    assert cut(FrameCutter(None), ping[:1], ping[1:4], ping[4:] + binary(b"1")) == [
        (None, ping[:4]),
        (None, ping[4:]),
        (BINARY, b"1"),
    ]


def test_fragments_are_passed_on_until_their_last() -> None:
    parts = [
        frame(BINARY, b"a", fin=False),
        frame(Opcode.PONG, b""),
        frame(Opcode.CONT, b"b", fin=False),
        frame(Opcode.CONT, b"c"),
    ]
    assert cut(FrameCutter(None), *parts, binary(b"d")) == [*((None, part) for part in parts), (BINARY, b"d")]


def test_a_whole_frame_amid_fragments_is_not_ours_to_judge() -> None:
    first, odd = frame(BINARY, b"a", fin=False), binary(b"b")
    assert cut(FrameCutter(None), first + odd) == [(None, first), (None, odd)]


@pytest.mark.parametrize(
    "odd",
    [
        frame(Opcode.CLOSE, b"\x03\xe8"),
        frame(BINARY, b"a", mask=True),
        b"\xc2\x01a",
        b"\x89\x7e\x00\x7e" + bytes(126),  # a ping that is too long
        b"\x09\x00",  # a ping in fragments
        b"\x82\x7e\x03\xe9" + bytes(1001),  # larger than max_size
    ],
    ids=["close", "masked", "compressed", "long ping", "ping in fragments", "too large"],
)
def test_after_anything_odd_the_library_gets_all_the_rest(odd: bytes) -> None:
    cutter = FrameCutter(1000)
    assert cut(cutter, binary(b"1") + odd + binary(b"2"), binary(b"3")) == [
        (BINARY, b"1"),
        (None, odd + binary(b"2")),
        (None, binary(b"3")),
    ]


def test_max_size_itself_passes() -> None:
    assert cut(FrameCutter(1000), binary(bytes(1000))) == [(BINARY, bytes(1000))]


@pytest.mark.parametrize("size", [70_000, 300])
def test_a_header_may_come_in_halves(size: int) -> None:
    whole = binary(bytes(size))
    for at in range(1, 12):
        assert cut(FrameCutter(None), whole[:at], whole[at:]) == [(BINARY, bytes(size))]


FRAMES = st.one_of(
    st.builds(
        frame,
        st.sampled_from([TEXT, BINARY, Opcode.CONT]),
        st.binary(max_size=300) | st.sampled_from([bytes(65_536), bytes(20_000)]),
        fin=st.booleans(),
        mask=st.sampled_from([False] * 9 + [True]),
    ),
    st.builds(frame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125)),
    st.builds(frame, st.just(Opcode.CLOSE), st.sampled_from([b"", b"\x03\xe8", b"\x03\xe8bye"])),
    st.binary(min_size=1, max_size=12),
)


def by_the_library(data: bytes) -> tuple[list[Any], Any]:
    """Return the data and control frames that the library finds, and its state."""
    protocol = Protocol(CLIENT, state=OPEN, max_size=60_000)
    protocol.receive_data(data)
    return _events(protocol), protocol.state


def by_the_cutter(chunks: list[bytes]) -> tuple[list[Any], Any]:
    """The same through the cutter, with the library for what it passes on."""
    protocol = Protocol(CLIENT, state=OPEN, max_size=60_000)
    cutter = FrameCutter(60_000)
    found: list[Any] = []
    for chunk in chunks:
        for opcode, piece in cutter.feed(chunk):
            if opcode is None:
                protocol.receive_data(bytes(piece))
                found += _events(protocol)
            elif protocol.state is OPEN:
                found.append((opcode, bytes(piece), True))
    return found, protocol.state


def _events(protocol: Protocol) -> list[Any]:
    return [(int(e.opcode), bytes(e.data), e.fin) for e in protocol.events_received() if isinstance(e, Frame)]


@given(
    frames=st.lists(FRAMES, max_size=8),
    cuts=st.lists(st.integers(min_value=1, max_value=70_000), max_size=12),
)
def test_together_they_find_what_the_library_finds_alone(frames: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frames)
    chunks, at = [], 0
    for size in [*cuts, len(data)]:
        if at < len(data):
            chunks.append(data[at : at + size])
            at += size

    assert by_the_cutter(chunks) == by_the_library(data)
