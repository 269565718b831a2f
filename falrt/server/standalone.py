"""An app that stands on its own, as ``falrt proxy`` and ``falrt playground`` run it."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from falrt.server.app import Routes
from falrt.server.entrance import Authorize

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["HostCheck", "bearer", "is_here", "standalone"]


class HostCheck:
    """Answers only to addresses that are no names, to ``localhost``, and to names that are listed.

    A page anywhere can have its own name lead to this machine; the browser then takes it for ours (DNS rebinding).
    Such a request carries the name.

    Args:
        app: Whom to pass everything else to.
        names: Further names of this server.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse with 421."""
        if scope["type"] not in ("http", "websocket") or self._knows(_host(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403})
        else:
            refusal = PlainTextResponse("This server does not go by that name; list it with --name", 421)
            await refusal(scope, receive, send)

    def _knows(self, host: str) -> bool:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host in self._names
        return True


def _host(scope: Any) -> str:
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def standalone(
    fal: Routes,
    *,
    names: Iterable[str] = (),
    pages: Iterable[BaseRoute] = (),
    authorize: Authorize | None = None,
) -> Starlette:
    """Make an app of the routes, with the figures for Prometheus at ``/metrics``.

    Args:
        fal: From :func:`falrt.server.routes`.
        names: Names under which the server may be called, beside ``localhost`` and addresses.
        pages: Further routes.
        authorize: Who may read the figures; whoever is on this machine may.
    """

    async def metrics(request: Request) -> Response:
        if not is_here(request) and not (authorize is not None and authorize(request)):
            return PlainTextResponse("Unauthorized", 401)
        return PlainTextResponse(fal.metrics.text(), media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[*pages, Route("/metrics", metrics), *fal],
        lifespan=fal.lifespan,
        middleware=[Middleware(HostCheck, names=tuple(names))],
    )


def is_here(connection: HTTPConnection) -> bool:
    """Whether a caller is on this machine."""
    try:
        return ipaddress.ip_address(connection.client.host if connection.client else "").is_loopback
    except ValueError:
        return False


def bearer(secret: str) -> Authorize:
    """Return an ``authorize`` that wants ``Authorization: Bearer <secret>``.

    Many share the secret, so it names nobody: limits count by address.

    A browser cannot send headers with a socket, so there the secret may stand in the URL, as ``?secret=``.
    """

    def authorize(request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if not given and request.headers.get("upgrade", "").lower() == "websocket":
            scheme, given = "bearer", request.query_params.get("secret", "")
        return scheme.lower() == "bearer" and secrets.compare_digest(given.encode(), secret.encode())

    return authorize
