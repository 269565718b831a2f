"""`Platform`: what fal answers to a request or a handshake."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from falrt.testing.platform.app import App
from falrt.testing.platform.apps import Apps
from falrt.testing.platform.gateway import Gateway
from falrt.testing.platform.pipelined import Pipelined
from falrt.testing.platform.port import Refused, Request, Response, Route, not_found, refused
from falrt.testing.platform.queue import Queue
from falrt.testing.platform.runs import Runs
from falrt.testing.platform.session import Conversation, Session, SessionPort
from falrt.testing.platform.storage import Storage

__all__ = ["FORWARDING_ERROR", "UNAUTHORIZED", "Platform", "Refusal", "RefusalForm"]

_log = logging.getLogger("falrt.testing")

UNAUTHORIZED: Final = '{"status":"error","error":"Unauthorized"}'
FORWARDING_ERROR: Final = "Error while forwarding the request"

RefusalForm: TypeAlias = Literal["frame", "close"] | int
"""How a handshake with bad credentials ends: accepted, and then the Unauthorized frame, with or without a close
after it; or an HTTP status."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What becomes of a handshake that leads to no app.

    Attributes:
        reason: For the log and for tests, never on the wire.
        response: Instead of the upgrade. None: the upgrade is accepted, as fal's gateway does (wire fact W14).
        frame: Text frame after the upgrade, if any.
        close: Close code and reason after that; None leaves the socket open.
    """

    reason: str
    response: Response | None = None
    frame: str | None = None
    close: tuple[int, str] | None = None


class Platform:
    """fal, without a server: decides what is answered.

    Args:
        apps: The apps that there are.
        gateway: Who judges credentials.
        refusal: How a handshake with bad credentials ends.

    Attributes:
        storage: The files that were uploaded, and the pictures of results.
        runs: The apps over HTTP.
        queue: The jobs.
    """

    def __init__(self, apps: Apps, gateway: Gateway, *, refusal: RefusalForm = "close") -> None:
        self.apps = apps
        self.gateway = gateway
        self._refusal = refusal
        self.storage = Storage()
        self.runs = Runs(apps, self.storage)
        self.queue = Queue(self.runs)
        # Further routes are added here: modules of this folder that have `routes`.
        self._routes: list[tuple[Route, re.Pattern[str]]] = []
        self.add(*self.storage.routes, *self.queue.routes, *self.runs.routes)

    async def aclose(self) -> None:
        """Stop every job of the queue."""
        await self.queue.aclose()

    def add(self, *routes: Route) -> None:
        """Add routes; where two suit a request, the earlier one answers it."""
        self._routes += [(route, re.compile(route.path)) for route in routes]

    async def respond(self, request: Request) -> Response:
        """Return the answer to an HTTP request; refusals are answers too."""
        if self.gateway.is_token_request(request):
            return self.gateway.answer(request, time.time())
        try:
            route, groups = self._route(request)
            if route.needs_key:
                self.gateway.check(request, time.time())
            return await route.answer(request, **groups)
        except Refused as exc:
            return exc.response
        except Exception:  # whatever an app raises; an HTTP client gets no more than this (protocol 14.3)
            _log.exception("%s %s failed", request.method, request.path)
            return Response.json(500, {"detail": "Internal Server Error"})

    def judge(self, request: Request) -> App | Refusal:
        """Return the app behind a WebSocket handshake, or how the handshake is refused."""
        try:
            self.gateway.check(request, time.time())
        except Refused as exc:
            return unauthorized(str(exc), self._refusal)
        find = self.apps.find if request.host == "ws.fal.run" else self.apps.find_realtime
        app = find(request.path)
        if app is None:
            # The gateway has said 101 before it asks the app (wire fact W14).
            return Refusal(FORWARDING_ERROR, close=(1011, FORWARDING_ERROR))
        return app

    def converse(self, request: Request, app: App, port: SessionPort) -> Conversation:
        """Return what goes on over an accepted WebSocket, not yet started."""
        if request.host == "ws.fal.run":
            return Pipelined(request, self.respond, port)
        return Session(app, port)

    def _route(self, request: Request) -> tuple[Route, dict[str, Any]]:
        methods = set()
        for route, pattern in self._routes:
            match = pattern.fullmatch(request.path) if route.host == request.host else None
            if match is not None and route.method == request.method:
                return route, match.groupdict()
            if match is not None:
                methods.add(route.method)
        raise refused(405, "Method Not Allowed") if methods else not_found(request)


def unauthorized(reason: str, form: RefusalForm) -> Refusal:
    """Return how bad credentials are refused."""
    if isinstance(form, int):
        return Refusal(reason, response=Response.json(form, {"detail": "Unauthorized"}))
    return Refusal(reason, frame=UNAUTHORIZED, close=(1000, "") if form == "close" else None)
