"""A client whose methods block, and :func:`connect` for a single connection."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from falrt import client
from falrt.options import AllOptions, ClientOptions, ConnectOptions
from falrt.sync.calls import iterate, made, wait
from falrt.sync.connection import PATIENCE_AT_EXIT, Connection
from falrt.sync.jobs import Job
from falrt.sync.loop_thread import LoopThread
from falrt.sync.pipeline import Pipeline
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.batches.report import BatchReport
    from falrt.batches.running import BatchOptions
    from falrt.http.pipeline import Pipeline as AsyncPipeline
    from falrt.http.queue import Job as AsyncJob
    from falrt.models.spec import RealtimeModel
    from falrt.typing import EndpointModel

__all__ = ["Client", "batch", "connect"]

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[client.Client, P], Awaitable[T]],
) -> Callable[Concatenate[Client, P], T]:
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        asynchronous, loop = self._parts
        return wait(loop, lambda: method(asynchronous, *args, **kwargs))

    return functools.update_wrapper(call, method)


def _iterating(
    method: Callable[Concatenate[client.Client, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Client, P], Iterator[T]]:
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        asynchronous, loop = self._parts
        return iterate(loop, lambda: method(asynchronous, *args, **kwargs))

    return functools.update_wrapper(call, method)


def _submitting(
    method: Callable[Concatenate[client.Client, P], Awaitable[AsyncJob[T]]],
) -> Callable[Concatenate[Client, P], Job[T]]:
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Job[T]:
        asynchronous, loop = self._parts
        return Job(wait(loop, lambda: method(asynchronous, *args, **kwargs)), loop)

    return functools.update_wrapper(call, method)


def _finding(
    method: Callable[Concatenate[client.Client, P], AsyncJob[T]],
) -> Callable[Concatenate[Client, P], Job[T]]:
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Job[T]:
        asynchronous, loop = self._parts
        return Job(made(loop, lambda: method(asynchronous, *args, **kwargs)), loop)

    return functools.update_wrapper(call, method)


def _piping(
    method: Callable[Concatenate[client.Client, P], AsyncPipeline[InputT, OutputT]],
) -> Callable[Concatenate[Client, P], Pipeline[InputT, OutputT]]:
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Pipeline[InputT, OutputT]:
        asynchronous, loop = self._parts
        return Pipeline(made(loop, lambda: method(asynchronous, *args, **kwargs)), loop)

    return functools.update_wrapper(call, method)


class Client:
    """A blocking :class:`falrt.Client`, with the same methods and options.

    Use it with ``with``, or :meth:`close` it. Its methods may be called from any thread, also from several, but not
    from a callback, which runs in the background thread. An interrupt (Ctrl-C) cancels the waiting call and leaves the
    client usable. If you do not close it, it is closed when it is garbage-collected or when the program exits.

    Args:
        **options: Those of :class:`falrt.Client`.

    Raises:
        ConfigurationError: An option is wrong.
    """

    def __init__(self, *args: Any, **options: Unpack[ClientOptions]) -> None:
        # Arguments by position are for the asynchronous client to refuse, in its words.
        make: Callable[..., client.Client] = client.Client
        asynchronous = make(*args, **options)
        loop = LoopThread("falrt loop")
        self._parts = asynchronous, loop
        weakref.finalize(self, loop.finish, asynchronous.aclose, stop=True, timeout=PATIENCE_AT_EXIT)

    def __repr__(self) -> str:
        return repr(self._parts[0]).replace("<falrt.", "<falrt.sync.", 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """As :meth:`falrt.Client.aclose`; may be called from every thread, and more than once."""
        asynchronous, loop = self._parts
        loop.finish(asynchronous.aclose, stop=True)

    @overload
    def connect(
        self, app: str, **options: Unpack[ConnectOptions[dict[str, Any]]]
    ) -> Connection[Any, dict[str, Any]]: ...
    @overload
    def connect(
        self, app: RealtimeModel[InputT, OutputT], **options: Unpack[ConnectOptions[OutputT]]
    ) -> Connection[InputT, OutputT]: ...
    def connect(self, app: Any, **options: Unpack[ConnectOptions[Any]]) -> Connection[Any, Any]:
        """Return a connection that shares this client's key, tokens and loop; it opens when it is entered."""
        asynchronous, loop = self._parts
        return Connection(made(loop, lambda: asynchronous.connect(app, **options)), loop, self)

    run = _blocking(client.Client.run)
    map = _iterating(client.Client.map)
    stream = _iterating(client.Client.stream)
    submit = _submitting(client.Client.submit)
    job = _finding(client.Client.job)
    subscribe = _blocking(client.Client.subscribe)
    upload = _blocking(client.Client.upload)
    pipeline = _piping(client.Client.pipeline)


@overload
def connect(app: str, **options: Unpack[AllOptions[dict[str, Any]]]) -> Connection[Any, dict[str, Any]]: ...
@overload
def connect(
    app: RealtimeModel[InputT, OutputT], **options: Unpack[AllOptions[OutputT]]
) -> Connection[InputT, OutputT]: ...
def connect(app: Any, **options: Unpack[AllOptions[Any]]) -> Connection[Any, Any]:
    """Return a blocking connection; it opens when it is entered (``with``) or by ``open()``.

    Takes the arguments of :func:`falrt.connect` and raises its errors.
    """
    return Connection(client.connect(app, **options))


def batch(
    app: str | EndpointModel[Any, Any],
    inputs: Iterable[Any],
    *,
    client: Client | None = None,
    **options: Unpack[BatchOptions],
) -> BatchReport:
    """Run many inputs through an endpoint and save the results; as :func:`falrt.batch`, blocking.

    Args:
        app: As there.
        inputs: As there.
        client: A blocking client, whose key and connections are used. Default: one for this batch.
        **options: Those of :func:`falrt.batch`; ``on_progress`` is called in the background thread.

    Returns:
        What became of each input. Ctrl-C stops the batch; run it again to resume.
    """
    from falrt.batches import batch

    with contextlib.nullcontext(client) if client is not None else Client() as used:
        asynchronous, loop = used._parts
        return wait(loop, lambda: batch(app, inputs, client=asynchronous, **options))
