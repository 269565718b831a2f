"""`FaultProxy`: a bad network in front of any server on TCP, fal's own included."""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import replace
from random import Random
from typing import Any, Final, Literal, Self, TypeAlias

from falrt import tasks
from falrt.exceptions import ConfigurationError
from falrt.testing.allowed import Helpful, check
from falrt.testing.link import LineOptions
from falrt.testing.pipe import End, Pipe

__all__ = ["Direction", "FaultProxy"]

Direction: TypeAlias = Literal["up", "down", "both"]
"""``"up"`` is from the client to the server."""

# How long `accept` waits for a port that another server got meanwhile, seconds.
TAKEN_PATIENCE: Final = 10.0


class FaultProxy(metaclass=Helpful):
    """Forwards TCP connections to a server, as slowly and unreliably as you configure.

    An async context manager on ``127.0.0.1`` and a free port. Everything can be changed while it runs.

    ```python
    async with FaultProxy("127.0.0.1", port, latency=0.03) as proxy:
        async with falrt.connect("acme/app", base_url=proxy.url, key="test") as conn:
            proxy.cut()
    ```

    Args:
        target_host: Where the server is.
        target_port: Its port.
        latency: Seconds that every piece of bytes takes, each way.
        jitter: Up to this many seconds more; order is kept.
        bandwidth: Bytes a second, each way; None: no limit.
        seed: For the jitter.

    Attributes:
        accepted: Connections taken so far.
        bytes_up: Bytes taken from clients.
        bytes_down: Bytes taken from the server.
    """

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        latency: float = 0.0,
        jitter: float = 0.0,
        bandwidth: float | None = None,
        seed: int = 0,
    ) -> None:
        check({"seed": seed})
        self._target = (target_host, target_port)
        options = LineOptions(latency, jitter, bandwidth)
        self._options = {"up": options, "down": options}
        self._held = {"up": False, "down": False}
        self._rng = Random(seed)
        self._server: asyncio.Server | None = None
        self._port = 0
        # Keeps the port ours while nobody listens, or another server of this machine might get it.
        self._reserved: socket.socket | None = None
        self._pipes: set[Pipe] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.accepted = 0
        self.bytes_up = 0
        self.bytes_down = 0

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def url(self) -> str:
        """What to give as `base_url`, such as ``http://127.0.0.1:40123``."""
        if not self._port:
            raise ConfigurationError("the FaultProxy is not running: `async with FaultProxy(...) as proxy`")
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def open_connections(self) -> int:
        """How many connections pass through it now."""
        return len(self._pipes)

    def shape(
        self,
        direction: Direction = "both",
        *,
        latency: float | None = None,
        jitter: float | None = None,
        bandwidth: float | None = None,
    ) -> None:
        """Change how the path behaves, for open connections too; what is not given stays as it is."""
        given = {"latency": latency, "jitter": jitter, "bandwidth": bandwidth}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        for way in _ways(direction):
            self._options[way] = replace(self._options[way], **changes)
            for pipe in self._pipes:
                pipe.lines[way].options = self._options[way]

    def cut(self) -> None:
        """Reset every open connection on both sides; what was on its way is lost."""
        for pipe in list(self._pipes):
            pipe.reset()

    def black_hole(self, direction: Direction = "both", *, seconds: float | None = None) -> None:
        """Silently drop all traffic, on new connections too: they become half-open.

        Args:
            direction: Which way; ``"up"`` alone makes a server that seems deaf.
            seconds: After which `restore` is called; None: never.
        """
        for way in _ways(direction):
            self._held[way] = True
            for pipe in self._pipes:
                pipe.lines[way].hold()
        if seconds is not None:
            self._cancel_timer()
            self._timer = asyncio.get_running_loop().call_later(seconds, self.restore)

    def restore(self) -> None:
        """End a black hole: what was held goes on its way, as TCP would send it again."""
        self._cancel_timer()
        for way in ("up", "down"):
            self._held[way] = False
            for pipe in list(self._pipes):
                pipe.lines[way].release()
        for pipe in list(self._pipes):
            pipe.pass_on_resets()

    def refuse(self) -> None:
        """Stop listening, so that new connections are refused; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._reserved = _bound(self._port)

    async def accept(self) -> None:
        """Listen, or listen again on the same port after `refuse`."""
        if self._server is None:
            listener, self._reserved = self._reserved, None
            listener = await _listening(listener, self._port)
            self._port = listener.getsockname()[1]
            self._server = await asyncio.get_running_loop().create_server(
                lambda: End(self._client_came), sock=listener
            )

    async def close(self) -> None:
        """Stop listening and drop every connection. May be called twice."""
        self._cancel_timer()
        for listener in (self._server, self._reserved):
            if listener is not None:
                listener.close()
        self._server = self._reserved = None
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        await asyncio.gather(*(pipe.abort() for pipe in list(self._pipes)))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _client_came(self, client: End) -> None:
        self.accepted += 1
        client.pause_reading()  # until the other side is there
        task = tasks.begin(self._connect(client), name="falrt fault proxy")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, client: End) -> None:
        try:
            _, server = await asyncio.get_running_loop().create_connection(End, *self._target)
        except OSError:
            client.reset()
            return
        except asyncio.CancelledError:
            client.abort()
            raise
        if client.lost.is_set():
            server.abort()
            return
        pipe = Pipe(client, server, self._options, self._rng, self._count, self._pipes.discard)
        self._pipes.add(pipe)
        for way, held in self._held.items():
            if held:
                pipe.lines[way].hold()
        pipe.begin()
        client.resume_reading()

    def _count(self, way: str, size: int) -> None:
        if way == "up":
            self.bytes_up += size
        else:
            self.bytes_down += size


def _ways(direction: Direction) -> tuple[str, ...]:
    check({"direction": direction})
    return ("up", "down") if direction == "both" else (direction,)


async def _listening(listener: socket.socket | None, port: int) -> socket.socket:
    """Return a socket that listens; waits where another server has the port for a while.

    While nobody listens, the kernel may give a bound port to another server that reuses addresses too.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + TAKEN_PATIENCE
    while True:
        try:
            listener = listener or _bound(port)
            listener.listen()
            return listener
        except OSError as exc:
            if listener is not None:
                listener.close()
                listener = None
            if exc.errno != errno.EADDRINUSE or loop.time() >= give_up_at:
                raise
            await asyncio.sleep(0.05)


def _bound(port: int) -> socket.socket:
    """Return a socket that has a port of the loopback; whoever connects to it is refused until it listens."""
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound
