"""The stand-in as an ASGI app: one port for tokens, realtime sockets and a page for people.

Addresses follow fal's with all hosts folded into one: ``/tokens/`` and ``/tokens/realtime`` for
``rest.fal.ai``, and ``/{owner}/{alias}/.../realtime`` for ``fal.run``. A socket is accepted before anything
is checked, as fal's gateway does (wire fact W14), so refusals arrive as frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from falrt.local.inputs import DiffusionInput, KleinInput
from falrt.local.openapi import Documents
from falrt.local.options import LocalOptions
from falrt.local.page import front_page
from falrt.local.session import JsonOrMsgpack, StarlettePort, converse
from falrt.local.stand_ins import STAND_INS, Memory, StandIn, answer_diffusion
from falrt.local.stills import STILLS, partial_answers
from falrt.testing.platform import port as platform
from falrt.testing.platform.app import App
from falrt.testing.platform.apps import Apps
from falrt.testing.platform.gateway import Gateway
from falrt.testing.platform.platform import Platform, Refusal
from falrt.testing.platform.queue import log
from falrt.threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ["create_app"]

_log = logging.getLogger("falrt.local")


def create_app(options: LocalOptions | None = None) -> Starlette:
    """Make the app; the default options suit most."""
    local = _Local(options or LocalOptions())
    return Starlette(
        routes=[
            Route("/", local.page),
            Route("/{path:path}", local.http, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
            WebSocketRoute("/{path:path}", local.socket),
        ],
        # As fal's own hosts: pages of any origin may call them, whoever has the key.
        middleware=[
            Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
        ],
        lifespan=local.lifespan,
    )


class _Local:
    """What the routes share."""

    def __init__(self, options: LocalOptions) -> None:
        self._options = options
        apps = Apps(
            {f"{model.id}/realtime": self._app_of(model) for model in STAND_INS}
            | {
                model.id: self._app_of(model)
                for model in (*STAND_INS, *STILLS)
                if model.answer is answer_diffusion
            }
        )
        gateway = Gateway(
            key=options.key,
            auth=options.check_keys,
            strict=options.strict,
            forbidden=options.forbidden,
            secret=secrets.token_bytes(32),
            knows=lambda path: apps.find_realtime(path) is not None,
        )
        self._platform = Platform(apps, gateway)
        self._platform.add(*Documents(apps).routes)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Stop the jobs of the queue at the end."""
        del app
        try:
            yield
        finally:
            await self._platform.aclose()

    async def page(self, request: Request) -> Response:
        """``GET /``."""
        return HTMLResponse(front_page(str(request.base_url).rstrip("/"), STAND_INS, STILLS, self._options))

    async def http(self, request: Request) -> Response:
        """Everything else over HTTP."""
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody hears
        response = await self._platform.respond(arrived(request, body))
        kind = Response if isinstance(response.body, bytes) else StreamingResponse
        headers = {**response.headers, "content-type": response.content_type}
        return kind(response.body, response.status, headers)  # type: ignore[arg-type]  # each takes its own kind

    async def socket(self, socket: WebSocket) -> None:
        """``/{owner}/{alias}/.../realtime``."""
        request = arrived(socket)
        verdict = self._platform.judge(request)
        if isinstance(verdict, Refusal):
            _log.info("%s refused: %s", request.path, verdict.reason)
            await _refuse(socket, verdict)
            return
        await socket.accept()
        _log.info("%s opened", request.path)
        latency = self._options.latency
        port = StarlettePort(socket, latency)
        buffering = _max_buffering(request.query.get("max_buffering"), self._options.buffering)
        app = replace(verdict, buffering=buffering, codec=JsonOrMsgpack())
        await converse(socket, port, self._platform.converse(request, app, port), latency)
        _log.info("%s closed: %s", request.path, port.stats)

    def _app_of(self, model: StandIn) -> App:
        speed = self._options.speed

        def opened() -> Callable[..., Awaitable[dict[str, Any]]]:
            memory = Memory()

            async def answer(given: Any) -> dict[str, Any]:
                """Paint one input and take as long over it as the real model would."""
                loop = asyncio.get_running_loop()
                began = loop.time()
                log(f"{given.num_inference_steps} steps")
                # No pool's thread: at the end, asyncio and Python wait for what a pool still draws.
                output = await run_in_thread(partial(model.answer, given, memory))
                await asyncio.sleep(began + model.seconds(given) / speed - loop.time())
                if model.reports_timings:
                    output["timings"] = {"inference": loop.time() - began}
                return output

            return answer

        async def parts(given: DiffusionInput) -> AsyncIterator[dict[str, Any]]:
            """Paint an input in parts, each as late as the real model would be so far."""
            answers = partial_answers(model, given)
            while (output := await run_in_thread(partial(next, answers, None))) is not None:
                yield output
                await asyncio.sleep(model.seconds(given) / speed / 3)

        return App(
            opened,
            per_connection=True,
            session_timeout=self._options.idle_timeout,
            input_type=model.read,
            parts=None if model.input is KleinInput else parts,
        )


def arrived(connection: HTTPConnection, body: bytes = b"") -> platform.Request:
    """Return what Starlette received as the platform's request."""
    scope = connection.scope
    target = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    headers = dict(connection.headers)
    return platform.Request.arrived(
        scope.get("method", "GET"),
        f"{target}?{query}",
        headers,
        body,
        scheme=scope["scheme"].replace("ws", "http"),
    )


async def _refuse(socket: WebSocket, refusal: Refusal) -> None:
    response = refusal.response
    if response is not None:
        assert isinstance(response.body, bytes)  # noqa: S101 - a refusal is never streamed; for the type checker
        await socket.send_denial_response(
            Response(response.body, response.status, media_type=response.content_type)
        )
        return
    await socket.accept()
    if refusal.frame is not None:
        await socket.send_text(refusal.frame)
    if refusal.close is not None:
        await socket.close(*refusal.close)


def _max_buffering(asked: str | None, default: int | None) -> int | None:
    """Return the runner's buffering: the URL's where it is 1 to 60 (wire fact W17), else the server's own."""
    if asked is None or not asked.isascii() or not asked.isdigit() or not 1 <= int(asked) <= 60:
        return default
    return int(asked)
