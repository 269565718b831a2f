"""Bodies of requests: read as long as they keep coming and stay small enough."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from falrt.server.targets import Refused

__all__ = ["pieces_of", "small_json"]

# For the next piece, and for the whole.
_PIECE_TIMEOUT: Final = 15.0
_BODY_TIMEOUT: Final = 120.0
_SMALL_BYTES: Final = 4096


async def pieces_of(request: Request, most: int) -> AsyncIterator[bytes]:
    """Yield a body as it comes.

    Args:
        request: Its body has not been read yet.
        most: Bytes.

    Raises:
        Refused: It is too large (413) or comes too slowly (408), or the caller has gone (400).
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise Refused(413, f"The body is larger than {most} bytes")
    size, now = 0, asyncio.get_running_loop().time
    ends_at = now() + _BODY_TIMEOUT
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(min(ends_at, now() + _PIECE_TIMEOUT)):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused(408, "The body came too slowly") from None
        except ClientDisconnect:
            raise Refused(400, "The caller has disconnected") from None
        size += len(piece)
        if size > most:
            raise Refused(413, f"The body is larger than {most} bytes")
        if piece:
            yield piece


async def small_json(request: Request) -> dict[str, Any]:
    """Return a small body that is a JSON map.

    Raises:
        Refused: It is not (422), or as :func:`pieces_of`.
    """
    content = b"".join([piece async for piece in pieces_of(request, _SMALL_BYTES)])
    try:
        asked = json.loads(content)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise Refused(422, 'The body must be a JSON map such as {"app": "fal-ai/flux-2/klein"}')
    return asked
