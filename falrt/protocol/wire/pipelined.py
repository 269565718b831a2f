"""HTTP over WebSockets: messages in, whole answers out, in the order of the requests.

Each answer is a ``start`` message, the body in any number of messages, and an ``end`` message.

Source: wire fact W79, docs/reference/wire.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from falrt.exceptions import DecodeError, ServerError, UnauthorizedError
from falrt.protocol.wire.messages import ServerFault, Unauthorized, classify

__all__ = ["Answer", "AnswerReader"]

BODY_BYTES_MAX: Final = 256 * 1024 * 1024
# A message about an answer is short; what is longer is a body, and needs no parsing to be told apart.
_META_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        status: HTTP status.
        headers: Names in lower case.
        body: As over HTTP.
        request_id: The service's id of the request.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    request_id: str = ""


class AnswerReader:
    """Assembles answers.

    Args:
        limit: Bytes that one body may have.
    """

    def __init__(self, limit: int = BODY_BYTES_MAX) -> None:
        self._limit = limit
        # The start message of the answer that is coming in; None between two.
        self._start: dict[str, Any] | None = None
        self._body = bytearray()

    def feed(self, message: bytes, *, is_text: bool) -> Answer | None:
        """Take the next message; return the answer that it completes, if it does.

        Raises:
            DecodeError: A message does not belong where it came, or a body is longer than the limit.
            UnauthorizedError: The gateway refused the key (wire fact W24).
            ServerError: It reported another error.
        """
        meta = _meta_in(message) if is_text else None
        if self._start is None:
            if meta is None or meta["type"] != "start":
                _raise_refusal(message)
                raise DecodeError("received a message that belongs to no answer", size=len(message))
            self._start = meta
            return None
        if meta is None:
            self._body += message
            if len(self._body) > self._limit:
                raise DecodeError(f"an answer is larger than {self._limit} bytes", size=len(self._body))
            return None
        if meta["type"] != "end":
            raise DecodeError("an answer began before the last one ended")
        begun, body = self._start, bytes(self._body)
        self._start, self._body = None, bytearray()
        status = meta.get("status", begun.get("status"))
        headers = begun.get("headers")
        headers = headers if isinstance(headers, dict) else {}
        return Answer(
            status if isinstance(status, int) else 200,
            {str(name).lower(): str(value) for name, value in headers.items()},
            body,
            str(begun["request_id"]),
        )


def _meta_in(message: bytes) -> dict[str, Any] | None:
    """Return a message about an answer; None for a part of a body."""
    if len(message) > _META_MAX or not message.lstrip().startswith(b"{"):
        return None
    try:
        meta = json.loads(message)
    except (ValueError, RecursionError):
        return None
    known = isinstance(meta, dict) and "request_id" in meta and meta.get("type") in ("start", "end")
    return meta if known else None


def _raise_refusal(message: bytes) -> None:
    """Raise what the gateway says instead of an answer."""
    try:
        told = json.loads(message)
    except (ValueError, RecursionError):
        return
    refusal = classify(told)
    if isinstance(refusal, Unauthorized):
        raise UnauthorizedError("the gateway refused the key: check FAL_KEY or key=...")
    if isinstance(refusal, ServerFault):
        raise ServerError(refusal.error, refusal.reason, payload=told)
