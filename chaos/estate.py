"""What a process holds: tasks, sockets, threads, memory."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Estate", "client_sockets", "rss_bytes", "tcp_sockets"]


@dataclass(frozen=True, slots=True)
class Estate:
    """A count of everything, at one instant.

    Attributes:
        tasks: Names of the asyncio tasks, the present one left out.
        descriptors: Open file descriptors.
        sockets: Those that are sockets.
        threads: Names of threads, the main one left out.
        objects: Python objects that the garbage collector follows.
        rss_mib: Resident memory.
    """

    tasks: tuple[str, ...]
    descriptors: int
    sockets: int
    threads: tuple[str, ...]
    objects: int
    rss_mib: float

    @classmethod
    def now(cls) -> Estate:
        """Count."""
        for _ in range(3):
            gc.collect()
        links = _descriptors()
        return cls(
            tasks=tuple(sorted(task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()})),
            descriptors=len(links),
            sockets=sum(link.startswith("socket:") for link in links),
            threads=tuple(sorted(t.name for t in threading.enumerate() if t is not threading.main_thread())),
            objects=len(gc.get_objects()),
            rss_mib=round(rss_bytes() / 2**20, 2),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def _descriptors() -> list[str]:
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue  # the one by which the list was read
    return links


def rss_bytes() -> int:
    """Return the resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def client_sockets(url: str) -> int:
    """Return how many sockets of this process are connected to a server of the loopback."""
    return sum(line.split(" ")[1].endswith(f":{urlsplit(url).port}") for line in tcp_sockets())


def tcp_sockets() -> list[str]:
    """Return this process's TCP sockets: local and remote port, and the kernel's number of the state."""
    inodes = {link[8:-1] for link in _descriptors() if link.startswith("socket:[")}
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return [
        f":{int(row[1].split(':')[1], 16)} :{int(row[2].split(':')[1], 16)} {row[3]}"
        for row in rows
        if row[9] in inodes
    ]
