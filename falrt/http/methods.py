"""The HTTP calls of ``falrt.Client``. The modules that do the work, httpx included, are loaded at the first call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from falrt.exceptions import ConfigurationError
from falrt.http.options import (
    CallOptions,
    CallSettings,
    MapOptions,
    PipelineOptions,
    Priority,
    SubmitOptions,
    SubscribeOptions,
)
from falrt.options import check_names
from falrt.protocol.wire.storage import Lifetime
from falrt.typing import EndpointModel, InputT, OutputT

if TYPE_CHECKING:
    from falrt.http.call import Call
    from falrt.http.caller import Caller
    from falrt.http.pipeline import Pipeline
    from falrt.http.queue import Job
    from falrt.http.upload import UploadSource
    from falrt.protocol.wire.queue import Status

__all__ = ["HTTPClient"]


class HTTPClient:
    """Calls every endpoint that is not realtime."""

    @cached_property
    def _caller(self) -> Caller:
        """What sends the calls; made with the first, for who only connects needs none."""
        raise NotImplementedError

    def _check_open(self) -> None:
        raise NotImplementedError

    def _call(self, app: Any, options: Mapping[str, Any]) -> Call[Any, Any]:
        from falrt.http.call import Call

        self._check_open()
        return Call(self._caller, app, CallSettings.of(options))

    @overload
    async def run(
        self, app: str, input: Mapping[str, Any], **options: Unpack[CallOptions]
    ) -> dict[str, Any]: ...
    @overload
    async def run(
        self,
        app: EndpointModel[InputT, OutputT],
        input: InputT | Mapping[str, Any],
        **options: Unpack[CallOptions],
    ) -> OutputT: ...
    async def run(self, app: Any, input: Any, **options: Unpack[CallOptions]) -> Any:
        """Call an endpoint and wait for its result; nothing is queued.

        Cancelling the caller ends the request. A request that may have run is not sent again, unless you pass
        ``repeatable=True``.

        Args:
            app: An endpoint id such as ``"fal-ai/flux/schnell"``, or a model of ``falrt.models``.
            input: A mapping, or the model's input type.
            **options: See :class:`falrt.http.options.CallSettings` and docs/reference/options.md.

        Returns:
            The result: a dict, or the model's output type.

        Raises:
            ConfigurationError: The id, the input or an option is wrong; nothing was sent.
            HTTPStatusError: The service answered with an error; carries ``status``, ``errors``, ``request_id``.
            HTTPCallError: The answer was incomplete, or is not JSON.
            ConnectError: The service cannot be reached.
            RequestTimeout: No result within ``timeout``.
            ResponseValidationError: The result does not fit the model's output type.
        """
        from falrt.http.run import run

        return await run(self._call(app, options), input)

    @overload
    def map(
        self,
        app: str,
        inputs: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        **options: Unpack[MapOptions],
    ) -> AsyncGenerator[dict[str, Any] | Exception, None]: ...
    @overload
    def map(
        self,
        app: EndpointModel[InputT, OutputT],
        inputs: Iterable[InputT | Mapping[str, Any]] | AsyncIterable[InputT | Mapping[str, Any]],
        **options: Unpack[MapOptions],
    ) -> AsyncGenerator[OutputT | Exception, None]: ...
    def map(
        self,
        app: Any,
        inputs: Any,
        *,
        concurrency: int = 8,
        ordered: bool = True,
        on_progress: Callable[[int, int | None], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Any, None]:
        """Call an endpoint with each of many inputs, several at a time.

        An input is taken when a call can start, so there may be any number of them. Leaving the loop cancels the
        running calls. An error of ``inputs`` or ``on_progress`` is raised when the running calls have ended and their
        results have been yielded.

        Args:
            app: As in :meth:`run`.
            inputs: An iterable or async iterable of inputs.
            concurrency: How many calls run at a time.
            ordered: Results in the order of the inputs; False: as they come.
            on_progress: Called with the number of finished calls, and the total or None; sync or async.
            **options: As in :meth:`run`, for each call.

        Yields:
            A result; or, if the call failed, its exception.

        Raises:
            ConfigurationError: The id or an option is wrong; nothing was sent.
        """
        from falrt.http.run import run_many

        call = self._call(app, options)
        return run_many(call, inputs, concurrency=concurrency, ordered=ordered, on_progress=on_progress)

    def stream(
        self,
        app: str | EndpointModel[InputT, OutputT],
        input: InputT | Mapping[str, Any],
        *,
        auth: Literal["key", "token"] | None = None,
        path: str = "stream",
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Any, None]:
        """Call an endpoint that gives its result in parts (server-sent events).

        Args:
            app: As in :meth:`run`.
            input: As in :meth:`run`.
            auth: ``"token"`` puts a short-lived token into the URL and sends no key. Default: ``"token"`` where the
                client has a ``token_provider`` or ``auth="token"``, else the key.
            path: Added to the id if that does not end with it.
            **options: As in :meth:`run`; ``timeout`` is the longest silence between two events.

        Yields:
            Each event's data, decoded: partial results, and the whole one last. A body that is no event stream comes
            as one result (JSON) or in pieces of bytes.

        Raises:
            RequestFailedError: An event reported a failure.
            HTTPCallError: The stream was incomplete; and the errors of :meth:`run`.
        """
        from falrt.http.events import stream

        if auth not in (None, "key", "token"):
            raise ConfigurationError(f"auth must be 'key', 'token' or None, got {auth!r:.50}")
        call = self._call(app, options)
        tokens = call.caller.tokens
        if auth == "token" and tokens is None:
            raise ConfigurationError("auth='token' needs a client with tokens: this one has auth='key'")
        use_token = auth == "token" or (auth is None and call.caller.prefers_tokens)
        return stream(call, input, path=path, tokens=tokens if use_token else None)

    @overload
    async def submit(
        self, app: str, input: Mapping[str, Any], **options: Unpack[SubmitOptions]
    ) -> Job[dict[str, Any]]: ...
    @overload
    async def submit(
        self,
        app: EndpointModel[InputT, OutputT],
        input: InputT | Mapping[str, Any],
        **options: Unpack[SubmitOptions],
    ) -> Job[OutputT]: ...
    async def submit(
        self,
        app: Any,
        input: Any,
        *,
        webhook_url: str | None = None,
        priority: Priority | None = None,
        **options: Unpack[CallOptions],
    ) -> Job[Any]:
        """Put a request into the queue and return its :class:`falrt.Job`.

        Args:
            app: As in :meth:`run`.
            input: As in :meth:`run`.
            webhook_url: Where the service sends the result.
            priority: ``"normal"`` or ``"low"``.
            **options: As in :meth:`run`.

        Raises:
            HTTPStatusError: The queue refused it; and the other errors of :meth:`run`.
        """
        from falrt.http.queue import submit

        return await submit(self._call(app, options), input, webhook_url=webhook_url, priority=priority)

    @overload
    def job(self, app: str, request_id: str) -> Job[dict[str, Any]]: ...
    @overload
    def job(self, app: EndpointModel[InputT, OutputT], request_id: str) -> Job[OutputT]: ...
    def job(self, app: Any, request_id: str) -> Job[Any]:
        """Return a job that was submitted before; sends nothing yet.

        Raises:
            ConfigurationError: The endpoint id or the request id is not valid.
        """
        from falrt.http.queue import Job

        given: object = request_id
        if not isinstance(given, str) or not given.replace("-", "").replace("_", "").isalnum():
            raise ConfigurationError(f"request_id must be the id of a submitted job, got {request_id!r:.80}")
        return Job(self._call(app, {}), request_id)

    @overload
    async def subscribe(
        self, app: str, input: Mapping[str, Any], **options: Unpack[SubscribeOptions]
    ) -> dict[str, Any]: ...
    @overload
    async def subscribe(
        self,
        app: EndpointModel[InputT, OutputT],
        input: InputT | Mapping[str, Any],
        **options: Unpack[SubscribeOptions],
    ) -> OutputT: ...
    async def subscribe(
        self,
        app: Any,
        input: Any,
        *,
        on_update: Callable[[Status], object] | None = None,
        on_submit: Callable[[Job[Any]], object] | None = None,
        logs: bool = False,
        interval: float | None = None,
        priority: Priority | None = None,
        webhook_url: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """Put a request into the queue, wait, and return its result.

        If the wait ends before the job does, the job is cancelled: by ``timeout``, a cancelled caller, or an exception
        in a callback.

        Args:
            app: As in :meth:`run`.
            input: As in :meth:`run`.
            on_update: Called with each :class:`falrt.Queued`, :class:`falrt.InProgress` and
                :class:`falrt.Completed`; sync or async.
            on_submit: Called with the :class:`falrt.Job`; sync or async.
            logs: Whether the statuses carry the app's log lines, each once.
            interval: Seconds between two polls; by default the status stream is used if there is one.
            priority: As in :meth:`submit`.
            webhook_url: As in :meth:`submit`.
            **options: As in :meth:`run`; ``timeout`` counts from the submission to the result.

        Raises:
            RequestFailedError: The job failed.
            RequestTimeout: It has not ended within ``timeout``, and was cancelled; and the other errors of
                :meth:`run`.
        """
        from falrt.http.queue import subscribe

        return await subscribe(
            self._call(app, options),
            input,
            on_update=on_update,
            on_submit=on_submit,
            logs=logs,
            interval=interval,
            webhook_url=webhook_url,
            priority=priority,
        )

    async def upload(
        self,
        source: UploadSource,
        *,
        content_type: str | None = None,
        file_name: str | None = None,
        expires_in: Lifetime | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> str:
        """Store a file with the service and return its URL, for inputs such as ``image_url``.

        Files above 100 MiB are sent in parts, ten at a time, each read from the disk when it is sent. Small pictures
        need no upload: :func:`falrt.data_uri` puts them into the input itself.

        Args:
            source: Bytes, a path, an open binary file, a PIL image or a numpy array.
            content_type: Such as ``"image/png"``. Default: detected from the content, then from the name.
            file_name: The name to store it under. Default: the path's own.
            expires_in: How long it is kept: seconds, or ``"1h"``, ``"1d"``, ``"7d"``, ``"30d"``, ``"1y"``,
                ``"immediate"`` (a minute), ``"never"``. Default: the service's own, at least a week.
            on_progress: Called with the bytes sent and the total; sync or async.

        Raises:
            ConfigurationError: The source cannot be uploaded, or an option is wrong.
            OSError: The file cannot be read.
            UploadError: The service did not store it.
            ConnectError: The service cannot be reached.
        """
        from falrt.http.upload import upload

        self._check_open()
        return await upload(
            self._caller,
            source,
            content_type=content_type,
            file_name=file_name,
            expires_in=expires_in,
            on_progress=on_progress,
        )

    @overload
    def pipeline(self, app: str, **options: Unpack[PipelineOptions]) -> Pipeline[Any, dict[str, Any]]: ...
    @overload
    def pipeline(
        self, app: EndpointModel[InputT, OutputT], **options: Unpack[PipelineOptions]
    ) -> Pipeline[InputT, OutputT]: ...
    def pipeline(self, app: Any, **options: Unpack[PipelineOptions]) -> Pipeline[Any, Any]:
        """Return a socket for many calls of one endpoint (HTTP over WebSockets); use it with ``async with``.

        Saves the handshake and the scheduling of each call. It needs a key: it does not work through a ``proxy_url``.

        Args:
            app: As in :meth:`run`.
            **options: ``timeout`` of a call, ``retries`` and ``repeatable``, as in :meth:`run`.

        Raises:
            ConfigurationError: The id or an option is wrong, or the client has a ``proxy_url``.
        """
        from falrt.http.pipeline import Pipeline

        check_names(
            options, PipelineOptions.__annotations__, CallOptions.__annotations__, "run(), not a pipeline"
        )
        call = self._call(app, options)
        if call.caller.proxy_url is not None:
            raise ConfigurationError(
                "pipeline() opens a socket to fal itself and needs a key: proxy_url gives none"
            )
        return Pipeline(call)
