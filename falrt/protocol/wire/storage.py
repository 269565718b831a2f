"""Storing files: how long they are kept, what a file is by its first bytes, how it is cut, and where the parts go.

Two ways lead there: with a token of the CDN, as fal's Python client does, and by an address that the service gives,
as the JavaScript client does and a proxy allows.

Source: wire facts W81 and W82, docs/reference/wire.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from falrt.exceptions import ConfigurationError, DecodeError

__all__ = [
    "PARTS_AT_A_TIME",
    "PART_BYTES",
    "Lifetime",
    "Place",
    "content_type_of",
    "lifecycle",
    "part_sizes",
    "read_place",
]

Lifetime: TypeAlias = Literal["never", "immediate", "1h", "1d", "7d", "30d", "1y"] | int
"""How long stored files are kept: a name, or seconds. ``"never"`` is the service's own default."""

# The service takes 0 for no limit, so "immediate" is the shortest time that surely is one (protocol 12.4).
_LIFETIMES: Final[Mapping[str, int | None]] = {
    "never": None,
    "immediate": 60,
    "1h": 3600,
    "1d": 86_400,
    "7d": 604_800,
    "30d": 2_592_000,
    "1y": 31_536_000,
}

MULTIPART_BYTES: Final = 100 * 1024 * 1024
"""Files above this go in parts."""

PART_BYTES: Final = 10 * 1024 * 1024
PARTS_AT_A_TIME: Final = 10

# First bytes of what models take and give, at their offset.
_SIGNATURES: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"glTF", "model/gltf-binary"),
)


def lifecycle(expires_in: Lifetime | Mapping[str, Any] | None) -> str | None:
    """Return the value of the header that says how long files are kept; None for the service's default.

    A map holds ``initial_acl`` beside ``expires_in``, as fal_client's settings do.

    Raises:
        ConfigurationError: It is no such time.
    """
    given: object = expires_in
    if isinstance(given, Mapping):
        kept = json.loads(lifecycle(given.get("expires_in")) or "{}")
        return json.dumps({**kept, "initial_acl": given["initial_acl"]})
    if given is None or given == "never":
        return None
    seconds = _LIFETIMES.get(given) if isinstance(given, str) else given
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 1:
        raise ConfigurationError(
            f"expires_in must be whole seconds from 1, or one of {', '.join(map(repr, _LIFETIMES))}, got {given!r:.50}"
        )
    return json.dumps({"expiration_duration_seconds": seconds})


def content_type_of(head: bytes) -> str | None:
    """Return the media type that the first bytes of a file tell, or None."""
    for offset, signature, kind in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature and (offset != 8 or head[:4] == b"RIFF"):
            return kind
    return None


def part_sizes(size: int) -> list[int]:
    """Return the bytes of each part; one where the file goes in one piece."""
    if size <= MULTIPART_BYTES:
        return [size]
    whole, rest = divmod(size, PART_BYTES)
    return [PART_BYTES] * whole + [rest] * bool(rest)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file goes.

    Attributes:
        url: Where it is sent; of parts, the beginning of their addresses.
        file_url: Where it is found later; empty where the answer to the last request tells.
        authorization: The header's value that goes along; not a key.
    """

    url: str
    file_url: str = ""
    authorization: str = field(default="", repr=False)

    def part_url(self, name: int | str) -> str:
        """Return the address of a part, or of ``"complete"``; a signature stays behind the path."""
        address, mark, query = self.url.partition("?")
        return f"{address}/{name}{mark}{query}"


def read_place(reply: Any, *, authorization: str = "", trusted: str = "") -> Place:
    """Return where a file goes, from what the service says.

    Args:
        reply: ``{"upload_url", "file_url"}``, or ``{"access_url", "uploadId"}`` for parts sent with a token.
        authorization: The token's header.
        trusted: The CDN's URL: a token goes nowhere else.

    Raises:
        DecodeError: It says no such thing, or names another host for a token.
    """
    given = reply if isinstance(reply, dict) else {}
    url, file_url = given.get("upload_url"), given.get("file_url")
    if authorization:
        file_url = given.get("access_url")
        url = f"{file_url}/multipart/{given.get('uploadId')}"
    if (
        not isinstance(url, str)
        or not isinstance(file_url, str)
        or not url.startswith(("http://", "https://"))
    ):
        raise DecodeError("the storage service did not say where to send the file")
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise DecodeError(f"the storage gave an address that is none: {url[:80]!r}") from None
    if authorization and host != urlsplit(trusted).hostname and not host.endswith(".fal.media"):
        raise DecodeError(f"the storage sends its token to another host, {host}")
    return Place(url, file_url, authorization)
