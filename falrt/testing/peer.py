"""One TCP connection whose reading and whose end are under control; the fake server's and the fault proxy's."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

__all__ = ["Peer"]


class Peer(asyncio.Protocol):
    """One TCP connection.

    Attributes:
        transport: What carries it; None before it stands.
        lost: Set when TCP is down.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is down, for whatever reason."""
        self.lost.set()

    def pause_reading(self) -> None:
        """Take nothing from the network: what the peer sends fills the kernel's buffers, then blocks."""
        if self.transport is not None and not self.lost.is_set():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self.transport is not None and not self.lost.is_set():
            self.transport.resume_reading()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def reset(self) -> None:
        """Send a TCP reset; what is still on its way is lost."""
        raw = None if self.transport is None else self.transport.get_extra_info("socket")
        if raw is not None and not self.lost.is_set():
            # A linger time of zero is what makes the kernel send RST instead of FIN.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()
