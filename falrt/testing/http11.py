"""The little HTTP/1.1 that token requests and refused handshakes need."""

from __future__ import annotations

import http

from websockets.datastructures import Headers
from websockets.http11 import Response as HTTPResponse

from falrt.testing.platform.port import Response

__all__ = ["parse_head", "refusal", "serialize"]


def refusal(response: Response) -> HTTPResponse:
    """Return what the WebSocket protocol sends instead of 101."""
    assert isinstance(response.body, bytes)  # noqa: S101 - a refusal is never streamed; for the type checker
    return HTTPResponse(
        response.status, _phrase(response.status), _fields(response, close=True), response.body
    )


def serialize(response: Response, *, close: bool) -> bytes:
    """Return a whole response in bytes; a streamed one without its body."""
    body = response.body if isinstance(response.body, bytes) else b""
    fields = _fields(response, close=close)
    return HTTPResponse(response.status, _phrase(response.status), fields, body).serialize()


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _fields(response: Response, *, close: bool) -> Headers:
    fields = {**response.headers, "Content-Type": response.content_type}
    if isinstance(response.body, bytes):
        fields["Content-Length"] = str(len(response.body))
    return Headers({**fields, "Connection": "close" if close else "keep-alive"})


def parse_head(head: bytes) -> tuple[str, str, dict[str, str]] | None:
    """Return method, target and headers (names in lower case), or None where it is no HTTP/1.1 request."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    pairs = (line.partition(":") for line in lines)
    return words[0], words[1], {name.strip().lower(): value.strip() for name, _, value in pairs}
