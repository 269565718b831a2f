"""The stand-in as an ASGI app: one port for tokens, realtime sockets and a page for people.

Addresses follow fal's with all hosts folded into one: ``/tokens/`` and ``/tokens/realtime`` for
``rest.fal.ai``, and ``/{owner}/{alias}/.../realtime`` for ``fal.run``. A socket is accepted before anything
is checked, as fal's gateway does (wire fact W14), so refusals arrive as frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from falrt.local.gate import Gate
from falrt.local.options import LocalOptions
from falrt.local.page import front_page
from falrt.local.session import Session
from falrt.local.stand_ins import STAND_INS
from falrt.testing.runner import RunnerOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from falrt.local.painter import Painter

__all__ = ["create_app", "serve"]

_log = logging.getLogger("falrt.local")

_UNAUTHORIZED = json.dumps({"status": "error", "error": "Unauthorized"})
_NO_ROUTE = "Error while forwarding the request"


def create_app(options: LocalOptions | None = None, *, painter: Painter | None = None) -> Starlette:
    """Make the app.

    Args:
        options: How it behaves; the defaults suit most.
        painter: A painter to share between apps; by default each prepares its own (some 0.4 s, in a thread,
            from the start).
    """
    local = _Local(options or LocalOptions(), painter)
    return Starlette(
        routes=[
            Route("/", local.page),
            Route("/tokens", local.tokens, methods=["POST"]),
            Route("/tokens/", local.tokens, methods=["POST"]),
            Route("/tokens/realtime", local.realtime_tokens, methods=["POST"]),
            WebSocketRoute("/{path:path}", local.socket),
        ],
        exception_handlers={HTTPException: _detail},
        lifespan=local.lifespan,
    )


def serve(
    host: str = "127.0.0.1",
    port: int = 8765,
    options: LocalOptions | None = None,
    *,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted (SIGINT or SIGTERM); blocks.

    Args:
        host: Address to listen on.
        port: 0 takes a free one.
        options: How it behaves.
        started: Called with the URL once connections are taken.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """
    from falrt.local.server import run

    run(host, port, options or LocalOptions(), started)


class _Local:
    """What the routes share: the gate, and a painter that is prepared once."""

    def __init__(self, options: LocalOptions, painter: Painter | None) -> None:
        self._options = options
        self._gate = Gate(options)
        self._models = {f"{model.id}/realtime": model for model in STAND_INS}
        # The painter, or the task that prepares it: several sockets may wait for the same one.
        self._ready = painter
        self._preparing: asyncio.Task[Painter] | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Prepare the brushes while the server starts; wait for the thread at the end."""
        del app
        preparing = asyncio.create_task(self.painter())
        try:
            yield
        finally:
            await preparing

    async def painter(self) -> Painter:
        """Return the painter as soon as there is one."""
        if self._ready is None:
            if self._preparing is None:
                self._preparing = asyncio.create_task(asyncio.to_thread(_prepare))
            # One waiter's cancellation must not take the painter from the others.
            self._ready = await asyncio.shield(self._preparing)
        return self._ready

    async def page(self, request: Request) -> Response:
        """``GET /``."""
        return HTMLResponse(front_page(str(request.base_url).rstrip("/"), STAND_INS, self._options))

    async def tokens(self, request: Request) -> Response:
        """``POST /tokens/``: a bare JSON string (wire fact W42)."""
        return await self._mint(request, self._gate.mint)

    async def realtime_tokens(self, request: Request) -> Response:
        """``POST /tokens/realtime`` (wire fact W43)."""
        return await self._mint(request, lambda body: self._gate.mint_realtime(body, self._models))

    async def _mint(self, request: Request, mint: Callable[[Any], str]) -> Response:
        if not self._gate.admits_key(request.headers.get("authorization")):
            return JSONResponse({"detail": "Invalid or missing key"}, 401)
        try:
            body = json.loads(await request.body())
        except ValueError:
            problem = {"loc": ["body"], "msg": "Input should be JSON", "type": "json_invalid"}
            return JSONResponse({"detail": [problem]}, 422)
        try:
            return JSONResponse(mint(body), 201)
        except ValueError as error:
            return JSONResponse({"detail": error.args[0]}, 422)

    async def socket(self, socket: WebSocket) -> None:
        """``/{owner}/{alias}/.../realtime``."""
        await socket.accept()
        path = socket.path_params["path"]
        if not self._admits(socket, path):
            _log.info("%s refused: no good token or key", path)
            await socket.send_text(_UNAUTHORIZED)
            await socket.close(1008, "Unauthorized")
            return
        model = self._models.get(path)
        if model is None:
            _log.info("%s refused: no such route", path)
            await socket.close(1011, _NO_ROUTE)
            return
        _log.info("%s opened", model.id)
        options = RunnerOptions(
            buffering=_max_buffering(socket.query_params.get("max_buffering"), self._options.buffering),
            session_timeout=self._options.idle_timeout,
        )
        session = Session(
            socket,
            model,
            self.painter,
            speed=self._options.speed,
            latency=self._options.latency,
            options=options,
        )
        await session.run()

    def _admits(self, socket: WebSocket, path: str) -> bool:
        authorization = socket.headers.get("authorization")
        if authorization is not None:
            return self._gate.admits_key(authorization)
        return self._gate.admits_token(socket.query_params.get("fal_jwt_token"), path)


def _max_buffering(asked: str | None, default: int | None) -> int | None:
    """Return the runner's buffering: the URL's where it is 1 to 60 (wire fact W17), else the server's own."""
    if asked is None or not asked.isascii() or not asked.isdigit() or not 1 <= int(asked) <= 60:
        return default
    return int(asked)


def _prepare() -> Painter:
    # Imported here: numpy and Pillow take longer to load than everything else.
    from falrt.local.painter import Painter

    return Painter()


async def _detail(request: Request, error: Exception) -> Response:
    """Answer 404 and 405 in fal's form."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = f"Path {request.url.path} not found" if status == 404 else "Method Not Allowed"
    return JSONResponse({"detail": text}, status)
