"""What one connection needs of the world: an endpoint, its types and codec, and a way to open sockets.

Everything here is asked by the connection; nothing here knows of queues or retries.
"""

from __future__ import annotations

import asyncio
import inspect
import ssl as tls
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic
from urllib.parse import urlsplit

from falrt.codecs import Msgpack
from falrt.exceptions import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    DecodeError,
    EncodeError,
    FalrtError,
    MissingDependencyError,
    ResponseValidationError,
    TokenRequestError,
)
from falrt.models import plain
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.wire.endpoint import Endpoint, Hosts
from falrt.protocol.wire.messages import OWN_ID_PREFIX
from falrt.protocol.wire.proxies import Proxies
from falrt.tasks import is_own_cancellation
from falrt.typing import Codec, Frame, InputT, ModeName, OutputT
from falrt.version import __version__

if TYPE_CHECKING:
    from falrt.auth import Key, Token, TokenCache
    from falrt.connection.framing import Received
    from falrt.connection.transport import Socket
    from falrt.models.spec import RealtimeModel
    from falrt.options import ConnectionSettings

__all__ = ["Link"]

USER_AGENT = f"falrt/{__version__} (python)"


class Link(Generic[InputT, OutputT]):
    """The way to one app."""

    __slots__ = (
        "_codec", "_echoes", "_endpoint", "_hosts", "_json", "_key", "_on_close", "_proxies", "_reads_buffers",
        "_settings", "_spec", "_ssl", "_token", "_tokens", "app", "full_path", "mode",
    )  # fmt: skip

    def __init__(
        self,
        app: str | RealtimeModel[InputT, OutputT],
        settings: ConnectionSettings,
        *,
        hosts: Hosts,
        key: Key | None,
        tokens: TokenCache | None,
        ssl_context: Callable[[], Awaitable[tls.SSLContext]],
        proxies: Proxies,
        on_close: Callable[[], Awaitable[None]],
    ) -> None:
        spec = None if isinstance(app, str) else app
        self._endpoint = Endpoint.parse(app if isinstance(app, str) else app.app)
        path = settings.path if settings.path is not None else (spec.path if spec else None)
        self.app = self._endpoint.app_id
        self.full_path = self._endpoint.realtime_path(path)
        self.mode: ModeName = settings.mode if settings.mode is not None else (spec.mode if spec else "unary")
        self._spec, self._settings, self._hosts = spec, settings, hosts
        self._codec: Codec = settings.codec
        # A codec may say that it has no bytes, as JSON: inputs are then dumped with base64 text.
        self._json = not getattr(settings.codec, "carries_bytes", True)
        # Ours read the socket's own buffer; for others it is copied into the bytes that they expect.
        self._reads_buffers = type(settings.codec) is Msgpack
        self._echoes = spec is not None and spec.echoes_request_id
        # Either the key goes in the header, or tokens are fetched.
        self._key, self._tokens = key, tokens
        self._token: Token | None = None
        self._ssl, self._proxies, self._on_close = ssl_context, proxies, on_close

    @property
    def renewable(self) -> bool:
        """Whether a refused credential can be replaced by a new one."""
        return self._tokens is not None

    @property
    def echoes(self) -> bool:
        """Whether this app's answers may name their inputs."""
        return self._echoes

    # --- messages and frames

    def is_heavy(self, value: Any) -> bool:
        """Whether :meth:`dump` would hold up the event loop."""
        if self._spec is not None:
            return self._spec.is_heavy(value)
        # msgpack takes bytes of any length as they are; only base64 takes its time.
        return self._json and type(value) is dict and any(map(plain.is_heavy, value.values()))

    def dump(self, value: Any) -> tuple[Any, str | None]:
        """Check an input; return its message and the id that its answer may carry.

        Raises:
            ConfigurationError, pydantic.ValidationError: The input is wrong.
        """
        try:
            if self._spec is not None:
                message = self._spec.dump(value, json=True) if self._json else self._spec.dump(value)
            elif type(value) is dict:
                message = plain.plain_map(value, json=self._json)
            elif value is None and self.mode == "unary":
                # nil ends the input of an app: it would answer nothing, and look like a model that is starting.
                raise ConfigurationError("an input must not be None: to send nothing, skip it")
            else:
                message = value  # an untyped app of fal's SDK takes any value
        except RecursionError:
            raise ConfigurationError("the input holds itself, or is nested too deep to be sent") from None
        if type(message) is not dict:
            return message, None
        request_id = message.get("request_id")
        if self._echoes and not request_id:
            request_id = message["request_id"] = f"{OWN_ID_PREFIX}{uuid.uuid4().hex}"
        return message, request_id if type(request_id) is str and request_id else None

    def encode(self, message: Any) -> Frame:
        """Return the message's frame; every failure is an ``EncodeError``, or a ``ConfigurationError``."""
        try:
            return self._codec.encode(message)
        except (EncodeError, ConfigurationError):
            raise
        except Exception as exc:
            # A user's codec may raise anything; its text could hold the picture.
            raise EncodeError(f"codec.encode failed with {type(exc).__name__}") from exc

    def decode(self, frame: Received) -> Any:
        """Return the frame's message; every failure is a ``DecodeError``."""
        try:
            if not isinstance(frame, str | bytes) and not self._reads_buffers:
                frame = bytes(frame)
            return self._codec.decode(frame)  # type: ignore[arg-type]  # a buffer where the codec reads it
        except DecodeError:
            raise
        except Exception as exc:
            # A user's codec may raise anything; its text could hold the frame.
            raise DecodeError(f"codec.decode failed with {type(exc).__name__}", size=len(frame)) from exc

    def load(self, message: Any) -> OutputT:
        """Return a result in the model's output type, or as it is for a plain id.

        Raises:
            ResponseValidationError: It does not fit, or a validator of the type failed.
        """
        if self._spec is None:
            return message  # type: ignore[no-any-return]  # a plain id promises nothing about its results
        try:
            return self._spec.load(message)
        except FalrtError:
            raise
        except Exception as exc:
            # A validator may raise anything; pydantic makes errors of its own of a few kinds only.
            text = f"the result of {self.app} cannot be loaded: {type(exc).__name__}: {str(exc)[:200]}"
            raise ResponseValidationError(text, payload=message) from exc

    @property
    def has_encoder(self) -> bool:
        """Whether a function of the user encodes inputs."""
        return self._settings.encode_message is not None

    @property
    def has_decoder(self) -> bool:
        """Whether a function of the user decodes results."""
        return self._settings.decode_message is not None

    async def encode_by_hook(self, message: Any) -> Frame:
        """Return what ``encode_message`` makes of a message; failures are those of :meth:`encode`."""
        frame: Frame = await _hooked(
            self._settings.encode_message, message, "encode_message", EncodeError, ConfigurationError
        )
        return frame

    async def decode_by_hook(self, frame: Frame) -> Any:
        """Return what ``decode_message`` makes of a frame; every failure is a ``DecodeError``."""
        return await _hooked(self._settings.decode_message, frame, "decode_message", DecodeError)

    # --- sockets

    async def open(self) -> Socket:
        """Open a socket, with a token fetched if need be.

        Raises:
            Exception: :meth:`loss_of_opening` says what it means.
        """
        from falrt.connection.dialing import open_socket

        settings = self._settings
        async with asyncio.timeout(settings.open_timeout) as limit:
            headers = {}
            if self._tokens is not None:
                self._token = await self._get_token(self._tokens, limit)
            elif self._key is not None:
                headers["Authorization"] = self._key.header
            url = self._hosts.realtime_url(
                self.full_path,
                token=None if self._token is None else self._token.value,
                max_buffering=settings.max_buffering,
            )
            proxy = self._proxies.to(url)
            return await open_socket(
                url,
                headers=headers,
                ssl=await self._ssl() if self._hosts.secure or (proxy and proxy.scheme == "https") else None,
                max_size=settings.max_size,
                proxy=proxy,
                compression=settings.compression,
                user_agent=USER_AGENT,
            )

    async def _get_token(self, tokens: TokenCache, limit: asyncio.Timeout) -> Token:
        custom_path = self._settings.path is not None
        try:
            return await tokens.get(self.full_path, self._endpoint.alias, custom_path=custom_path)
        except asyncio.CancelledError as exc:
            if not limit.expired():
                raise
            # Said here, where it is known what was waited for: no handshake had begun.
            raise ConnectTimeoutError(f"{tokens.source} gave no token in time (open_timeout)") from exc

    def loss_of_opening(self, exc: Exception) -> Loss:
        """Say what a failed :meth:`open` means."""
        if isinstance(exc, TokenRequestError):
            return Loss(Cause.TOKEN, status=exc.status, error=exc, passing=exc.passing)
        if isinstance(exc, ConnectError):
            # The way to the token, which passes like that to the app.
            if isinstance(exc.__cause__, tls.SSLCertVerificationError):
                return Loss(Cause.SETUP, error=exc)
            return Loss(Cause.TIMEOUT if isinstance(exc, TimeoutError) else Cause.NETWORK, error=exc)
        if isinstance(exc, AuthenticationError | ConfigurationError | MissingDependencyError):
            return Loss(Cause.SETUP, error=exc)
        if isinstance(exc, FalrtError):
            return Loss(Cause.TOKEN, error=exc)
        from falrt.connection.losses import loss_of_opening

        return loss_of_opening(exc, self.app, urlsplit(self._hosts.socket).netloc)

    def refused(self) -> None:
        """The gateway refused the present token: the next opening needs another."""
        if self._tokens is not None and self._token is not None:
            self._tokens.refused(self.full_path, self._token)

    def begin(self) -> None:
        """Keep the token fresh from now on."""
        if self._tokens is not None:
            self._tokens.in_use(self.full_path)

    def end(self) -> None:
        """The token need not be kept fresh any more."""
        if self._tokens is not None:
            self._tokens.release(self.full_path)

    async def close(self) -> None:
        """The connection has ended for good."""
        await self._on_close()


async def _hooked(
    hook: Callable[[Any], Any] | None,
    value: Any,
    name: str,
    kind: type[EncodeError | DecodeError],
    *as_they_are: type[FalrtError],
) -> Any:
    """Call a user's encoder or decoder; whatever else it raises becomes an error of the kind that is expected.

    An error of ours too: from a hook it says nothing about the connection, which would take it at its word.
    """
    assert hook is not None  # noqa: S101 - asked only where there is one
    try:
        result = hook(value)
        return await result if inspect.isawaitable(result) else result
    except (kind, *as_they_are):
        raise
    except asyncio.CancelledError as exc:
        if is_own_cancellation():
            raise
        # Something that the hook waited for was cancelled, not the hook.
        raise kind(f"{name} failed: what it waited for was cancelled") from exc
    except Exception as exc:
        raise kind(f"{name} failed with {type(exc).__name__}: {str(exc)[:200]}") from exc
