"""A far end that costs next to nothing: it reads headers only, and answers with bytes that were built before.

So the client is what is measured. Each message is answered by a msgpack map with a picture, followed by a frame with
its timings as fal sends it. The last part of the path says how large the picture is: ``/bench/60000/realtime``.

Run as a program it prints its port and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os

import msgpack

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TIMINGS = b'{"type": "x-fal-message", "action": "timings", "timing": 0.1}'
# Read at once; larger messages are read over and over into the same place, for nobody looks at them.
READ_BYTES = 1 << 20
_READ = memoryview(bytearray(READ_BYTES))


def answer_of(size: int) -> bytes:
    """Return the frames that answer every message: a picture of some bytes, and its timings."""
    body = msgpack.packb({"images": [{"content": os.urandom(size), "content_type": "image/jpeg"}], "seed": 7})
    return header(0x82, len(body)) + body + header(0x81, len(TIMINGS)) + TIMINGS


def header(first: int, length: int) -> bytes:
    """Return the header of a frame that is not masked."""
    if length < 126:
        return bytes((first, length))
    if length < 65536:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


class Peer(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self) -> None:
        self._head: bytearray | None = bytearray()
        # Bytes still to come of a message that is being thrown away, and the first byte of its frame.
        self._skip = self._owes = 0
        self._kept = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(1 << 24)  # type: ignore[attr-defined]

    def get_buffer(self, sizehint: int) -> memoryview:
        return _READ

    def buffer_updated(self, nbytes: int) -> None:
        if self._head is not None:
            self._upgrade(bytes(_READ[:nbytes]))
        elif self._skip >= nbytes:
            self._skip -= nbytes
            if not self._skip:
                self._message(self._owes)
        else:
            at = self._skip
            if at:
                self._skip = 0
                self._message(self._owes)
            kept, self._kept = self._kept, b""
            if kept:  # the beginning of a header
                whole = kept + bytes(_READ[:nbytes])
                self._read(memoryview(whole), 0, len(whole))
            else:
                self._read(_READ, at, nbytes)

    def _upgrade(self, data: bytes) -> None:
        assert self._head is not None
        self._head += data
        if b"\r\n\r\n" not in self._head:
            return
        lines = bytes(self._head).split(b"\r\n")
        size = int(lines[0].split(b" ")[1].split(b"/")[2])
        key = next(line.split(b": ")[1] for line in lines if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        self._transport.write(  # type: ignore[attr-defined]
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._answer = ANSWERS.get(size) or ANSWERS.setdefault(size, answer_of(size))
        self._head = None

    def _read(self, view: memoryview, at: int, end: int) -> None:
        while at < end:
            length = view[at + 1] & 127 if end - at > 1 else 127
            body = at + (6 if length < 126 else 8 if length == 126 else 14)
            if body > end:
                self._kept = bytes(view[at:end])
                return
            if length > 125:
                length = int.from_bytes(view[at + 2 : body - 4], "big")
            first, at = view[at], body + length
            if first == 0x89 and at <= end:
                masks = bytes(view[body - 4 : body]) * 32
                payload = bytes(byte ^ mask for byte, mask in zip(view[body:at], masks, strict=False))
                self._transport.write(bytes((0x8A, length)) + payload)  # type: ignore[attr-defined]
            if at > end:  # it is answered when its last byte is here
                self._skip, self._owes = at - end, first
                return
            self._message(first)

    def _message(self, first: int) -> None:
        if first == 0x88:
            self._transport.write(b"\x88\x02\x03\xe8")  # type: ignore[attr-defined]
            self._transport.close()
        elif first in (0x81, 0x82):
            self._transport.write(self._answer)  # type: ignore[attr-defined]


ANSWERS: dict[int, bytes] = {}


async def serve() -> None:
    """Print the port, then serve until we are ended."""
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
