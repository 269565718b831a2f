"""The HTTP/1.1 of one TCP connection of the fake server, until it is upgraded; h11 knows the rules."""

from __future__ import annotations

import http

import h11

from falrt.testing.platform.port import Refused, Request, Response

__all__ = ["HTTPExchange"]

HEAD_LIMIT_BYTES = 64 * 1024
BODY_LIMIT_BYTES = 128 * 1024 * 1024


class HTTPExchange:
    """Reads requests and writes responses, one after the other; bytes in, bytes out.

    Args:
        scheme: ``"http"`` or ``"https"``: how clients reach us.

    Attributes:
        upgrade: Where the request asks for a WebSocket: every byte from the request line on. Otherwise None.
    """

    def __init__(self, scheme: str = "http") -> None:
        self._scheme = scheme
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT_BYTES)
        # The bytes of the head that is being read, for the WebSocket protocol where it turns out an upgrade.
        self._head = bytearray()
        self._request: h11.Request | None = None
        self._body = bytearray()
        self.upgrade: bytes | None = None

    def receive(self, data: bytes) -> None:
        """Take in bytes; none stand for the end of the stream."""
        if self._request is None:
            self._head += data
        self._h11.receive_data(data)

    def next_request(self) -> Request | None:
        """Return the next request, or None where it is not complete or the one before is not answered.

        Raises:
            Refused: Something else than HTTP/1.1 came, or too much; nothing can follow the response.
        """
        try:
            while True:
                event = self._h11.next_event()
                if isinstance(event, h11.Request):
                    self._request = event
                    request = self._arrived()
                    if request.headers.get("upgrade", "").lower() == "websocket":
                        self.upgrade = bytes(self._head)
                        return request
                    self._head.clear()
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > BODY_LIMIT_BYTES:
                        raise _refused(413, "body too large")
                elif isinstance(event, h11.EndOfMessage):
                    return self._arrived(bytes(self._body))
                else:  # more bytes are needed, an answer is awaited, or the client has ended the stream
                    return None
        except h11.RemoteProtocolError as exc:
            raise _refused(exc.error_status_hint, str(exc)) from None

    def begin(self, response: Response, *, close: bool = False) -> bytes:
        """Return the head of a response."""
        fields = [*response.headers.items(), ("Content-Type", response.content_type)]
        if isinstance(response.body, bytes):
            fields.append(("Content-Length", str(len(response.body))))
        if close:
            fields.append(("Connection", "close"))
        head = h11.Response(status_code=response.status, headers=fields, reason=_phrase(response.status))
        return self._h11.send(head) or b""

    def whole(self, response: Response) -> bytes:
        """Return a response that is not streamed, and after which the connection ends."""
        assert isinstance(response.body, bytes)  # noqa: S101 - refusals never are; for the type checker
        return self.begin(response, close=True) + self.chunk(response.body)

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

    def _arrived(self, body: bytes = b"") -> Request:
        assert self._request is not None  # noqa: S101 - called with one; for the type checker
        headers = {name.decode(): value.decode("latin-1") for name, value in self._request.headers}
        method, target = self._request.method.decode(), self._request.target.decode()
        return Request.arrived(method, target, headers, body, scheme=self._scheme)


def _refused(status: int, text: str) -> Refused:
    return Refused(Response(status, text.encode()), text)


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
