"""A page that uses the official JavaScript client, which comes as CommonJS: its files in one script, in test only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from falrt.server import Routes

MODULES = Path(__file__).parents[1] / "interop" / "node_modules"

_LOADER = """
const loaded = {};
const resolve = (from, name) => {
  if (!name.startsWith(".")) return packages[name];
  const parts = from.split("/").slice(0, -1);
  for (const part of name.split("/")) part === ".." ? parts.pop() : part !== "." && parts.push(part);
  const path = parts.join("/");
  return [path, path + ".js", path + ".cjs", path + "/index.js"].find((each) => files[each]);
};
const load = (path) => {
  if (loaded[path]) return loaded[path].exports;
  const module = (loaded[path] = { exports: {} });
  files[path](module, module.exports, (name) => load(resolve(path, name)));
  return module.exports;
};
window.fal = load(packages["@fal-ai/client"]);
"""

_PACKAGES = {
    "@fal-ai/client": "@fal-ai/client/src/index.js",
    "@msgpack/msgpack": "@msgpack/msgpack/dist.cjs/index.cjs",
    "robot3": "robot3/dist/machine.js",
    "eventsource-parser": "eventsource-parser/dist/index.cjs",
}


def script() -> str:
    """Return the client as one script that sets ``window.fal``."""
    files = [
        *(MODULES / "@fal-ai/client/src").rglob("*.js"),
        *(MODULES / "@msgpack/msgpack/dist.cjs").rglob("*.cjs"),
        MODULES / "robot3/dist/machine.js",
        MODULES / "eventsource-parser/dist/index.cjs",
    ]
    bodies = [
        f"{json.dumps(file.relative_to(MODULES).as_posix())}: (module, exports, require) => {{\n{file.read_text()}\n}}"
        for file in files
    ]
    package = (MODULES / "@fal-ai/client/package.json").read_text()
    bodies.append(f'"@fal-ai/client/package.json": (module) => {{ module.exports = {package}; }}')
    return f"const packages = {json.dumps(_PACKAGES)};\nconst files = {{{', '.join(bodies)}}};\n{_LOADER}"


def page_with(fal: Routes, fal_socket: str) -> Starlette:
    """An app of a user's: our routes, and a page that has the client.

    Args:
        fal: The routes.
        fal_socket: Where the client's ``wss://fal.run`` is here.
    """
    source = script()
    redirect = (
        "const Real = WebSocket; window.opened = []; window.WebSocket = class extends Real {"
        f" constructor(url) {{ window.opened.push(url); super(url.replace('wss://fal.run', '{fal_socket}')); }} }};"
    )

    async def page(request: Request) -> Response:
        return HTMLResponse("<!doctype html><script src=/fal.js></script>")

    async def client(request: Request) -> Response:
        return Response(f"{redirect}\n{source}", media_type="text/javascript")

    pages: list[Any] = [Route("/", page), Route("/fal.js", client)]
    return Starlette(routes=[*pages, *fal], lifespan=fal.lifespan)
