"""The routes, and the app made of them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, ParamSpec

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from falrt.auth import find_key
from falrt.auth.pool import HTTPPool
from falrt.client import Client
from falrt.exceptions import ConfigurationError
from falrt.options import BASE_URL_VARIABLE, find_proxies
from falrt.protocol.wire.endpoint import Hosts
from falrt.server.allowed import Allowed
from falrt.server.bodies import small_json
from falrt.server.channels import Channels
from falrt.server.entrance import Authorize, Entrance
from falrt.server.limits import Limit, Limiter
from falrt.server.metrics import Metrics
from falrt.server.origins import Origins
from falrt.server.proxy import HEADERS_IN, PRIVATE, Proxy
from falrt.server.relay import MayPublish, Relay
from falrt.server.sockets import guarded
from falrt.server.targets import Refused, Service, judge
from falrt.server.tokens import TokenDesk
from falrt.server.watch import Watching

__all__ = ["Routes", "create_app", "routes"]

logger = logging.getLogger("falrt.server")

_METHODS: Final = ["GET", "POST", "PUT", "DELETE"]
# What the JavaScript client and ours send across origins.
_CORS_HEADERS: Final = ", ".join(sorted(HEADERS_IN | {"authorization", "x-fal-target-url"}))
_CORS_EXPOSED: Final = (
    "retry-after, x-fal-billable-units, x-fal-error-type, x-fal-request-id, x-fal-request-timeout-type, "
    "x-fal-retryable, x-fal-runner-hints"
)

P = ParamSpec("P")
Handler = Callable[[Request], Awaitable[Response]]


class Routes(list[BaseRoute]):
    """Routes for an app of your own, and what they hold open.

    ::

        fal = server.routes(allow=[...], authorize=current_user)
        app = FastAPI(routes=fal, lifespan=fal.lifespan)

    Attributes:
        channels: What is watched; publish here.
        metrics: Counters of this process; ``metrics.text()`` is what Prometheus reads.
    """

    def __init__(
        self,
        routes: Iterable[BaseRoute],
        stack: contextlib.AsyncExitStack,
        channels: Channels,
        metrics: Metrics,
    ) -> None:
        super().__init__(routes)
        self._stack = stack
        self.channels, self.metrics = channels, metrics

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[None]:
        """Close everything when the app ends; give it to the app as its lifespan, or call it within yours."""
        del app
        try:
            yield
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the connections to fal."""
        await self._stack.aclose()


def routes(
    *,
    allow: Iterable[str] = (),
    authorize: Authorize | None = None,
    key: str | None = None,
    base_url: str | None = None,
    origins: Iterable[str] = (),
    token_seconds: float = 120,
    limit: Limit | None = None,
    uploads: bool = False,
    channels: Channels | None = None,
    may_publish: MayPublish | None = None,
    redis: str | None = None,
    prefix: str = "/api/fal",
) -> Routes:
    """Return the routes, for an app of your own.

    Args:
        allow: Endpoints that visitors may use: exact ids, or patterns such as ``"fal-ai/flux/*"``. Required.
        authorize: ``(Request) -> user | None``, sync or async: who the visitor is. None, False, an empty string or
            mapping, a user whose ``is_authenticated`` is False, and an ``HTTPException`` refuse the visitor.
            Required; :func:`anyone` accepts everyone.
        key: A fal key. Default: the environment's, as in :class:`falrt.Client`.
        base_url: One URL that replaces all of fal's hosts, such as a local server's.
        origins: Pages of other origins that may call, such as ``"https://app.example"``. Default: the server's own.
        token_seconds: The longest lifetime of a token.
        limit: What one visitor may do.
        uploads: Whether visitors may store files in the key's account.
        channels: The channels to watch; pass your own to publish on them.
        may_publish: ``(user, channel) -> bool``: who may show relayed pictures to others, by adding ``?channel=``
            to the socket's URL. Default: nobody.
        redis: Where workers share limits and channels, such as ``"redis://localhost:6379/0"``; the extra ``redis``.
            Default: each process has its own.
        prefix: Where the routes begin.

    Raises:
        ConfigurationError: ``allow`` or ``authorize`` is missing, or an argument is wrong.
        MissingCredentialsError: There is no key.
    """
    if authorize is None or not callable(authorize):
        raise ConfigurationError(
            "authorize is required: a function (Request) -> user | None, or server.anyone to accept everyone"
        )
    allowed, limits = Allowed.of(allow), limit or Limit()
    limiter = Limiter()
    if redis is not None:
        from falrt.server.shared import RedisChannels, RedisLimiter

        limiter, channels = RedisLimiter(redis), channels or RedisChannels(redis)
    entrance = Entrance(authorize, Origins.of(origins), limits, limiter)
    fal_key = find_key(key)
    base_url = base_url or os.environ.get(BASE_URL_VARIABLE, "").strip() or None
    hosts = Hosts.at(base_url)
    pool = HTTPPool(hosts.rest, proxies=find_proxies(True))
    desk = TokenDesk(fal_key, base_url, pool, allowed, token_seconds)
    proxy = Proxy(fal_key, hosts, pool, limits)
    channels = channels or Channels()
    client = Client(key=fal_key.value, base_url=base_url)
    metrics = Metrics()
    relay = Relay(client, entrance, allowed, limits, channels, may_publish, metrics)
    watching = Watching(entrance, channels, metrics)
    stack = contextlib.AsyncExitStack()
    for closing in (limiter.aclose, channels.aclose, pool.aclose, client.aclose):
        stack.push_async_callback(closing)
    fal = _Http(entrance, allowed, desk, proxy, metrics, uploads=uploads)
    served: list[BaseRoute] = [
        fal.route(f"{prefix}/token", fal.token_for_get, ["GET"]),
        fal.route(f"{prefix}/realtime-token", fal.token_for_post, ["POST"]),
        fal.route(f"{prefix}/proxy", fal.proxied, _METHODS),
        WebSocketRoute(f"{prefix}/realtime/{{app:path}}", guarded(entrance, metrics, "relay", relay.serve)),
        WebSocketRoute(f"{prefix}/watch/{{channel}}", guarded(entrance, metrics, "watch", watching.serve)),
    ]
    return Routes(served, stack, channels, metrics)


