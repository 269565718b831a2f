"""`FakeServer`: fal's realtime service on loopback, for tests."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Callable, Collection, Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, Final, Self, overload

from falrt.exceptions import ConfigurationError
from falrt.protocol.wire.messages import OWN_ID_PREFIX
from falrt.testing.allowed import Helpful, check
from falrt.testing.connection import ServerConnection
from falrt.testing.link import LineOptions
from falrt.testing.plan import FaultPlan
from falrt.testing.platform.app import App, Handler
from falrt.testing.platform.apps import Apps
from falrt.testing.platform.gateway import Gateway, TokenReplyForm, TokenRequest
from falrt.testing.platform.platform import Platform, RefusalForm
from falrt.testing.reception import Reception
from falrt.testing.script import Fault
from falrt.testing.watch import Watch
from falrt.testing.wire import SocketOptions, WireSocket
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from typing import Unpack

    from falrt.connection.connection import RealtimeConnection
    from falrt.models.spec import RealtimeModel
    from falrt.options import AllOptions
    from falrt.typing import Codec, ModeName

__all__ = ["FakeServer"]

WAIT_LIMIT: Final = 5.0
"""Seconds after which a wait in a test is taken for a hang."""


class FakeServer(metaclass=Helpful):
    """fal's realtime service, simulated on loopback.

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
            in `App`.
        apps: Apps by endpoint path, such as ``{"acme/app": handler, "acme/app/bidi": App(...)}``; a realtime
            path at its end may be left out. Any other path is then closed with 1011, as fal's gateway does.
            None: every path leads to `handler`.
        latency: Seconds that every byte takes, each way.
        jitter: Up to this many seconds more, drawn for each piece of bytes; order is kept.
        bandwidth: Bytes a second, each way; None: no limit.
        seed: For jitter and for faults with a probability.
        faults: From `falrt.testing.script`; more can be added with `add_fault`.
        auth: False accepts everyone.
        key: The only key that is accepted; None for any.
        token_lifetime: Lifetime of tokens in seconds. None: as requested, within fal's limits.
        token_reply: How tokens come back; see `TokenReplyForm`.
        refusal: How a bad credential is refused: ``"frame"`` (101, then an Unauthorized text frame, and the
            socket stays open), ``"close"`` (the frame, then close 1000), or an HTTP status such as 401 or 403.
        strict: Mint and check tokens as the service's own schema has it, and not as its pages show it; see
            `Gateway`.
        forbidden: Ids of apps that neither a key nor a token may use: 403 over HTTP, and `refusal` on sockets.
        max_size: Largest message taken, in bytes; a larger one ends the connection with 1009.
        ping_interval, ping_timeout: Our pings; None for none.
        ssl: A server-side TLS context, to be reached as ``https://``.

    Raises:
        ConfigurationError: A value is invalid; the text names it.

    Source:
        Sockets and sessions: wire facts W10 to W36; keys and tokens: W40 to W46 (`docs/reference/wire.md`). fal's
        server SDK is compared with this in `tests/interop`.
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
        refusal: RefusalForm = "frame",
        strict: bool = False,
        forbidden: Collection[str] = (),
        max_size: int | None = 16 * 1024 * 1024,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        ssl: ssl_module.SSLContext | None = None,
    ) -> None:
        app = App(
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
        check({"apps": apps, "seed": seed, "refusal": refusal, "ssl": ssl})
        self._rng = Random(seed)
        self._plan = FaultPlan(faults, self._rng)
        directory = Apps(app if apps is None else apps)
        gateway = Gateway(
            key=key,
            auth=auth,
            strict=strict,
            token_lifetime=token_lifetime,
            token_reply=token_reply,
            forbidden=forbidden,
            knows=lambda path: directory.find_realtime(path) is not None,
        )
        self._watch = Watch()
        self.platform = Platform(directory, gateway, refusal=refusal)
        self.platform.runs.noted = self._watch.changed
        self._reception = Reception(self.platform, self._plan, self._watch.changed)
        line = LineOptions(latency, jitter, bandwidth)
        self._socket_options = SocketOptions(
            line, line, max_size, ping_interval, ping_timeout, scheme="http" if ssl is None else "https"
        )
        self._ssl = ssl
        self.key = key
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        """Show the URL and what has happened."""
        if self._server is None or not self._server.sockets:
            return "<FakeServer, not running>"
        return f"<FakeServer {self.url}, {len(self.connections)} connections, {len(self.inputs)} inputs>"

    # Life.

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Begin to listen; `async with` does it."""
        if self._server is not None:
            raise ConfigurationError("this FakeServer has been started already; make another one")
        self._server = await asyncio.get_running_loop().create_server(
            lambda: WireSocket(self._reception, self._socket_options, self._rng),
            "127.0.0.1",
            0,
            ssl=self._ssl,
        )

    async def close(self) -> None:
        """Stop listening, close every socket (1001) and end every task. May be called twice."""
        if self._server is None:
            return
        self._server.close()
        await self._reception.close()
        await self._server.wait_closed()

    # For tests.

    @property
    def url(self) -> str:
        """What to give as `base_url`, such as ``http://127.0.0.1:40123``."""
        return f"{'http' if self._ssl is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None or not self._server.sockets:
            raise ConfigurationError("the FakeServer is not running: `async with FakeServer() as server`")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def ws_url(self) -> str:
        """The same for a WebSocket client, such as ``ws://127.0.0.1:40123``."""
        return "ws" + self.url.removeprefix("http")

    @property
    def proxy_url(self) -> str:
        """A proxy as fal's own for the token endpoints: it holds the key itself."""
        return f"{self.url}/api/fal/proxy"

    @property
    def connections(self) -> list[ServerConnection]:
        """Every WebSocket handshake, in order; refused ones too."""
        return self._reception.connections

    @property
    def inputs(self) -> list[Any]:
        """What the app sent, decoded: over sockets, in the order of the connections, then over HTTP.

        Without the `request_id` that falrt itself gives to inputs of some models; `ServerConnection.inputs` has it.
        """
        over_sockets = [message for connection in self.connections for message in connection.inputs]
        return [_as_sent(message) for message in (*over_sockets, *self.platform.runs.inputs)]

    @property
    def answers(self) -> list[Any]:
        """Every answer that was sent, in the order of the connections."""
        return [answer for connection in self.connections for answer in connection.answers]

    @property
    def token_requests(self) -> list[TokenRequest]:
        """Every call of the token endpoints."""
        return self.platform.gateway.requests

    @overload
    def connect(
        self, app: str = "acme/app", **options: Unpack[AllOptions[dict[str, Any]]]
    ) -> RealtimeConnection[Any, dict[str, Any]]: ...
    @overload
    def connect(
        self, app: RealtimeModel[InputT, OutputT], **options: Unpack[AllOptions[OutputT]]
    ) -> RealtimeConnection[InputT, OutputT]: ...
    def connect(
        self, app: Any = "acme/app", **options: Unpack[AllOptions[Any]]
    ) -> RealtimeConnection[Any, Any]:
        """Return ``falrt.connect(app, ...)`` with `base_url` and `key` set for this server."""
        import falrt

        return falrt.connect(app, **self.options_for(options))

    def options_for(self, options: AllOptions[Any]) -> AllOptions[Any]:
        """Return the options of a client that is to reach this server; those given win."""
        return {"base_url": self.url, "key": self.key or "test", **options}

    def add_fault(self, *faults: Fault) -> None:
        """Arm more faults while the server runs."""
        for fault in faults:
            self._plan.add(fault)

    def clear_faults(self) -> None:
        """Disarm every fault that has not struck."""
        self._plan.clear()

    def expire_tokens(self) -> None:
        """Let every token made so far be too old for a handshake; open connections stay."""
        self.platform.gateway.expire_all()

    async def wait_for(self, condition: Callable[[], object], timeout: float = WAIT_LIMIT) -> None:
        """Wait until a condition on this server holds.

        Args:
            condition: Asked at once, and again whenever something happened here.
            timeout: Seconds after which to give up.

        Raises:
            TimeoutError: It did not hold in time; the text says what happened so far.
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


def _as_sent(message: Any) -> Any:
    if isinstance(message, dict) and str(message.get("request_id", "")).startswith(OWN_ID_PREFIX):
        return {name: value for name, value in message.items() if name != "request_id"}
    return message
