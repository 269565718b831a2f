"""A request in the queue, for blocking code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic

from falrt.sync.calls import iterate, wait
from falrt.sync.loop_thread import LoopThread
from falrt.typing import OutputT

if TYPE_CHECKING:
    from falrt.http.queue import Job as AsyncJob
    from falrt.protocol.wire.queue import Status

__all__ = ["Job"]


class Job(Generic[OutputT]):
    """A blocking :class:`falrt.Job`, with the same methods; made by ``Client.submit`` and ``Client.job``.

    Attributes:
        request_id: The service's id.
        app: The endpoint id.
    """

    def __init__(self, job: AsyncJob[OutputT], loop: LoopThread) -> None:
        self.request_id, self.app = job.request_id, job.app
        self._job, self._loop = job, loop

    def __repr__(self) -> str:
        return repr(self._job)

    def status(self, *, logs: bool = False) -> Status:
        """As :meth:`falrt.Job.status`."""
        return wait(self._loop, lambda: self._job.status(logs=logs))

    def events(self, *, logs: bool = False, interval: float | None = None) -> Iterator[Status]:
        """As :meth:`falrt.Job.events`."""
        return iterate(self._loop, lambda: self._job.events(logs=logs, interval=interval))

    def result(self, *, timeout: float | None = None) -> OutputT:
        """As :meth:`falrt.Job.result`."""
        return wait(self._loop, lambda: self._job.result(timeout=timeout))

    def cancel(self) -> bool:
        """As :meth:`falrt.Job.cancel`."""
        return wait(self._loop, self._job.cancel)
