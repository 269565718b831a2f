"""``falrt types``: typed models of any endpoint, from its OpenAPI document."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, urlsplit

import typer

from falrt.cli.shared import option
from falrt.exceptions import ConfigurationError, ConnectError, HTTPCallError, HTTPStatusError

__all__ = ["types"]

_HOST: Final = "fal.ai"
_PATH: Final = "/api/openapi/queue/openapi.json"


def types(
    app_id: Annotated[str, typer.Argument(metavar="ID", hidden=True)],
    source: Annotated[
        str | None, option("PLACE", "A file or URL of the document, instead of fal's.", "--from")
    ] = None,
) -> None:
    """Print typed models of an endpoint: falrt types fal-ai/flux/dev > flux_dev.py."""
    from falrt.models.openapi import python_source

    typer.echo(python_source(app_id, _document(app_id, source)), nl=False)


def _document(app: str, source: str | None) -> Any:
    import json

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
    from falrt.http.caller import lost
    from falrt.media.fetch import fetch

    try:
        return fetch(url)
    except HTTPStatusError as exc:
        raise ConfigurationError(f"no OpenAPI document for {app!r}: is the id right? ({exc})") from exc
    except HTTPCallError as exc:
        what, cause = f"the OpenAPI document of {app}", exc.__cause__
        # Where nothing can be reached, in the words and with the cure of every other call.
        if isinstance(cause, Exception) and isinstance(
            unreached := lost(cause, what, urlsplit(url).netloc), ConnectError
        ):
            raise unreached from exc
        raise HTTPCallError(f"{what}: {exc}") from exc
