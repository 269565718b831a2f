"""Far ends of the comparison, each as a process on a core of its own.

``prebuilt`` costs next to nothing, so that the client is measured; ``fal's SDK`` is what a runner of fal runs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PREBUILT = "prebuilt answers"
SDK = "fal's SDK"
_MODULES = {PREBUILT: "benchmarks.answer_peer", SDK: "benchmarks.sdk_peer"}


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server process."""

    kind: str
    pid: int
    port: int

    def app(self, size: int) -> str:
        """Return the id of an app whose answers have so many bytes; the SDK's echoes."""
        return f"bench/{size}" if self.kind == PREBUILT else "bench/echo"

    def cpu_seconds(self) -> float:
        """CPU time used so far by all its threads."""
        tasks = Path(f"/proc/{self.pid}/task")
        with contextlib.suppress(OSError, ValueError):
            # Nanoseconds, where the kernel keeps them; the ticks of `stat` are 10 ms.
            return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(kind: str, core: int | None) -> Iterator[Peer]:
    """Serve in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", _MODULES[kind]], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield Peer(kind, process.pid, port)
    finally:
        process.terminate()
        process.wait()
