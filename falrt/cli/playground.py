"""``falrt playground``: a page on which to try the models, with fal or with the local stand-in."""

from __future__ import annotations

import contextlib
from typing import Annotated

from falrt.cli.shared import Host, Names, Port, Quiet, Speed, flag, plain_console

__all__ = ["playground"]


def playground(
    host: Host = "127.0.0.1",
    port: Port = 3333,
    local: Annotated[bool, flag("--local", "Use the local stand-in even if a key is set.")] = False,
    speed: Speed = 1.0,
    name: Names = None,
    open_: Annotated[bool, flag("--open/--no-open", "Open the page in a browser.")] = True,
    quiet: Quiet = False,
) -> None:
    """Open a page to play with the models: camera, drawing, pictures, videos; your key stays here.

    With another --host, others may watch at /screen.
    """
    import webbrowser

    from falrt.auth import find_key
    from falrt.exceptions import MissingCredentialsError
    from falrt.local import LocalOptions, LocalServer, serving
    from falrt.server.playground import create_playground

    key, offline = "local", True
    if not local:
        with contextlib.suppress(MissingCredentialsError):
            key, offline = find_key().value, False
    console = plain_console(quiet=quiet)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(serving.listen(host, port, for_viewers=True))
        url = serving.url_of(listener)
        base_url = stack.enter_context(LocalServer(LocalOptions(speed=speed))).url if offline else None
        app = create_playground(key=key, base_url=base_url, offline=offline, names=name or [])

        def started() -> None:
            what = "the local stand-in, free of charge" if offline else "fal, with your key, which stays here"
            console.print(f"The playground is at [bold cyan]{url}[/bold cyan]  (Ctrl-C ends it)", markup=True)
            console.print(f"It uses {what}. Second screen: {url}/screen")
            if open_:
                webbrowser.open(url)

        config = serving.config_for(app, ws_max_size=8 * 1024 * 1024)
        serving.run(config, listener, started)
    console.print("stopped")
