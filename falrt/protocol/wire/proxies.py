"""Which proxy leads to which host: as the environment says, by the rules that httpx follows, or as the user says.

``HTTPS_PROXY``, ``HTTP_PROXY`` and ``ALL_PROXY`` name a proxy by the scheme of what is asked for; ``NO_PROXY`` lists
hosts that are reached directly. This machine itself always is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from falrt.exceptions import ConfigurationError

__all__ = ["NO_PROXIES", "Proxies", "Proxy"]

_PORTS: Final = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# The scheme of a WebSocket is that of the request that it begins as.
_SCHEMES: Final = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address; its user name and password are not shown."""

    scheme: str
    host: str
    port: int
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: object) -> Proxy:
        """Take a URL apart.

        Raises:
            ConfigurationError: It is no proxy's URL.
        """
        try:
            if isinstance(url, str):
                parts = urlsplit(url)
                if parts.scheme in _PORTS and parts.hostname and parts.path in ("", "/") and not parts.query:
                    port = parts.port or _PORTS[parts.scheme]
                    username, password = unquote(parts.username or ""), unquote(parts.password or "")
                    return cls(parts.scheme, parts.hostname, port, username, password)
        except ValueError:
            pass
        # Not shown: a proxy's address may hold a password.
        raise ConfigurationError(
            "proxy must be a URL with its scheme, such as 'http://proxy:3128' or 'socks5://127.0.0.1:1080', "
            "True to use the environment's proxies, or None for no proxy"
        )

    @property
    def address(self) -> str:
        """Scheme, host and port: what may be shown."""
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL, credentials included."""
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if self.username else ""
        return f"{self.scheme}://{login}{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Proxies:
    """Which proxy to take.

    Attributes:
        by_scheme: ``http``, ``https`` and ``all``, each with its proxy.
        direct: Hosts that need none: ``host``, ``host:port``, ``.domain``; ``*`` for all.
    """

    by_scheme: Mapping[str, Proxy] = field(default_factory=dict)
    direct: tuple[str, ...] = ()

    @classmethod
    def of(cls, option: object, environment: Mapping[str, str] = MappingProxyType({})) -> Proxies:
        """Read the option ``proxy``: a URL, True for the environment, False or None for none.

        Args:
            option: What the user gave.
            environment: Scheme to URL, and ``no`` to the hosts that are reached directly, as
                ``urllib.request.getproxies()`` returns them.

        Raises:
            ConfigurationError: Not a proxy's URL, in the option or in the environment.
        """
        if option is None or option is False:
            return NO_PROXIES
        if option is not True:
            return cls({"all": Proxy.parse(option)})
        by_scheme = {}
        for scheme in ("http", "https", "all"):
            url = environment.get(scheme)
            if url:
                try:
                    by_scheme[scheme] = Proxy.parse(url if "://" in url else f"http://{url}")
                except ConfigurationError:
                    raise ConfigurationError(
                        f"the environment's {scheme.upper()}_PROXY is not a proxy URL such as "
                        "'http://proxy:3128': correct it, or pass proxy=None"
                    ) from None
        if not by_scheme:
            return NO_PROXIES
        hosts = environment.get("no", "").split(",")
        return cls(by_scheme, tuple(host.strip().lower() for host in hosts if host.strip()))

    def to(self, url: str) -> Proxy | None:
        """Return the proxy that leads to a URL, or None where the way is direct."""
        if not self.by_scheme:
            return None
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
        if host in _LOOPBACK or any(_covers(rule, host, port) for rule in self.direct):
            return None
        scheme = _SCHEMES.get(parts.scheme, parts.scheme)
        return self.by_scheme.get(scheme) or self.by_scheme.get("all")


NO_PROXIES: Final = Proxies()
"""Everything is reached directly."""


def _covers(rule: str, host: str, port: int | None) -> bool:
    """Whether an entry of ``NO_PROXY`` names a host, or a domain that it is in."""
    if rule == "*":
        return True
    rule = rule.rpartition("://")[2]
    name, colon, number = rule.rpartition(":")
    if colon and number.isdecimal() and "]" not in number:
        if port is not None and int(number) != port:
            return False
        rule = name
    rule = rule.strip("[]").removeprefix("*").removeprefix(".")
    return host == rule or host.endswith(f".{rule}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
