"""`FakeServer`: fal's realtime service on loopback, for tests."""

from __future__ import annotations

import asyncio
import json
import ssl as ssl_module
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from falrt.exceptions import ConfigurationError
from falrt.testing.app import App, Handler
from falrt.testing.connection import ServerConnection
from falrt.testing.gateway import Gateway, TokenReplyForm, TokenRequest
from falrt.testing.handlers import unrolled
from falrt.testing.http11 import HttpReply, HttpRequest
from falrt.testing.link import LineOptions
from falrt.testing.plan import FaultPlan
from falrt.testing.script import (
    AcceptFault,
    ColdStart,
    ExpiredToken,
    Fault,
    HandshakeFault,
    Hang,
    Refuse,
    RefuseHandshake,
    RefuseToken,
    SlowHandshake,
    SlowToken,
    Unauthorized,
)
from falrt.testing.session import Session
from falrt.testing.watch import Watch
from falrt.testing.wire import SocketOptions, WireSocket

if TYPE_CHECKING:
    from websockets.http11 import Request

    from falrt.typing import Codec, ModeName

__all__ = ["FakeServer"]

UNAUTHORIZED: Final = '{"status":"error","error":"Unauthorized"}'
FORWARDING_ERROR: Final = "Error while forwarding the request"
WAIT_LIMIT: Final = 5.0
"""Seconds after which a wait in a test is taken for a hang."""


