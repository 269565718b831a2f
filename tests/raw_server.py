"""A server that upgrades and then sends bytes as they are: what no library would send."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


def accepting(request: str) -> str:
    """Return the Sec-WebSocket-Accept that answers a request."""
    key = next(
        line.split(": ")[1] for line in request.splitlines() if line.lower().startswith("sec-websocket-key")
    )
    magic = f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
    return base64.b64encode(hashlib.sha1(magic).digest()).decode()


@asynccontextmanager
async def raw_server(
    said: bytes, *, polite: bool = True, before: bytes = b"", headers: str = ""
) -> AsyncIterator[str]:
    """Run a server that sends ``said`` with its handshake and then nothing; give its URL.

    Args:
        said: Goes out in the same bytes as the handshake.
        before: Goes out before the handshake.
        headers: More of them for the handshake, each with its line end.
        polite: End the line when the client says something, such as a close frame; else keep it.
    """

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accept = accepting((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(
            before
            + f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
            + said
        )
        if polite:
            await reader.read(1)  # whatever comes: the client only closes
        else:
            await over.wait()
        writer.close()

    over = asyncio.Event()
    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        over.set()
