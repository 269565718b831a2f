from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import random
import struct
import sys
import threading
import tracemalloc
import uuid
from typing import Any

import msgpack
import numpy as np
import PIL.Image
import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from falrt.codecs import Json, Msgpack
from falrt.exceptions import DecodeError, EncodeError
from falrt.typing import Codec

MSGPACKS: list[Any] = [Msgpack()]
ALL: list[Any] = [*MSGPACKS, Json(), Json(text=True)]
each_msgpack = pytest.mark.parametrize("codec", MSGPACKS, ids=repr)
each = pytest.mark.parametrize("codec", ALL, ids=repr)

texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=8,
)
msgpack_values = st.recursive(
    json_values | st.binary() | st.just(math.inf),
    lambda inner: st.lists(inner) | st.dictionaries(texts | st.binary(), inner),
    max_leaves=8,
)


def timestamps(nanoseconds: int = 7) -> msgpack.Timestamp:
    return msgpack.Timestamp(1_800_000_000, nanoseconds)


# Round trips.


@pytest.mark.wire("W52")
@each_msgpack
@settings(max_examples=50)
@given(message=msgpack_values)
def test_what_msgpack_carries_comes_back(codec: Codec, message: Any) -> None:
    assert codec.decode(codec.encode(message)) == message


@each_msgpack
@settings(max_examples=50)
@given(message=msgpack_values)
def test_every_msgpack_codec_reads_what_msgpack_itself_writes_and_the_other_way(
    codec: Codec, message: Any
) -> None:
    assert codec.decode(msgpack.packb(message)) == message
    frame = codec.encode(message)
    assert isinstance(frame, bytes)
    assert msgpack.unpackb(frame) == message


@each
@settings(max_examples=50)
@given(message=json_values)
def test_what_json_carries_comes_back(codec: Codec, message: Any) -> None:
    assert codec.decode(codec.encode(message)) == message


@each_msgpack
def test_nan_travels_in_msgpack(codec: Codec) -> None:
    assert math.isnan(codec.decode(codec.encode({"x": math.nan}))["x"])


@each
def test_subclasses_of_plain_values_travel_as_what_they_are(codec: Codec) -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    class Level(enum.IntEnum):
        HIGH = 3

    class Map(dict[str, Any]):
        pass

    message = Map(colour=Colour.RED, level=Level.HIGH, size=np.float64(0.5), pair=(1, (2,)))
    assert codec.decode(codec.encode(message)) == {"colour": "red", "level": 3, "size": 0.5, "pair": [1, [2]]}


@pytest.mark.parametrize("codec", [Msgpack(), Json()], ids=repr)
def test_an_enums_member_is_a_good_key(codec: Codec) -> None:
    class Name(enum.StrEnum):
        PROMPT = "prompt"

    assert codec.decode(codec.encode({Name.PROMPT: 1})) == {"prompt": 1}


@each_msgpack
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes_is_binary(codec: Codec, kind: Any) -> None:
    assert codec.decode(codec.encode({"image": kind(b"\xff\xd8")})) == {"image": b"\xff\xd8"}


@pytest.mark.wire("W53")
def test_msgpack_carries_timestamps_and_extension_types() -> None:
    message = {"at": timestamps(), "other": msgpack.ExtType(5, b"x")}
    assert Msgpack().decode(Msgpack().encode(message)) == message


@each_msgpack
def test_an_app_may_answer_with_keys_of_any_hashable_kind(codec: Codec) -> None:
    assert codec.decode(msgpack.packb({1: "a", 2.5: "b", None: "c", b"d": 1})) == {
        1: "a",
        2.5: "b",
        None: "c",
        b"d": 1,
    }


@each_msgpack
@pytest.mark.parametrize("length", [1023, 1024, 1025, 100_000])
def test_long_arrays_are_read(codec: Codec, length: int) -> None:
    message = {"values": [1.5] * length, "nested": [[0] * length]}
    assert codec.decode(codec.encode(message)) == message


# JSON.


def test_json_is_utf8_in_binary_frames_by_default() -> None:
    assert Json().encode({"prompt": "é", "n": [1, None]}) == '{"prompt":"é","n":[1,null]}'.encode()


