"""Storing files: kinds, parts and places."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falrt.exceptions import ConfigurationError, DecodeError
from falrt.protocol.wire.storage import (
    MULTIPART_BYTES,
    PART_BYTES,
    Place,
    content_type_of,
    lifecycle,
    part_sizes,
    read_place,
)

CDN = "https://v3.fal.media"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"\0\0\0\x18ftypavif", "image/avif"),
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"....\0\0\0\0WEBP", None),
        (b"hello", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_the_kind(head: bytes, kind: str | None) -> None:
    assert content_type_of(head) == kind


@pytest.mark.parametrize(
    ("size", "parts"),
    [
        (0, [0]),
        (MULTIPART_BYTES, [MULTIPART_BYTES]),
        (MULTIPART_BYTES + 1, [PART_BYTES] * 10 + [1]),
        (11 * PART_BYTES, [PART_BYTES] * 11),
    ],
)
def test_a_large_file_goes_in_parts(size: int, parts: list[int]) -> None:
    assert part_sizes(size) == parts


@given(st.integers(0, 20 * MULTIPART_BYTES))
def test_parts_add_up_to_the_file(size: int) -> None:
    parts = part_sizes(size)
    assert sum(parts) == size
    assert len(parts) == 1 or max(parts) <= PART_BYTES


@pytest.mark.wire("W82")
def test_an_address_that_the_service_gives_is_the_place() -> None:
    place = read_place(
        {"upload_url": "https://store.example/a?signature=s", "file_url": f"{CDN}/files/a.png"}
    )
    assert place == Place("https://store.example/a?signature=s", f"{CDN}/files/a.png")
    assert place.part_url(3) == "https://store.example/a/3?signature=s"


@pytest.mark.wire("W81")
def test_a_file_in_parts_goes_to_the_cdn_with_its_token() -> None:
    place = read_place(
        {"access_url": f"{CDN}/files/a.png", "uploadId": "u1"}, authorization="Bearer secret", trusted=CDN
    )
    assert place.part_url("complete") == f"{CDN}/files/a.png/multipart/u1/complete"
    assert place.file_url == f"{CDN}/files/a.png"
    assert "secret" not in repr(place)


@pytest.mark.parametrize(
    "reply", [None, [], {}, {"upload_url": 1, "file_url": "x"}, {"upload_url": "ftp://x", "file_url": "x"}]
)
def test_a_reply_without_a_place_is_an_error(reply: Any) -> None:
    with pytest.raises(DecodeError, match="where to send the file"):
        read_place(reply)


def test_a_token_goes_to_no_other_host() -> None:
    with pytest.raises(DecodeError, match=r"another host, evil\.example"):
        read_place(
            {"access_url": "https://evil.example/a", "uploadId": "u"}, authorization="Bearer t", trusted=CDN
        )
    for host in ("http://127.0.0.1:8765", "https://v3b.fal.media"):
        read_place(
            {"access_url": f"{host}/a", "uploadId": "u"},
            authorization="Bearer t",
            trusted="http://127.0.0.1:1",
        )


def test_an_address_that_is_none_is_an_error() -> None:
    with pytest.raises(DecodeError, match="an address that is none"):
        read_place({"upload_url": "http://[half", "file_url": "http://x/1"})


@pytest.mark.parametrize(
    ("kept", "header"),
    [
        (None, None),
        ("never", None),
        ("immediate", {"expiration_duration_seconds": 60}),
        ("1d", {"expiration_duration_seconds": 86_400}),
        (90, {"expiration_duration_seconds": 90}),
        ({"initial_acl": {"default": "hide"}}, {"initial_acl": {"default": "hide"}}),
        (
            {"expires_in": "1h", "initial_acl": {}},
            {"expiration_duration_seconds": 3600, "initial_acl": {}},
        ),
    ],
)
def test_how_long_a_file_is_kept_becomes_a_header(kept: Any, header: Any) -> None:
    value = lifecycle(kept)
    assert (None if value is None else json.loads(value)) == header


@pytest.mark.parametrize("kept", [0, -1, True, 1.5, "2 weeks"])
def test_what_is_no_lifetime_is_refused(kept: Any) -> None:
    with pytest.raises(ConfigurationError, match="expires_in"):
        lifecycle(kept)
