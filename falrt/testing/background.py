"""`BackgroundFakeServer`: the fake server for tests that do not run on an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from falrt.exceptions import ConfigurationError
from falrt.testing.server import FakeServer

__all__ = ["BackgroundFakeServer"]


class BackgroundFakeServer:
    """A `FakeServer` on an event loop of its own, in a thread: for blocking code such as `falrt.sync`.

    A context manager; leaving it closes the server, its loop and its thread.

    ```python
    with BackgroundFakeServer(buffering=1) as server:
        with falrt.sync.connect("acme/app", base_url=server.url, key="test") as conn:
            conn.request({"prompt": "a fox"})
        server.wait_for(lambda: server.fake.inputs)
    ```

    Args:
        options: As for `FakeServer`.

    Attributes:
        fake: The server. Its lists may be read from any thread; its methods belong to its loop, see `call`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.fake = FakeServer(*args, **options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="falrt fake server", daemon=True)
        self._thread.start()
        try:
            self.call(self.fake.start)
        except BaseException:
            self._stop(loop)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._loop is not None:
            try:
                self.call(self.fake.close)
            finally:
                self._stop(self._loop)

    @property
    def url(self) -> str:
        """What to give as `base_url`."""
        return self.fake.url

    @property
    def key(self) -> str | None:
        """The good key."""
        return self.fake.key

    def connect(self, app: Any = "acme/app", **options: Any) -> Any:
        """Return ``falrt.sync.connect(app, ...)`` with `base_url` and `key` set for this server."""
        import falrt.sync

        return falrt.sync.connect(app, **{"base_url": self.url, "key": self.key or "test", **options})

    def call(self, act: Callable[..., Any], *args: Any) -> Any:
        """Call something on the server's loop and return what it gives, awaited if it can be.

        ```python
        server.call(server.fake.connections[0].close, 1012)
        ```
        """
        if self._loop is None:
            raise ConfigurationError("the server is not running: `with BackgroundFakeServer() as server`")

        async def run() -> Any:
            result = act(*args)
            return await result if isinstance(result, Awaitable) else result

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def wait_for(self, condition: Callable[[], object], timeout: float = 5.0) -> None:
        """Wait until a condition on the server holds; `FakeServer.wait_for` for blocking code.

        Raises:
            TimeoutError: It did not hold in time.
        """
        self.call(self.fake.wait_for, condition, timeout)

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join()
        self._loop = self._thread = None