def test_json_can_be_text() -> None:
    assert Json(text=True).encode({"prompt": "é"}) == '{"prompt":"é"}'


def test_json_reads_both_kinds_of_frame() -> None:
    assert Json().decode('{"a":1}') == Json(text=True).decode(b'{"a":1}') == {"a": 1}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_become_base64_in_json(kind: Any) -> None:
    assert json.loads(Json().encode({"image": kind(b"\xff\xd8\xff")})) == {
        "image": base64.b64encode(b"\xff\xd8\xff").decode()
    }


def test_json_from_python_servers_may_hold_nan() -> None:
    assert math.isnan(Json().decode(b"[NaN]")[0])


@pytest.mark.parametrize("frame", ['{"a":1}'.encode("utf-16"), b'"\xed\xa0\x80"'], ids=repr)
def test_json_in_another_encoding_than_utf8_is_refused(frame: bytes) -> None:
    with pytest.raises(DecodeError, match="UnicodeDecodeError"):
        Json().decode(frame)


# JSON where msgpack is expected: from the gateway, and from apps with an encoder of their own.


@each_msgpack
def test_a_text_frame_is_json(codec: Codec) -> None:
    assert codec.decode('{"type":"x-fal-error"}') == {"type": "x-fal-error"}


@each_msgpack
def test_a_binary_frame_that_is_a_json_map_is_read_as_one(codec: Codec) -> None:
    assert codec.decode(b'{"status":"error","error":"Unauthorized"}') == {
        "status": "error",
        "error": "Unauthorized",
    }
    with pytest.raises(DecodeError, match="not JSON"):
        codec.decode(b'{"status":')


@each_msgpack
def test_the_number_that_looks_like_a_brace_is_a_number(codec: Codec) -> None:
    assert codec.decode(codec.encode(0x7B)) == 0x7B


# Inputs that cannot be sent.


@dataclasses.dataclass
class Point:
    x: int


class Model(pydantic.BaseModel):
    x: int


class Plain(enum.Enum):
    A = 1


NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize("codec", [Msgpack(), Json()], ids=repr)
@pytest.mark.parametrize(
    ("value", "cure"),
    [
        (NOW, "datetime.datetime is not serialisable; send a string or timestamp"),
        (NOW.date(), "send a string or timestamp"),
        (NOW.time(), "send a string or timestamp"),
        (datetime.timedelta(1), "total_seconds"),
        (np.zeros((2, 2, 3), np.uint8), r"numpy.ndarray is not serialisable; pass falrt.data_uri\(array\)"),
        (np.float32(1), r"numpy.float32 is not serialisable; pass value.item\(\)"),
        (np.int64(1), r"value.item\(\)"),
        (PIL.Image.new("RGB", (1, 1)), r"pass falrt.data_uri\(image\)"),
        (pathlib.Path("me.jpg"), r"falrt.data_uri\(path\)"),
        ({1, 2}, "set is not serialisable; send a list"),
        (frozenset(), "send a list"),
        (uuid.UUID(int=1), "send a string"),
        (decimal.Decimal("0.1"), "send a string or number"),
        (Plain.A, "send its value"),
        (Point(1), "dataclasses.asdict"),
        (Model(x=1), "model_dump"),
        (object(), "object is not serialisable"),
        (1j, "complex is not serialisable"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_cannot_be_sent_is_named_with_its_path_and_cure(
    codec: Codec, value: Any, cure: str
) -> None:
    for message, path in (
        (value, "input"),
        ({"a": 1, "created_at": value, "z": object()}, r"input\.created_at"),
        (
            {"images": [{"url": "x"}, {"two words": [(0, value)]}]},
            r"input\.images\[1\]\['two words'\]\[0\]\[1\]",
        ),
    ):
        with pytest.raises(EncodeError, match=f"^{path}: .*{cure}") as caught:
            codec.encode(message)
        assert caught.value.__cause__ is not None


@pytest.mark.wire("W52")
@each_msgpack
@pytest.mark.parametrize("value", [2**64, -(2**63) - 1])
def test_an_integer_beyond_64_bits_is_named(codec: Codec, value: int) -> None:
    with pytest.raises(
        EncodeError, match=r"^input\.seed: the integer needs more than 64 bits; send it as a string"
    ):
        codec.encode({"seed": value})


@each
def test_half_a_surrogate_pair_is_named_and_not_repeated(codec: Codec) -> None:
    with pytest.raises(EncodeError, match=r"^input\.prompt: the text holds half a surrogate pair"):
        codec.encode({"prompt": "secret \ud83d"})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_not_json(value: float) -> None:
    with pytest.raises(EncodeError, match=r"^input\.x\[1\]: NaN and infinity are not JSON"):
        Json().encode({"x": [0.0, value]})


@pytest.mark.wire("W51")
@each
@pytest.mark.parametrize("key", [1, 2.5, None, True, (1,)], ids=repr)
def test_keys_that_the_far_side_refuses_are_refused_here(codec: Codec, key: Any) -> None:
    for message, path in (({key: 1}, "input"), ({"a": [{"b": 1}, ({key: 1},)]}, r"input\.a\[1\]\[0\]")):
        with pytest.raises(
            EncodeError, match=f"^{path}: key of type {type(key).__name__}; keys must be strings"
        ):
            codec.encode(message)


def test_keys_of_bytes_are_no_json() -> None:
    with pytest.raises(EncodeError, match=r"^input: key of type bytes"):
        Json().encode({b"a": 1})


@each
def test_a_message_that_contains_itself_is_named(codec: Codec) -> None:
    message: dict[str, Any] = {"a": []}
    message["a"].append(message)
    with pytest.raises(
        EncodeError, match=r"nested deeper than 500 levels; does it contain itself\?"
    ) as caught:
        codec.encode(message)
    assert len(str(caught.value)) < 300


# The other two read the map's memory and never call it.
@pytest.mark.parametrize("codec", [Msgpack(), Json()], ids=repr)
def test_a_message_changed_by_another_thread_meanwhile_is_an_error_of_ours(codec: Codec) -> None:
    class Changing(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("dictionary changed size during iteration")

        def __iter__(self) -> Any:
            raise RuntimeError("dictionary changed size during iteration")

    with pytest.raises(EncodeError, match=r"cannot be encoded .*changed size"):
        codec.encode(Changing(a=object()))


@each
def test_the_error_does_not_hold_the_value(codec: Codec) -> None:
    class Secretive:
        def __repr__(self) -> str:
            return "top-secret"

    with pytest.raises(EncodeError) as caught:
        codec.encode({"x": Secretive(), "y": "top-secret"})
    assert "top-secret" not in str(caught.value)


def test_a_failure_of_no_single_value_is_told_in_the_librarys_words() -> None:
    class Odd(dict[str, Any]):
        def items(self) -> Any:
            return iter([("a", object())]) if sys._getframe(1).f_code.co_name != "_locate" else iter([])

    with pytest.raises(EncodeError, match="input cannot be encoded"):
        Msgpack().encode(Odd(a=1))


def test_one_codec_may_be_used_by_many_threads_and_inside_itself() -> None:
    codec = Msgpack()

    class Nested(dict[str, Any]):
        def items(self) -> Any:
            codec.encode({"other": [1, 2, 3]})
            return super().items()

    assert codec.decode(codec.encode({"a": Nested(b=1), "c": 2})) == {"a": {"b": 1}, "c": 2}
    wrong: list[Any] = []

    def work(number: int) -> None:
        message = {"n": number, "text": "x" * 5000, "list": [number] * 50}
        wrong.extend(number for _ in range(50) if codec.decode(codec.encode(message)) != message)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# Frames that cannot be read.


@pytest.mark.wire("W54")
@each
@pytest.mark.parametrize(
    "frame", [b"", "", b"\xc1", b"\xc1" * 9, b"\x93\x01", b"\xa3\xffab", b"\xd9", "[", "\x00"], ids=repr
)
def test_a_malformed_frame_is_a_decode_error_that_knows_its_size(codec: Codec, frame: bytes | str) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.decode(frame)
    assert caught.value.size == len(frame)
    assert f"frame of {len(frame)} " in str(caught.value)


@pytest.mark.wire("W54")
@pytest.mark.parametrize("codec", [Msgpack(), Json()], ids=repr)
def test_two_messages_in_one_frame_are_refused(codec: Codec) -> None:
    frame = codec.encode(["a"])
    with pytest.raises(DecodeError):
        codec.decode(frame + frame)  # type: ignore[operator]  # both are bytes


def test_a_key_that_cannot_be_hashed_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="unhashable"):
        Msgpack().decode(b"\x81\x90\x01")


@each
def test_deep_nesting_is_a_decode_error(codec: Codec) -> None:
    for frame in (b"\x91" * 100_000 + b"\x01", "[" * 100_000, '{"a":' * 100_000, b"\x81\xa1a" * 100_000):
        with pytest.raises(DecodeError):
            codec.decode(frame)


def test_the_error_text_does_not_hold_the_payload() -> None:
    for codec in ALL:
        for frame in (b"\x92\xaatop-secret", b'{"a": "top-secret', '"top-secret'):
            with pytest.raises(DecodeError) as caught:
                codec.decode(frame)
            assert "top-secret" not in str(caught.value)
            assert "top-secret" not in str(caught.value.__cause__)


def lying_headers(size: int, depth: int) -> bytes:
    """Nested arrays that each claim as many items as the frame has bytes."""
    frame = (b"\xdd" + struct.pack(">I", size)) * depth
    return frame + b"\xc0" * (size - len(frame))


@each_msgpack
@pytest.mark.parametrize(
    "frame",
    [
        lying_headers(60_000, 1000),
        lying_headers(1_000_000, 1000),
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xdc\x04\x00" * 500,
        b"\x92" + b"\xdd" + struct.pack(">I", 2000) + b"\x01" * 2000 + b"\xdd\xff\xff\xff\xff",
    ],
    ids=lambda frame: f"{frame[:6].hex()}-{len(frame)}",
)
def test_a_header_that_lies_about_lengths_costs_no_memory(codec: Codec, frame: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            codec.decode(frame)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Eight bytes an item for what may be there, and the levels that the quick way trusts.
    assert peak < 10_000_000 + 20 * len(frame)


def mutated(source: random.Random) -> bytes:
    """Arbitrary bytes, or a likely frame with a few bytes changed and its end cut off."""
    if source.random() < 0.3:
        return source.randbytes(source.randrange(60))
    picture = {"content": source.randbytes(9), "width": 704, "at": timestamps()}
    message = {
        "images": [picture] * source.randrange(3),
        "seed": source.getrandbits(40),
        "nsfw": [False, None, 0.5],
    }
    frame = bytearray(
        msgpack.packb(message) if source.random() < 0.8 else Json().encode({"type": "x", "n": [1, 0.5]})
    )
    for _ in range(source.randrange(4)):
        frame[source.randrange(len(frame))] = source.choice(
            (source.randrange(256), 0xC1, 0xDD, 0xDF, 0xC7, 0xD9)
        )
    return bytes(frame[: source.randrange(len(frame) + 1)] if source.random() < 0.3 else frame)


def give_a_message_or_a_decode_error(codec: Codec, frame: bytes | str) -> bool:
    try:
        codec.decode(frame)
    except DecodeError as exc:
        return exc.size == len(frame)
    return True


@each
def test_ten_thousand_frames_each_give_a_message_or_a_decode_error(codec: Codec) -> None:
    source = random.Random(7)
    frames = [mutated(source) for _ in range(10_000)]
    assert [frame for frame in frames if not give_a_message_or_a_decode_error(codec, frame)] == []


@each
@given(frame=st.binary(max_size=50) | st.text(max_size=20))
@example(frame=b"\xc7\x00\xff")
@example(frame=b"\xd6\xff\xff\xff\xff\xff")
@example(frame=b"\xd7\xff" + b"\xff" * 8)
@example(frame=b"\xc7\x0c\xff" + b"\xff" * 12)
def test_any_frame_gives_a_message_or_a_decode_error(codec: Codec, frame: bytes | str) -> None:
    assert give_a_message_or_a_decode_error(codec, frame)


def test_codecs_are_compared_and_shown_by_their_options() -> None:
    assert Msgpack() == Msgpack()
    assert Json() != Json(text=True)
    assert (repr(Json(text=True)), repr(Msgpack())) == ("Json(text=True)", "Msgpack()")
