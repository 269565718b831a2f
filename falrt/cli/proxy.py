"""``falrt proxy``: tokens, proxy and relay for browsers, without a line of code."""

from __future__ import annotations

import os
from typing import Annotated

from falrt.cli.shared import Host, Names, Port, Quiet, flag, option, plain_console
from falrt.exceptions import ConfigurationError

__all__ = ["proxy"]

_SECRET_VARIABLE = "FALRT_PROXY_SECRET"  # noqa: S105 - the name of a variable
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def proxy(
    allow: Annotated[
        list[str], option("ENDPOINT", "An id, or a pattern such as 'fal-ai/flux/*'; may be repeated.")
    ],
    host: Host = "127.0.0.1",
    port: Port = 3333,
    origin: Annotated[
        list[str] | None,
        option("ORIGIN", "An origin that may call, such as https://app.example; may be repeated."),
    ] = None,
    name: Names = None,
    anyone: Annotated[bool, flag("--anyone", "Accept every caller, on any address.")] = False,
    requests: Annotated[int, option("N", "Requests per minute for one caller.", min=1)] = 60,
    sockets: Annotated[int, option("N", "Sockets at once for one caller.", min=1)] = 2,
    token_seconds: Annotated[int, option("SECONDS", "Longest lifetime of a token.", min=1, max=3600)] = 120,
    uploads: Annotated[bool, flag("--uploads", "Let callers store files.")] = False,
    quiet: Quiet = False,
) -> None:
    """Serve fal's proxy protocol, tokens and a relay for browsers; the key stays here."""
    from falrt import server
    from falrt.local import serving
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
        origins=origin or [],
        token_seconds=token_seconds,
        limit=server.Limit(requests=requests, sockets=sockets),
        uploads=uploads,
    )
    # A page of another origin says its own name in Origin, not in Host; but behind a reverse proxy both are often one.
    hosts = [each.partition("://")[2].partition(":")[0] for each in origin or []]
    app = standalone(fal, names=[*(name or []), *hosts], authorize=authorize if secret else None)
    console = plain_console(quiet=quiet)
    with serving.listen(host, port, for_viewers=True) as listener:
        url = serving.url_of(listener)

        def started() -> None:
            console.print(f"A proxy for fal at [bold cyan]{url}[/bold cyan]  (Ctrl-C ends it)", markup=True)
            console.print(f"  proxyUrl: {url}/api/fal/proxy")
            console.print(f"  tokens:   {url}/api/fal/token?app=...")
            console.print(f"  relay:    {url.replace('http', 'ws', 1)}/api/fal/realtime/...")
            console.print(f"  metrics:  {url}/metrics")
            console.print(f"  allowed:  {', '.join(allow)}")

        serving.run(serving.config_for(app), listener, started)
    console.print("stopped")