class FakeServer:
    """fal's realtime service, played on loopback.

    A real WebSocket server on ``127.0.0.1`` and a free port, which also answers the token endpoints.
    Simulated: the runner with its buffer, silent drops, batches, timings, idle end and four modes; the
    gateway's tokens and refusals; distance; and faults by name. An async context manager: leaving it closes
    every socket and task.

    ```python
    async with FakeServer() as server:
        async with server.connect("acme/app") as conn:
            await conn.request({"prompt": "a fox"})
    assert server.inputs == [{"prompt": "a fox"}]
    ```

    Args:
        handler: What answers inputs. None: a small picture each, with the input's `request_id` if it had one.
            A function, sync or async: ``input -> output`` (unary; several arguments where inputs are
            batched), ``input -> iterator of outputs`` (server_streaming), ``async iterator of inputs ->
            output`` (client_streaming) or ``-> async iterator of outputs`` (bidi). A sync function runs on
            the event loop: let it be quick, and use `service_time` for slowness. A list: one answer after
            the other over all connections, each a map, an exception to raise, a function, or a fault; in the
            streaming modes, the list is the stream. Outputs are maps or pydantic models. What a handler
            raises ends the session with INTERNAL_ERROR and its text.
        mode, buffering, service_time, session_timeout, emit_timings, max_batch_size, codec, input_type: As
        in `App`. apps: Apps by endpoint path, such as ``{"acme/app": handler, "acme/app/bidi": App(...)}``;
        a realtime path
            at its end may be left out. Any other path is then closed with 1011, as fal's gateway does. None:
            every path leads to `handler`.
        latency: Seconds that every byte takes, each way.
        jitter: Up to this many seconds more, drawn for each piece of bytes; order is kept.
        bandwidth: Bytes a second, each way; None: no limit.
        seed: For jitter and for faults with a probability.
        faults: From `falrt.testing.script`; more can be added with `add_fault`.
        auth: False lets everybody in.
        key: The good key; None for any.
        token_lifetime: Seconds that tokens live. None: as asked for, within fal's caps.
        token_reply: How tokens come back; see `TokenReplyForm`.
        refusal: How a bad credential is refused: ``"frame"`` (101, then an Unauthorized text frame, and the
        socket
            stays open), ``"close"`` (the frame, then close 1000), or an HTTP status such as 401 or 403.
        max_size: Largest message taken, in bytes; a larger one ends the connection with 1009.
        ping_interval, ping_timeout: Our pings; None for none.
        ssl: A server-side TLS context, to be reached as ``https://``.

    Raises:
        ConfigurationError: A value makes no sense; the text names it.

    Source:
        Wire facts 3 to 5 (`docs/reference/wire.md`); fal's server SDK is compared with it in `tests/interop`.
    """

    def __init__(
        self,
        handler: Handler = None,
        *,
        mode: ModeName = "unary",
        buffering: int | None = None,
        service_time: float | Callable[..., float] = 0.0,
        session_timeout: float | None = None,
        emit_timings: bool = False,
        max_batch_size: int = 1,
        codec: Codec | None = None,
        input_type: Callable[..., Any] | None = None,
        apps: Mapping[str, App | Handler] | None = None,
        latency: float = 0.0,
        jitter: float = 0.0,
        bandwidth: float | None = None,
        seed: int = 0,
        faults: Iterable[Fault] = (),
        auth: bool = True,
        key: str | None = "test",
        token_lifetime: float | None = None,
        token_reply: TokenReplyForm = "string",  # noqa: S107  # a form, not a secret
        refusal: str | int = "frame",
        max_size: int | None = 16 * 1024 * 1024,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        ssl: ssl_module.SSLContext | None = None,
    ) -> None:
        self._app = App(
            handler,
            mode=mode,
            buffering=buffering,
            service_time=service_time,
            session_timeout=session_timeout,
            emit_timings=emit_timings,
            max_batch_size=max_batch_size,
            codec=codec,
            input_type=input_type,
        )
        self._apps = None if apps is None else _by_path(apps)
        if refusal not in ("frame", "close") and not (isinstance(refusal, int) and 300 <= refusal < 600):
            raise ConfigurationError(f'refusal must be "frame", "close" or an HTTP status, not {refusal!r}')
        self._refusal = refusal
        self._rng = Random(seed)
        self._plan = FaultPlan(faults, self._rng)
        self._gateway = Gateway(key=key, auth=auth, token_lifetime=token_lifetime, token_reply=token_reply)
        line = LineOptions(latency, jitter, bandwidth)
        self._socket_options = SocketOptions(line, line, max_size, ping_interval, ping_timeout)
        self._ssl = ssl
        self.key = key
        # Handlers with their scripts unrolled, by app; filled at first use, so that a script goes on after a
        # reconnect.
        self._handlers: dict[int, Callable[..., Any]] = {}
        self._server: asyncio.Server | None = None
        self._sockets: set[WireSocket] = set()
        self._sessions: dict[WireSocket, Session] = {}
        self._by_socket: dict[WireSocket, ServerConnection] = {}
        # Timers of late answers, so that none outlives the server.
        self._timers: set[asyncio.TimerHandle] = set()
        self._watch = Watch()
        self.connections: list[ServerConnection] = []

    # Life.

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Begin to listen; `async with` does it."""
        if self._server is not None:
            raise ConfigurationError("this FakeServer has been started already; make another one")
        self._server = await asyncio.get_running_loop().create_server(
            lambda: WireSocket(self, self._socket_options, self._rng), "127.0.0.1", 0, ssl=self._ssl
        )

    async def close(self) -> None:
        """Stop listening, close every socket (1001) and end every task. May be called twice."""
        if self._server is None:
            return
        self._server.close()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        sessions = list(self._sessions.values())
        try:
            await asyncio.gather(*(socket.shut() for socket in list(self._sockets)))
        finally:
            # Also where the test was cancelled: what is cut off here frees its tasks through disconnected().
            for socket in list(self._sockets):
                socket.abort()
        for session in sessions:
            session.disconnected()
            await session.wait_ended()
        await self._server.wait_closed()

    # For tests.

    @property
    def url(self) -> str:
        """What to give as `base_url`, such as ``http://127.0.0.1:40123``."""
        if self._server is None or not self._server.sockets:
            raise ConfigurationError("the FakeServer is not running: `async with FakeServer() as server`")
        port = self._server.sockets[0].getsockname()[1]
        return f"{'http' if self._ssl is None else 'https'}://127.0.0.1:{port}"

    @property
    def ws_url(self) -> str:
        """The same for a WebSocket client, such as ``ws://127.0.0.1:40123``."""
        return "ws" + self.url.removeprefix("http")

    @property
    def proxy_url(self) -> str:
        """A proxy as of wire fact 9 for the token endpoints: it holds the key itself."""
        return f"{self.url}/api/fal/proxy"

    @property
    def inputs(self) -> list[Any]:
        """Every input of every connection, decoded, in the order of the connections."""
        return [message for connection in self.connections for message in connection.inputs]

    @property
    def answers(self) -> list[Any]:
        """Every answer that was sent, in the order of the connections."""
        return [answer for connection in self.connections for answer in connection.answers]

    @property
    def token_requests(self) -> list[TokenRequest]:
        """Every call of the token endpoints."""
        return self._gateway.requests

    def connect(self, app: Any = "acme/app", **options: Any) -> Any:
        """Return ``falrt.connect(app, ...)`` with `base_url` and `key` set for this server."""
        import falrt

        return falrt.connect(app, **{"base_url": self.url, "key": self.key or "test", **options})

    def add_fault(self, *faults: Fault) -> None:
        """Arm more faults while the server runs."""
        for fault in faults:
            self._plan.add(fault)

    def clear_faults(self) -> None:
        """Disarm every fault that has not struck."""
        self._plan.clear()

    def expire_tokens(self) -> None:
        """Let every token made so far be too old for a handshake; open connections stay."""
        self._gateway.expire()

    async def wait_for(self, condition: Callable[[], object], timeout: float = WAIT_LIMIT) -> None:
        """Wait until a condition on this server holds.

        Args:
            condition: Asked at once, and again whenever something happened here.
            timeout: Seconds after which to give up.

        Raises:
            TimeoutError: It did not hold in time; the text tells what had happened.
        """
        try:
            await self._watch.until(condition, timeout)
        except TimeoutError:
            raise TimeoutError(f"nothing came in {timeout} s; so far: {self.connections!r}") from None

    async def wait_for_inputs(self, count: int, timeout: float = WAIT_LIMIT) -> list[Any]:
        """Wait until this many inputs have arrived over all connections, and return them."""
        await self.wait_for(lambda: len(self.inputs) >= count, timeout)
        return self.inputs

    async def wait_for_answers(self, count: int, timeout: float = WAIT_LIMIT) -> list[Any]:
        """Wait until this many answers have left over all connections, and return them."""
        await self.wait_for(lambda: len(self.answers) >= count, timeout)
        return self.answers

    async def wait_for_connection(self, number: int = 0, timeout: float = WAIT_LIMIT) -> ServerConnection:
        """Wait until the connection of this number (from 0) has been accepted, and return it."""
        await self.wait_for(
            lambda: len(self.connections) > number and self.connections[number].accepted, timeout
        )
        return self.connections[number]

    async def wait_for_close(self, number: int = 0, timeout: float = WAIT_LIMIT) -> ServerConnection:
        """Wait until the connection of this number (from 0) is down, and return it."""
        await self.wait_for(
            lambda: len(self.connections) > number and self.connections[number].closed, timeout
        )
        return self.connections[number]

    # What the sockets tell (SocketOwner).

    def connected(self, socket: WireSocket) -> None:
        """Note a TCP connection."""
        self._sockets.add(socket)

    def http_request(self, socket: WireSocket, request: HttpRequest) -> None:
        """Answer the token endpoints, and 404 to everything else."""
        number = len(self.token_requests)
        path = urlsplit(request.headers.get("x-fal-target-url", request.target)).path
        endpoint = "realtime" if path.endswith("realtime") else "general"
        is_token = path.startswith("/tokens")
        refuse = self._plan.at_token(RefuseToken, number, endpoint) if is_token else None
        expired = self._plan.at_token(ExpiredToken, number, endpoint) if is_token else None
        slow = self._plan.at_token(SlowToken, number, endpoint) if is_token else None
        reply = self._gateway.answer(
            request,
            lifetime=None if expired is None else -expired.age,
            reply=None
            if refuse is None
            else HttpReply.json(refuse.status, refuse.body or {"detail": "Forbidden"}),
        )
        if reply is None:
            reply = HttpReply.json(404, {"detail": f"Path {urlsplit(request.target).path} not found"})
        self._later(slow.seconds if slow else 0.0, lambda: socket.respond(reply))
        self._watch.changed()

    def upgrade_request(self, socket: WireSocket, request: Request) -> None:
        """Judge a handshake."""
        parts = urlsplit(request.path)
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        now = asyncio.get_running_loop().time()
        connection = ServerConnection(len(self.connections), parts.path, query, headers, now, socket)
        self.connections.append(connection)
        self._by_socket[socket] = connection
        late = 0.0
        while fault := self._plan.draw(AcceptFault, connection.number) or self._plan.draw(
            HandshakeFault, connection.number
        ):
            connection.faults.append(fault)
            if isinstance(fault, SlowHandshake):
                late += fault.seconds
                continue
            self._later(late, partial(self._spoil_handshake, connection, fault))
            return
        self._later(late, lambda: self._judge(connection))

    def frames_received(self, socket: WireSocket, frames: list[bytes | str]) -> None:
        """Pass messages on to the session; without one they are swallowed."""
        session = self._sessions.get(socket)
        if session is not None:
            session.frames_received(frames)
        else:
            self._by_socket[socket].frames += frames
        self._watch.changed()

    def disconnected(self, socket: WireSocket) -> None:
        """Forget a connection."""
        self._sockets.discard(socket)
        session = self._sessions.pop(socket, None)
        if session is not None:
            session.disconnected()
        self._by_socket.pop(socket, None)
        self._watch.changed()

    # Inside.

    def _spoil_handshake(self, connection: ServerConnection, fault: Fault) -> None:
        socket = connection.socket
        match fault:
            case Refuse():
                socket.reset()
            case Hang():
                socket.silence()
            case RefuseHandshake():
                connection.refusal = f"fault: {fault.status}"
                socket.refuse(HttpReply.json(fault.status, {"detail": fault.detail}))
            case Unauthorized():
                connection.refusal = "fault: Unauthorized"
                self._refuse(connection, "close" if fault.close else "frame")
        self._watch.changed()

    def _judge(self, connection: ServerConnection) -> None:
        refusal = self._gateway.refusal(connection.path, connection.query, connection.headers)
        app = self._route(connection.path)
        if refusal is not None:
            connection.refusal = refusal
            self._refuse(connection, self._refusal)
        elif app is None:
            # The gateway has said 101 before it asks the app (wire fact 4.1).
            connection.refusal = FORWARDING_ERROR
            self._accept(connection)
            connection.socket.close(1011, FORWARDING_ERROR)
        else:
            self._open(connection, app)
        self._watch.changed()

    def _refuse(self, connection: ServerConnection, how: str | int) -> None:
        if isinstance(how, int):
            connection.socket.refuse(HttpReply.json(how, {"detail": "Unauthorized"}))
            return
        self._accept(connection)
        connection.socket.send(UNAUTHORIZED)
        connection.controls.append(json.loads(UNAUTHORIZED))
        if how == "close":
            connection.socket.close()

    def _accept(self, connection: ServerConnection) -> None:
        connection.socket.accept()
        connection.accepted = connection.is_open

    def _open(self, connection: ServerConnection, app: App) -> None:
        self._accept(connection)
        if not connection.accepted:
            return
        cold = self._plan.draw(ColdStart, connection.number)
        if cold is not None:
            connection.faults.append(cold)
            self._later(cold.seconds, connection.socket.close)
            return
        handler = self._handlers.setdefault(id(app), unrolled(app))
        session = Session(app, handler, connection, self._plan, self._watch.changed)
        self._sessions[connection.socket] = session
        session.start()

    def _route(self, path: str) -> App | None:
        if self._apps is None:
            return self._app
        name = path.strip("/")
        return self._apps.get(name) or self._apps.get(name.removesuffix("/realtime"))

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        if not seconds:
            act()
            return

        def fire() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(seconds, fire)
        self._timers.add(timer)


def _by_path(apps: Mapping[str, App | Handler]) -> dict[str, App]:
    return {name.strip("/"): app if isinstance(app, App) else App(app) for name, app in apps.items()}
