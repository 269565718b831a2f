"""A local stand-in for fal: the same addresses, tokens and frames, with small procedural models that draw.

::

    async with falrt.local.LocalServer() as server:
        async with falrt.connect(models.KLEIN, base_url=server.url, key="local") as conn: ...

`falrt serve`, `falrt demo` and the examples use it. Needs the extra ``local``. To test an app, use
`falrt.testing.FakeServer`, which is lighter and can simulate faults; this one draws.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from falrt.exceptions import MissingDependencyError

if TYPE_CHECKING:
    from falrt.local.app import create_app
    from falrt.local.fallback import fal_or_stand_in
    from falrt.local.options import LocalOptions
    from falrt.local.server import LocalServer, serve

__all__ = ["LocalOptions", "LocalServer", "create_app", "fal_or_stand_in", "serve"]

_HOMES = {
    "LocalOptions": "options",
    "LocalServer": "server",
    "create_app": "app",
    "serve": "server",
    "fal_or_stand_in": "fallback",
}


def __getattr__(name: str) -> Any:
    """Import on first use: Starlette, uvicorn and Pillow are an extra."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as exc:
        raise MissingDependencyError(exc.name or "starlette", "local", "the local server") from exc
    return getattr(module, name)
