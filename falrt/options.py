"""The options of ``connect()``: their types, their defaults, and the errors of wrong ones.

Everything is checked here, before anything is opened or sent.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
import ssl as tls
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Generic, Literal, TypedDict

from falrt.auth import TokenProvider
from falrt.codecs import Msgpack
from falrt.exceptions import ConfigurationError
from falrt.protocol.events import Event
from falrt.protocol.numbers import SECONDS, check_number
from falrt.protocol.pacing.policies import Immediate, Pacing, Throttle
from falrt.protocol.reconnect.backoff import Backoff
from falrt.protocol.reconnect.liveness import Keepalive
from falrt.protocol.wire.endpoint import BUFFERING
from falrt.protocol.wire.modes import mode_named
from falrt.protocol.wire.proxies import Proxies
from falrt.typing import Codec, DecodeHook, EncodeHook, ModeName, OutputT

__all__ = ["BASE_URL_VARIABLE", "ClientOptions", "ConnectOptions", "ConnectionSettings", "find_proxies"]

BASE_URL_VARIABLE: Final = "FALRT_BASE_URL"
# fal answers 20 MiB and more in one frame; this is room for a large PNG and a bound for a hostile server.
DEFAULT_MAX_SIZE: Final = 64 * 1024 * 1024
# Where all are unset there is nothing to read.
PROXY_VARIABLES: Final = tuple(
    name for scheme in ("http", "https", "all") for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper())
)
# What other libraries call our options, where the nearest spelling would lead astray.
NAMES_ELSEWHERE: Final[Mapping[str, tuple[str, ...]]] = {
    "api_key": ("key",),
    "clientOnly": ("lazy",),
    "client_timeout": ("request_timeout",),
    "connectionKey": ("connection_key",),
    "connect_timeout": ("open_timeout",),
    "credentials": ("key",),
    "fal_key": ("key",),
    "heartbeat": ("ping_interval",),
    "max_message_size": ("max_size",),
    "max_retries": ("reconnect",),
    "on_close": ("on_event",),
    "on_message": ("on_result",),
    "on_open": ("on_event",),
    "onError": ("on_error",),
    "onResult": ("on_result",),
    "proxyUrl": ("proxy_url",),
    "retries": ("reconnect",),
    "retry": ("reconnect",),
    "timeout": ("request_timeout", "open_timeout"),
    "token": ("token_provider",),
    "token_expiration": ("token_expiration_seconds",),
    "token_lifetime": ("token_expiration_seconds",),
    "url": ("base_url",),
    "use_jwt": ("auth",),
}
# How their values are written here, where that differs too.
VALUES_ELSEWHERE: Final[Mapping[str, str]] = {
    "on_close": ", called with a falrt.events.Lost",
    "on_open": ", called with a falrt.events.Opened",
    "use_jwt": ": auth='token' for True, auth='key' for False",
}


class SharedOptions(TypedDict, total=False):
    """Options that only a :class:`falrt.Client` has, for all its connections."""

    key: str | None
    base_url: str | None
    proxy_url: str | None
    token_provider: TokenProvider | None
    token_expiration_seconds: float | None
    auth: Literal["token", "key"] | None
    ssl: tls.SSLContext | None


class ClientOptions(SharedOptions, total=False):
    """Options of a :class:`falrt.Client`: a connection may have another proxy."""

    proxy: str | bool | None


class ConnectOptions(TypedDict, Generic[OutputT], total=False):
    """Options of one connection; ``OutputT`` is what its results are."""

    path: str | None
    mode: ModeName | None
    max_buffering: int | None
    codec: Codec
    encode_message: EncodeHook | None
    decode_message: DecodeHook | None
    pacing: Pacing
    throttle_interval: float | None
    on_result: Callable[[OutputT], object] | None
    on_error: Callable[[Exception], object] | None
    on_event: Callable[[Event], object] | None
    connection_key: str | None
    reconnect: bool | Backoff
    lazy: bool
    idle_close: float | None
    warmup_timeout: float
    open_timeout: float | None
    request_timeout: float | None
    max_size: int | None
    proxy: str | bool | None
    compression: Literal["deflate"] | None
    ping_interval: float | None
    ping_timeout: float | None


class AllOptions(SharedOptions, ConnectOptions[OutputT], Generic[OutputT], total=False):
    """Options of ``falrt.connect``: those of a client and those of a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """The checked options of one connection; the names are those that users write.

    Raises:
        ConfigurationError: A value is wrong; the text names the option and the cure.
    """

    path: str | None = None
    mode: ModeName | None = None
    max_buffering: int | None = None
    codec: Codec = field(default_factory=Msgpack)
    encode_message: EncodeHook | None = None
    decode_message: DecodeHook | None = None
    pacing: Pacing = field(default_factory=Immediate)
    throttle_interval: float | None = None
    on_result: Callable[[Any], object] | None = None
    on_error: Callable[[Exception], object] | None = None
    on_event: Callable[[Event], object] | None = None
    reconnect: bool | Backoff = True
    lazy: bool = False
    idle_close: float | None = None
    warmup_timeout: float = 300.0
    open_timeout: float | None = 90.0
    request_timeout: float | None = 120.0
    max_size: int | None = DEFAULT_MAX_SIZE
    proxy: str | bool | None = True
    compression: Literal["deflate"] | None = None
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0

    def __post_init__(self) -> None:
        check_number("max_buffering", self.max_buffering, BUFFERING, optional=True)
        for name in ("idle_close", "open_timeout", "request_timeout", "throttle_interval"):
            check_seconds(name, getattr(self, name), optional=True)
        check_seconds("warmup_timeout", self.warmup_timeout, optional=False)
        for name in ("on_result", "on_error", "on_event", "encode_message", "decode_message"):
            check_function(name, getattr(self, name))
        if self.on_event is not None:
            refuse_async("on_event", self.on_event)
        codec: object = self.codec
        usable = callable(getattr(codec, "encode", None)) and callable(getattr(codec, "decode", None))
        if isinstance(codec, type) or not usable:
            raise ConfigurationError(
                f"codec must be an object with encode() and decode(), such as falrt.codecs.Json(), got {codec!r}"
            )
        self._check_choices()

    def _check_choices(self) -> None:
        if self.mode is not None:
            mode_named(self.mode)
        if not isinstance(self.lazy, bool):
            raise ConfigurationError(f"lazy must be True or False, got {self.lazy!r}")
        Proxies.of(self.proxy)
        check_pacing(self.pacing)
        if self.throttle_interval is not None and self.pacing != Immediate():
            raise ConfigurationError(
                "throttle_interval is short for pacing=Throttle(interval): pass only one of them"
            )
        if not isinstance(self.reconnect, bool | Backoff):
            raise ConfigurationError(
                f"reconnect must be True, False or a falrt.Backoff, got {self.reconnect!r}"
            )
        size: object = self.max_size
        if size is not None and (type(size) is not int or size < 1):
            raise ConfigurationError(f"max_size must be a number of bytes above 0 or None, got {size!r}")
        if self.compression not in (None, "deflate"):
            raise ConfigurationError(f"compression must be None or 'deflate', got {self.compression!r}")
        _ = self.keepalive

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ConnectionSettings:
        """Check options given by name.

        Raises:
            ConfigurationError: An option is unknown (the nearest name is suggested) or wrong.
        """
        check_names(
            options,
            _CONNECTION_NAMES,
            ClientOptions.__annotations__,
            "falrt.Client, not a connection",
        )
        return cls(**options) if options else _USUAL_SETTINGS

    @property
    def effective_pacing(self) -> Pacing:
        """The policy, however it was written."""
        return self.pacing if self.throttle_interval is None else Throttle(self.throttle_interval)

    @property
    def backoff(self) -> Backoff | None:
        """How to come back; None for not at all."""
        if isinstance(self.reconnect, Backoff):
            return self.reconnect
        return _USUAL_BACKOFF if self.reconnect else None

    @property
    def keepalive(self) -> Keepalive:
        """The pings' times, checked as a pair."""
        return Keepalive(self.ping_interval, self.ping_timeout)


