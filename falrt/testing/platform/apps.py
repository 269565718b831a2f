"""The apps that there are, by their paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from falrt.testing.platform.app import App, Handler
from falrt.testing.platform.handlers import unrolled

__all__ = ["Apps"]


class Apps:
    """Finds the app behind a path.

    Args:
        apps: One app for every path; or apps (or their handlers) by path, such as ``"acme/app"``, which leads
            to the app's HTTP endpoint and to its ``/realtime``; ``"acme/app/realtime"`` is the latter alone.
    """

    def __init__(self, apps: App | Mapping[str, App | Handler]) -> None:
        # Lists of answers become functions here, once, so that a list goes on after a reconnect.
        self._everywhere = _ready(apps) if isinstance(apps, App) else None
        by_path = {} if isinstance(apps, App) else apps
        self._by_path = {
            path.strip("/"): _ready(app if isinstance(app, App) else App(app))
            for path, app in by_path.items()
        }

    def find(self, path: str) -> App | None:
        """Return the app of an HTTP endpoint, such as ``"acme/app"``; its handler is a function."""
        return self._everywhere or self._by_path.get(path.strip("/"))

    def find_realtime(self, path: str) -> App | None:
        """Return the app of a WebSocket path, such as ``"acme/app/realtime"``; its handler is a function."""
        base = path.rstrip("/").removesuffix("/realtime")
        return self.find(path) or (None if base.endswith("/realtime") else self.find(base))


def _ready(app: App) -> App:
    return replace(app, handler=unrolled(app))
