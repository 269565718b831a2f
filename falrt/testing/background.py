"""`BackgroundFakeServer`: the fake server for tests that do not run on an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self, overload

from falrt.exceptions import ConfigurationError
from falrt.sync.loop_thread import LoopThread
from falrt.testing.connection import ServerConnection
from falrt.testing.platform.gateway import TokenRequest
from falrt.testing.script import Fault
from falrt.testing.server import WAIT_LIMIT, FakeServer
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from typing import Unpack

    from falrt.models.spec import RealtimeModel
    from falrt.options import AllOptions
    from falrt.sync import Connection

__all__ = ["BackgroundFakeServer"]


class BackgroundFakeServer:
    """A `FakeServer` on an event loop of its own, in a thread: for blocking code such as `falrt.sync`.

    A context manager; leaving it closes the server, its loop and its thread. It has what `FakeServer` has, with
    methods that block instead of `async` ones.

    ```python
    with BackgroundFakeServer(buffering=1) as server:
        with server.connect("acme/app") as conn:
            conn.request({"prompt": "a fox"})
    assert server.inputs == [{"prompt": "a fox"}]
    ```

    Args:
        args: As for `FakeServer`.
        options: As for `FakeServer`.

    Attributes:
        fake: The server itself. Its lists may be read from any thread; its methods belong to its loop, see `call`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.fake = FakeServer(*args, **options)
        self._thread: LoopThread | None = None

    def __repr__(self) -> str:
        """Show the URL and what has happened."""
        return f"<Background{repr(self.fake).removeprefix('<')}"

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise ConfigurationError("this BackgroundFakeServer is running already; make another one")
        self._thread = LoopThread("falrt fake server")
        try:
            self.call(self.fake.start)
        except BaseException:
            self._thread.finish(self.fake.close, stop=True)
            self._thread = None
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._thread is not None:
            self._thread.finish(self.fake.close, stop=True)
            self._thread = None

    # What there is to know.

    @property
    def url(self) -> str:
        """What to give as `base_url`."""
        return self.fake.url

    @property
    def ws_url(self) -> str:
        """The same for a WebSocket client."""
        return self.fake.ws_url

    @property
    def proxy_url(self) -> str:
        """A proxy as fal's own for the token endpoints."""
        return self.fake.proxy_url

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.fake.port

    @property
    def key(self) -> str | None:
        """The good key."""
        return self.fake.key

    @property
    def inputs(self) -> list[Any]:
        """What the app sent; as `FakeServer.inputs`."""
        return self.fake.inputs

    @property
    def answers(self) -> list[Any]:
        """Every answer that was sent."""
        return self.fake.answers

    @property
    def connections(self) -> list[ServerConnection]:
        """Every WebSocket handshake, in order; call their methods through `call`."""
        return self.fake.connections

    @property
    def token_requests(self) -> list[TokenRequest]:
        """Every call of the token endpoints."""
        return self.fake.token_requests

    # What can be done.

    @overload
    def connect(
        self, app: str = "acme/app", **options: Unpack[AllOptions[dict[str, Any]]]
    ) -> Connection[Any, dict[str, Any]]: ...
    @overload
    def connect(
        self, app: RealtimeModel[InputT, OutputT], **options: Unpack[AllOptions[OutputT]]
    ) -> Connection[InputT, OutputT]: ...
    def connect(self, app: Any = "acme/app", **options: Unpack[AllOptions[Any]]) -> Connection[Any, Any]:
        """Return ``falrt.sync.connect(app, ...)`` with `base_url` and `key` set for this server."""
        import falrt.sync

        return falrt.sync.connect(app, **self.fake.options_for(options))

    def call(self, act: Callable[..., Any], *args: Any) -> Any:
        """Call something on the server's loop and return what it gives, awaited if it can be.

        ```python
        server.call(server.connections[0].close, 1012)
        ```
        """
        if self._thread is None:
            raise ConfigurationError("the server is not running: `with BackgroundFakeServer() as server`")

        async def run() -> Any:
            result = act(*args)
            return await result if isinstance(result, Awaitable) else result

        return self._thread.call(run)

    def add_fault(self, *faults: Fault) -> None:
        """Arm more faults while the server runs."""
        self.call(self.fake.add_fault, *faults)

    def clear_faults(self) -> None:
        """Disarm every fault that has not struck."""
        self.call(self.fake.clear_faults)

    def expire_tokens(self) -> None:
        """Let every token made so far be too old for a handshake."""
        self.call(self.fake.expire_tokens)

    def wait_for(self, condition: Callable[[], object], timeout: float = WAIT_LIMIT) -> None:
        """Wait until a condition on the server holds.

        Raises:
            TimeoutError: It did not hold in time; so do the other waits.
        """
        self.call(self.fake.wait_for, condition, timeout)

    def wait_for_inputs(self, count: int, timeout: float = WAIT_LIMIT) -> list[Any]:
        """Wait until this many inputs have arrived over all connections, and return them."""
        inputs: list[Any] = self.call(self.fake.wait_for_inputs, count, timeout)
        return inputs

    def wait_for_answers(self, count: int, timeout: float = WAIT_LIMIT) -> list[Any]:
        """Wait until this many answers have left over all connections, and return them."""
        answers: list[Any] = self.call(self.fake.wait_for_answers, count, timeout)
        return answers

    def wait_for_connection(self, number: int = 0, timeout: float = WAIT_LIMIT) -> ServerConnection:
        """Wait until the connection of this number (from 0) has been accepted, and return it."""
        connection: ServerConnection = self.call(self.fake.wait_for_connection, number, timeout)
        return connection

    def wait_for_close(self, number: int = 0, timeout: float = WAIT_LIMIT) -> ServerConnection:
        """Wait until the connection of this number (from 0) is down, and return it."""
        connection: ServerConnection = self.call(self.fake.wait_for_close, number, timeout)
        return connection
