"""The stand-in on a port: in the background of a program, or as a program of its own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Self

import uvicorn

from falrt.local import serving
from falrt.local.app import create_app
from falrt.local.options import LocalOptions
from falrt.sync.loop_thread import LoopThread

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator


__all__ = ["LocalServer", "serve"]

# How long each of the two steps at the end of a server in a thread may take: closing, and the loop's own end.
_CLOSE_SECONDS: Final = 10.0


class LocalServer:
    """The stand-in for fal on a loopback port, as a context manager.

    ``async with`` serves in the running loop, ``with`` in a thread of its own. Leaving the block ends every
    socket (code 1012) and waits until nothing is left; a thread cuts off what does not end within ten seconds.

    Args:
        options: How it behaves.
        host: Address to listen on.
        port: 0 takes a free one.

    Raises:
        ConfigurationError: On entering: the address cannot be listened on.
    """

    def __init__(
        self, options: LocalOptions | None = None, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._options = options or LocalOptions()
        self._host, self._port = host, port
        # Set while inside the block.
        self._url: str | None = None
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: LoopThread | None = None

    @property
    def url(self) -> str:
        """What to give as ``base_url``, such as ``http://127.0.0.1:45123``; only inside the block."""
        if self._url is None:
            raise RuntimeError("the local server is not running: use it in a with or async with block")
        return self._url

    async def __aenter__(self) -> Self:
        if self._server is not None:
            raise RuntimeError("the local server is already running")
        listener = serving.listen(self._host, self._port)
        self._url = serving.url_of(listener)
        self._server = server = _Server(serving.config_for(create_app(self._options), lifespan="on"))
        self._task = asyncio.create_task(server.serve(sockets=[listener]))
        await server.ready.wait()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        self._url = self._server = self._task = None

    def __enter__(self) -> Self:
        thread = LoopThread("falrt local server")
        try:
            thread.call(self.__aenter__)
        except BaseException:
            thread.finish(_nothing, stop=True, timeout=_CLOSE_SECONDS)
            raise
        self._thread = thread
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._thread is not None:
            self._thread.finish(self.__aexit__, stop=True, timeout=_CLOSE_SECONDS)
            self._thread = None


class _Server(uvicorn.Server):
    """uvicorn, telling when it is ready, and leaving signals to the program around it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _nothing() -> None:
    """Close nothing: it has not begun."""


def serve(
    host: str = "127.0.0.1",
    port: int = 8765,
    options: LocalOptions | None = None,
    *,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted (SIGINT or SIGTERM); blocks.

    Args:
        host: Address to listen on.
        port: 0 takes a free one.
        options: How it behaves.
        started: Called with the URL once connections are taken.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """
    listener = serving.listen(host, port)
    config = serving.config_for(create_app(options), lifespan="on")
    serving.run(config, listener, lambda: started(serving.url_of(listener)) if started else None)
