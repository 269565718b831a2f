"""A proxy as a process: HTTP CONNECT, in TLS too, and SOCKS5. Every host that is asked for is this machine.

    python proxy_process.py http|socks5 [--login user:password] [--pem FILE] [--status N]

Prints its port, then a line for each connection that it is asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import ssl
from typing import Any

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def http(options: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Streams | None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *headers = head.split("\r\n")
    told = dict(header.split(": ", 1) for header in headers if ": " in header)
    login = told.get("Proxy-Authorization", "").removeprefix("Basic ")
    print(line, flush=True)
    if options.login and base64.b64decode(login).decode() != options.login:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        return None
    if options.status:
        writer.write(f"HTTP/1.1 {options.status} No\r\ncontent-length: 0\r\n\r\n".encode())
        return None
    far = await asyncio.open_connection("127.0.0.1", int(line.split(" ")[1].rpartition(":")[2]))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    return far


async def socks5(options: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Streams | None:
    _, count = await reader.readexactly(2)
    await reader.readexactly(count)
    writer.write(b"\x05\x02" if options.login else b"\x05\x00")
    if options.login:
        await reader.readexactly(1)
        parts = [(await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)]
        good = ":".join(parts) == options.login
        writer.write(b"\x01\x00" if good else b"\x01\x01")
        if not good:
            return None
    _, _, _, kind = await reader.readexactly(4)
    size = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
    host = await reader.readexactly(size)
    port = int.from_bytes(await reader.readexactly(2), "big")
    print(f"SOCKS5 {host.decode() if kind == 3 else host.hex()}:{port}", flush=True)
    if options.status:
        writer.write(bytes((5, options.status, 0, 1)) + bytes(6))
        return None
    far = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x05\x00\x00\x01" + bytes(6))
    return far


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["http", "socks5"])
    parser.add_argument("--login", default="")
    parser.add_argument("--pem")
    parser.add_argument("--status", type=int, default=0)
    options = parser.parse_args()
    context = None
    if options.pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.pem)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far = await (http if options.kind == "http" else socks5)(options, reader, writer)
            if far is not None:
                await asyncio.gather(pass_on(reader, far[1]), pass_on(far[0], writer))
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
