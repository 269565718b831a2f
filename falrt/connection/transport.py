"""One WebSocket: how it is opened, written to without waiting, and what its end means.

The only module besides ``testing`` that knows the ``websockets`` library. Loaded when the first connection opens,
because importing that library takes longer than importing all of falrt.

Compression is off unless asked for: JPEG does not shrink, and permessage-deflate makes a 60 KB round trip
sixteen times slower on both sides.
"""

from __future__ import annotations

import asyncio
import logging
import ssl as tls
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    PayloadTooBig,
    ProxyError,
    WebSocketException,
)
from websockets.frames import Frame as DataFrame
from websockets.frames import Opcode
from websockets.protocol import Event, State

from falrt.auth.threads import run_in_thread
from falrt.exceptions import (
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    DecodeError,
    HandshakeError,
    MissingDependencyError,
    ServerError,
    UnauthorizedError,
)
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.wire.endpoint import redact
from falrt.typing import Frame

__all__ = ["Socket", "default_ssl_context", "loss_of_close", "loss_of_opening", "open_socket"]

# A server that has nothing more to say acknowledges a close within a round trip.
CLOSE_TIMEOUT: Final = 2.0
_TOO_BIG: Final = 1009
_OUR_COMPLAINTS: Final = frozenset({1002, 1007, _TOO_BIG})


_DATA: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


MessageTaker: TypeAlias = Callable[[Any, bool], None]
"""Takes a message's bytes, or a buffer that holds them, and whether they are text."""


def _nothing(*_: object) -> None:
    """Take no notice."""


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """Keeps the library's wire log off: its DEBUG lines hold the token in the URL and the pictures' bytes."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's own name
        """Say no to DEBUG and INFO, whatever the root logger says."""
        return level > logging.INFO and self.logger.isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Leave the message as it is."""
        return msg, kwargs


