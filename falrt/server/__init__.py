"""fal for browsers: an ASGI app that keeps the key on your server. Needs the extra ``server``.

::

    from falrt import server

    app = server.create_app(allow=["fal-ai/flux-2/klein"], authorize=current_user)

It makes tokens, proxies HTTP calls, relays realtime sockets and shows one stream to many viewers. Run it alone,
mount it in your own app, or use its :func:`routes`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from falrt.exceptions import MissingDependencyError

if TYPE_CHECKING:
    from falrt.server.app import Routes, create_app, routes
    from falrt.server.channels import Channels
    from falrt.server.entrance import anyone
    from falrt.server.limits import Limit
    from falrt.server.shared import RedisChannels

__all__ = ["Channels", "Limit", "RedisChannels", "Routes", "anyone", "create_app", "routes"]

_HOMES = {
    "Channels": "channels",
    "Limit": "limits",
    "RedisChannels": "shared",
    "Routes": "app",
    "anyone": "entrance",
    "create_app": "app",
    "routes": "app",
}


def __getattr__(name: str) -> Any:
    """Import on first use: Starlette is an extra."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as exc:
        raise MissingDependencyError(exc.name or "starlette", "server", "falrt.server") from exc
    return getattr(module, name)
