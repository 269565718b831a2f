"""What the calls of one client share: hosts, key, tokens, connections, TLS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from falrt.auth import Key, TokenCache
from falrt.auth.pool import HTTPPool
from falrt.protocol.wire.endpoint import Hosts
from falrt.protocol.wire.proxies import Proxies

if TYPE_CHECKING:
    import ssl as tls

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """What the calls of a client need.

    Attributes:
        hosts: Where the services are.
        key: Returns the key.
        tokens: The client's tokens; None where it uses none.
        pool: Its HTTP connections.
        ssl_context: Returns its TLS context.
        proxy_url: A trusted server that adds the key.
        prefers_tokens: Whether ``stream()`` puts a token into the URL unless told otherwise.
        proxies: The way to the hosts.
        opened: What the client closes when it is closed.
        check_open: Raises where the client is closed.
    """

    hosts: Hosts
    key: Callable[[], Key]
    tokens: TokenCache | None
    pool: HTTPPool
    ssl_context: Callable[[], Awaitable[tls.SSLContext]]
    proxy_url: str | None
    prefers_tokens: bool
    proxies: Proxies
    opened: set[Any]
    check_open: Callable[[], None]