def find_proxies(option: str | bool | None) -> Proxies:
    """Return the proxies of a client; with True, those that the environment names now.

    Raises:
        ConfigurationError: Not a proxy's URL.
    """
    environment: dict[str, str] = {}
    # Elsewhere the system's settings count too. What reads them takes 20 ms to import.
    if option is True and (sys.platform != "linux" or any(name in os.environ for name in PROXY_VARIABLES)):
        from urllib.request import getproxies

        environment = getproxies()
    return Proxies.of(option, environment)


def refuse_async(name: str, function: Callable[..., object]) -> None:
    """Refuse an async function where none is awaited.

    Raises:
        ConfigurationError: Names the option.
    """
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        raise ConfigurationError(
            f"{name} must be a plain function, got an async one, which would never be awaited"
        )


def check_names(
    options: Iterable[str], known: Collection[str], elsewhere: Collection[str] = (), place: str = ""
) -> None:
    """Refuse unknown option names.

    Args:
        options: Names as given.
        known: Those that may be given.
        elsewhere: Those that exist and belong elsewhere.
        place: Where those belong.

    Raises:
        ConfigurationError: Names the option, and where it belongs or which one was probably meant.
    """
    for name in options:
        if name in known:
            continue
        if name in elsewhere:
            raise ConfigurationError(f"option {name!r} belongs to {place}: give it there")
        raise ConfigurationError(f"option {name!r} is unknown: {_meant(name, known)}")


def _meant(name: str, known: Collection[str]) -> str:
    ours = [each for each in NAMES_ELSEWHERE.get(name, ()) if each in known]
    if ours:
        return f"falrt calls it {' or '.join(map(repr, ours))}{VALUES_ELSEWHERE.get(name, '')}"
    # As the JavaScript client writes them: maxBuffering.
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    near = difflib.get_close_matches(snake, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(sorted(known))}"


def check_seconds(name: str, value: object, *, optional: bool) -> None:
    """Refuse what is not a length of time in seconds.

    Raises:
        ConfigurationError: Names the option.
    """
    check_number(name, value, SECONDS, optional=optional)


def check_pacing(value: object) -> None:
    """Refuse what is no policy, a policy's class included.

    Raises:
        ConfigurationError: Shows it.
    """
    if isinstance(value, type) or not callable(getattr(value, "start", None)):
        raise ConfigurationError(f"pacing must be a policy such as falrt.pacing.Latest(), got {value!r}")


def check_function(name: str, value: object) -> None:
    """Refuse what is neither a function nor None.

    Raises:
        ConfigurationError: Names the option.
    """
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} must be a function, got {type(value).__name__}")


# Made and checked once, for those who give no options of their own.
_CONNECTION_NAMES: Final = tuple(each.name for each in fields(ConnectionSettings))
_USUAL_BACKOFF: Final = Backoff()
_USUAL_SETTINGS: Final = ConnectionSettings()
