"""fal_client's names on falrt: programs written for it run after one changed import.

::

    from falrt import compat as fal_client

    result = fal_client.subscribe("fal-ai/flux/dev", arguments={"prompt": "a cat"})

Names, arguments and types are those of fal-client 1.0.3; docs/how-to/coming-from-fal-client.md says what differs.
Errors that fal_client leaves to its HTTP and WebSocket libraries are falrt's here.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import io
import json
import mimetypes
import os
import threading
import warnings
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    Literal,
    ParamSpec,
    Self,
    TypeAlias,
    TypeVar,
)

from falrt import sync
from falrt.client import Client, connect
from falrt.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    FalrtError,
    HTTPCallError,
    RequestTimeout,
    ServerError,
)
from falrt.http.options import Priority
from falrt.protocol.wire import queue
from falrt.protocol.wire.storage import Lifetime as ObjectExpiration
from falrt.protocol.wire.storage import lifecycle
from falrt.sync.calls import iterate, wait
from falrt.sync.loop_thread import LoopThread
from falrt.tasks import begin
from falrt.version import __version__

if TYPE_CHECKING:
    import httpx
    from PIL.Image import Image

    from falrt.http.queue import Job

__all__ = [
    "AsyncClient", "AsyncRealtimeConnection", "AsyncRequestHandle", "Completed", "FalClientError",
    "FalClientHTTPError", "FalClientTimeoutError", "InProgress", "ObjectExpiration", "Queued", "RealtimeConnection",
    "RealtimeError", "Status", "StorageACL", "StorageACLDecision", "StorageACLRule", "StorageSettings", "SyncClient",
    "SyncRequestHandle", "__version__", "async_client", "cancel", "cancel_async", "encode", "encode_file",
    "encode_image", "realtime", "realtime_async", "result", "result_async", "run", "run_async", "run_iterator",
    "run_iterator_async", "status", "status_async", "stream", "stream_async", "submit", "submit_async", "subscribe",
    "subscribe_async", "sync_client", "upload", "upload_async", "upload_file", "upload_file_async", "upload_image",
    "upload_image_async", "version_tuple",
]  # fmt: skip

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")

AnyJSON: TypeAlias = dict[str, Any]
Repository: TypeAlias = Literal["fal_v3", "cdn", "fal"]
StorageACLDecision: TypeAlias = Literal["hide", "forbid", "allow"]

version_tuple: Final = tuple(int(part) if part.isdecimal() else part for part in __version__.split("."))
_PATIENCE_AT_EXIT: Final = 1.0


# Errors.


class FalClientError(FalrtError):
    """The root of fal_client's own errors."""


class FalClientHTTPError(FalClientError):
    """The service answered with an error status; ``message`` is its ``detail``, as it came."""

    def __init__(
        self,
        message: Any,
        status_code: int,
        response_headers: dict[str, str],
        response: httpx.Response,
        error_type: str | None = None,
    ) -> None:
        super().__init__(str(message))
        self.message, self.status_code, self.response_headers = message, status_code, response_headers
        self.response, self.error_type = response, error_type


class FalClientTimeoutError(FalClientError, TimeoutError):
    """``client_timeout`` passed; the request was cancelled."""

    def __init__(self, timeout: float, request_id: str | None = None) -> None:
        what = "Request" if request_id is None else f"Request {request_id}"
        super().__init__(f"{what} timed out after {timeout} seconds")
        self.timeout, self.request_id = timeout, request_id


class RealtimeError(FalrtError, RuntimeError):
    """The realtime app reported an error, or the connection failed."""

    def __init__(self, error: str, reason: str | None = None, payload: AnyJSON | None = None) -> None:
        super().__init__(f"{error}: {reason}" if reason else error)
        self.error, self.reason, self.payload = error, reason or "", payload or {}


@contextmanager
def _as_fal_client(timeout: float | None = None, ids: list[str] | None = None) -> Iterator[None]:
    try:
        yield
    except RequestTimeout as exc:
        raise FalClientTimeoutError(timeout or 0.0, ids[0] if ids else None) from exc
    except HTTPCallError as exc:
        if exc.status is None:
            raise
        import httpx

        body: Any = {"detail": exc.detail} if exc.detail is not None else {}
        # Made by hand: httpx would refuse NaN, half characters, and headers beyond ASCII.
        headers = [(name.encode(), value.encode()) for name, value in _without_length(exc.headers).items()]
        headers.append((b"content-type", b"application/json"))
        response = httpx.Response(exc.status, headers=headers, content=json.dumps(body).encode())
        detail = str(exc) if exc.detail is None else exc.detail
        raise FalClientHTTPError(detail, exc.status, exc.headers, response, exc.error_type) from exc


