"""The WebSocket protocol of one socket: bytes to messages and back. Pure: no waiting, no clock.

The only module besides ``testing`` that knows the ``websockets`` library, of which it uses the documented Sans-I/O
layer. The library makes the request, checks the upgrade, makes every frame that we send, and reads every frame that is
out of the ordinary: control frames, fragments, compressed ones, and whatever breaks the rules. A whole message in one
plain frame, which is what a server sends all day, is handed over as it lies in the receive buffer: the library would
copy it twice.

Theory of operation: :meth:`Framing.read` looks at the header of each frame in a buffer. Plain messages stay in the
buffer until they are whole. Of other frames the library gets what there is, at once, and :attr:`Framing._rest` counts
what is still to come, so that it is known where the next header is.
"""

from __future__ import annotations

import codecs
import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame as LibraryFrame
from websockets.frames import Opcode
from websockets.http11 import Response as LibraryAnswer
from websockets.protocol import State
from websockets.uri import parse_uri

from falrt.connection.handshake import Answer, NotAnUpgrade
from falrt.connection.losses import End
from falrt.typing import Frame

__all__ = ["Framing", "MessageTaker", "Received", "nobody"]

# Larger messages are assembled by the library, piece by piece: their header alone must not reserve so much.
ASSEMBLED_MAX_BYTES: Final = 2 * 1024 * 1024
# Smaller ones are copied: a copy costs nothing, and can be kept.
VIEWED_MIN_BYTES: Final = 16 * 1024 + 1

# Frames that are used up in one turn of the loop, a millisecond or two of work: a read may bring 50 000 of them.
FRAMES_A_TURN: Final = 64

# First bytes of frames that are whole messages, and of others.
_TEXT, _BINARY, _CLOSE, _PING, _LAST_FRAGMENT = 0x81, 0x82, 0x88, 0x89, 0x80
_PLAIN: Final = frozenset({_TEXT, _BINARY})
_DATA: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_INVALID_TEXT: Final = 1007

Received: TypeAlias = str | bytes | bytearray | memoryview
"""A message as it came: text, or binary. A memoryview is good only until whoever gets it returns."""

MessageTaker: TypeAlias = Callable[[Received, int], None]
"""Takes a message and how many bytes it has on the wire."""


def nobody(message: Received, size: int) -> None:
    """Take a message that nobody wants."""


# The library's DEBUG lines hold the token in the URL and the pictures' bytes: nobody can switch on a logger that is in
# no registry.
_LOGGER: Final = logging.Logger("falrt.transport", logging.WARNING)
_LOGGER.parent = logging.getLogger("falrt")


