"""The same connection, blocking: for scripts, Jupyter and plug-ins.

It adds no logic. Every call goes through anyio's portal to one event loop that runs in the background while at least
one connection is open, so it works where a loop is running already (Jupyter) and where none may run (plug-ins).

::

    with falrt.sync.connect(models.KLEIN) as conn:
        out = conn.request(models.KleinInput(image_url="me.jpg", prompt="oil painting"))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from anyio.from_thread import BlockingPortal, BlockingPortalProvider

from falrt import client
from falrt.connection import RealtimeConnection
from falrt.exceptions import ConfigurationError, ConnectionClosedOK
from falrt.options import AllOptions
from falrt.protocol.events import State, Stats
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.models.spec import RealtimeModel
    from falrt.protocol.pacing import Pacing
    from falrt.replies import Replies, Reply
    from falrt.stream import Inputs

__all__ = ["Connection", "connect"]

P = ParamSpec("P")
T = TypeVar("T")

# The one background loop; it starts with the first connection and ends with the last.
_LOOP = BlockingPortalProvider()


class Connection(Generic[InputT, OutputT]):
    """A blocking :class:`falrt.RealtimeConnection`, with the same methods; made by :func:`connect`.

    Its methods may be called from any thread, also from several. Callbacks (``on_result``, ``on_error``) are called
    in the background thread, as are callables and iterables given to :meth:`stream`.
    """

    def __init__(self, make: Callable[[], RealtimeConnection[InputT, OutputT]]) -> None:
        # Checks its arguments at once, in the caller's thread.
        self._connection = make()
        self._portal: BlockingPortal | None = None

    def __repr__(self) -> str:
        return repr(self._connection)

    def __enter__(self) -> Self:
        if self._portal is not None:
            raise ConfigurationError("this connection is open already: call connect() again for another")
        portal = _LOOP.__enter__()
        try:
            portal.call(self._connection.__aenter__)
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
        portal, self._portal = self._portal, None
        if portal is None:
            return
        try:
            portal.call(self._connection.close)
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
        return self._open_portal().call(self._connection.latest)

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
        """As :meth:`falrt.RealtimeConnection.stream`; ends its source when the loop is left."""
        portal = self._open_portal()

        async def begin() -> Replies[InputT, OutputT]:
            return self._connection.stream(inputs, pacing, every=every, gate=gate)

        async def step() -> Reply[InputT, OutputT] | None:
            return await anext(replies, None)

        replies = portal.call(begin)
        try:
            while (reply := portal.call(step)) is not None:
                yield reply
        finally:
            portal.call(replies.aclose)

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return (
            self._connection.state
            if self._portal is None
            else self._portal.call(lambda: self._connection.state)
        )

    @property
    def stats(self) -> Stats:
        """A snapshot of the figures so far."""
        return (
            self._connection.stats
            if self._portal is None
            else self._portal.call(lambda: self._connection.stats)
        )

    @property
    def app(self) -> str:
        """The full path of the app."""
        return self._connection.app

    def _open_portal(self) -> BlockingPortal:
        if self._portal is None:
            raise ConfigurationError("the connection is not open: use it inside 'with' or call open() first")
        return self._portal

    def _call(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        portal = self._open_portal()
        return portal.call(lambda: method(*args, **kwargs))


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
