"""An HTTP server that answers as a test's function says, cuts included: what no good server would do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

__all__ = ["CUT", "Asked", "Said", "scripted"]


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Said:
    """An answer: a value goes as JSON, bytes as they are, a list of bytes in chunks; then, maybe, a cut."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    kind: str = "application/json"


CUT = Said(0, cut=True)

Answer: TypeAlias = Said | Awaitable[Said]


@asynccontextmanager
async def scripted(answer: Callable[[Asked], Answer]) -> AsyncIterator[tuple[str, list[Asked]]]:
    """Run a server; give its URL and what it is asked."""
    asked: list[Asked] = []
    # Held, because a task that nobody holds may be collected.
    lines: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        lines.add(task)
        try:
            while True:
                asked.append(request := await _read(reader))
                said = answer(request)
                said = await said if isinstance(said, Awaitable) else said
                await _write(writer, said)
                if said.cut:
                    writer.transport.abort()
                    return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client has left, or the test is over
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            lines.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        for task in list(lines):
            task.cancel()
        if lines:
            await asyncio.wait(set(lines))


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *rest = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    body = bytearray()
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body += await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Asked(method, parts.path, dict(parse_qsl(parts.query)), headers, bytes(body))


async def _write(writer: asyncio.StreamWriter, said: Said) -> None:
    if not said.status:
        return
    parted = isinstance(said.body, list) and said.body and isinstance(said.body[0], bytes)
    pieces = said.body if parted else None
    body = said.body if parted or isinstance(said.body, bytes) else json.dumps(said.body).encode()
    length = "transfer-encoding: chunked" if pieces is not None else f"content-length: {len(body)}"
    fields = "".join(f"{name}: {value}\r\n" for name, value in said.headers.items())
    writer.write(
        f"HTTP/1.1 {said.status} X\r\ncontent-type: {said.kind}\r\n{length}\r\n{fields}\r\n".encode()
    )
    if pieces is None:
        writer.write(body)
    for piece in pieces or ():
        writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)
    if pieces is not None and not said.cut:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
