"""A small real picture without an image library, for answers that nobody scripted."""

from __future__ import annotations

import struct
import zlib

__all__ = ["png"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(size: int = 8, *, colour: tuple[int, int, int] = (200, 120, 40)) -> bytes:
    """Return a square PNG of one colour.

    Args:
        size: Side, in pixels.
        colour: Red, green, blue, each 0-255.
    """
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB, not interlaced
    row = b"\x00" + bytes(colour) * size  # filter type 0, then the pixels
    body = zlib.compress(row * size)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
