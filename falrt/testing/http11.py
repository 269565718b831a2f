"""The little HTTP/1.1 that token requests and refused handshakes need."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from websockets.datastructures import Headers
from websockets.http11 import Response

__all__ = ["HttpReply", "HttpRequest", "parse_head"]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A plain HTTP request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What to answer to an HTTP request."""

    status: int
    content: bytes = b""
    content_type: str = "text/plain; charset=utf-8"

    @classmethod
    def json(cls, status: int, value: Any) -> HttpReply:
        """Return a reply with a JSON body."""
        return cls(status, json.dumps(value).encode(), "application/json")

    @property
    def phrase(self) -> str:
        """The status in words."""
        try:
            return http.HTTPStatus(self.status).phrase
        except ValueError:
            return "Unknown"

    def headers(self, *, close: bool) -> Headers:
        """Return the header fields."""
        return Headers(
            {
                "Content-Type": self.content_type,
                "Content-Length": str(len(self.content)),
                "Connection": "close" if close else "keep-alive",
            }
        )

    def serialize(self, *, close: bool) -> bytes:
        """Return the whole reply in bytes."""
        return Response(self.status, self.phrase, self.headers(close=close), self.content).serialize()


def parse_head(head: bytes) -> tuple[str, str, dict[str, str]] | None:
    """Return method, target and headers (names in lower case), or None where it is no HTTP/1.1 request."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    pairs = (line.partition(":") for line in lines)
    return words[0], words[1], {name.strip().lower(): value.strip() for name, _, value in pairs}
