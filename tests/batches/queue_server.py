"""A queue that remembers its jobs, for batches: what is submitted can be asked for later, by anybody."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from PIL import Image

from falrt.media import data_uri
from tests.http.scripted import Asked, Said

__all__ = ["Queue", "picture"]


def picture(colour: str = "teal") -> str:
    return data_uri(Image.new("RGB", (64, 48), colour))


class Queue:
    """Answers `scripted`; each submission is one that is paid for.

    Args:
        result: ``(input) -> result``, or an exception's answer as `Said`.
    """

    def __init__(self, result: Callable[[Any], Any] | None = None) -> None:
        self.result = result or (lambda given: {"images": [{"url": picture()}], "seed": given.get("seed", 1)})
        # Inputs in the order in which they were submitted.
        self.paid: list[Any] = []
        self.jobs: dict[str, Any] = {}
        self.numbers = itertools.count(1)
        # Set to let jobs end.
        self.ready = asyncio.Event()
        self.ready.set()
        # Jobs that are asked for.
        self.asked_for: set[str] = set()
        self._changed = asyncio.Event()

    async def reach(self, count: int) -> None:
        """Wait until so many jobs are asked for."""
        while len(self.asked_for) < count:
            self._changed.clear()
            await self._changed.wait()

    async def __call__(self, asked: Asked) -> Said:
        if asked.method == "POST":
            request_id = f"r{next(self.numbers)}"
            self.paid.append(asked.json())
            self.jobs[request_id] = asked.json()
            return Said(body={"request_id": request_id})
        parts = asked.path.split("/")
        request_id = parts[parts.index("requests") + 1]
        if request_id not in self.jobs:
            return Said(404, {"detail": "not found"})
        if asked.path.endswith("/stream"):
            return Said(404, {"detail": "no stream"})
        if asked.path.endswith("/status"):
            self.asked_for.add(request_id)
            self._changed.set()
            await self.ready.wait()
            return Said(body={"status": "COMPLETED"})
        result = self.result(self.jobs[request_id])
        return result if isinstance(result, Said) else Said(body=result)
