"""Apps over HTTP: one result, or events with parts of it."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final

from falrt.testing.platform.app import App, Instead, as_map, each, settled
from falrt.testing.platform.apps import Apps
from falrt.testing.platform.port import Refused, Request, Response, Route, invalid, not_found, refused
from falrt.testing.platform.storage import Storage

__all__ = ["Runs"]

_HOST: Final = "fal.run"
_CDN: Final = "v3.fal.media"
# Owner, alias and a path; neither the proxy's, nor a realtime one, which is for sockets only (protocol 2.6).
_ENDPOINT: Final = r"/(?P<path>(?!api/fal/)[^/]+/[^/]+(/.+)?)(?<!/realtime)"


class Runs:
    """Calls apps.

    Attributes:
        limit: How many calls may run at a time; the next is answered with 429. None: no limit.
        running: How many do.
        inputs: What was asked of apps over HTTP, decoded, in the order of coming.
        noted: Called whenever `inputs` has grown.
    """

    def __init__(self, apps: Apps, storage: Storage) -> None:
        self._apps, self._storage = apps, storage
        self.limit: int | None = None
        self.running = 0
        self.inputs: list[Any] = []
        self.noted: Callable[[], None] = lambda: None
        self.routes = (Route("POST", _HOST, _ENDPOINT, self._run),)

    def find(self, request: Request, path: str) -> App:
        """Return the app of an HTTP endpoint.

        Raises:
            Refused: 404: there is none.
        """
        app = None if path.endswith("/realtime") else self._apps.find(path)
        if app is None:
            raise not_found(request)
        return app

    async def result(self, request: Request, app: App) -> Response:
        """Call an app and return its result."""
        given = self._parsed(request, app)
        self._enter()
        try:
            value = app.new_handler()(given)
            if app.mode == "unary":
                output = await settled(value)
            else:
                output = {}
                async for output in each(value):  # noqa: B007 - the last one is the result
                    pass
            await asyncio.sleep(app.seconds(given))
        finally:
            self.running -= 1
        body = self._sent(request, as_map(_plain(output)), inline=_wants_inline(request))
        return Response.json(200, body, {"x-fal-request-id": str(uuid.uuid4())})

    async def _run(self, request: Request, path: str) -> Response:
        if path.endswith("/stream") and (app := self._streaming(path)) is not None:
            given = self._parsed(request, app)
            self._enter()
            headers = {"x-fal-request-id": str(uuid.uuid4()), "cache-control": "no-store"}
            return Response(200, self._events(request, app, given), "text/event-stream", headers)
        return await self.result(request, self.find(request, path))

    def _streaming(self, path: str) -> App | None:
        return self._apps.find(path) or self._apps.find(path.removesuffix("/stream"))

    async def _events(self, request: Request, app: App, given: Any) -> AsyncGenerator[bytes, None]:
        """Yield each output as an event; a failure is an event too, because the status has left long ago."""
        inline = _wants_inline(request)
        try:
            if app.parts is not None:
                outputs = each(app.parts(given))
            elif app.mode == "unary":
                outputs = each(_one(app.new_handler()(given)))
            else:
                outputs = each(app.new_handler()(given))
            async for output in outputs:
                await asyncio.sleep(app.seconds(given))
                yield _event(self._sent(request, as_map(_plain(output)), inline=inline))
        except Refused as exc:
            body = exc.response.body
            yield b"event: error\ndata: " + (body if isinstance(body, bytes) else b"{}") + b"\n\n"
        except Exception as exc:  # whatever an app raises
            yield b"event: error\n" + _event({"detail": str(exc), "error_type": "runner_server_error"})
        finally:
            self.running -= 1

    def _parsed(self, request: Request, app: App) -> Any:
        body = request.json()
        if not isinstance(body, dict):
            raise invalid("dict_type", ["body"], "Input should be a valid dictionary", body)
        self.inputs.append(body)
        self.noted()
        try:
            return app.parse(self._storage.inlined(body))
        except ValueError as exc:
            errors = getattr(exc, "errors", None)  # pydantic's
            if errors is None:
                raise invalid("value_error", ["body"], str(exc), body) from None
            raise refused(422, [_problem(problem) for problem in errors()]) from None

    def _enter(self) -> None:
        if self.limit is not None and self.running >= self.limit:
            raise refused(429, "Too many concurrent requests", "concurrent_requests_limit")
        self.running += 1

    def _sent(self, request: Request, value: Any, *, inline: bool) -> Any:
        """Return an output as JSON: pictures become files of the CDN, or data URIs where the caller wants that."""
        if isinstance(value, Mapping):
            if isinstance(content := value.get("content"), bytes):
                kind = str(value.get("content_type", "application/octet-stream"))
                rest = {name: item for name, item in value.items() if name != "content"}
                return {
                    "url": self._url(request, content, kind, inline=inline),
                    **rest,
                    "file_size": len(content),
                }
            return {name: self._sent(request, item, inline=inline) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._sent(request, item, inline=inline) for item in value]
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value

    def _url(self, request: Request, content: bytes, kind: str, *, inline: bool) -> str:
        if inline:
            return f"data:{kind};base64,{base64.b64encode(content).decode()}"
        name = f"{uuid.uuid4().hex}.{kind.rpartition('/')[2]}"
        return request.url(_CDN, self._storage.add(content, kind, name))


async def _one(value: Any) -> AsyncGenerator[Any, None]:
    yield await settled(value)


def _plain(output: Any) -> Any:
    if isinstance(output, Instead):
        raise refused(500, "Internal Server Error")  # a fault of sockets means nothing here
    return output


def _wants_inline(request: Request) -> bool:
    return bool(request.json().get("sync_mode"))


def _event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _problem(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Return one of pydantic's problems as fal words it."""
    kind = problem["type"]
    shown = problem.get("input")
    return {
        "loc": ["body", *problem["loc"]],
        "msg": problem["msg"],
        "type": kind,
        "url": f"https://docs.fal.ai/errors#{kind}",
        "input": shown if isinstance(shown, str | int | float | bool | None) else None,
    }