def _without_length(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith(("content-", "transfer-"))}


# Where a request stands.


@dataclass
class Status:
    """The status of a request."""


@dataclass
class Queued(Status):
    """It waits in the queue; ``position`` requests are ahead of it."""

    position: int


@dataclass
class InProgress(Status):
    """It is running; ``logs`` holds the lines so far, if they were requested."""

    logs: list[dict[str, Any]] | None = field()


@dataclass
class Completed(Status):
    """It has succeeded or failed."""

    logs: list[dict[str, Any]] | None = field()
    metrics: dict[str, Any] = field()
    error: str | None = None
    error_type: str | None = None


def _status(status: queue.Status, logs: list[dict[str, Any]] | None) -> Status:
    """Return a status of ours as one of fal_client's, with all log lines so far."""
    if isinstance(status, queue.Queued):
        return Queued(status.position)
    if logs is not None:
        logs += map(dict, status.logs)
        logs = list(logs)
    if isinstance(status, queue.InProgress):
        return InProgress(logs)
    return Completed(logs, dict(status.metrics), status.error, status.error_type)


# Storage.


@dataclass(frozen=True)
class StorageACLRule:
    """Who may see a file."""

    user: str
    decision: StorageACLDecision


@dataclass(frozen=True)
class StorageACL:
    """Who may see a file."""

    default: StorageACLDecision | None = None
    rules: list[StorageACLRule] | None = None


@dataclass(frozen=True)
class StorageSettings:
    """How long a file is kept, and who may see it."""

    expires_in: ObjectExpiration | None = None
    initial_acl: StorageACL | None = None

    def __post_init__(self) -> None:
        lifecycle(self.expires_in)

    def as_map(self) -> dict[str, Any] | ObjectExpiration | None:
        """Return what an upload takes as ``expires_in``."""
        acl = self.initial_acl
        if acl is None:
            return self.expires_in
        rules = [{"user": rule.user, "decision": rule.decision} for rule in acl.rules or ()]
        given = {"default": acl.default, "rules": rules or None}
        return {
            "expires_in": self.expires_in,
            "initial_acl": {name: value for name, value in given.items() if value},
        }


def _check_repositories(*repositories: Any) -> None:
    """Refuse unknown storages; there is one way to store files here, whatever is named."""
    for each in repositories:
        for name in each if isinstance(each, list) else [each]:
            if name == "cdn":
                warnings.warn("repository 'cdn' is 'fal_v3' today", DeprecationWarning, stacklevel=4)
            if name not in (None, "fal_v3", "cdn", "fal"):
                raise ValueError(f"Unsupported upload repository '{name}'")


def encode(data: str | bytes, content_type: str) -> str:
    """Return data as a data URI."""
    data = data.encode() if isinstance(data, str) else data
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


def encode_file(path: str | os.PathLike[str]) -> str:
    """Return a file as a data URI; its name decides the type."""
    with open(path, "rb") as file:
        return encode(file.read(), mimetypes.guess_type(path)[0] or "application/octet-stream")


def encode_image(image: Image, format: str = "jpeg") -> str:
    """Return a Pillow image as a data URI."""
    return encode(_encoded(image, format), f"image/{format}")


def _encoded(image: Image, format: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format)
    return buffer.getvalue()


# Requests.


class AsyncRequestHandle:
    """A submitted request."""

    def __init__(self, job: Job[AnyJSON]) -> None:
        self._job = job
        self.request_id, self.response_url = job.request_id, job.url
        self.status_url, self.cancel_url = f"{job.url}/status", f"{job.url}/cancel"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(request_id={self.request_id!r})"

    async def status(self, *, with_logs: bool = False) -> Status:
        """Ask once."""
        with _as_fal_client():
            return _status(await self._job.status(logs=with_logs), [] if with_logs else None)

    async def iter_events(
        self, *, with_logs: bool = False, interval: float = 0.1
    ) -> AsyncGenerator[Status, None]:
        """Yield each change until the request has ended; with all log lines so far."""
        logs: list[dict[str, Any]] | None = [] if with_logs else None
        with _as_fal_client():
            async for status in self._job.events(logs=with_logs, interval=interval):
                yield _status(status, logs)

    async def get(self, *, interval: float = 0.1) -> AnyJSON:
        """Wait for the result."""
        del interval  # the service tells of the end, where it can
        with _as_fal_client():
            return await self._job.result()

    async def cancel(self) -> None:
        """Cancel the request."""
        with _as_fal_client():
            await self._job.cancel()


