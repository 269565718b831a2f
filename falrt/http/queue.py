"""The queue: a job is submitted, watched, cancelled, and its result fetched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Final, Generic

from falrt import tasks
from falrt.exceptions import (
    ConfigurationError,
    DecodeError,
    HTTPAuthenticationError,
    HTTPCallError,
    HTTPStatusError,
    RequestFailedError,
)
from falrt.http.call import Call
from falrt.http.caller import Ask, within
from falrt.http.events import events_in, is_event_stream
from falrt.http.options import CallSettings, Priority
from falrt.options import check_function, check_seconds
from falrt.protocol.wire.http_errors import recast
from falrt.protocol.wire.queue import Completed, NewLogs, Queued, Status, read_status, request_path
from falrt.typing import InputT, OutputT

__all__ = ["Job", "submit", "subscribe"]

# Pauses between two looks where there is no status stream: quick at first, for quick models.
_POLL_FIRST: Final = 0.1
_POLL_MAX: Final = 1.0
_POLL_GROWTH: Final = 1.3
_ONCE: Final = CallSettings(retries=0)
# A status stream that breaks this often without news is no better than none.
_STREAM_TRIES: Final = 3
# How long a leaving caller waits for its job to be cancelled.
_CANCEL_TIMEOUT: Final = 5.0


class Job(Generic[OutputT]):
    """A request in the queue; made by ``Client.submit`` and ``Client.job``.

    The service keeps it: you need not close anything, and ``client.job(app, request_id)`` finds it again.

    Attributes:
        request_id: The service's id.
        app: The endpoint id.
        url: Where its result is.
    """

    def __init__(self, call: Call[Any, OutputT], request_id: str) -> None:
        self.request_id, self.app = request_id, call.app
        self._call = call
        self.url = f"{call.caller.hosts.queue}/{request_path(call.endpoint, request_id)}"
        # Once it is seen that the job has ended, nobody asks again.
        self._completed: Completed | None = None

    def __repr__(self) -> str:
        return f"<falrt job {self.request_id} of {self.app}>"

    async def status(self, *, logs: bool = False) -> Status:
        """Request the job's status once.

        Args:
            logs: Whether to include all of the app's log lines.

        Returns:
            ``falrt.Queued``, ``falrt.InProgress`` or ``falrt.Completed``; a job that failed is completed too.

        Raises:
            HTTPStatusError: There is no such job, or the service failed.
            ConnectError: The service cannot be reached.
        """
        caller = self._call.caller
        reply = await caller.ask(self._ask("GET", "/status", query={"logs": int(logs)}))
        return self._noted(caller.decode(reply, self._name))

    async def events(
        self, *, logs: bool = False, interval: float | None = None
    ) -> AsyncGenerator[Status, None]:
        """Yield the job's status each time it changes; ends with ``falrt.Completed``.

        Args:
            logs: Whether to include the app's log lines; each comes once.
            interval: Seconds between two polls. Default: use the service's status stream, or poll every 0.1 s to 1 s
                if there is none.

        Raises:
            HTTPStatusError: There is no such job, or the service failed.
            ConnectError: The service cannot be reached any more.
        """
        check_seconds("interval", interval, optional=True)
        new = NewLogs()
        last: Status | None = None
        async with aclosing(self._statuses(logs, interval)) as statuses:
            async for status in statuses:
                news = new.of(status)
                # The same place in the queue again is no news; the same log lines are gone by now.
                if news != last or (not isinstance(news, Queued) and news.logs):
                    last = news
                    yield news

    async def result(self, *, timeout: float | None = None) -> OutputT:
        """Wait until the job has ended and return its result.

        Args:
            timeout: Seconds; None for no limit. After a timeout, the job keeps running.

        Raises:
            RequestFailedError: The job failed; says why.
            RequestTimeout: It has not ended in time.
            ResponseValidationError: The result does not fit the model's output type.
        """
        check_seconds("timeout", timeout, optional=True)
        async with within(timeout, self._name):
            if self._completed is None:
                async with aclosing(self._statuses(False, None)) as statuses:
                    async for _ in statuses:
                        pass
            caller = self._call.caller
            try:
                reply = await caller.ask(self._ask("GET"))
            except HTTPStatusError as exc:
                raise self._failure(exc) from exc
            completed = self._completed
            if completed is not None and completed.error is not None and not reply.body.strip(b" \n{}"):
                text = f"{self._name}: {caller.hide(completed.error)}"
                raise RequestFailedError(text, error_type=completed.error_type, request_id=self.request_id)
            return self._call.load(caller.decode(reply, self._name))

    async def cancel(self) -> bool:
        """Remove the job from the queue, or stop it.

        Returns:
            Whether the service will cancel it; False if the job has already ended.

        Raises:
            HTTPStatusError: There is no such job, or the service failed.
            ConnectError: The service cannot be reached.
        """
        try:
            await self._call.caller.ask(self._ask("PUT", "/cancel"))
        except HTTPStatusError as exc:
            if exc.status != 400:
                raise
            return False
        return True

    @property
    def ended(self) -> bool:
        """Whether the job is known to have ended."""
        return self._completed is not None

    # Inside.

    @property
    def _name(self) -> str:
        return f"{self.app} (request {self.request_id})"

    def _ask(self, method: str, path: str = "", **more: Any) -> Ask:
        return self._call.ask(method, self.url + path, idempotent=True, **more)

    def _noted(self, reply: Any) -> Status:
        try:
            status = read_status(reply)
        except DecodeError as exc:
            raise DecodeError(self._call.caller.hide(str(exc))) from None
        if isinstance(status, Completed):
            self._completed = status
        return status

    async def _statuses(self, logs: bool, interval: float | None) -> AsyncGenerator[Status, None]:
        """Yield statuses until the job has ended: from the stream, and where that fails by asking."""
        tries = 0 if interval is not None else _STREAM_TRIES
        last: Status | None = None
        while tries:
            tries -= 1
            try:
                async with aclosing(self._streamed(logs)) as statuses:
                    async for status in statuses:
                        # The same again is no news: streams that say no more would follow without a pause.
                        tries, last = tries if status == last else _STREAM_TRIES, status
                        yield status
                        if isinstance(status, Completed):
                            return
            except HTTPAuthenticationError:
                raise
            except HTTPStatusError:
                break  # no such route, or not now; asking tells
            except (HTTPCallError, DecodeError):
                pass  # broken off: the next try, or asking, finds out what is the matter
        pause = interval or _POLL_FIRST
        while True:
            status = await self.status(logs=logs)
            yield status
            if isinstance(status, Completed):
                return
            await asyncio.sleep(pause)
            if interval is None:
                pause = min(pause * _POLL_GROWTH, _POLL_MAX)

    async def _streamed(self, logs: bool) -> AsyncGenerator[Status, None]:
        ask = replace(
            self._ask("GET", "/status/stream", query={"logs": int(logs)}),
            headers={"accept": "text/event-stream"},
            settings=_ONCE,  # where it fails, the status is asked for
        )
        caller = self._call.caller
        async with aclosing(await caller.open(ask)) as response:
            if not is_event_stream(response):
                raise HTTPStatusError(f"{self._name}: no status stream", status=404)
            async with aclosing(events_in(caller, response, self.app)) as events:
                async for value in events:
                    yield self._noted(value)

    def _failure(self, exc: HTTPStatusError) -> HTTPCallError:
        """Return the error of a job whose result is an error."""
        if self._completed is None or exc.status in (401, 403, 404, 429):
            return exc  # about this request, not about the job
        kind = exc.error_type or self._completed.error_type
        return recast(exc, RequestFailedError, error_type=kind, request_id=self.request_id)


async def submit(
    call: Call[InputT, OutputT],
    input: InputT | Mapping[str, Any],
    *,
    webhook_url: str | None = None,
    priority: Priority | None = None,
) -> Job[OutputT]:
    """Put a request into the queue; see ``Client.submit``."""
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    if webhook_url is not None:
        if not str(webhook_url).startswith(("http://", "https://")):
            raise ConfigurationError(
                f"webhook_url must begin with http:// or https://, got {webhook_url!r:.80}"
            )
        query["fal_webhook"] = webhook_url
    if priority is not None:
        if priority not in ("normal", "low"):
            raise ConfigurationError(f"priority must be 'normal' or 'low', got {priority!r:.50}")
        headers["x-fal-queue-priority"] = priority
    caller, url = call.caller, f"{call.caller.hosts.queue}/{call.app}"
    async with within(call.settings.timeout, call.app):
        body = await call.dump(input)
        reply = await caller.ask(call.ask("POST", url, body, headers=headers, query=query))
    given = caller.decode(reply, call.app)
    request_id = given.get("request_id") if isinstance(given, dict) else None
    if not isinstance(request_id, str) or not request_id or "/" in request_id:
        raise HTTPCallError(
            f"{call.app}: the queue returned no request_id", status=reply.status, detail=given
        )
    return Job(call.having(CallSettings(retries=call.settings.retries)), request_id)


async def subscribe(
    call: Call[InputT, OutputT],
    input: InputT | Mapping[str, Any],
    *,
    on_update: Callable[[Status], object] | None,
    on_submit: Callable[[Job[OutputT]], object] | None,
    logs: bool,
    interval: float | None,
    **how: Any,
) -> OutputT:
    """Submit a job, watch it, and return its result; see ``Client.subscribe``."""
    check_function("on_update", on_update)
    check_function("on_submit", on_submit)
    check_seconds("interval", interval, optional=True)
    # In a task of its own, which the timeout does not end: whoever leaves in the middle of the request could not
    # cancel a job that came of it.
    untimed = call.having(replace(call.settings, timeout=None))
    submitting = tasks.begin(submit(untimed, input, **how), name="falrt submit")
    try:
        async with within(call.settings.timeout, call.app):
            job = await asyncio.shield(submitting)
            await tasks.told(on_submit, job)
            if on_update is not None or interval is not None:
                async with aclosing(job.events(logs=logs, interval=interval)) as statuses:
                    async for status in statuses:
                        await tasks.told(on_update, status)
            return await job.result()
    except BaseException:
        # A few seconds; no error of it hides why the job is given up. Cancelled twice: whoever does that cannot wait.
        giving_up = tasks.begin(_give_up(submitting), name="falrt cancel")
        with suppress(asyncio.CancelledError):
            await tasks.completed(giving_up, giving_up.cancel)
        raise


async def _give_up(submitting: asyncio.Task[Job[Any]]) -> None:
    """Cancel a job that nobody waits for any more, if there is one."""
    try:
        with suppress(Exception):
            async with asyncio.timeout(_CANCEL_TIMEOUT):
                job = await submitting
                if not job.ended:
                    await job.cancel()
    finally:
        submitting.cancel()
        await tasks.settle([submitting])
