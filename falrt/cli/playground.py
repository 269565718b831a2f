"""``falrt playground``: a page on which to try the models, with fal or with the local stand-in."""

from __future__ import annotations

import contextlib
import webbrowser
from typing import TYPE_CHECKING

from falrt.cli.web import listening, run_app

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["playground"]


def playground(
    console: Console, host: str, port: int, *, local: bool, speed: float, names: list[str], browser: bool
) -> None:
    """Serve the page until interrupted.

    Args:
        console: Says where.
        host: Address to listen on.
        port: 0 takes a free one.
        local: Use the stand-in even where there is a key.
        speed: Of the stand-in.
        names: Names under which the server may be called.
        browser: Open the page.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """
    from falrt.auth import find_key
    from falrt.exceptions import MissingCredentialsError
    from falrt.local import LocalOptions, LocalServer
    from falrt.server.playground import create_playground

    key, offline = "local", True
    if not local:
        with contextlib.suppress(MissingCredentialsError):
            key, offline = find_key().value, False
    with contextlib.ExitStack() as stack:
        listener, url = stack.enter_context(listening(host, port))
        base_url = stack.enter_context(LocalServer(LocalOptions(speed=speed))).url if offline else None
        app = create_playground(key=key, base_url=base_url, offline=offline, names=names)

        def started() -> None:
            what = "the local stand-in, free of charge" if offline else "fal, with your key, which stays here"
            console.print(f"The playground is at [bold cyan]{url}[/bold cyan]  (Ctrl-C ends it)")
            console.print(f"It uses {what}. Second screen: {url}/screen", highlight=False)
            if browser:
                webbrowser.open(url)

        run_app(app, listener, started, ws_max_size=8 * 1024 * 1024)
    console.print("stopped")
