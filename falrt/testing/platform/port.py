"""What goes in and out of the platform over HTTP: `Request`, `Response`, and refusals in fal's words.

All of fal's hosts may be folded into one address. Which of them a request is meant for is told, in this order, by
``x-fal-target-url`` (through the proxy), by the ``Host`` header, by the first segment of the path
(``http://127.0.0.1:8765/queue.fal.run/fal-ai/flux/dev``), or by what the path can only belong to; everything
else is for ``fal.run``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = [
    "HOSTS",
    "PROXY_PATH",
    "Refused",
    "Request",
    "Response",
    "Route",
    "invalid",
    "not_found",
    "refused",
]

HOSTS: Final = ("fal.run", "queue.fal.run", "ws.fal.run", "rest.fal.ai", "v3.fal.media", "fal.ai")
PROXY_PATH: Final = "/api/fal/proxy"
# First segments that belong to one host only.
_HOST_OF: Final = {"tokens": "rest.fal.ai", "storage": "rest.fal.ai", "files": "v3.fal.media"}


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, or the handshake of a WebSocket.

    Attributes:
        method: In upper case.
        host: Which of fal's hosts it is for, such as ``"rest.fal.ai"``.
        path: Decoded, begins with a slash and without the host, such as ``"/tokens/"``.
        query: Parameters, decoded; the last one of a name.
        headers: Names in lower case.
        body: The whole of it.
        origin: Where fal's hosts are folded into, such as ``"http://127.0.0.1:8765"``; empty where the client
            names fal's own hosts.
        via_proxy: Whether it came through the proxy URL, which holds the key itself.
    """

    method: str
    host: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    origin: str = ""
    via_proxy: bool = False

    @classmethod
    def arrived(
        cls, method: str, target: str, headers: Mapping[str, str], body: bytes = b"", *, scheme: str = "http"
    ) -> Request:
        """Return the request as it is meant.

        Args:
            method: As in the request line.
            target: Path and query as in the request line, still encoded.
            headers: Names in lower case.
            body: The whole of it.
            scheme: ``"http"`` or ``"https"``: how the client reached us.
        """
        parts = urlsplit(target)
        address = headers.get("host", "127.0.0.1")
        origin, via_proxy = f"{scheme}://{address}", False
        if parts.path == PROXY_PATH and "x-fal-target-url" in headers:
            parts = urlsplit(headers["x-fal-target-url"])
            origin, via_proxy, address = "", True, parts.netloc
        path = unquote(parts.path) or "/"
        first, _, rest = path.removeprefix("/").partition("/")
        if address in HOSTS:
            host, origin = address, ""
        elif first in HOSTS:
            host, path = first, f"/{rest}"
        else:
            host = _HOST_OF.get(first, "fal.run")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return cls(method.upper(), host, path, query, headers, body, origin, via_proxy)

    def json(self) -> Any:
        """Return the decoded body.

        Raises:
            Refused: 422: it is not JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise invalid("json_invalid", ["body"], "JSON decode error") from None

    def url(self, host: str, path: str) -> str:
        """Return the URL of another route as this client would reach it."""
        return f"{self.origin}/{host}{path}" if self.origin else f"https://{host}{path}"


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a `Request`.

    Attributes:
        status: The HTTP status.
        body: The whole body, or its chunks; the generator is closed when the client leaves.
        content_type: Of the body.
        headers: Further ones.
    """

    status: int
    body: bytes | AsyncGenerator[bytes, None] = field(default=b"", repr=False)
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
        """Return a response with a JSON body."""
        return cls(status, json.dumps(value).encode(), "application/json", headers or {})


@dataclass(frozen=True, slots=True)
class Route:
    """One address of the platform.

    Attributes:
        method: In upper case.
        host: One of fal's.
        path: A regular expression for the whole path; its named groups become arguments of `answer`.
        answer: ``async (request, **groups) -> Response``; may raise `Refused`.
        needs_key: Whether a request without a good key is answered with 401 before.
    """

    method: str
    host: str
    path: str
    answer: Callable[..., Awaitable[Response]]
    needs_key: bool = True


class Refused(Exception):
    """A request is refused; carries the response, and as its text the reason."""

    def __init__(self, response: Response, why: str) -> None:
        super().__init__(why)
        self.response = response


def refused(status: int, detail: Any, error_type: str | None = None, *, why: str = "") -> Refused:
    """Return a refusal as fal's platform words it.

    Args:
        status: The HTTP status.
        detail: What the body says.
        error_type: In the body and in a header.
        why: For logs and tests only, where the detail does not tell.
    """
    body, headers = {"detail": detail}, {}
    if error_type is not None:
        body["error_type"] = headers["x-fal-error-type"] = error_type
    return Refused(Response.json(status, body, headers), why or str(detail))


def invalid(kind: str, where: Sequence[str | int], message: str, value: Any = None) -> Refused:
    """Return the 422 for one wrong field, in the form of fal's services."""
    return refused(422, [{"type": kind, "loc": list(where), "msg": message, "input": value}])


def not_found(request: Request) -> Refused:
    """Return the 404 for a path that leads nowhere."""
    return refused(404, f"Path {request.path} not found")
