"""Client: one key, one token cache, one TLS context for many connections; and :func:`connect` for a single one."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, Unpack, overload

from falrt import tasks
from falrt.auth import Key, TokenCache, TokenProvider, find_key
from falrt.auth.pool import HTTPPool
from falrt.exceptions import ConfigurationError
from falrt.http.methods import HTTPClient
from falrt.options import (
    BASE_URL_VARIABLE,
    AllOptions,
    ClientOptions,
    ConnectionSettings,
    ConnectOptions,
    check_names,
    check_seconds,
    find_proxies,
)
from falrt.protocol.wire.endpoint import Endpoint, Hosts
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    import ssl as tls

    # Loaded with the first connection: who only calls endpoints over HTTP has no use for them.
    from falrt.connection.connection import RealtimeConnection
    from falrt.connection.core import Core
    from falrt.connection.sharing import Sharing
    from falrt.http.caller import Caller
    from falrt.models.spec import RealtimeModel

__all__ = ["Client", "connect"]

P = ParamSpec("P")


def _by_name(init: Callable[P, None]) -> Callable[P, None]:
    """Let a constructor explain wrong options in our words: Python's would be a bare TypeError."""

    @functools.wraps(init)
    def checked(*args: P.args, **options: P.kwargs) -> None:
        if len(args) > 1:
            # Not shown: it is most likely the key.
            raise ConfigurationError("falrt.Client takes its options by name, such as falrt.Client(key=...)")
        check_names(
            options,
            ClientOptions.__annotations__,
            ConnectOptions.__annotations__,
            "a connection, not a client",
        )
        init(*args, **options)

    return checked


