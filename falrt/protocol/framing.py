"""The plain case of RFC 6455, quickly: whole data frames, cut out of the bytes of a socket.

Nearly everything that a realtime socket carries is a message in one frame: not fragmented, not compressed, and from
a server never masked. Such frames are cut out here, without a copy where they are large. Everything else - control
frames, fragments, extensions, oversized or odd frames - is passed on byte for byte to the WebSocket library, which
knows all of the RFC: it answers, assembles, complains and closes. After a close frame, and after anything odd, it gets
all the rest.

Source:
    RFC 6455, section 5.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from falrt.protocol.messages import CONTROL_MAX_BYTES

__all__ = ["BINARY", "TEXT", "FrameCutter", "Piece"]

TEXT: Final = 0x1
BINARY: Final = 0x2
_CLOSE: Final = 0x8
_CONTROL_MAX: Final = 125
_FIN: Final = 0x80
_MASKED: Final = 0x80

# Smaller payloads are copied: that costs less than a view, and they may be control messages, which are searched.
VIEWED_BYTES: Final = CONTROL_MAX_BYTES + 1

# Pieces of a frame that are kept as they came, and joined with one copy.
PIECES_MAX: Final = 256

Piece: TypeAlias = tuple[int | None, bytes | memoryview]
"""A message (its opcode and payload), or bytes to be passed on (None)."""


class FrameCutter:
    """Cuts the bytes from a server, from the end of the handshake on.

    Args:
        max_size: Larger payloads are the library's to refuse; None for no limit.
    """

    __slots__ = ("_crumbs", "_fragmented", "_given_up", "_have", "_max_size", "_need", "_passing", "_pieces")

    def __init__(self, max_size: int | None) -> None:
        self._max_size = max_size
        # The beginning of a frame whose end has not come, how long it is, and how long the frame is; a header that is
        # not complete needs one byte more than there is.
        self._pieces: list[bytes] = []
        self._crumbs = bytearray()
        self._have = self._need = 0
        # How much of a frame that is passed on has still to come.
        self._passing = 0
        # A message in several frames is under way: until its last frame, data frames are the library's to judge.
        self._fragmented = False
        # The library gets everything from now on.
        self._given_up = False

    def feed(self, data: bytes) -> Iterable[Piece]:
        """Take bytes as they came; return what they complete, in order."""
        if self._need:
            self._hold(data)
            if self._have < self._need:
                return ()
            data = b"".join((*self._pieces, self._crumbs))
            self._pieces.clear()
            self._crumbs = bytearray()
            self._have = self._need = 0
        elif self._given_up:
            return ((None, data),)
        out: list[Piece] = []
        at, end = 0, len(data)
        while at < end:
            at = self._pass(data, at, out) if self._passing else self._cut(data, at, out)
        return out

    def _hold(self, data: bytes) -> None:
        """Keep what came of a frame; thousands of tiny pieces must not cost thousands of objects."""
        self._have += len(data)
        if len(self._pieces) < PIECES_MAX:
            self._pieces.append(data)
        else:
            self._crumbs += data

    def _cut(self, data: bytes, at: int, out: list[Piece]) -> int:
        """Deal with the frame that begins here; return where the next one does."""
        available = len(data) - at
        if available < 2:
            return self._keep(data, at, 2)
        first, second = data[at], data[at + 1]
        header, length = 2, second
        if second == 126:
            header = 4
        elif second == 127:
            header = 10
        if available < header:
            return self._keep(data, at, header)
        if header > 2:
            length = int.from_bytes(data[at + 2 : at + header], "big")
        if second & _MASKED or (self._max_size is not None and length > self._max_size):
            return self._give_up(data, at, out)
        if first not in (_FIN | BINARY, _FIN | TEXT) or self._fragmented:
            return self._foreign(data, at, header + length, out)
        if available < header + length:
            return self._keep(data, at, header + length)
        start, stop = at + header, at + header + length
        whole = memoryview(data)[start:stop] if length >= VIEWED_BYTES else data[start:stop]
        out.append((first & 0x0F, whole))
        return stop

    def _keep(self, data: bytes, at: int, need: int) -> int:
        self._hold(data[at:] if at else data)
        self._need = need
        return len(data)

    def _foreign(self, data: bytes, at: int, size: int, out: list[Piece]) -> int:
        """Pass on a frame that is not plain."""
        first = data[at]
        opcode, final = first & 0x0F, bool(first & _FIN)
        if opcode == _CLOSE or first & 0x70 or (opcode > _CLOSE and (not final or size > 2 + _CONTROL_MAX)):
            return self._give_up(data, at, out)
        if opcode < _CLOSE:
            self._fragmented = not final
        self._passing = size
        return self._pass(data, at, out)

    def _pass(self, data: bytes, at: int, out: list[Piece]) -> int:
        stop = min(len(data), at + self._passing)
        self._passing -= stop - at
        out.append((None, data[at:stop]))
        return stop

    def _give_up(self, data: bytes, at: int, out: list[Piece]) -> int:
        self._given_up = True
        out.append((None, data[at:]))
        return len(data)
