"""The OpenAPI documents of the stand-in's models, where fal has them: ``falrt types`` reads both."""

from __future__ import annotations

import functools
from typing import Any

from falrt import models
from falrt.models.openapi import document
from falrt.testing.platform.apps import Apps
from falrt.testing.platform.port import Request, Response, Route, refused

__all__ = ["Documents"]


class Documents:
    """Answers with the document of an endpoint that is both served here and typed in `falrt.models`."""

    def __init__(self, apps: Apps) -> None:
        self._apps = apps
        self.routes = (
            Route("GET", "fal.ai", "/api/openapi/queue/openapi.json", self.answer, needs_key=False),
        )

    async def answer(self, request: Request) -> Response:
        """``GET /api/openapi/queue/openapi.json?endpoint_id=...``."""
        endpoint_id = request.query.get("endpoint_id", "").strip("/")
        endpoint = _typed().get(endpoint_id)
        if endpoint is None or not (self._apps.find(endpoint_id) or self._apps.find_realtime(endpoint_id)):
            raise refused(404, f"Endpoint {endpoint_id} not found")
        return Response.json(200, document(endpoint))


@functools.cache
def _typed() -> dict[str, models.Endpoint[Any, Any]]:
    values = [getattr(models, name) for name in dir(models) if name.isupper()]
    return {value.app: value for value in values if isinstance(value, models.Endpoint)}
