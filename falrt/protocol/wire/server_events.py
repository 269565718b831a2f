"""Server-sent events: bytes in, events out.

The bytes may be cut anywhere, in the middle of a character and of a line's end too. An event ends with an empty line;
what stands behind the last one was cut off and is not an event.

Source: wire fact W75, docs/reference/wire.md; the format is the HTML standard's.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final

from falrt.exceptions import DecodeError

__all__ = ["EventDecoder", "ServerEvent"]

EVENT_CHARACTERS_MAX: Final = 64 * 1024 * 1024
"""Room for a large picture in base64; a bound for a server that never ends a line."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event.

    Attributes:
        data: Its text; several lines are joined by line feeds.
        event: Its kind; empty for an ordinary one.
        id: The last ``id`` so far, or empty.
    """

    data: str
    event: str = ""
    id: str = ""


class EventDecoder:
    """Assembles events.

    Args:
        limit: Characters that one event may have.
    """

    def __init__(self, limit: int = EVENT_CHARACTERS_MAX) -> None:
        self._limit = limit
        # "replace": one damaged character does not cost the stream.
        self._text = codecs.getincrementaldecoder("utf-8-sig")("replace")
        # The beginning of a line whose end has not come, in pieces, and the characters of the event so far.
        self._line: list[str] = []
        self._size = 0
        # The last piece ended in CR: a LF that comes next belongs to it.
        self._after_return = False
        self._data: list[str] = []
        self._event = self._id = ""

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Take the next bytes and return the events that they complete.

        Raises:
            DecodeError: An event is longer than the limit.
        """
        text = self._text.decode(data)
        if self._after_return and text:
            text = text.removeprefix("\n")
            self._after_return = False
        self._after_return = self._after_return or text.endswith("\r")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        *ends, rest = text.split("\n")
        events = []
        for end in ends:
            line, self._line = "".join((*self._line, end)) if self._line else end, []
            self._grow(len(end))
            if (event := self._take(line)) is not None:
                events.append(event)
        if rest:
            self._line.append(rest)
            self._grow(len(rest))
        return events

    @property
    def is_cut(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._data or self._line)

    def _grow(self, characters: int) -> None:
        self._size += characters
        if self._size > self._limit:
            raise DecodeError(
                f"an event is longer than {self._limit} characters: the server did not end it",
                size=self._size,
            )

    def _take(self, line: str) -> ServerEvent | None:
        if not line:
            data = "\n".join(self._data)
            event = ServerEvent(data, self._event, self._id) if data else None
            self._data, self._event, self._size = [], "", 0
            return event
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._event = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif not field:
            self._size -= len(
                line
            )  # a comment, such as one that keeps the line alive, is no part of an event
        # Others say nothing to us: after ``retry`` a browser would ask again, which here costs another result.
        return None
