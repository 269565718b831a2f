"""The HTTP/1.1 of one TCP connection of the fake server, until it is upgraded; h11 knows the rules."""

from __future__ import annotations

import http
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h11
from websockets.datastructures import Headers
from websockets.http11 import Response as HandshakeResponse

from falrt.testing.platform.port import Response

__all__ = ["HTTPExchange", "Malformed", "RawRequest", "denial"]

HEAD_LIMIT_BYTES = 64 * 1024
BODY_LIMIT_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A whole request, or the head of an upgrade.

    Attributes:
        method: As in the request line.
        target: Path and query, still encoded.
        headers: Names in lower case.
        body: The whole of it.
        upgrade: Where a WebSocket is asked for: every byte from the request line on. Otherwise None.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    upgrade: bytes | None = field(default=None, repr=False)


class Malformed(Exception):
    """What came is no request; carries the response after which the connection ends."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.text = text.encode()
        self.response = Response(status, self.text)


class HTTPExchange:
    """Reads requests and writes responses, one after the other; bytes in, bytes out."""

    def __init__(self) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT_BYTES)
        # The bytes of the head that is being read, for the WebSocket protocol where it turns out an upgrade.
        self._head = bytearray()
        self._request: h11.Request | None = None
        self._body = bytearray()

    def receive(self, data: bytes) -> None:
        """Take in bytes; none stand for the end of the stream."""
        if self._request is None:
            self._head += data
        self._h11.receive_data(data)

    def next_request(self) -> RawRequest | None:
        """Return the next request, or None where it is not complete or the one before is not answered.

        Raises:
            Malformed: Something else than HTTP/1.1 came, or too much.
        """
        try:
            while True:
                event = self._h11.next_event()
                if isinstance(event, h11.Request):
                    self._request = event
                    headers = _headers(event)
                    if headers.get("upgrade", "").lower() == "websocket":
                        return self._raw(upgrade=bytes(self._head))
                    self._head.clear()
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > BODY_LIMIT_BYTES:
                        raise Malformed(413, "body too large")
                elif isinstance(event, h11.EndOfMessage):
                    return self._raw(body=bytes(self._body))
                else:  # more bytes are needed, an answer is awaited, or the client has ended the stream
                    return None
        except h11.RemoteProtocolError as exc:
            raise Malformed(exc.error_status_hint, str(exc)) from None

    def begin(self, response: Response, *, close: bool = False) -> bytes:
        """Return the head of a response."""
        fields = [*response.headers.items(), ("Content-Type", response.content_type)]
        if isinstance(response.body, bytes):
            fields.append(("Content-Length", str(len(response.body))))
        if close:
            fields.append(("Connection", "close"))
        head = h11.Response(status_code=response.status, headers=fields, reason=_phrase(response.status))
        return self._h11.send(head) or b""

    def chunk(self, data: bytes) -> bytes:
        """Return a piece of a response's body."""
        return self._h11.send(h11.Data(data)) or b""

    def end(self) -> bytes:
        """Return the end of a response, and be ready for the next request."""
        data = self._h11.send(h11.EndOfMessage()) or b""
        self._request = None
        self._body.clear()
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._head = bytearray(self._h11.trailing_data[0])
            self._h11.start_next_cycle()
        return data

    @property
    def is_over(self) -> bool:
        """Whether the connection must be closed: nothing more can be asked here."""
        return self._h11.our_state in (h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)

    def _raw(self, **more: Any) -> RawRequest:
        assert self._request is not None  # noqa: S101 - called with one; for the type checker
        method, target = self._request.method.decode(), self._request.target.decode()
        return RawRequest(method, target, _headers(self._request), **more)


def denial(response: Response) -> HandshakeResponse:
    """Return what the WebSocket protocol sends instead of 101."""
    assert isinstance(response.body, bytes)  # noqa: S101 - a refusal is never streamed; for the type checker
    fields = {
        **response.headers,
        "Content-Type": response.content_type,
        "Content-Length": str(len(response.body)),
        "Connection": "close",
    }
    return HandshakeResponse(response.status, _phrase(response.status), Headers(fields), response.body)


def _headers(request: h11.Request) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in request.headers}


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
