from __future__ import annotations

import datetime
import enum
import uuid
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import BaseModel

from falrt import media
from falrt.exceptions import ConfigurationError
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


def test_bytes_become_base64_under_json() -> None:
    message = {"a": b"\xff", "b": [b"\xff", {"c": bytearray(b"\xff")}]}

    assert plain_map(message, json=True) == {"a": "/w==", "b": ["/w==", {"c": "/w=="}]}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            Path("me.jpg"),
            "a.0: a 'me.jpg' cannot be sent as it is; make a picture a data URI with falrt.data_uri",
        ),
        (np.zeros(3, np.uint8), "a.0: a numpy array of shape"),
        (Image.new("L", (1, 1)), "a.0: a PIL image"),
        (object(), "a.0: a object cannot be sent; give text, numbers"),
    ],
)
def test_what_cannot_be_sent_names_its_place_and_the_cure(value: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
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