def _as_app(make: Callable[P, Routes]) -> Callable[P, Starlette]:
    def create_app(*args: P.args, **options: P.kwargs) -> Starlette:
        """Make an app with the routes ``/api/fal/...``; arguments and errors as in :func:`routes`."""
        fal = make(*args, **options)
        return Starlette(routes=fal, lifespan=fal.lifespan)

    # What help() and the documentation show.
    vars(create_app)["__signature__"] = inspect.signature(make).replace(return_annotation="Starlette")
    return create_app


create_app = _as_app(routes)


@dataclass(frozen=True, slots=True)
class _Http:
    """The routes that are not sockets."""

    entrance: Entrance
    allowed: Allowed
    desk: TokenDesk
    proxy: Proxy
    metrics: Metrics
    uploads: bool

    def route(self, path: str, handler: Handler, methods: list[str]) -> Route:
        """Put a handler behind the entrance."""

        async def guarded(request: Request) -> Response:
            try:
                self.entrance.check_origin(request)
                if request.method == "OPTIONS":
                    response = _preflight(methods)
                elif request.method in methods:
                    response = await handler(request)
                else:
                    raise Refused(405, "Method Not Allowed")
            except Refused as exc:
                if exc.status >= 500 and exc.__cause__ is not None:
                    logger.warning("%s: %s (%s)", request.url.path, exc.detail, exc.__cause__)
                response = _refusal(exc)
            route = path.rpartition("/")[2]
            self.metrics.count("falrt_requests_total", route=route, status=str(response.status_code))
            return self._with_cors(request, response)

        # Every method comes here, so that a refusal has our form and its CORS headers.
        return Route(path, guarded, methods=[*_METHODS, "OPTIONS", "PATCH"])

    # --- what they do

    async def token_for_get(self, request: Request) -> Response:
        """``GET /token?app=...``."""
        await self._counted(request)
        token = await self.desk.mint(request.query_params.get("app"))
        return JSONResponse({"token": token}, headers=PRIVATE)

    async def token_for_post(self, request: Request) -> Response:
        """``POST /realtime-token`` with ``{"app": ...}``; the token comes as text."""
        await self._counted(request)
        asked = await small_json(request)
        token = await self.desk.mint(asked.get("app"), asked.get("token_expiration"))
        return PlainTextResponse(token, headers=PRIVATE)

    async def proxied(self, request: Request) -> Response:
        """Any method, with ``x-fal-target-url``."""
        visitor = await self.entrance.visitor(request)
        targets = request.headers.getlist("x-fal-target-url")
        if len(targets) > 1:
            raise Refused(400, "More than one x-fal-target-url header")
        target = judge("".join(targets), request.method, self.allowed, uploads=self.uploads)
        if target.request_id:
            await self.entrance.check_owner(visitor, target.request_id)
        else:
            await self.entrance.count(visitor)
        if request.method == "POST" and not _is_json(request.headers.get("content-type", "")):
            raise Refused(415, "The body must be JSON, and content-type must say so")
        if target.service is Service.TOKENS:
            token = await self.desk.mint_as_asked(await small_json(request))
            return JSONResponse(token, 201, PRIVATE)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.entrance.place(visitor, "calls"))
            submitted = functools.partial(self.entrance.submitted, visitor)
            return await self.proxy.forward(request, target, submitted, stack)

    async def _counted(self, request: Request) -> None:
        await self.entrance.count(await self.entrance.visitor(request))

    def _with_cors(self, request: Request, response: Response) -> Response:
        response.headers["vary"] = "origin"
        origin = request.headers.get("origin")
        if origin is not None and self.entrance.origins.lists(origin):
            response.headers["access-control-allow-origin"] = origin
            response.headers["access-control-allow-credentials"] = "true"
            response.headers["access-control-expose-headers"] = _CORS_EXPOSED
        return response


def _preflight(methods: list[str]) -> Response:
    headers = {
        "access-control-allow-methods": ", ".join(methods),
        "access-control-allow-headers": _CORS_HEADERS,
        "access-control-max-age": "600",
    }
    return Response(status_code=204, headers=headers)


def _refusal(exc: Refused) -> Response:
    headers = {"cache-control": "no-store"}
    if exc.retry_after is not None:
        headers["retry-after"] = str(math.ceil(exc.retry_after))
    return JSONResponse({"detail": exc.detail}, exc.status, headers)


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"
