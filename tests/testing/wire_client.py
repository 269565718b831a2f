"""A bare client for the tests of the fake server: websockets and msgpack, nothing of falrt."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from falrt.testing import FakeServer, make_token

PATIENCE = 5.0
"""Seconds after which a test is taken to hang."""


def dial(server: FakeServer, path: str = "/acme/app/realtime", **options: Any) -> connect:
    """Connect with a good token."""
    token = make_token(path)
    options = {"compression": None, "close_timeout": 0.2, **options}
    return connect(f"{server.ws_url}{path}?fal_jwt_token={token}", **options)


async def say(ws: ClientConnection, *messages: Any) -> None:
    """Send inputs without yielding to the loop, so that the server reads them at once."""
    for message in messages:
        await ws.send(msgpack.packb(message))


def read(frame: bytes | str) -> Any:
    """Return the message of a frame."""
    return json.loads(frame) if isinstance(frame, str) else msgpack.unpackb(frame)


async def hear(ws: ClientConnection) -> Any:
    """Return the next message."""
    async with asyncio.timeout(PATIENCE):
        return read(await ws.recv())


async def hear_all(ws: ClientConnection) -> tuple[list[Any], int]:
    """Return every message until the end, and the close code."""
    messages = []
    async with asyncio.timeout(PATIENCE):
        try:
            while True:
                messages.append(read(await ws.recv()))
        except ConnectionClosed as exc:
            return messages, exc.rcvd.code if exc.rcvd is not None else 1006


def echo(*inputs: Any) -> dict[str, Any]:
    """Answer with the inputs."""
    return {"inputs": list(inputs)}
