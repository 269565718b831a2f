"""Server-sent events, however their bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falrt.exceptions import DecodeError
from falrt.protocol.wire.server_events import EventDecoder, ServerEvent


def read(*pieces: bytes) -> list[ServerEvent]:
    decoder = EventDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


STREAM = (
    '\ufeff: hello\r\nevent: part\rid: 7\ndata: {"a":\ndata:"ä€😀"}\n\n'
    "retry: 10\n\ndata\n\nid: a\0b\ndata: 2\r\n\r\n: x\n"
)
EVENTS = [ServerEvent('{"a":\n"ä€😀"}', "part", "7"), ServerEvent("2", "", "7")]


@pytest.mark.wire("W75")
def test_events_have_data_a_kind_and_an_id() -> None:
    assert read(STREAM.encode()) == EVENTS


@given(cuts=st.lists(st.integers(0, len(STREAM.encode())), max_size=12))
def test_bytes_may_be_cut_anywhere(cuts: list[int]) -> None:
    data = STREAM.encode()
    edges = [0, *sorted(cuts), len(data)]
    assert read(*(data[begin:end] for begin, end in pairwise(edges))) == EVENTS


def test_bytes_may_come_one_by_one() -> None:
    assert read(*(bytes([byte]) for byte in STREAM.encode())) == EVENTS


def test_one_space_behind_the_colon_is_no_part_of_the_value() -> None:
    assert read(b"data:  x \n\n") == [ServerEvent(" x ")]


@pytest.mark.parametrize(
    ("data", "cut"), [(b"data: 1\n\n", False), (b"data: 1\n", True), (b"dat", True), (b"", False)]
)
def test_an_event_without_its_end_is_told_and_not_given(data: bytes, cut: bool) -> None:
    decoder = EventDecoder()
    decoder.feed(data)
    assert decoder.is_cut is cut


def test_an_event_that_never_ends_is_an_error() -> None:
    decoder = EventDecoder(limit=20)
    assert decoder.feed(b"data: 0123456789\n\n" * 3)
    for _ in range(5):
        assert decoder.feed(b": a comment that keeps the line alive\n"[:19] + b"\n") == []
    decoder.feed(b"data: 0123456789")
    with pytest.raises(DecodeError, match="longer than 20"):
        decoder.feed(b"0123456789")
    decoder = EventDecoder(limit=20)
    with pytest.raises(DecodeError):
        decoder.feed(b"data: 1\n" * 10)


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_any_bytes_can_be_read(pieces: list[bytes]) -> None:
    for event in read(*pieces):
        assert event.data
