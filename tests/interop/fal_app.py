"""Apps of fal's own server SDK on loopback.

The SDK's app stands where the gateway's runner does: it knows neither ``/owner/alias`` nor tokens. :class:`_Front`
plays the little of the gateway that is needed to let clients use their ordinary URLs.

Source: seen by running fal's SDK 1.83.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import socket
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Self

import pytest

from falrt.testing import make_token

# The SDK only lets an app be served locally where it believes to be on a runner.
os.environ.setdefault("IS_ISOLATE_AGENT", "1")
pytest.importorskip("fal", reason="needs fal's own server SDK: pip install --group peers")
uvicorn = pytest.importorskip("uvicorn", reason="needs uvicorn: pip install --group peers")

__all__ = ["FalAppServer", "serve_fal_app"]


class _Front:
    """Takes ``/owner/alias`` off the path, and mints tokens that nobody checks."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app
        # Bodies of the token requests, oldest first.
        self.token_requests: list[dict[str, Any]] = []
        # Path and query of each upgrade, oldest first.
        self.upgrades: list[tuple[str, str]] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/tokens/"):
            await self._mint(receive, send)
            return
        if scope["type"] == "websocket":
            self.upgrades.append((scope["path"], scope["query_string"].decode()))
            path = "/" + scope["path"].split("/", 3)[-1]
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)

    async def _mint(self, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.token_requests.append(json.loads(body))
        reply = json.dumps(make_token()).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(reply)).encode())]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": reply})


class FalAppServer:
    """One ``fal.App`` behind uvicorn, in a thread of its own.

    Args:
        app_class: A subclass of ``fal.App``.
        emit_timings: Tell the inference time of each output, as fal's own models may; the decorator has no such
            argument.

    Attributes:
        app: The app's instance, for tests that look at what it saw.
        front: The requests as they came in.
        port: Where it listens; a restarted server listens there again.
    """

    def __init__(self, app_class: Any, *, emit_timings: bool = False) -> None:
        if emit_timings:
            app_class = _timed(app_class)
        self.app = app_class(_allow_init=True)
        self.front = _Front(self.app._build_app())
        self.port = 0
        self._server: Any = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """What to give as ``base_url``."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Set the app up and listen; returns when clients may come."""
        self.app.setup()
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        ready = threading.Event()
        self._server = server = _quiet_server(self.front, ready)
        self._thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener])), name="fal app"
        )
        self._thread.start()
        assert ready.wait(20), "fal's server did not start"

    def stop(self) -> None:
        """End every socket with code 1012, as a deployment does, and stop listening."""
        if self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._thread = None

    def restart(self) -> None:
        """A deployment: stop, then serve on the same port."""
        self.stop()
        self.start()


def _quiet_server(app: Any, ready: threading.Event) -> Any:
    class Server(uvicorn.Server):  # type: ignore[misc,name-defined]  # the module is imported if it is there
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            try:
                await super().startup(sockets)
            finally:
                ready.set()

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield

    config = uvicorn.Config(
        app, lifespan="off", log_config=None, log_level="critical", timeout_graceful_shutdown=1
    )
    return Server(config)


def _timed(app_class: Any) -> Any:
    """Return a subclass whose realtime routes emit timings: only the route's signature has the switch."""
    realtime = importlib.import_module("fal.realtime")
    routes = {
        name: realtime._fal_websocket_template(
            route.original_func, route.route_signature._replace(emit_timings=True)
        )
        for name, route in vars(app_class).items()
        if hasattr(route, "original_func")
    }
    return type(app_class.__name__, (app_class,), routes)


@contextlib.contextmanager
def serve_fal_app(app_class: Any, *, emit_timings: bool = False) -> Generator[str, None, None]:
    """Serve an app and yield its base URL; its paths stand below any ``/owner/alias``."""
    with FalAppServer(app_class, emit_timings=emit_timings) as server:
        yield server.url