class Client(HTTPClient):
    """A key, its tokens, a TLS context and an HTTP pool, shared by the connections and calls made with it.

    Use it with ``async with``; leaving it closes its connections.

    Args:
        key: A fal key. Default: ``FAL_KEY``, or ``FAL_KEY_ID`` and ``FAL_KEY_SECRET``, from the environment.
        base_url: One URL that replaces all of fal's hosts, such as ``"http://127.0.0.1:8765"``. Default:
            ``FALRT_BASE_URL``, else fal.
        proxy_url: A trusted server that adds the key to HTTP requests, so that this program holds none.
        token_provider: ``(app_path) -> str | Token``, sync or async, called with the full path.
        token_expiration_seconds: Lifetime to request (120), and to assume for tokens without an expiry.
        auth: ``"token"`` puts a short-lived token into the URL; ``"key"`` the key into the handshake's header.
            Default: tokens for sockets, the key for HTTP.
        ssl: Your own TLS context. Default: one is built, once, in a thread.
        proxy: An HTTP or SOCKS proxy for HTTP calls and sockets, such as ``"http://proxy:3128"``; None for no proxy.
            Default: those of ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, read once. Connections to this
            machine are always direct.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    @_by_name
    def __init__(
        self,
        *,
        key: str | None = None,
        base_url: str | None = None,
        proxy_url: str | None = None,
        token_provider: TokenProvider | None = None,
        token_expiration_seconds: float | None = None,
        auth: Literal["token", "key"] | None = None,
        ssl: tls.SSLContext | None = None,
        proxy: str | bool | None = True,
    ) -> None:
        if auth not in (None, "token", "key"):
            raise ConfigurationError(f"auth must be 'token' or 'key', got {auth!r}")
        if auth == "key" and (token_provider is not None or proxy_url is not None):
            raise ConfigurationError(
                "auth='key' needs no tokens: leave out token_provider and proxy_url, or use auth='token'"
            )
        if proxy_url is not None and token_provider is not None:
            raise ConfigurationError(
                "proxy_url and token_provider both say where tokens come from: pass only one of them"
            )
        check_seconds("token_expiration_seconds", token_expiration_seconds, optional=True)
        if not isinstance(proxy_url, str | None):
            raise ConfigurationError(f"proxy_url must be a string, got {type(proxy_url).__name__}")
        if ssl is not None:
            import ssl as tls

            if not isinstance(ssl, tls.SSLContext):
                raise ConfigurationError(f"ssl must be an ssl.SSLContext or None, got {ssl!r}")
        if base_url is None:
            base_url = os.environ.get(BASE_URL_VARIABLE, "").strip() or None
        self._hosts = Hosts.at(base_url)
        self._proxies = find_proxies(proxy)
        self._given_key, self._auth = key, auth or "token"
        # None until it is needed: a program with a token provider or a proxy has no key at all.
        self._key: Key | None = None if key is None else find_key(key)
        self._needs_key = token_provider is None and proxy_url is None
        self._tokens: TokenCache | None = None
        if self._auth == "token":
            self._tokens = TokenCache(
                key=self._find_key,
                base_url=base_url,
                proxy_url=proxy_url,
                token_provider=token_provider,
                token_expiration_seconds=token_expiration_seconds,
                http=lambda: self._pool.client(),
            )
        self._proxy_url = proxy_url
        self._prefers_tokens = auth == "token" or token_provider is not None
        self._ssl = ssl
        self._ssl_task: asyncio.Task[tls.SSLContext] | None = None
        # Those that were opened, until they have ended; made with the first, for the client of one connection has none.
        self._connections: set[Core[Any, Any]] | None = None
        self._shared: dict[str, Sharing[Any, Any]] = {}
        # Whether it was made for one connection, and is closed with it.
        self._serves_one = False
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    # What is made with its first use: an open socket alone needs neither, and its client stays small.

    @functools.cached_property
    def _pool(self) -> HTTPPool:
        return HTTPPool(self._proxy_url or self._hosts.rest, self._ssl_context, self._proxies)

    @functools.cached_property
    def _caller(self) -> Caller:
        from falrt.http.caller import Caller

        return Caller(
            hosts=self._hosts,
            key=self._find_key,
            tokens=self._tokens,
            pool=self._pool,
            ssl_context=self._ssl_context,
            proxies=self._proxies,
            proxy_url=self._proxy_url,
            prefers_tokens=self._prefers_tokens,
            pipelines=set(),
        )

    def __repr__(self) -> str:
        return f"<falrt.Client {self._hosts.socket}>"

    @property
    def base_url(self) -> str | None:
        """The one place of every host; None where they are fal's own."""
        return None if self._hosts == Hosts.at(None) else self._hosts.rest

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection made with this client, then its HTTP pool."""
        self._closed = True
        if self._closing is None:
            self._closing = tasks.begin(self._finish(), name="falrt closing client")
        elif any(connection.inside.is_here for connection in self._connections or ()):
            return  # a callback or a source of one that is being ended: the closing waits for it
        from falrt.connection.inside import in_users_code

        await tasks.completed(self._closing, self._cut, patient=not in_users_code())

    async def _finish(self) -> None:
        closings = [connection.close() for connection in list(self._connections or ())]
        if "_caller" in vars(self):
            closings += [each.close() for each in list(self._caller.pipelines)]
        await asyncio.gather(*closings, return_exceptions=True)
        if self._ssl_task is not None and not self._ssl_task.done():
            self._ssl_task.cancel()
            await asyncio.wait({self._ssl_task})
        if self._tokens is not None:
            await self._tokens.aclose()
        await self._pool.aclose()

    def _cut(self) -> None:
        for connection in self._connections or ():
            connection.cut()

    @overload
    def connect(
        self, app: str, **options: Unpack[ConnectOptions[dict[str, Any]]]
    ) -> RealtimeConnection[Any, dict[str, Any]]: ...
    @overload
    def connect(
        self, app: RealtimeModel[InputT, OutputT], **options: Unpack[ConnectOptions[OutputT]]
    ) -> RealtimeConnection[InputT, OutputT]: ...
    def connect(self, app: Any, **options: Unpack[ConnectOptions[Any]]) -> RealtimeConnection[Any, Any]:
        """Return a connection to an app; it opens when it is entered or awaited.

        Args:
            app: An endpoint id, or a :class:`falrt.RealtimeModel` such as ``models.KLEIN``.
            **options: See docs/reference/options.md.

        Raises:
            ConfigurationError: The id or an option is wrong.
            MissingCredentialsError: There is no key, and one is needed.
        """
        return self._connect(app, dict(options))

    def _connect(self, app: Any, options: dict[str, Any]) -> RealtimeConnection[Any, Any]:
        self._check_open()
        connection_key = options.pop("connection_key", None)
        settings = ConnectionSettings.of(options)
        if connection_key is not None:
            return self._share(connection_key, app, settings, options)
        from falrt.connection.connection import RealtimeConnection

        return RealtimeConnection(self._core(app, settings))

    def _core(self, app: Any, settings: ConnectionSettings) -> Core[Any, Any]:
        from falrt.connection.core import Core
        from falrt.connection.opening import Opening

        spec: RealtimeModel[Any, Any] | None = None if isinstance(app, str) else _checked_model(app)
        if self._needs_key:
            self._find_key()

        opening = Opening(
            Endpoint.parse(app if spec is None else spec.app),
            settings.path if settings.path is not None or spec is None else spec.path,
            settings,
            hosts=self._hosts,
            key=self._key if self._auth == "key" else None,
            tokens=self._tokens,
            ssl_context=self._ssl_context,
            # True, the default, is whatever the client was told.
            proxies=self._proxies if settings.proxy is True else find_proxies(settings.proxy),
        )
        return Core(spec, settings, opening, on_start=self._on_start, on_close=self._on_close)

    def _on_start(self, core: Core[Any, Any]) -> None:
        self._check_open()
        if not self._serves_one:
            self._connections = self._connections or set()
            self._connections.add(core)

    async def _on_close(self, core: Core[Any, Any]) -> None:
        if self._serves_one:
            await self.aclose()
            return

        def forget(_: object) -> None:
            if self._connections is not None and not core.users():
                self._connections.discard(core)

        forget(core)
        for task in core.users():  # a callback that has closed the connection and goes on: aclose() ends it
            task.add_done_callback(forget)
        for name in [name for name, sharing in self._shared.items() if sharing.core is core]:
            del self._shared[name]

    def _share(
        self, name: str, app: Any, settings: ConnectionSettings, options: Any
    ) -> RealtimeConnection[Any, Any]:
        given: object = name
        if not isinstance(given, str) or not given:
            raise ConfigurationError(f"connection_key must be a non-empty string, got {name!r}")
        from falrt.connection.sharing import SharedConnection, Sharing

        def join() -> Sharing[Any, Any]:
            sharing = self._shared.get(name)
            if sharing is None or sharing.core.is_over:
                sharing = self._shared[name] = Sharing(name, self._core(app, settings), app, options)
            sharing.check(app, options)
            return sharing

        return SharedConnection(join(), join)

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigurationError("the client is closed: make a new one")

    def _find_key(self) -> Key:
        if self._key is None:
            self._key = find_key(self._given_key)
        return self._key

    async def _ssl_context(self) -> tls.SSLContext:
        """One context for sockets and HTTP; whoever comes first has it built."""
        if self._ssl is not None:
            return self._ssl
        if self._ssl_task is None:
            from falrt.connection.dialing import default_ssl_context

            self._ssl_task = tasks.begin(default_ssl_context(), name="falrt TLS context")
        try:
            self._ssl = await asyncio.shield(self._ssl_task)
        except Exception:
            self._ssl_task = None  # whoever asks next tries again
            raise
        return self._ssl


def _checked_model(app: object) -> RealtimeModel[Any, Any]:
    from falrt.models.spec import RealtimeModel

    if not isinstance(app, RealtimeModel):
        if isinstance(app, type) and hasattr(app, "model_fields"):
            stem = app.__name__.removesuffix("Input").removesuffix("Output").upper()
            raise ConfigurationError(
                f"app is the class {app.__name__}: pass its model, such as models.{stem}, "
                f"or falrt.RealtimeModel('owner/app', {app.__name__}, YourOutput) for an app of your own"
            )
        raise ConfigurationError(
            f"app must be an endpoint id such as 'fal-ai/fast-lcm-diffusion' or a RealtimeModel such as models.KLEIN, "
            f"got {type(app).__name__}"
        )
    return app


@overload
def connect(
    app: str, **options: Unpack[AllOptions[dict[str, Any]]]
) -> RealtimeConnection[Any, dict[str, Any]]: ...
@overload
def connect(
    app: RealtimeModel[InputT, OutputT], **options: Unpack[AllOptions[OutputT]]
) -> RealtimeConnection[InputT, OutputT]: ...
def connect(app: Any, **options: Unpack[AllOptions[Any]]) -> RealtimeConnection[Any, Any]:
    """Return a connection to a realtime app; it opens when it is entered (``async with``) or awaited.

    ::

        async with falrt.connect(models.KLEIN) as conn:
            out = await conn.request(models.KleinInput(image_url=Path("me.jpg"), prompt="oil painting"))

    Args:
        app: An endpoint id such as ``"fal-ai/fast-lcm-diffusion"``, with or without ``/realtime``, or a
            :class:`falrt.RealtimeModel` such as ``models.KLEIN``.
        **options: Those of :class:`falrt.Client` and of a connection; see docs/reference/options.md.

    Raises:
        ConfigurationError: The id or an option is wrong; nothing was opened.
        MissingCredentialsError: There is no key, and one is needed.
    """
    everything = dict(options)
    for_client = {name: everything.pop(name) for name in ClientOptions.__annotations__ if name in everything}
    check_names(everything, [*ConnectOptions.__annotations__, *ClientOptions.__annotations__])
    if everything.get("connection_key") is not None:
        raise ConfigurationError(
            "connection_key belongs to a falrt.Client: connections of falrt.connect share nothing"
        )
    make: Callable[..., Client] = Client
    client = make(**for_client)
    client._serves_one = True
    return client._connect(app, everything)