class Socket(ClientConnection):
    """A client socket that is written to without waiting and tells when bytes come in."""

    # Beside the library's own attributes: one more of those, and each socket's dict grows by a kilobyte and a half.
    __slots__ = (
        "_early",
        "_ending",
        "_fragments",
        "_fragments_text",
        "_on_lost",
        "_on_message",
        "heard_at",
        "on_writable",
        "reading_paused",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Monotonic instant of the last bytes from the peer: traffic of any kind, half a frame included, is life.
        self.heard_at = 0.0
        # Called when a full write buffer has emptied.
        self.on_writable: Callable[[], None] | None = None
        # Called with each message, and whether it is text, in the turn of the loop in which its last bytes came: a
        # task that waits in recv() costs another turn. Messages before :meth:`listen` are kept for it.
        self._on_message: MessageTaker | None = None
        # Called once, when the line has gone.
        self._on_lost: Callable[[], None] | None = None
        # What came with the handshake, in the same bytes.
        self._early: list[tuple[Any, bool]] | None = None
        # The beginning of a message that comes in several frames, in one buffer: a list of them would hold an object
        # for each byte, and ``max_size`` counts bytes only. Its first frame says whether it is text.
        self._fragments: bytearray | None = None
        self._fragments_text = False
        # Cuts the line when the closing handshake has begun and the peer does not end it.
        self._ending: asyncio.TimerHandle | None = None
        # Whether we ourselves take nothing from the network, because what came is not used up.
        self.reading_paused = False

    @property
    def writable(self) -> bool:
        """Whether a frame may be written: the socket is open, and the transport has room."""
        return not self.paused and self.protocol.state is State.OPEN

    @property
    def unwritten(self) -> int:
        """Bytes on this machine that the peer's has not acknowledged yet."""
        return self.transport.get_write_buffer_size() + _held_by_the_kernel(self.transport)

    @property
    def gone(self) -> bool:
        """Whether the line has gone; ``close_exc`` says how."""
        return self.connection_lost_waiter.done()

    def listen(self, on_message: MessageTaker, on_lost: Callable[[], None]) -> None:
        """Hand over each message from now on, those first that came with the handshake."""
        early, self._early = self._early, None
        self._on_message, self._on_lost = on_message, on_lost
        for message in early or ():
            on_message(*message)

    def ignore(self) -> None:
        """Hand over nothing any more."""
        self._on_message = self._on_lost = _nothing
        self.pause_reading(False)

    def pause_reading(self, pause: bool) -> None:
        """Take nothing from the network for a while, so that the server is slowed down, or go on."""
        if pause is not self.reading_paused:
            self.reading_paused = pause
            (self.transport.pause_reading if pause else self.transport.resume_reading)()

    def write(self, frame: Frame) -> None:
        """Hand a frame to the transport of a socket that is :attr:`writable`."""
        if isinstance(frame, str):
            self.protocol.send_text(frame.encode())
        else:
            self.protocol.send_binary(frame)
        self.send_data()

    def probe(self) -> None:
        """Send a ping; whatever comes back counts as life."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_ping(b"falrt")
            self.send_data()

    def data_received(self, data: bytes) -> None:
        """Note the sign of life, then go on as usual."""
        self.heard_at = max(self.heard_at, self.loop.time())
        super().data_received(data)
        # A close frame came, or something that ends the socket: all that is missing is the end of the line. The
        # library waits for that only where somebody closes or sends, and what came behind it is thrown away.
        if self._ending is None and self.protocol.state is State.CLOSING:
            self._ending = self.loop.call_later(CLOSE_TIMEOUT, self.transport.abort)
            # Until then nothing more is expected: a watch that is shorter would take the peer for dead.
            self.heard_at += CLOSE_TIMEOUT

    def process_event(self, event: Event) -> None:
        """Assemble messages here; the rest goes on as usual."""
        if self.response is None or not isinstance(event, DataFrame) or event.opcode not in _DATA:
            super().process_event(event)
        elif event.fin and self._fragments is None:
            self._message(event.data, event.opcode is Opcode.TEXT)
        else:
            if self._fragments is None:
                self._fragments, self._fragments_text = bytearray(), event.opcode is Opcode.TEXT
            self._fragments += event.data
            if event.fin:
                data, self._fragments = self._fragments, None
                self._message(data, self._fragments_text)

    def _message(self, data: Any, text: bool) -> None:
        if self._on_message is not None:
            self._on_message(data, text)
        elif self._early is None:
            self._early = [(data, text)]
        else:
            self._early.append((data, text))

    def connection_lost(self, exc: Exception | None) -> None:
        """Go on as usual, then tell."""
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        super().connection_lost(exc)
        if self._on_lost is not None:
            self._on_lost()

    def resume_writing(self) -> None:
        """Go on as usual, then let waiting frames leave."""
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    async def close_politely(self) -> None:
        """Close with code 1000, and cut the line where the peer does not answer."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.close()
        except (TimeoutError, OSError, WebSocketException):
            pass  # it is being thrown away; how it ends no longer matters
        finally:
            self.transport.abort()

    def cut(self) -> None:
        """Drop the line at once: the peer is dead, or there is no time."""
        self.transport.abort()


def _held_by_the_kernel(transport: asyncio.Transport) -> int:
    """Return how many bytes of a connection the kernel still has to send; 0 where it does not say."""
    try:
        import fcntl
        import termios

        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (ImportError, AttributeError, OSError, ValueError):  # another system, or the line has gone
        return 0
    return int.from_bytes(answer, sys.byteorder)


class _Connect(connect):
    """Never follows a redirect: the credential in the URL or header is meant for one host only."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_socket(
    url: str,
    *,
    headers: dict[str, str],
    ssl: tls.SSLContext | None,
    open_timeout: float | None,
    max_size: int | None,
    proxy: str | bool | None,
    compression: str | None,
    user_agent: str,
) -> Socket:
    """Open a WebSocket.

    Raises:
        Exception: As the library raises it; :func:`loss_of_opening` says what it means.
    """
    socket = await _Connect(
        url,
        additional_headers=headers,
        user_agent_header=user_agent,
        compression=compression,
        proxy=proxy or None,
        ssl=ssl,
        open_timeout=open_timeout,
        # Our own watch counts every byte as life and tells a stalled loop from a dead peer; the library's does neither.
        ping_interval=None,
        close_timeout=CLOSE_TIMEOUT,
        max_size=max_size,
        logger=_Quiet(logging.getLogger("falrt.transport"), {}),
        create_connection=Socket,
    )
    assert isinstance(socket, Socket)  # noqa: S101 - what create_connection makes
    # Nobody looks at them again: three kilobytes a connection, and the credential is among them.
    socket.request = None
    if socket.response is not None:
        socket.response.headers.clear()
    return socket


def loss_of_close(exc: ConnectionClosed, max_size: int | None) -> Loss:
    """Say what the end of an open socket means."""
    received, sent = exc.rcvd, exc.sent
    if (
        sent is not None
        and sent.code in _OUR_COMPLAINTS
        and not (received is not None and exc.rcvd_then_sent)
    ):
        size = 0
        if sent.code == _TOO_BIG:
            size = _size_of(exc.__cause__)
            shown = f" of {size} bytes," if size else ""
            text = f"the server sent a frame{shown} larger than max_size={max_size} bytes: raise max_size to receive it"
        else:
            text = f"the server broke the WebSocket protocol: {redact(sent.reason) or 'no detail'}"
        return Loss(Cause.BAD_FRAME, sent.code, reason=text, error=DecodeError(text, size=size))
    if received is None:
        cause = exc.__cause__
        return Loss(Cause.CLOSED, reason=f"the line was cut: {cause}" if cause else "the line was cut")
    reason = redact(received.reason)  # a gateway may quote the URL, which holds the token
    if received.code == _TOO_BIG:
        error = ServerError("MESSAGE_TOO_BIG", reason or "the server takes smaller frames only")
        return Loss(Cause.SERVER_FAULT, received.code, reason=reason, error=error)
    return Loss(Cause.CLOSED, received.code, reason=reason)


def _size_of(cause: BaseException | None) -> int:
    """Return the bytes of a message that was too big, as far as its frames tell; 0 where they do not."""
    if not isinstance(cause, PayloadTooBig) or cause.size is None:
        return 0  # unpacking was stopped at the limit
    return cause.size + (cause.current_size or 0)


def loss_of_opening(exc: Exception, app: str, where: str) -> Loss:
    """Say what a failed opening means. ``where`` names the host, for messages."""
    if isinstance(exc, InvalidStatus):
        return _loss_of_status(exc, app, where)
    if isinstance(exc, TimeoutError):
        timeout = ConnectTimeoutError(f"no handshake from {where} in time (open_timeout)")
        return Loss(Cause.TIMEOUT, error=_from(timeout, exc))
    if isinstance(exc, tls.SSLCertVerificationError):
        refused = ConnectError(f"the certificate of {where} cannot be trusted: {exc.verify_message}")
        return Loss(Cause.SETUP, error=_from(refused, exc))
    if isinstance(exc, InvalidMessage | EOFError) or (
        isinstance(exc, InvalidHandshake) and not isinstance(exc, ProxyError)
    ):
        broken = HandshakeError(
            f"{where} did not answer the upgrade as a WebSocket server: {redact(str(exc))}"
        )
        return Loss(Cause.HANDSHAKE, error=broken)
    if isinstance(exc, OSError):
        return Loss(Cause.NETWORK, error=_from(ConnectError(f"cannot reach {where}: {exc}"), exc))
    if isinstance(exc, ImportError) and "python-socks" in str(exc):
        absent = MissingDependencyError("python-socks", "socks", "a SOCKS proxy")
        return Loss(Cause.SETUP, error=_from(absent, exc))
    if isinstance(exc, ProxyError | InvalidProxy | InvalidURI):
        # The library's texts may hold the whole URL, token included.
        wrong = ConfigurationError(f"cannot connect to {where}: {redact(str(exc))}")
        return Loss(Cause.SETUP, error=wrong)
    said = repr(exc)
    odd = ConnectError(f"cannot connect to {where}: {redact(said)}")
    # A cause is shown in tracebacks: one that holds the credential is left out.
    return Loss(Cause.SETUP, error=_from(odd, exc) if redact(said) == said else odd)


def _loss_of_status(exc: InvalidStatus, app: str, where: str) -> Loss:
    response = exc.response
    status = response.status_code
    said = redact(bytes(response.body or b"")[:200].decode(errors="replace").strip())
    if status in (401, 403):
        refused = UnauthorizedError(
            f"{where} refused the credential for {app!r} with HTTP {status}"
            + (f": {said}" if said else "")
            + "; is the key valid, and may it use this app?",
            status=status,
        )
        return Loss(Cause.UNAUTHORIZED, status=status, error=refused)
    text = f"{where} answered the upgrade for {app!r} with HTTP {status}"
    if 300 <= status < 400:
        text += "; redirects are not followed, because the credential is meant for one host: set base_url"
    elif said:
        text += f": {said}"
    loss = Loss(Cause.HANDSHAKE, status=status, error=HandshakeError(text, status=status))
    retry_after = response.headers.get("Retry-After", "")
    if retry_after.isdigit():
        return Loss(loss.cause, status=status, error=loss.error, retry_after=float(retry_after))
    return loss


def _from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


async def default_ssl_context() -> tls.SSLContext:
    """Build the default TLS context in a thread: reading the certificates takes 20 ms."""
    return await run_in_thread(_ssl_context)


def _ssl_context() -> tls.SSLContext:
    context = tls.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        # Python builds without a system store (python.org's for macOS): use the one that httpx brings.
        import certifi

        context.load_verify_locations(certifi.where())
    return context
