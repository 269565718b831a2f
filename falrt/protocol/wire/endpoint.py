"""Endpoint ids and the URLs they stand for.

An id is ``owner/alias``, optionally with a path behind it and one of two namespaces in front. The realtime
path is added once: an id whose *path* already ends with it is left alone, so ``fal-ai/flux-2/klein/realtime``
never becomes ``…/realtime/realtime``, while ``acme/realtime`` (an alias that happens to be so named) still gets it.
A doubled ``realtime`` that stands in a path already, of an id or of ``path=``, is made one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from falrt.exceptions import ConfigurationError
from falrt.protocol.numbers import Rule

__all__ = ["BUFFERING", "Endpoint", "Hosts", "redact", "split_url"]

NAMESPACES: Final = frozenset({"workflows", "comfy"})
REALTIME: Final = "realtime"

# Both official clients bound the parameter max_buffering so before connecting.
BUFFERING: Final = Rule("a whole number from 1 to 60", 1, 60, whole=True)

_LEGACY = re.compile(r"([0-9]+)-([a-zA-Z0-9-]+)")
_SEGMENT = re.compile(r"[A-Za-z0-9_~@+.-]+")
_SECRETS = re.compile(
    # A token in a URL, encoded or not, or in a log of its parameters; a credential in a header.
    r"(fal_jwt_token(?:=|%3D|['\"]?:\s*['\"]?)|\bBearer +|\bauthorization\W+Key +)[^\s&'\"\\]+"
    # A key behind the bare word, which is an ordinary one: in "missing key image_url" nothing is hidden.
    r"|(\bKey +)(?=\S*(?:\d|[:.]\w))[^\s&'\"\\]{8,}"
    # A bare JWT: its parts are base64url, and the first begins with a brace. A close reason may cut it anywhere.
    r"|\b(?-i:eyJ)[A-Za-z0-9_-]{7,}(?:\.[A-Za-z0-9_-]*){0,2}"
    # A user name and password in a URL; not beyond a quote, where JSON has another text.
    r"|(?<=://)[^\s/?#\"]+(?=@)",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return the text with ``***`` for tokens, for credentials in headers, and for passwords in URLs."""
    return _SECRETS.sub(lambda found: f"{found[1] or found[2] or ''}***", text)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint id taken apart.

    Attributes:
        owner: First segment, behind the namespace where there is one.
        alias: Second segment; what the general token endpoint is asked for.
        path: What follows, without slashes at its ends; may be empty.
        namespace: ``"workflows"``, ``"comfy"`` or empty.

    Source:
        Endpoint ids: wire facts W01 to W05, docs/reference/wire.md.
    """

    owner: str
    alias: str
    path: str = ""
    namespace: str = ""

    @classmethod
    def parse(cls, app: str) -> Endpoint:
        """Take an endpoint id apart.

        Raises:
            ConfigurationError: The id is not one; the text says what is wrong and how an id looks.
        """
        if not isinstance(app, str):
            raise ConfigurationError(
                f"app must be an endpoint id or a RealtimeModel, got {type(app).__name__}"
            )
        _refuse_urls(app)
        segments = app.split("/")
        if len(segments) == 1 and (legacy := _LEGACY.fullmatch(app)):
            return cls(legacy[1], legacy[2])
        for segment in segments:
            _check_segment(segment, f"app id {app!r}")
        namespace = segments.pop(0) if segments[0] in NAMESPACES else ""
        if len(segments) < 2:
            shape = (
                f"{namespace}/owner/alias"
                if namespace
                else "owner/alias, such as 'fal-ai/fast-lcm-diffusion'"
            )
            raise ConfigurationError(f"app id {app!r} is too short: it must have the form {shape}")
        owner, alias, *path = segments
        return cls(owner, alias, "/".join(_realtime_once(path)), namespace)

    @property
    def app_id(self) -> str:
        """The id in its normal form, without a realtime path added."""
        return "/".join(filter(None, (self.namespace, self.owner, self.alias, self.path)))

    def realtime_path(self, path: str | None = None) -> str:
        """Return the id with its WebSocket path, such as ``fal-ai/fast-lcm-diffusion/realtime``.

        Args:
            path: Another path than ``/realtime``; leading slashes do not matter.
        """
        if path is not None and not isinstance(path, str):
            raise ConfigurationError(
                f"path must be a string such as '/ws', or None for '/realtime', got {type(path).__name__}"
            )
        suffix = REALTIME if path is None else path.strip("/")
        if not suffix:
            raise ConfigurationError(f"path {path!r} is empty: leave it out for '/realtime'")
        for segment in suffix.split("/"):
            _check_segment(segment, f"path {path!r}")
        segments = _realtime_once(suffix.split("/"))
        own = self.path.split("/") if self.path else []
        if own[-len(segments) :] == segments:
            return self.app_id
        return replace(self, path="/".join(_realtime_once([*own, *segments]))).app_id


def _realtime_once(segments: list[str]) -> list[str]:
    """Return a path in which no ``realtime`` follows another: no app has such a path, and a slip makes one easily."""
    before = ["", *segments]
    return [
        segment for last, segment in zip(before, segments, strict=False) if not last == segment == REALTIME
    ]


def _refuse_urls(app: str) -> None:
    if "://" in app:
        url = split_url(app)
        parts = [part for part in url.path.split("/") if part] if url is not None else []
        hint = f": pass the id alone, {'/'.join(parts)!r}" if len(parts) > 1 else ": pass the id alone"
        raise ConfigurationError(f"app id {redact(app)!r} is a URL{hint}; other hosts are set with base_url")


def _check_segment(segment: str, where: str) -> None:
    if not segment:
        raise ConfigurationError(f"{where} has an empty segment: remove leading, trailing and double slashes")
    if not _SEGMENT.fullmatch(segment) or not segment.strip("."):
        raise ConfigurationError(
            f"{where} has an invalid segment {segment!r}: use letters, digits, '-', '_' and '.'"
        )


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where the services are.

    Attributes:
        socket: Scheme and host of the realtime WebSocket.
        rest: Of the token and storage endpoints.
        run: Of the HTTP endpoints.
        queue: Of the queue.
        cdn: Of stored files.
        pipeline: Of HTTP over WebSockets.
    """

    socket: str = "wss://fal.run"
    rest: str = "https://rest.fal.ai"
    run: str = "https://fal.run"
    queue: str = "https://queue.fal.run"
    cdn: str = "https://v3.fal.media"
    pipeline: str = "wss://ws.fal.run"

    @classmethod
    def at(cls, base_url: str | None) -> Hosts:
        """Return fal's own hosts, or the one place that ``base_url`` names.

        In one place the queue's paths and those of HTTP over WebSockets would be taken for the endpoints' own, so
        they begin with the name of fal's host: ``http://127.0.0.1:8765/queue.fal.run/fal-ai/flux/dev``.

        Raises:
            ConfigurationError: Not an ``http(s)`` or ``ws(s)`` URL with a host.
        """
        if base_url is None:
            return cls()
        plain, secure = ("ws", "http"), ("wss", "https")
        schemes = {"http": plain, "ws": plain, "https": secure, "wss": secure}
        if not isinstance(base_url, str):
            raise ConfigurationError(
                f"base_url must be a string such as 'http://127.0.0.1:8765', got {type(base_url).__name__}"
            )
        url = split_url(base_url)
        if url is None or url.scheme not in schemes or url.query or url.fragment:
            raise ConfigurationError(
                f"base_url {redact(base_url)!r} must be a URL with a host and no query, such as 'http://127.0.0.1:8765'"
            )
        socket, rest = schemes[url.scheme]
        place = url.netloc + url.path.rstrip("/")
        socket, rest = f"{socket}://{place}", f"{rest}://{place}"
        return cls(socket, rest, rest, f"{rest}/queue.fal.run", rest, f"{socket}/ws.fal.run")

    @property
    def secure(self) -> bool:
        """Whether the socket needs TLS."""
        return self.socket.startswith("wss:")

    def realtime_url(
        self, full_path: str, *, token: str | None = None, max_buffering: int | None = None
    ) -> str:
        """Return the WebSocket URL of a full path (``owner/alias/…/realtime``)."""
        query = []
        if token is not None:
            query.append(f"fal_jwt_token={quote(token, safe='')}")
        if max_buffering is not None:
            query.append(f"max_buffering={max_buffering}")
        return f"{self.socket}/{full_path}" + ("?" + "&".join(query) if query else "")


def split_url(url: str) -> SplitResult | None:
    """Take a URL apart; None where it has no host, or cannot be read, such as ``http://[`` and ``http://h:x``."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.hostname else None
