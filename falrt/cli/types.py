"""``falrt types``: typed models of any endpoint, from its OpenAPI document."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from falrt.exceptions import ConfigurationError, HTTPCallError, HTTPStatusError

__all__ = ["types"]

_HOST: Final = "fal.ai"
_PATH: Final = "/api/openapi/queue/openapi.json"


def types(app: str, source: str | None = None) -> str:
    """Return the source of a module with the types of an endpoint.

    Args:
        app: Endpoint id, such as ``"fal-ai/flux/dev"``.
        source: A file or web address with its OpenAPI document; None asks fal, or the server at ``FALRT_BASE_URL``.

    Raises:
        ConfigurationError: There is no such endpoint, or its document cannot be read.
        HTTPCallError: The document could not be fetched.
    """
    from falrt.models.openapi import python_source

    return python_source(app, _document(app, source))


def _document(app: str, source: str | None) -> Any:
    from falrt.media.source import is_web_url

    place = source or _address(app)
    text = _fetched(place, app) if is_web_url(place) else _read(place)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{place}: not a JSON document") from exc


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc.strerror or exc})") from exc


def _address(app: str) -> str:
    base = os.environ.get("FALRT_BASE_URL", "").strip().rstrip("/")
    return f"{f'{base}/{_HOST}' if base else f'https://{_HOST}'}{_PATH}?endpoint_id={quote(app, safe='')}"


def _fetched(url: str, app: str) -> bytes:
    from falrt.media.fetch import fetch

    try:
        return fetch(url)
    except HTTPStatusError as exc:
        raise ConfigurationError(f"no OpenAPI document for {app!r}: is the id right? ({exc})") from exc
    except HTTPCallError as exc:
        raise HTTPCallError(f"the OpenAPI document of {app}: {exc}") from exc
