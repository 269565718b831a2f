"""What a server answers to a request to upgrade or to tunnel: the head of an HTTP/1 response, read strictly.

Pure: bytes in, an :class:`Answer` or an exception out. The WebSocket library checks what belongs to WebSockets, but
only of an answer that says 101; it gives up on long heads and waits for the end of everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Answer", "NotAnUpgrade", "Refused", "body_in", "is_body_complete", "read_answer"]

# No header of a useful answer comes near; what is longer is no HTTP.
HEAD_MAX_BYTES: Final = 256 * 1024
# An explanation is short; a longer body is cut off here.
BODY_MAX_BYTES: Final = 4096
SHOWN_MAX: Final = 60
# What the WebSocket library looks at in a 101. The others may be many and long.
_UPGRADE_HEADERS: Final = ("upgrade", "connection", "sec-websocket-")
_BODILESS: Final = frozenset({204, 304})


class NotAnUpgrade(Exception):
    """The peer's answer is not that of a WebSocket server; the text says what it is instead."""


class Refused(Exception):
    """The peer, or the proxy of a given name, answered with another status than the one that was asked for."""

    def __init__(self, answer: Answer, body: bytes = b"", proxy: str = "") -> None:
        super().__init__(f"HTTP {answer.status}")
        self.answer, self.body, self.proxy = answer, body, proxy


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an HTTP response.

    Attributes:
        status: Such as 101 or 403.
        headers: Names in lower case, with their values, in order.
        size: Bytes of the head, the empty line included.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    size: int

    def header(self, name: str) -> str:
        """Return the value of the first header of a name given in lower case, or an empty string."""
        return next((value for key, value in self.headers if key == name), "")

    def upgrade_head(self) -> bytes:
        """Return a head that holds nothing but what belongs to the upgrade."""
        lines = [f"{name}: {value}" for name, value in self.headers if name.startswith(_UPGRADE_HEADERS)]
        return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode("latin-1")


def read_answer(data: bytes | bytearray) -> Answer | None:
    """Return the head at the beginning of the bytes received so far; None while it is incomplete.

    Answers of status 100 to 199 other than 101 announce the real one: skip their ``size`` bytes and read on.

    Raises:
        NotAnUpgrade: This is not HTTP/1, or has no end.
    """
    start = bytes(data[:SHOWN_MAX])
    if not (start.startswith(b"HTTP/1.") if len(start) >= 7 else b"HTTP/1.".startswith(start)):
        raise NotAnUpgrade(shown(start))
    end = data.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES)
    if end < 0:
        if len(data) > HEAD_MAX_BYTES:
            raise NotAnUpgrade(f"{shown(start)}: headers of more than {HEAD_MAX_BYTES} bytes")
        return None
    status_line, *lines = data[:end].decode("latin-1").split("\r\n")
    words = status_line.split(" ", 2)
    if len(words) < 2 or len(words[1]) != 3 or not words[1].isascii() or not words[1].isdecimal():
        raise NotAnUpgrade(shown(start))
    fields = (line.partition(":") for line in lines)
    headers = tuple((name.lower(), value.strip(" \t")) for name, colon, value in fields if colon)
    return Answer(int(words[1]), headers, end + 4)


def shown(start: bytes) -> str:
    """Return the beginning of what a peer said, as text for an error."""
    line = start.split(b"\n", 1)[0].rstrip()
    return ascii(line.decode("latin-1"))


def is_body_complete(answer: Answer, body: bytes | bytearray) -> bool:
    """Whether nothing more of a refusal's body is worth waiting for; without a length only its end tells."""
    if answer.status in _BODILESS or len(body) >= BODY_MAX_BYTES:
        return True
    if "chunked" in answer.header("transfer-encoding").lower():
        return body.endswith(b"0\r\n\r\n")
    length = answer.header("content-length")
    return length.isdecimal() and len(body) >= int(length)


def body_in(answer: Answer, body: bytes | bytearray) -> bytes:
    """Return what a refusal says, without the framing of chunks, as far as it came."""
    if "chunked" not in answer.header("transfer-encoding").lower():
        return bytes(body[:BODY_MAX_BYTES])
    said, rest = b"", bytes(body)
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        try:
            length = int(size.split(b";")[0], 16)
        except ValueError:
            break
        said, rest = said + rest[:length], rest[length + 2 :]
    return said[:BODY_MAX_BYTES]