@contextmanager
def _ending() -> Iterator[None]:
    """Raise fal_client's errors of a realtime connection; its orderly end is none."""
    try:
        yield
    except ConnectionClosedOK:
        return
    except ServerError as exc:
        raise RealtimeError(exc.error, exc.reason, exc.payload) from exc
    except ConnectionClosedError as exc:
        raise RealtimeError("CONNECTION_CLOSED", str(exc)) from exc


class AsyncRealtimeConnection:
    """A realtime connection; it opens when it is entered, or with the first ``send()``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def send(self, arguments: AnyJSON) -> None:
        """Send one input."""
        await self._connection.send(arguments)

    async def recv(self) -> AnyJSON | None:
        """Return the next result; None when the connection has been closed."""
        received: AnyJSON | None = None
        with _ending():
            received = await self._connection.recv()
        return received

    async def close(self) -> None:
        """Close it."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        await self._connection.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class RealtimeConnection:
    """A blocking realtime connection; it opens when it is entered, or with the first ``send()``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._is_open = False

    def send(self, arguments: AnyJSON) -> None:
        """Send one input."""
        if not self._is_open:
            self.__enter__()
        self._connection.send(arguments)

    def recv(self) -> AnyJSON | None:
        """Return the next result; None when the connection has been closed."""
        received: AnyJSON | None = None
        with _ending():
            received = self._connection.recv()
        return received

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def __enter__(self) -> Self:
        self._is_open = True
        self._connection.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _realtime_options(
    *, use_jwt: bool = True, path: str = "/realtime", max_buffering: int | None = None, token_expiration: int = 120,
    encode_message: Callable[[Any], bytes] | None = None, decode_message: Callable[[bytes], Any] | None = None,
    on_result: Callable[[Any], object] | None = None, on_error: Callable[[Exception], object] | None = None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "auth": "token" if use_jwt else "key",
        "token_expiration_seconds": token_expiration,
        "path": None if path.strip("/") == "realtime" else path,
        "max_buffering": max_buffering,
        "encode_message": encode_message,
        "decode_message": decode_message,
        "on_result": on_result,
        "on_error": on_error,
    }


# Clients.


@dataclass(unsafe_hash=True)
class AsyncClient:
    """fal_client's asynchronous client: one falrt.Client for each event loop that uses it."""

    key: str | None = field(default=None, repr=False)
    default_timeout: float = 120.0

    def __post_init__(self) -> None:
        self._clients: weakref.WeakKeyDictionary[Any, tuple[Client, Any]] = weakref.WeakKeyDictionary()

    async def _fal(self) -> Client:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            client = Client(key=self.key)
            keeper = _kept(client)
            self._clients[loop] = client, keeper
            await anext(keeper)
        return self._clients[loop][0]

    async def aclose(self) -> None:
        """Close what this loop uses; at the end of ``asyncio.run`` that happens by itself."""
        _, keeper = self._clients.pop(asyncio.get_running_loop(), (None, None))
        if keeper is not None:
            await keeper.aclose()

    async def run(
        self, application: str, arguments: AnyJSON, *, method: str = "POST", path: str = "",
        timeout: float | None = None, start_timeout: float | None = None, hint: str | None = None,
        headers: dict[str, str] = {},  # noqa: B006 - never changed
    ) -> AnyJSON:  # fmt: skip
        """Call an endpoint and wait for its result."""
        app, options = _at(application, path), _options(timeout, start_timeout, hint, headers, method=method)
        with _as_fal_client(timeout):
            return await (await self._fal()).run(app, arguments, **options)

    async def submit(
        self, application: str, arguments: AnyJSON, *, path: str = "", hint: str | None = None,
        webhook_url: str | None = None, priority: Priority | None = None, headers: dict[str, str] = {},  # noqa: B006
        start_timeout: float | None = None,
    ) -> AsyncRequestHandle:  # fmt: skip
        """Put a request into the queue."""
        app, options = _at(application, path), _options(self.default_timeout, start_timeout, hint, headers)
        options |= {"webhook_url": webhook_url, "priority": priority}
        with _as_fal_client(self.default_timeout):
            return AsyncRequestHandle(await (await self._fal()).submit(app, arguments, **options))

    async def subscribe(
        self, application: str, arguments: AnyJSON, *, path: str = "", hint: str | None = None,
        with_logs: bool = False, interval: float = 0.1,
        on_enqueue: Callable[[str], Awaitable[None] | None] | None = None,
        on_queue_update: Callable[[Status], Awaitable[None] | None] | None = None,
        priority: Priority | None = None, headers: dict[str, str] = {},  # noqa: B006 - never changed
        start_timeout: float | None = None, client_timeout: float | None = None,
    ) -> AnyJSON:  # fmt: skip
        """Put a request into the queue and wait for its result; ``client_timeout`` cancels it."""
        logs: list[dict[str, Any]] | None = [] if with_logs else None
        ids: list[str] = []

        def on_submit(job: Any) -> Any:
            ids.append(job.request_id)
            return None if on_enqueue is None else on_enqueue(job.request_id)

        def on_update(status: queue.Status) -> Any:
            return None if on_queue_update is None else on_queue_update(_status(status, logs))

        if client_timeout is not None and start_timeout is None and client_timeout > 1:
            start_timeout = client_timeout
        app, options = _at(application, path), _options(client_timeout, start_timeout, hint, headers)
        options |= {"priority": priority, "logs": with_logs, "interval": interval}
        options |= {"on_update": on_update, "on_submit": on_submit}
        with _as_fal_client(client_timeout, ids):
            return await (await self._fal()).subscribe(app, arguments, **options)

    async def get_handle(self, application: str, request_id: str) -> AsyncRequestHandle:
        """Return a request that was submitted before."""
        return AsyncRequestHandle((await self._fal()).job(application, request_id))

    async def status(self, application: str, request_id: str, *, with_logs: bool = False) -> Status:
        """Ask where a request stands."""
        return await (await self.get_handle(application, request_id)).status(with_logs=with_logs)

    async def result(self, application: str, request_id: str) -> AnyJSON:
        """Wait for the result of a request."""
        return await (await self.get_handle(application, request_id)).get()

    async def cancel(self, application: str, request_id: str) -> None:
        """Cancel a request."""
        await (await self.get_handle(application, request_id)).cancel()

    async def stream(
        self, application: str, arguments: AnyJSON, *, path: str = "/stream", timeout: float | None = None,
        headers: dict[str, str] = {},  # noqa: B006 - never changed
    ) -> AsyncGenerator[dict[str, Any], None]:  # fmt: skip
        """Call an endpoint and yield its result in parts."""
        with _as_fal_client(timeout):
            fal = await self._fal()
            async for part in fal.stream(application, arguments, path=path, timeout=timeout, headers=headers):
                yield part

    async def upload(
        self, data: str | bytes, content_type: str, file_name: str | None = None, *,
        repository: Repository | None = None, fallback_repository: Repository | list[Repository] | None = None,
        lifecycle: StorageSettings | None = None,
    ) -> str:  # fmt: skip
        """Store data and return its URL."""
        _check_repositories(repository, fallback_repository)
        given: Any = data.encode() if isinstance(data, str) else data
        return await self._stored(given, content_type, file_name, lifecycle)

    async def upload_file(
        self, path: str | os.PathLike[str], *, repository: Repository | None = None,
        fallback_repository: Repository | list[Repository] | None = None,
        lifecycle: StorageSettings | None = None,
    ) -> str:  # fmt: skip
        """Store a file and return its URL."""
        _check_repositories(repository, fallback_repository)
        return await self._stored(os.fspath(path), mimetypes.guess_type(path)[0], None, lifecycle)

    async def upload_image(
        self, image: Image, format: str = "jpeg", *, repository: Repository | None = None,
        fallback_repository: Repository | list[Repository] | None = None,
        lifecycle: StorageSettings | None = None,
    ) -> str:  # fmt: skip
        """Store a Pillow image and return its URL."""
        _check_repositories(repository, fallback_repository)
        return await self._stored(_encoded(image, format), f"image/{format}", None, lifecycle)

    async def _stored(
        self, source: Any, kind: str | None, name: str | None, kept: StorageSettings | None
    ) -> str:
        expires: Any = None if kept is None else kept.as_map()
        with _as_fal_client():
            fal = await self._fal()
            return await fal.upload(source, content_type=kind, file_name=name, expires_in=expires)

    def realtime(self, application: str, **options: Any) -> AsyncRealtimeConnection:
        """Return a realtime connection; options as in :func:`realtime`."""
        return AsyncRealtimeConnection(connect(application, key=self.key, **_realtime_options(**options)))


