"""The same connection, blocking: for scripts, Jupyter and plug-ins.

It adds no logic. Every call goes through anyio's portal to one event loop that runs in the background while at least
one connection is open, so it works where a loop is running already (Jupyter) and where none may run (plug-ins).

::

    with falrt.sync.connect(models.KLEIN) as conn:
        out = conn.request(models.KleinInput(image_url="me.jpg", prompt="oil painting"))
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from anyio.from_thread import BlockingPortal, BlockingPortalProvider

from falrt import client
from falrt.connection.connection import RealtimeConnection
from falrt.connection.worker import Worker
from falrt.exceptions import ConcurrencyError, ConfigurationError, ConnectionClosedOK
from falrt.options import AllOptions
from falrt.protocol.events import State, Stats
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.connection.replies import Replies, Reply
    from falrt.connection.stream import Inputs
    from falrt.models.spec import RealtimeModel
    from falrt.protocol.pacing.policies import Pacing

__all__ = ["Connection", "connect"]

P = ParamSpec("P")
T = TypeVar("T")

# The one background loop; it starts with the first connection and ends with the last.
_LOOP = BlockingPortalProvider()


class Connection(Generic[InputT, OutputT]):
    """A blocking :class:`falrt.RealtimeConnection`, with the same methods; made by :func:`connect`.

    Its methods may be called from any thread, also from several, but not from a callback: ``on_result`` and
    ``on_error`` are called in the background thread, which must go on. An interrupt (Ctrl-C) ends a waiting call and
    leaves the connection usable.
    """

    def __init__(self, make: Callable[[], RealtimeConnection[InputT, OutputT]]) -> None:
        # Checks its arguments at once, in the caller's thread.
        self._connection = make()
        self._portal: BlockingPortal | None = None
        # The background loop's thread: a blocking call from there would wait for itself.
        self._loop_thread = 0
        self._was_open = False

    def __repr__(self) -> str:
        return repr(self._connection)

    def __enter__(self) -> Self:
        if self._was_open:
            raise ConcurrencyError("this connection was used already: call connect() again for another")
        self._was_open = True
        portal = _LOOP.__enter__()
        try:
            self._loop_thread = portal.call(threading.get_ident)
            _wait(portal, self._connection.__aenter__)
        except BaseException:
            _LOOP.__exit__(None, None, None)
            raise
        self._portal = portal
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> Self:
        """Open without a ``with`` block; call :meth:`close` when done."""
        return self.__enter__()

    def close(self) -> None:
        """As :meth:`falrt.RealtimeConnection.close`; with the last connection the background loop ends."""
        if self._portal is None:
            return
        self._refuse_own_thread()
        portal, self._portal = self._portal, None
        try:
            _wait(portal, self._connection.close)
        finally:
            _LOOP.__exit__(None, None, None)

    def send(self, input: InputT | Mapping[str, Any]) -> None:
        """As :meth:`falrt.RealtimeConnection.send`."""
        self._call(self._connection.send, input)

    def recv(self) -> OutputT:
        """As :meth:`falrt.RealtimeConnection.recv`."""
        return self._call(self._connection.recv)

    def request(self, input: InputT | Mapping[str, Any], timeout: float | None = None) -> OutputT:
        """As :meth:`falrt.RealtimeConnection.request`."""
        return self._call(self._connection.request, input, timeout)

    def flush(self) -> None:
        """As :meth:`falrt.RealtimeConnection.flush`."""
        self._call(self._connection.flush)

    def drain(self, timeout: float | None = None) -> None:
        """As :meth:`falrt.RealtimeConnection.drain`."""
        self._call(self._connection.drain, timeout)

    def latest(self) -> Reply[InputT, OutputT] | None:
        """As :meth:`falrt.RealtimeConnection.latest`."""

        async def latest() -> Reply[InputT, OutputT] | None:
            return self._connection.latest()

        return self._call(latest)

    def __iter__(self) -> Iterator[OutputT]:
        """Yield results as :meth:`recv` returns them; ends on ``ConnectionClosedOK``."""
        while True:
            try:
                output = self.recv()
            except ConnectionClosedOK:
                return
            yield output

    def stream(
        self,
        inputs: Inputs[InputT],
        pacing: Pacing | None = None,
        *,
        every: bool = False,
        gate: Callable[[Any, Any], bool] | None = None,
    ) -> Iterator[Reply[InputT, OutputT]]:
        """As :meth:`falrt.RealtimeConnection.stream`; its source is closed when the loop has been left.

        A function is asked in a thread of its own, so it may wait for its camera.
        """
        worker = Worker()

        async def begin() -> Replies[InputT, OutputT]:
            source = inputs
            if callable(source) and not isinstance(source, type | Iterable | AsyncIterable):
                source = _asked_in(worker, source)
            return self._connection.stream(source, pacing, every=every, gate=gate)

        async def step() -> Reply[InputT, OutputT] | None:
            return await anext(replies, None)

        async def end() -> None:
            await replies.aclose()
            worker.close()

        replies = self._call(begin)
        try:
            while (reply := self._call(step)) is not None:
                yield reply
        except ConnectionClosedOK:
            return
        finally:
            if self._portal is not None:
                self._call(end)
            else:
                worker.close()

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._connection.state

    @property
    def stats(self) -> Stats:
        """A snapshot of the figures so far."""
        return self._connection.stats

    @property
    def app(self) -> str:
        """The full path of the app."""
        return self._connection.app

    def _refuse_own_thread(self) -> None:
        if threading.get_ident() == self._loop_thread:
            raise ConcurrencyError(
                "callbacks run in the connection's own thread, where a blocking call would wait for itself: "
                "hand what you got to another thread, such as with a queue.Queue"
            )

    def _call(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        portal = self._portal
        if portal is None:
            if not self._was_open:
                raise ConfigurationError(
                    "the connection is not open: use it inside 'with' or call open() first"
                )
            raise self._closed_error(method, args)
        self._refuse_own_thread()
        try:
            return _wait(portal, lambda: method(*args, **kwargs))
        except RuntimeError as exc:
            if self._portal is None:  # another thread closed the connection, and the loop with it, in between
                raise self._closed_error(method, args) from exc
            raise

    def _closed_error(self, method: Callable[..., object], args: tuple[Any, ...]) -> ConnectionClosedOK:
        sends = method in (self._connection.send, self._connection.request)
        return ConnectionClosedOK(1000, "closed by close()", unsent=args[:1] if sends else ())


def _asked_in(worker: Worker, function: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    def ask() -> Any:
        try:
            return function()
        except StopIteration:  # the end, as None is; it cannot cross from a thread as what it is
            return None

    async def asked() -> Any:
        frame = await worker.run(ask)
        return await frame if inspect.isawaitable(frame) else frame

    return asked


def _wait(portal: BlockingPortal, function: Callable[[], Awaitable[T]]) -> T:
    """Wait for a coroutine of the loop; an interrupt (Ctrl-C, Jupyter's stop button) cancels it."""
    future: Future[T] = portal.start_task_soon(function)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


@overload
def connect(app: str, **options: Unpack[AllOptions]) -> Connection[Any, dict[str, Any]]: ...
@overload
def connect(
    app: RealtimeModel[InputT, OutputT], **options: Unpack[AllOptions]
) -> Connection[InputT, OutputT]: ...
def connect(app: Any, **options: Unpack[AllOptions]) -> Connection[Any, Any]:
    """Return a blocking connection; it opens when it is entered (``with``) or by ``open()``.

    Takes the arguments of :func:`falrt.connect` and raises its errors.
    """
    return Connection(lambda: client.connect(app, **options))
