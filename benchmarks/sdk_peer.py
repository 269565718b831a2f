"""A far end that is fal's own server SDK, with an app that returns what it gets.

Run as a program it prints its port and serves until it is ended.
"""

from __future__ import annotations

import os
import socket
from typing import Any

APP = "bench/echo"


def serve() -> None:
    """Print the port, then serve."""
    os.environ["IS_ISOLATE_AGENT"] = "1"  # the SDK serves only where it believes to be on a runner
    import fal
    import uvicorn

    class Echo(fal.App):
        @fal.realtime(f"/{APP}/realtime")
        async def echo(self, message: Any) -> Any:
            return message

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(Echo(_allow_init=True)._build_app(), lifespan="off", log_config=None)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve()
