"""The playground: a page on which to try the models, live.

The page is made of plain modules in ``page/``; it asks nobody but us, and never sees the key: it talks to the relay.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from falrt.server.app import routes
from falrt.server.catalogue import CATALOGUE
from falrt.server.limits import Limit
from falrt.server.standalone import is_here, standalone

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["create_playground"]

PAGE: Final = Path(__file__).with_name("page")
# What the page shows to others.
CHANNEL: Final = "stage"

_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_HEADERS: Final = {
    # Nothing from elsewhere: no script, no picture, no call.
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


def create_playground(
    *, key: str | None = None, base_url: str | None = None, offline: bool = False, names: Iterable[str] = ()
) -> Starlette:
    """Make the playground.

    Who sits at this machine drives it; whoever reaches it from elsewhere may only watch, at ``/screen``.

    Args:
        key: As for :func:`falrt.server.routes`.
        base_url: Likewise.
        offline: Whether ``base_url`` is a local stand-in, which costs nothing.
        names: Names under which this server may be called, beside ``localhost`` and addresses.
    """
    fal = routes(
        allow=[offer.model.app for offer in CATALOGUE],
        authorize=_owner_or_guest,
        key=key,
        base_url=base_url,
        limit=Limit(sockets=64, users_per_address=1, frame_bytes=8 * 1024 * 1024),
        may_publish=lambda user, channel: user == "owner" and channel == CHANNEL,
    )
    described = {"models": [offer.as_json() for offer in CATALOGUE], "offline": offline, "channel": CHANNEL}

    async def models(request: Request) -> Response:
        return JSONResponse(described, headers=_HEADERS)

    async def page(request: Request) -> Response:
        name = (
            request.path_params.get("name")
            or ("screen" if request.url.path == "/screen" else "index") + ".html"
        )
        file = PAGE / name
        if file.suffix not in _TYPES or not file.is_file():
            return PlainTextResponse("Not Found", 404, _HEADERS)
        return FileResponse(file, headers=_HEADERS, media_type=_TYPES[file.suffix])

    pages = [Route("/", page), Route("/screen", page), Route("/models", models), Route("/page/{name}", page)]
    return standalone(fal, names=names, pages=pages)


def _owner_or_guest(request: Request) -> str | None:
    if is_here(request):
        return "owner"
    return "guest" if "/watch/" in request.url.path else None
