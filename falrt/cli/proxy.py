"""``falrt proxy``: tokens, proxy and relay for browsers, without a line of code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from falrt.cli.web import listening, run_app
from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["proxy"]

_SECRET_VARIABLE = "FALRT_PROXY_SECRET"  # noqa: S105 - the name of a variable
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def proxy(
    console: Console,
    host: str,
    port: int,
    *,
    allow: list[str],
    origins: list[str],
    names: list[str],
    anyone: bool,
    requests: int,
    sockets: int,
    token_seconds: int,
    uploads: bool,
) -> None:
    """Serve until interrupted.

    On this machine everybody who reaches the port may call. On another address callers need the secret in
    ``FALRT_PROXY_SECRET``, unless ``anyone`` is given.

    Raises:
        ConfigurationError: Nothing is allowed, nobody is authorized, or the address cannot be listened on.
        MissingCredentialsError: There is no key.
    """
    from falrt import server
    from falrt.server.standalone import bearer, standalone

    secret = os.environ.get(_SECRET_VARIABLE, "").strip()
    if host not in _LOOPBACK and not secret and not anyone:
        raise ConfigurationError(
            f"on {host} anyone could spend your credits: set {_SECRET_VARIABLE} for callers to send as "
            "'Authorization: Bearer ...', or pass --anyone"
        )
    authorize = bearer(secret) if secret else server.anyone
    fal = server.routes(
        allow=allow,
        authorize=authorize,
        origins=origins,
        token_seconds=token_seconds,
        limit=server.Limit(requests=requests, sockets=sockets),
        uploads=uploads,
    )
    # A page of another origin says its own name in Origin, not in Host; but behind a reverse proxy both are often one.
    hosts = [origin.partition("://")[2].partition(":")[0] for origin in origins]
    app = standalone(fal, names=[*names, *hosts], authorize=authorize if secret else None)
    with listening(host, port) as (listener, url):

        def started() -> None:
            console.print(f"A proxy for fal at [bold cyan]{url}[/bold cyan]  (Ctrl-C ends it)")
            console.print(f"  proxyUrl: {url}/api/fal/proxy", highlight=False)
            console.print(f"  tokens:   {url}/api/fal/token?app=...", highlight=False)
            console.print(f"  relay:    {url.replace('http', 'ws', 1)}/api/fal/realtime/...", highlight=False)
            console.print(f"  metrics:  {url}/metrics", highlight=False)
            console.print(f"  allowed:  {', '.join(allow)}", highlight=False)

        run_app(app, listener, started)
    console.print("stopped")
