"""fal's own server SDK with a model that takes its time, behind a delaying proxy, as a process.

Run as a program with inference time, delay each way, uplink bits per second (0: no limit) and buffering (0: none),
it prints the proxy's port and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

APP = "bench/slow"


@contextlib.contextmanager
def running(inference: float, delay: float, uplink: float, buffering: int, core: int | None) -> Iterator[int]:
    """Serve in a process of its own; yields the port."""
    arguments = [str(value) for value in (inference, delay, uplink, buffering)]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.slow_peer", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield port
    finally:
        process.terminate()
        process.wait()


def serve(inference: float, delay: float, uplink: float, buffering: int) -> None:
    """Print the proxy's port, then serve."""
    os.environ["IS_ISOLATE_AGENT"] = "1"  # the SDK serves only where it believes to be on a runner
    import fal
    import uvicorn

    from falrt.testing import FaultProxy

    class Slow(fal.App):
        @fal.realtime(f"/{APP}/realtime", buffering=buffering or None)
        async def paint(self, message: Any) -> Any:
            await asyncio.sleep(inference)
            return {"number": message["number"], "picture": message["picture"]}

    async def front() -> None:
        async with FaultProxy("127.0.0.1", listener.getsockname()[1], latency=delay) as proxy:
            if uplink:
                proxy.shape("up", bandwidth=uplink / 8)
            print(proxy.port, flush=True)
            await asyncio.Event().wait()

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Slow(_allow_init=True)._build_app(), lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    asyncio.run(front())


if __name__ == "__main__":
    serve(float(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
