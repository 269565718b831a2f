"""What a proxied call may reach: ``x-fal-target-url``, judged character by character. Pure.

A URL parser is what attacks on proxies are made of: two parsers that read one text differently. So nothing is
parsed and put together again: one strict form is accepted, and what is forwarded is built from its checked parts.
Escapes, ports, user names, dots as segments, doubled slashes and everything outside ASCII have no place in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_plus

from falrt.exceptions import ConfigurationError
from falrt.protocol.wire.endpoint import Endpoint
from falrt.server.allowed import Allowed

__all__ = ["Refused", "Service", "Target", "judge"]

_URL = re.compile(r"https://([a-z0-9.-]+)(/[A-Za-z0-9_~+./-]*)(?:\?([A-Za-z0-9_~.%+&=,:/-]*))?")
_REQUESTS = re.compile(r"(?P<app>.+)/requests/(?P<id>[A-Za-z0-9_-]+)(?P<rest>/status(?:/stream)?|/cancel)?")
_MAX_LENGTH: Final = 2048
# A token in the query would travel beside our key: whose call would it be? A webhook lets fal sign, in our account's
# name, a message to any address, our own webhook included.
_FORBIDDEN_PARAMETERS: Final = frozenset({"fal_jwt_token", "fal_webhook"})


class Service(StrEnum):
    """Which of fal's services a call is for."""

    RUN = "run"
    QUEUE = "queue"
    TOKENS = "tokens"
    STORAGE = "storage"


_HOSTS: Final = {"fal.run": Service.RUN, "queue.fal.run": Service.QUEUE, "rest.fal.ai": Service.STORAGE}
_TOKEN_PATHS: Final = frozenset({"/tokens", "/tokens/", "/tokens/realtime"})
_UPLOAD_PATHS: Final = frozenset(
    {"/storage/upload/initiate", "/storage/upload/initiate-multipart", "/storage/auth/token"}
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an accepted call goes.

    Attributes:
        service: Which service; tokens are never forwarded but minted here.
        path: Beginning with a slash.
        query: Without the question mark; may be empty.
        request_id: Of the request in the queue that is followed or cancelled; empty for every other call.
    """

    service: Service
    path: str
    query: str = ""
    request_id: str = ""

    @property
    def submits(self) -> bool:
        """Whether it puts a request into the queue."""
        return self.service is Service.QUEUE and not self.request_id


class Refused(Exception):
    """A request that is not let in.

    Attributes:
        status: HTTP status.
        detail: For the caller; holds nothing secret.
        retry_after: Seconds after which the same request may be let in, or None.
    """

    def __init__(self, status: int, detail: str, *, retry_after: float | None = None) -> None:
        self.status, self.detail, self.retry_after = status, detail, retry_after
        super().__init__(detail)


def judge(url: str | None, method: str, allowed: Allowed, *, uploads: bool = False) -> Target:
    """Say where a call may go.

    Args:
        url: The header ``x-fal-target-url``.
        method: Of the request, in capitals.
        allowed: Endpoints that visitors may use.
        uploads: Whether they may store files.

    Raises:
        Refused: It may not go anywhere: 400 without a URL, 412 for what is not fal's, 403 for an endpoint that is
            not on the list, 405 for a method that the URL does not take.

    Source:
        The proxy protocol: wire fact W80, docs/reference/wire.md.
    """
    if not url:
        raise Refused(400, "Missing the x-fal-target-url header")
    match = _URL.fullmatch(url) if len(url) <= _MAX_LENGTH else None
    service = _HOSTS.get(match[1]) if match else None
    if match is None or service is None:
        raise Refused(412, "Invalid x-fal-target-url: only https URLs of fal's own hosts are forwarded")
    path, query = match[2], match[3] or ""
    _check_path(path)
    if not _FORBIDDEN_PARAMETERS.isdisjoint(_names(query)):
        raise Refused(403, f"Parameters {', '.join(sorted(_FORBIDDEN_PARAMETERS))} are not forwarded")
    if service is Service.STORAGE:
        return _rest(path, query, method, uploads)
    # The JavaScript client leaves a slash at the end of some URLs.
    endpoint = _endpoint(path.strip("/"))
    if service is Service.QUEUE and "/requests/" in path:
        request = _REQUESTS.fullmatch(path.strip("/"))
        if request is None:
            raise Refused(403, f"Path {path} is not forwarded")
        app = _endpoint(request["app"])
        _check_method(method, "PUT" if request["rest"] == "/cancel" else "GET")
        if app.path or not allowed.admits_app(app):
            raise _not_allowed(app)
        return Target(service, path, query, request["id"])
    _check_method(method, "POST")
    if not allowed.admits(endpoint):
        raise _not_allowed(endpoint)
    return Target(service, path, query)


def _rest(path: str, query: str, method: str, uploads: bool) -> Target:
    if path in _TOKEN_PATHS:
        _check_method(method, "POST")
        return Target(Service.TOKENS, path)
    if path not in _UPLOAD_PATHS:
        raise Refused(403, f"Path {path} is not forwarded")
    if not uploads:
        raise Refused(
            403, "Uploads are not allowed here; the server's owner can turn them on with uploads=True"
        )
    _check_method(method, "POST")
    return Target(Service.STORAGE, path, query)


def _check_path(path: str) -> None:
    segments = path.strip("/").split("/")
    # An empty segment is a doubled slash; one of dots alone moves about, or is taken for a name by some servers.
    if path.startswith("//") or path.endswith("//") or not all(segment.strip(".") for segment in segments):
        raise Refused(412, "Invalid x-fal-target-url: its path has empty segments or dots")


def _check_method(method: str, right: str) -> None:
    if method != right:
        raise Refused(405, "Method Not Allowed")


def _names(query: str) -> set[str]:
    """Names of the parameters, read as leniently as any server would."""
    names = (pair.partition("=")[0] for pair in re.split("[&;]", query))
    return {unquote_plus(unquote_plus(name)).strip().lower() for name in names}


def _endpoint(app: str) -> Endpoint:
    try:
        return Endpoint.parse(app)
    except ConfigurationError:
        raise Refused(412, "Invalid x-fal-target-url: its path is not an endpoint") from None


def _not_allowed(endpoint: Endpoint) -> Refused:
    return Refused(403, f"Endpoint {endpoint.app_id} is not allowed here")
