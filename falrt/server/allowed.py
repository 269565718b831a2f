"""Which endpoints visitors may use: exact ids and patterns. Pure.

An exact id also stands for its two ways of transport, ``/realtime`` and ``/stream``. A pattern ends in ``/*`` and
stands for everything below its prefix, and for the prefix itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from falrt.exceptions import ConfigurationError
from falrt.protocol.wire.endpoint import Endpoint

__all__ = ["Allowed"]

_TRANSPORTS = ("realtime", "stream")


@dataclass(frozen=True, slots=True)
class Allowed:
    """The list of endpoints, taken apart.

    Attributes:
        exact: Ids without a transport's path, such as ``fal-ai/flux-2/klein``.
        prefixes: What stands before ``/*``, such as ``fal-ai/flux`` or an owner alone.
    """

    exact: frozenset[str]
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, allow: Iterable[str]) -> Self:
        """Check the list that a user gave.

        Raises:
            ConfigurationError: It is empty, not a list, or an entry is neither an id nor a pattern.
        """
        if isinstance(allow, str):
            raise ConfigurationError(
                f"allow must be a list of endpoint ids, got the string {allow!r}: put it in []"
            )
        exact, prefixes = set(), []
        given: Iterable[Any] = allow
        for entry in given:
            if isinstance(entry, str) and entry.endswith("/*"):
                prefixes.append(_prefix(entry))
            elif isinstance(entry, str) and "*" in entry:
                raise ConfigurationError(
                    f"allow has {entry!r}: '*' may only be at the end, as in 'fal-ai/flux/*'"
                )
            else:
                exact.add(_plain(Endpoint.parse(entry)))
        if not exact and not prefixes:
            raise ConfigurationError("allow is empty: name the endpoints that visitors may use")
        return cls(frozenset(exact), tuple(prefixes))

    def admits(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint, with or without its transport's path, is on the list."""
        app_id, plain = endpoint.app_id, _plain(endpoint)
        return (
            plain in self.exact or app_id in self.exact or any(_below(app_id, each) for each in self.prefixes)
        )

    def admits_app(self, endpoint: Endpoint) -> bool:
        """Whether anything of an app is on the list; what queue URLs name is the app, without its path."""
        root = _root(endpoint)
        named = any(_below(entry, root) for entry in (*self.exact, *self.prefixes))
        return named or any(_below(root, each) for each in self.prefixes)

    def app_with_alias(self, alias: str) -> str | None:
        """Return an id on the list whose alias this is; None where there is none.

        The general token endpoint knows apps by their alias alone. A pattern for a whole owner cannot say which
        aliases are the owner's, so it has none here.
        """
        for entry in sorted(self.exact) + list(self.prefixes):
            segments = entry.split("/")
            if len(segments) > 1 and Endpoint.parse(entry).alias == alias:
                return entry
        return None


def _plain(endpoint: Endpoint) -> str:
    """The id without the path of a transport at its end."""
    segments = endpoint.path.split("/")
    if segments[-1] in _TRANSPORTS:
        segments.pop()
    return "/".join(filter(None, (_root(endpoint), *segments)))


def _root(endpoint: Endpoint) -> str:
    return "/".join(filter(None, (endpoint.namespace, endpoint.owner, endpoint.alias)))


def _below(app_id: str, prefix: str) -> bool:
    return app_id == prefix or app_id.startswith(f"{prefix}/")


def _prefix(entry: str) -> str:
    prefix = entry.removesuffix("/*")
    # Parsed with one or two more segments, so that an owner alone passes and nothing crooked does.
    parsed = Endpoint.parse(f"{prefix}/x/x" if prefix.count("/") == 0 else f"{prefix}/x")
    if "*" in prefix or not prefix or not parsed.app_id.startswith(prefix):
        raise ConfigurationError(f"allow has {entry!r}: a pattern looks like 'fal-ai/flux/*'")
    if prefix in ("workflows", "comfy"):
        raise ConfigurationError(f"allow has {entry!r}: name the owner too, as in '{prefix}/acme/*'")
    return prefix
