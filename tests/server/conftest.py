from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from falrt import server
from tests.server.serving import KEY, serving
from tests.server.upstream import Upstream

ALLOW = ["fal-ai/flux-2/klein", "fal-ai/flux/dev", "acme/*"]


@dataclass
class Backend:
    """A server of ours in front of an upstream, and a browser's way to it."""

    url: str
    http: httpx.AsyncClient
    upstream: Upstream

    async def proxy(self, url: str, method: str = "POST", **options: Any) -> httpx.Response:
        """Call a URL of fal's through the proxy, as the JavaScript client does."""
        headers = {"x-fal-target-url": url, **options.pop("headers", {})}
        if method == "POST" and "content" not in options:
            options.setdefault("json", {"prompt": "a fox"})
        return await self.http.request(method, "/api/fal/proxy", headers=headers, **options)


MakeBackend = Callable[..., AbstractAsyncContextManager[Backend]]


@pytest.fixture
def backend() -> MakeBackend:
    """`async with backend(**options of create_app) as it:`."""

    @contextlib.asynccontextmanager
    async def make(**options: Any) -> AsyncIterator[Backend]:
        upstream = Upstream()
        async with serving(upstream.app) as fal:
            defaults = {"allow": ALLOW, "authorize": server.anyone, "key": KEY, "base_url": fal}
            app = server.create_app(**{**defaults, **options})
            async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as http:
                yield Backend(url, http, upstream)

    return make
