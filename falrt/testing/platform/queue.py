"""fal's queue: jobs wait, run, log, can be watched, cancelled and fetched, and tell a webhook."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
import uuid
from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from falrt import tasks
from falrt.testing.platform.app import App
from falrt.testing.platform.port import Refused, Request, Response, Route, refused
from falrt.testing.platform.runs import Runs
from falrt.testing.watch import Watch

__all__ = ["Job", "Queue", "log"]

_log = logging.getLogger("falrt.testing")

_HOST: Final = "queue.fal.run"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_WEBHOOK_TIMEOUT: Final = 5.0
_LINES: ContextVar[Callable[[str], None] | None] = ContextVar("falrt_queue_lines", default=None)


def log(message: str) -> None:
    """Write a line into the logs of the job whose app calls this; elsewhere, nowhere."""
    write = _LINES.get()
    if write is not None:
        write(message)


@dataclass(slots=True, eq=False)
class Job:
    """One request of the queue.

    Attributes:
        request_id: Its id.
        place: ``owner/alias``, with its namespace: where its addresses are.
        request: As it was submitted.
        app: What works on it.
        low: Whether it lets others pass.
        status: ``IN_QUEUE``, ``IN_PROGRESS`` or ``COMPLETED``.
        logs: Its lines.
        response: What came of it.
        seconds: How long it was worked on.
        task: What works on it or sends its webhook, once it has begun.
    """

    request_id: str
    place: str
    request: Request
    app: App
    low: bool = False
    status: str = "IN_QUEUE"
    logs: list[dict[str, Any]] = field(default_factory=list)
    response: Response | None = None
    seconds: float = 0.0
    task: asyncio.Task[None] | None = None

    def write(self, message: str) -> None:
        """Add a line."""
        now = datetime.datetime.now(datetime.UTC).isoformat()
        self.logs.append({"message": message, "level": "INFO", "source": "USER", "timestamp": now})

    @property
    def error(self) -> dict[str, Any]:
        """What the status says of a failure; empty where there was none."""
        if self.response is None or self.response.status < 400:
            return {}
        assert isinstance(self.response.body, bytes)  # noqa: S101 - a result is never streamed
        body = json.loads(self.response.body)
        detail = body.get("detail", "")
        kind = body.get("error_type")
        return {"error": detail if isinstance(detail, str) else json.dumps(detail), "error_type": kind}


class Queue:
    """Keeps jobs, as long as the server lives.

    Attributes:
        runners: How many jobs run at a time.
        jobs: By request id.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.runners = 2
        self.jobs: dict[str, Job] = {}
        # Those that wait, first come first; and whoever watches any of them.
        self._waiting: list[Job] = []
        self._watch = Watch()
        self._tasks: set[asyncio.Task[None]] = set()
        job = r"/(?P<place>.+)/requests/(?P<request_id>[^/]+)"
        self.routes = (
            Route("GET", _HOST, f"{job}/status/stream", self._stream),
            Route("GET", _HOST, f"{job}/status", self._status),
            Route("PUT", _HOST, f"{job}/cancel", self._cancel),
            Route("GET", _HOST, job, self._result),
            Route("POST", _HOST, r"/(?P<path>.+)", self._submit),
        )

    async def aclose(self) -> None:
        """Stop what runs."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # The routes.

    async def _submit(self, request: Request, path: str) -> Response:
        app = self._runs.find(request, path)
        request.json()
        longest = request.query.get("fal_max_queue_length")
        if longest is not None and longest.isdecimal() and len(self._waiting) > int(longest):
            raise refused(429, "Queue is full", "queue_full")
        segments = path.split("/")
        place = "/".join(segments[: 3 if segments[0] in ("workflows", "comfy") else 2])
        low = request.headers.get("x-fal-queue-priority") == "low"
        job = Job(str(uuid.uuid4()), place, request, app, low)
        self.jobs[job.request_id] = job
        first_low = next(
            (number for number, each in enumerate(self._waiting) if each.low), len(self._waiting)
        )
        self._waiting.insert(len(self._waiting) if low else first_low, job)
        self._start_next()
        self._expire(job)
        return Response.json(200, {**self._addresses(job, request), "queue_position": self._position(job)})

    async def _status(self, request: Request, place: str, request_id: str) -> Response:
        job = self._job(place, request_id)
        status = 200 if job.status == "COMPLETED" else 202
        return Response.json(status, self._said(job, request))

    async def _stream(self, request: Request, place: str, request_id: str) -> Response:
        job = self._job(place, request_id)
        return Response(200, self._statuses(job, request), "text/event-stream")

    async def _result(self, request: Request, place: str, request_id: str) -> Response:
        del request
        job = self._job(place, request_id)
        if job.response is None:
            raise refused(400, "Request is still in progress")
        return replace(job.response, headers={**job.response.headers, "x-fal-request-id": job.request_id})

    async def _cancel(self, request: Request, place: str, request_id: str) -> Response:
        del request
        job = self._job(place, request_id)
        if job.status == "COMPLETED":
            return Response.json(400, {"status": "ALREADY_COMPLETED"})
        self._give_up(job, refused(499, "Request was cancelled by the client", "client_cancelled").response)
        return Response.json(202, {"status": "CANCELLATION_REQUESTED"})

    # Inside.

    def _job(self, place: str, request_id: str) -> Job:
        job = self.jobs.get(request_id)
        if job is None or job.place != place:
            raise refused(404, "Request not found")
        return job

    def _position(self, job: Job) -> int:
        return self._waiting.index(job) if job in self._waiting else 0

    def _addresses(self, job: Job, request: Request) -> dict[str, Any]:
        here = request.url(_HOST, f"/{job.place}/requests/{job.request_id}")
        return {
            "request_id": job.request_id,
            "response_url": here,
            "status_url": f"{here}/status",
            "cancel_url": f"{here}/cancel",
        }

    def _said(self, job: Job, request: Request) -> dict[str, Any]:
        logs = job.logs if request.query.get("logs", "0") in ("1", "true", "True") else None
        said: dict[str, Any] = {"status": job.status, **self._addresses(job, request)}
        if job.status == "IN_QUEUE":
            return {**said, "queue_position": self._position(job)}
        if job.status == "IN_PROGRESS":
            return {**said, "logs": logs}
        return {**said, "logs": logs, "metrics": {"inference_time": job.seconds}, **job.error}

    async def _statuses(self, job: Job, request: Request) -> AsyncGenerator[bytes, None]:
        last = None
        while True:
            said = self._said(job, request)
            if said != last:
                last = json.loads(json.dumps(said))
                yield b"data: " + json.dumps(said).encode() + b"\n\n"
            if job.status == "COMPLETED":
                return
            await self._watch.wait()

    def _start_next(self) -> None:
        while self._waiting and sum(job.status == "IN_PROGRESS" for job in self.jobs.values()) < self.runners:
            job = self._waiting.pop(0)
            job.status = "IN_PROGRESS"
            job.task = self._begin(self._work(job))
        self._watch.changed()

    def _begin(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = tasks.begin(work, name="falrt fake job")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _work(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()

        def write(message: str) -> None:
            job.write(message)
            self._watch.changed()

        _LINES.set(write)
        write("started")
        try:
            response = await self._runs.result(job.request, job.app)
        except Refused as exc:
            response = exc.response
        except Exception:  # whatever an app raises
            _log.exception("job %s failed", job.request_id)
            response = Response.json(500, {"detail": "Internal Server Error"})
        job.seconds = loop.time() - began
        write(f"finished in {job.seconds:.2f} s")
        self._finish(job, response)

    def _finish(self, job: Job, response: Response) -> None:
        if job.status == "COMPLETED":
            return
        job.status, job.response = "COMPLETED", response
        self._start_next()
        if webhook := job.request.query.get("fal_webhook"):
            self._begin(_post(webhook, job))

    def _give_up(self, job: Job, response: Response) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
        if job.task is not None:
            job.task.cancel()
        self._finish(job, response)

    def _expire(self, job: Job) -> None:
        """Give up a job that does not start within the caller's own limit."""
        limit = job.request.headers.get("x-fal-request-timeout")
        if limit is None or job.status != "IN_QUEUE":
            return

        async def expire() -> None:
            await asyncio.sleep(float(limit))
            if job.status == "IN_QUEUE":
                late = refused(504, "Request did not start in time", "request_timeout").response
                headers = {**late.headers, "x-fal-request-timeout-type": "user"}
                self._give_up(job, replace(late, headers=headers))

        self._begin(expire())


async def _post(url: str, job: Job) -> None:
    """Tell a webhook on this machine; others are left alone, for this is no fal."""
    host = urlsplit(url).hostname
    if host not in _LOOPBACK or job.response is None:
        _log.warning("no webhook is called beyond this machine: %s", host)
        return
    import httpx  # only where a webhook is used

    assert isinstance(job.response.body, bytes)  # noqa: S101 - a result is never streamed
    said = {
        "request_id": job.request_id,
        "gateway_request_id": job.request_id,
        "status": "ERROR" if job.error else "OK",
        "payload": json.loads(job.response.body),
        **({"error": job.error["error"]} if job.error else {}),
    }
    # Nobody there, or nobody who answers: fal tries again for hours, which no test waits for.
    with contextlib.suppress(httpx.HTTPError):
        async with httpx.AsyncClient(timeout=_WEBHOOK_TIMEOUT, trust_env=False) as client:
            await client.post(url, json=said)
