"""fal's HTTP services, as far as a proxy can tell: they note what they are asked, and answer what a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from falrt.testing import make_token


@dataclass
class Call:
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


@dataclass
class Upstream:
    """An ASGI app; give `answer` to say something else than what was asked."""

    calls: list[Call] = field(default_factory=list)
    answer: Response | None = None
    # The stream's second event comes when a test has seen the first.
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    broken_off: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/tokens/", self.tokens, methods=["POST"]),
                Route("/tokens/realtime", self.tokens, methods=["POST"]),
                Route("/{path:path}/stream", self.stream, methods=["POST"]),
                Route("/{path:path}", self.call, methods=["GET", "POST", "PUT"]),
            ]
        )

    async def note(self, request: Request) -> Call:
        headers = [(name.decode(), value.decode()) for name, value in request.headers.raw]
        body = await request.body()
        self.calls.append(Call(request.method, request.url.path, request.url.query, headers, body))
        return self.calls[-1]

    async def tokens(self, request: Request) -> Response:
        call = await self.note(request)
        if self.answer is not None:
            return self.answer
        asked: dict[str, Any] = json.loads(call.body)
        claims = {"allowed_apps": asked.get("allowed_apps")}
        return JSONResponse(make_token(claims, lifetime=asked["token_expiration"]), 201)

    async def stream(self, request: Request) -> Response:
        await self.note(request)

        async def events() -> AsyncIterator[bytes]:
            try:
                yield b'data: {"number": 1}\n\n'
                await self.go_on.wait()
                yield b'data: {"number": 2}\n\n'
            finally:
                self.broken_off.set()

        return StreamingResponse(events(), media_type="text/event-stream")

    async def call(self, request: Request) -> Response:
        call = await self.note(request)
        if self.answer is not None:
            return self.answer
        return JSONResponse({"asked": call.body.decode()}, headers={"x-fal-request-id": "r-1"})