async def _kept(client: Client) -> AsyncGenerator[None, None]:
    """Close a client when the loop closes its generators: asyncio.run does that at its end."""
    try:
        yield
    finally:
        # Not under the generator's own cancellation.
        await begin(client.aclose(), name="falrt closing client")


def _at(application: str, path: str) -> str:
    return f"{application}/{path.strip('/')}" if path.strip("/") else application


def _options(timeout: Any, start_timeout: Any, hint: Any, headers: Any, **more: Any) -> Any:
    return {"timeout": timeout, "start_timeout": start_timeout, "hint": hint, "headers": headers, **more}


class _Blocking(Generic[A]):
    """A twin for blocking code: what it stands for, and the loop which that lives on."""

    def parts(self) -> tuple[A, LoopThread]:
        raise NotImplementedError


def _blocking(
    method: Callable[Concatenate[A, P], Awaitable[T]],
) -> Callable[Concatenate[_Blocking[A], P], T]:
    @functools.wraps(method)
    def call(self: _Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        asynchronous, loop = self.parts()
        return wait(loop, lambda: method(asynchronous, *args, **kwargs))

    return call


def _iterating(
    method: Callable[Concatenate[A, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[_Blocking[A], P], Iterator[T]]:
    @functools.wraps(method)
    def call(self: _Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        asynchronous, loop = self.parts()
        return iterate(loop, lambda: method(asynchronous, *args, **kwargs))

    return call


def _handing(
    method: Callable[Concatenate[A, P], Awaitable[AsyncRequestHandle]],
) -> Callable[Concatenate[_Blocking[A], P], SyncRequestHandle]:
    @functools.wraps(method)
    def call(self: _Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> SyncRequestHandle:
        return SyncRequestHandle(_blocking(method)(self, *args, **kwargs), self.parts()[1])

    return call


class SyncRequestHandle(_Blocking[AsyncRequestHandle]):
    """A submitted request, for blocking code."""

    def __init__(self, handle: AsyncRequestHandle, loop: LoopThread) -> None:
        self._handle, self._loop = handle, loop
        self.request_id, self.response_url = handle.request_id, handle.response_url
        self.status_url, self.cancel_url = handle.status_url, handle.cancel_url

    def __repr__(self) -> str:
        return f"{type(self).__name__}(request_id={self.request_id!r})"

    def parts(self) -> tuple[AsyncRequestHandle, LoopThread]:
        """Return the handle that works and its loop."""
        return self._handle, self._loop

    status = _blocking(AsyncRequestHandle.status)
    iter_events = _iterating(AsyncRequestHandle.iter_events)
    get = _blocking(AsyncRequestHandle.get)
    cancel = _blocking(AsyncRequestHandle.cancel)


@dataclass(frozen=True)
class SyncClient(_Blocking[AsyncClient]):
    """fal_client's blocking client; its loop starts with the first call and ends with it, or with the program."""

    key: str | None = field(default=None, repr=False)
    default_timeout: float = 120.0
    _made: list[tuple[AsyncClient, LoopThread]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )
    _making: Any = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def parts(self) -> tuple[AsyncClient, LoopThread]:
        """Return the client that works and its loop; a forked process makes its own."""
        with self._making:
            if not self._made or self._made[-1][1].is_inherited:
                client, loop = AsyncClient(self.key, self.default_timeout), LoopThread("falrt compat")
                weakref.finalize(self, loop.finish, client.aclose, stop=True, timeout=_PATIENCE_AT_EXIT)
                self._made[:] = [(client, loop)]
            return self._made[-1]

    run = _blocking(AsyncClient.run)
    subscribe = _blocking(AsyncClient.subscribe)
    submit = _handing(AsyncClient.submit)
    get_handle = _handing(AsyncClient.get_handle)
    status = _blocking(AsyncClient.status)
    result = _blocking(AsyncClient.result)
    cancel = _blocking(AsyncClient.cancel)
    stream = _iterating(AsyncClient.stream)
    upload = _blocking(AsyncClient.upload)
    upload_file = _blocking(AsyncClient.upload_file)
    upload_image = _blocking(AsyncClient.upload_image)

    def realtime(self, application: str, **options: Any) -> RealtimeConnection:
        """Return a realtime connection; options as in :func:`realtime`."""
        return RealtimeConnection(sync.connect(application, key=self.key, **_realtime_options(**options)))


sync_client: Final = SyncClient()
run, subscribe, submit, stream = (
    sync_client.run,
    sync_client.subscribe,
    sync_client.submit,
    sync_client.stream,
)
status, result, cancel = sync_client.status, sync_client.result, sync_client.cancel
upload, upload_file, upload_image = sync_client.upload, sync_client.upload_file, sync_client.upload_image
realtime = sync_client.realtime
run_iterator = sync_client.stream

async_client: Final = AsyncClient()
run_async, subscribe_async, submit_async = async_client.run, async_client.subscribe, async_client.submit
status_async, result_async, cancel_async = async_client.status, async_client.result, async_client.cancel
upload_async, upload_file_async = async_client.upload, async_client.upload_file
upload_image_async, stream_async = async_client.upload_image, async_client.stream
realtime_async = async_client.realtime
run_iterator_async = async_client.stream