class Framing:
    """The state of one WebSocket.

    Args:
        url: ``ws://`` or ``wss://``, with the token if there is one.
        headers: Of the request to upgrade, beside the WebSocket's own.
        max_size: Bytes that a message may have.
        compression: ``"deflate"`` offers it.

    Attributes:
        on_message: Called with each message; nobody is at first.
        holds_pings: Whether pings are not answered but kept, because what is to be sent has no room; set by whoever
            sends.
        held_ping: The newest of those: the only one that needs an answer (RFC 6455, 5.5.3).
        held_pings: How many there were.
        bytes_to_send: To be called after every other method, for what is to be sent now. Empty bytes stand for the
            end of our side.
        has_more: Whether :meth:`read` left whole frames for the next turn of the loop.
        stirred: Whether something other than whole messages came since this was set to False: there may be something
            to send, or the end may be near.
    """

    __slots__ = (
        "_compressed", "_fragments", "_max_size", "_plain_max", "_protocol", "_rest", "_text", "_too_large",
        "bytes_to_send", "has_more", "held_ping", "held_pings", "holds_pings", "on_message", "stirred",
    )  # fmt: skip

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        *,
        max_size: int | None,
        compression: str | None,
    ) -> None:
        self.on_message: MessageTaker = nobody
        self._max_size = max_size
        extensions = None
        if compression is not None:
            # As the library's own client has it: a quarter of the memory for hardly less compression.
            extensions = [ClientPerMessageDeflateFactory(compress_settings={"memLevel": 5})]
        self._protocol = ClientProtocol(
            parse_uri(url), extensions=extensions, max_size=max_size, logger=_LOGGER
        )
        request = self._protocol.connect()
        for name, value in headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        # Whether the peer agreed to compression.
        self._compressed = False
        # How many bytes a message may have that comes in one frame now and is not left to the library.
        self._plain_max = -1
        # Bytes still to come of a frame that the library reads.
        self._rest = 0
        # The beginning of a message that comes in several frames, in one buffer: a list of them would hold an object
        # for each byte, and ``max_size`` counts bytes only.
        self._fragments: bytearray | None = None
        # Checks them as they come, where they are text.
        self._text: codecs.IncrementalDecoder | None = None
        # The size of the message that was too large.
        self._too_large = 0
        self.holds_pings = False
        self.held_ping: bytes | None = None
        self.held_pings = 0
        self.stirred = self.has_more = False
        self.bytes_to_send = self._protocol.data_to_send

    # --- states

    @property
    def is_open(self) -> bool:
        """Whether messages may be sent."""
        return self._protocol.state is State.OPEN

    @property
    def is_closing(self) -> bool:
        """Whether a close frame has come or gone: all that is missing is the end of the connection."""
        return self._protocol.state is State.CLOSING

    def end(self, cause: Exception | None) -> End:
        """Return how it ended, once the end of the stream was read; ``cause`` is the network's error."""
        exc = self._protocol.close_exc
        received, complaint = exc.rcvd, exc.sent
        if received is not None and exc.rcvd_then_sent:
            complaint = None  # an echo
        return End(
            received=None if received is None else (int(received.code), received.reason),
            complaint=None if complaint is None else (int(complaint.code), complaint.reason),
            size=self._too_large,
            max_size=self._max_size,
            cause=cause,
        )

    # --- to the peer

    def send(self, frame: Frame) -> None:
        """Send a message while :attr:`is_open`."""
        if isinstance(frame, str):
            self._protocol.send_text(frame.encode())
        else:
            self._protocol.send_binary(frame)

    def ping(self) -> None:
        """Ask for a sign of life."""
        if self.is_open:
            self._protocol.send_ping(b"falrt")

    def answer_pings(self) -> None:
        """There is room again: answer the newest ping."""
        ping, self.held_ping = self.held_ping, None
        self.holds_pings, self.held_pings = False, 0
        if ping is not None and self.is_open:
            self._protocol.send_pong(ping)

    def close(self) -> None:
        """Begin the closing handshake, with code 1000."""
        if self.is_open:
            self._protocol.send_close(1000)
            self._find_plain_max()

    # --- from the peer

    def upgrade(self, answer: Answer) -> None:
        """Take the answer of status 101.

        Raises:
            NotAnUpgrade: It does not belong to our request.
        """
        self._protocol.receive_data(answer.upgrade_head())
        exc = self._protocol.handshake_exc
        if exc is not None:
            raise NotAnUpgrade(str(exc) if isinstance(exc, InvalidHandshake) else "its answer is not valid")
        for event in self._protocol.events_received():
            if isinstance(event, LibraryAnswer):
                event.headers.clear()  # nobody looks at them again, and the library keeps them: a kilobyte
        self._compressed = bool(self._protocol.extensions)
        self._find_plain_max()

    def end_of_stream(self) -> None:
        """The peer sends nothing any more."""
        self._protocol.receive_eof()

    def read(self, view: memoryview, end: int) -> tuple[int, int]:  # noqa: C901 - every frame's way: a call costs
        """Use up the first bytes of a buffer, so many frames as there is time for in one turn of the loop.

        Returns:
            Where the first message begins that is not whole yet, and how many bytes its frame will have, or 0 where
            that is not known.
        """
        at, need = min(self._rest, end), 0
        if at:
            self._rest -= at
            self._pass_on(view[:at])
        max_size, frames = self._plain_max, 0
        self.has_more = False
        while end - at >= 2:
            frames += 1
            if frames > FRAMES_A_TURN:
                self.has_more = True
                break
            first, length = view[at], view[at + 1]
            body, short, masked = at + 2, length <= 125, length > 127
            if masked:  # which breaks the rules: the library says so before it reads on
                length = end - body
            elif not short:
                body += 2 if length == 126 else 8
                if body > end:
                    break
                length = int.from_bytes(view[at + 2 : body], "big")
            after = body + length
            if first in _PLAIN and length <= max_size and not masked:
                if after > end:
                    need = after - at
                    break
                if first == _TEXT:
                    self._take_text(view[body:after])
                else:
                    data = view[body:after]
                    self.on_message(bytes(data) if length < VIEWED_MIN_BYTES else data, length)
            elif first == _PING and short and self.holds_pings:
                if after > end:
                    break
                self.held_ping, self.held_pings = bytes(view[body:after]), self.held_pings + 1
                self.stirred = True
            else:
                self._rest = max(0, after - end)
                after = min(after, end)
                self._begin_unusual(first, length, view[at:after])
            if self.stirred:
                max_size = self._find_plain_max()
            at = after
        return at, need

    def _begin_unusual(self, first: int, length: int, data: memoryview) -> None:
        """Let the library read a frame that is no plain message, as far as it has come."""
        if first == _CLOSE:
            self._end_fragments()
        size = length + len(self._fragments or b"")
        if self._max_size is not None and size > self._max_size:
            self._too_large = size
        self._pass_on(data)

    def _find_plain_max(self) -> int:
        limit = ASSEMBLED_MAX_BYTES if self._max_size is None else min(self._max_size, ASSEMBLED_MAX_BYTES)
        self._plain_max = limit if self._fragments is None and self.is_open else -1
        return self._plain_max

    def _take_text(self, data: bytes | bytearray | memoryview) -> None:
        """Hand over a whole message that is to be text."""
        try:
            message = str(data, "utf-8")
        except UnicodeDecodeError as exc:
            self._complain(exc)
        else:
            self.on_message(message, len(data))

    def _complain(self, exc: UnicodeDecodeError) -> None:
        """End the socket because of text that is none."""
        self.stirred = True
        if self.is_open:
            self._protocol.fail(_INVALID_TEXT, f"text is not UTF-8: {exc.reason} at byte {exc.start}")

    def _pass_on(self, data: memoryview) -> None:
        """Let the library read a frame, or a part of one."""
        self.stirred = True
        self._protocol.receive_data(bytes(data))
        for event in self._protocol.events_received():
            if isinstance(event, LibraryFrame) and event.opcode in _DATA:
                self._assemble(event)

    def _assemble(self, frame: LibraryFrame) -> None:
        """Add a frame to its message."""
        if self._fragments is None:
            if frame.fin:
                if frame.opcode is Opcode.TEXT:
                    self._take_text(frame.data)
                else:
                    self.on_message(frame.data, len(frame.data))
                return
            self._fragments = bytearray()
            self._text = codecs.getincrementaldecoder("utf-8")() if frame.opcode is Opcode.TEXT else None
        self._fragments += frame.data
        if self._text is not None:
            try:
                self._text.decode(bytes(frame.data), frame.fin)
            except UnicodeDecodeError as exc:
                self._complain(exc)
                return
        if frame.fin:
            data, text = self._fragments, self._text
            self._fragments = self._text = None
            self.on_message(data if text is None else data.decode(), len(data))

    def _end_fragments(self) -> None:
        """Forget a message that a close frame interrupts, which the rules allow and the library does not."""
        if self._fragments is not None and not self._compressed:
            self._fragments = self._text = None
            self._protocol.receive_data(bytes((_LAST_FRAGMENT, 0)))
            self._protocol.events_received()
