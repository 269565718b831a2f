"""Which web pages may call: the browser's ``Origin`` against the list, or the server's own address. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from falrt.exceptions import ConfigurationError

__all__ = ["Origins"]

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origins:
    """Pages of these origins may call, and those of the server itself.

    Attributes:
        listed: Such as ``https://app.example``, in lower case and without a default port.
    """

    listed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, origins: Iterable[str]) -> Self:
        """Check the list that a user gave.

        Raises:
            ConfigurationError: An entry is not an origin; ``*`` is none.
        """
        if isinstance(origins, str):
            raise ConfigurationError(f"origins must be a list, got the string {origins!r}: put it in []")
        return cls(frozenset(map(_checked, origins)))

    def refuses(self, headers: Mapping[str, str]) -> bool:
        """Whether a request comes from a page that may not call.

        A request without ``Origin`` comes from no page, or from a page of the same origin, unless the browser says
        otherwise in ``Sec-Fetch-Site``: such requests are not refused here.

        Args:
            headers: With names in lower case.
        """
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site") in ("cross-site", "same-site")
        return not self.lists(origin) and not _is_same(origin, headers.get("host", ""))

    def lists(self, origin: str) -> bool:
        """Whether an origin is on the list, so that its page may read answers."""
        return _normal(origin) in self.listed


def _checked(origin: object) -> str:
    normal = _normal(origin) if isinstance(origin, str) else None
    if normal is None:
        raise ConfigurationError(
            f"origins has {origin!r}: an origin is a scheme and a host, such as 'https://app.example'"
        )
    return normal


def _normal(origin: str) -> str | None:
    try:
        url = urlsplit(origin)
        port = url.port
    except ValueError:
        return None
    if url.scheme not in _PORTS or not url.hostname or "*" in url.netloc or "@" in url.netloc:
        return None
    if url.path not in ("", "/") or url.query or url.fragment:
        return None
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}" + (f":{port}" if port not in (None, _PORTS[url.scheme]) else "")


def _is_same(origin: str, host: str) -> bool:
    """Whether an origin is the server's own.

    By host and port alone: where TLS ends in front of us, our own scheme is http and the page's https.
    """
    normal = _normal(origin)
    return normal is not None and normal == _normal(f"{normal.partition('://')[0]}://{host}")
