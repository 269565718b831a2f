from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections import deque
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import BaseModel, Field, SecretStr

from falrt import media
from falrt.exceptions import EncodeError
from falrt.models.plain import is_heavy, plain_map

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)
MESSAGES = st.dictionaries(st.text(max_size=5), VALUES, max_size=3)


class Colour(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    A = "a"


class Nested(BaseModel):
    frame: Any = None


@given(MESSAGES)
def test_plain_messages_stay_as_they_are(message: dict[str, Any]) -> None:
    assert plain_map(message, json=False) == message


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (bytearray(b"a"), b"a"),
        (memoryview(b"a"), b"a"),
        ((1, (2, b"x")), [1, [2, b"x"]]),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (Colour.RED, "red"),
        (Word.A, "a"),
        ({1}, [1]),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_become_plain(value: Any, result: Any) -> None:
    plain = plain_map({"a": value}, json=False)["a"]

    assert plain == result
    assert type(plain) is type(result)


@dataclasses.dataclass
class Point:
    data: bytes
    more: Any = None


class Wire(BaseModel):
    data: bytes = Field(alias="raw")
    more: Any = None


class Blob(enum.Enum):
    A = b"\xff"


RAW = b"\xff\x00raw"


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (Point(RAW), {"data": RAW, "more": None}),
        (Point(RAW, Point(RAW)), {"data": RAW, "more": {"data": RAW, "more": None}}),
        (Wire(raw=RAW, more=[bytearray(RAW)]), {"raw": RAW, "more": [RAW]}),
        (Point(RAW, Wire(raw=RAW)), {"data": RAW, "more": {"raw": RAW, "more": None}}),
        ([{"a": (Point(RAW),)}], [{"a": [{"data": RAW, "more": None}]}]),
        (Blob.A, b"\xff"),
        ({RAW}, [RAW]),
        (deque([RAW]), [RAW]),
        (np.bytes_(b"ab"), b"ab"),
        ({RAW: 1}.keys(), [RAW]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_bytes_stay_bytes_wherever_they_stand(value: Any, result: Any) -> None:
    assert plain_map({"a": value}, json=False) == {"a": result}


def test_bytes_that_a_generator_gives_stay_bytes() -> None:
    assert plain_map({"a": (data for data in [RAW])}, json=False) == {"a": [RAW]}


def test_bytes_within_a_dataclass_are_base64_under_json() -> None:
    assert plain_map({"a": Point(RAW)}, json=True) == {"a": {"data": "/wByYXc=", "more": None}}


@pytest.mark.parametrize("value", [msgpack.ExtType(5, b"xy"), msgpack.Timestamp(1, 2)])
def test_what_msgpack_has_a_type_for_is_left_to_it(value: Any) -> None:
    message = plain_map({"a": value, "b": [value]}, json=False)

    assert msgpack.unpackb(msgpack.packb(message)) == {"a": value, "b": [value]}


def test_bytes_become_base64_under_json() -> None:
    message = {"a": b"\xff", "b": [b"\xff", {"c": bytearray(b"\xff")}]}

    assert plain_map(message, json=True) == {"a": "/w==", "b": ["/w==", {"c": "/w=="}]}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            Path("me.jpg"),
            "input.a[0]: 'me.jpg' cannot be sent as it is; make a picture a data URI with falrt.data_uri",
        ),
        (np.zeros(3, np.uint8), "input.a[0]: numpy array of shape"),
        (Image.new("L", (1, 1)), "input.a[0]: PIL image"),
        (SecretStr("x"), "input.a[0]: SecretStr is not sent by itself; pass value.get_secret_value()"),
        (object(), "input.a[0]: object cannot be sent; pass strings, numbers"),
    ],
)
def test_what_cannot_be_sent_names_its_place_and_the_cure(value: Any, words: str) -> None:
    with pytest.raises(EncodeError) as caught:
        plain_map({"a": [value]}, json=False)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        Path("a.jpg"),
        np.zeros((2, 2), np.uint8),
        media.BGR(np.zeros((2, 2), np.uint8)),
        Image.new("L", (1, 1)),
        bytes(700_000),
        {"a": [{"b": Path("a")}]},
        Nested(frame=Path("a")),
        {"a": Nested(frame=Nested(frame=bytearray(700_000)))},
    ],
    ids=lambda value: type(value).__name__,
)
def test_pixels_files_and_very_long_bytes_are_heavy(value: Any) -> None:
    assert is_heavy(value)


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, bytes(100_000), 5, None, {"a": ["b", 1.5]}, Nested(frame="x"), object(), [0] * 10**5],
)
def test_everything_else_is_light(value: Any) -> None:
    assert not is_heavy(value)
