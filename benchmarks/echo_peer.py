"""The far end of the comparison: fal's own server SDK with an app that returns what it gets, as a process.

Run as a program it prints its port and serves until it is ended.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

APP = "bench/echo"


@dataclass(frozen=True, slots=True)
class EchoPeer:
    """A running server process."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """CPU time used so far by all its threads."""
        tasks = Path(f"/proc/{self.pid}/task")
        with contextlib.suppress(OSError, ValueError):
            # Nanoseconds, where the kernel keeps them; the ticks of `stat` are 10 ms.
            return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(core: int | None) -> Iterator[EchoPeer]:
    """Serve in a process of its own, on a core of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.echo_peer"], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield EchoPeer(process.pid, port)
    finally:
        process.terminate()
        process.wait()


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
