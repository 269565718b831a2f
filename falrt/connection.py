"""RealtimeConnection: the asyncio shell around RealtimeProtocol.

One supervisor task (:meth:`RealtimeConnection._run`) opens a socket, reads it until it is lost, and begins again;
it alone declares a socket lost. One timer serves every deadline. Writing never waits: a frame is handed to the
transport by whoever made it due, and a full transport calls back when it has emptied. All decisions are the
protocol's; what happens next is always :meth:`RealtimeConnection._react`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self

from falrt.callbacks import Callbacks, blame
from falrt.closing import completed
from falrt.exceptions import (
    ConcurrencyError,
    ConfigurationError,
    ConnectionClosedOK,
    DecodeError,
    EncodeError,
    FalrtError,
    RequestTimeout,
)
from falrt.inbox import Inbox
from falrt.protocol.events import Answered, Ended, Event, Failed, Noticed, Problem, Pushed, State, Stats
from falrt.protocol.in_flight import Input, Kind, Outcome
from falrt.protocol.messages import control_in
from falrt.protocol.modes import mode_named
from falrt.protocol.realtime import RealtimeProtocol
from falrt.protocol.retry import Cause, Loss
from falrt.protocol.settings import Settings
from falrt.typing import Frame, InputT, OutputT
from falrt.worker import Worker

if TYPE_CHECKING:
    from falrt.link import Link
    from falrt.options import ConnectionSettings
    from falrt.protocol.pacing import Pacing
    from falrt.replies import Replies, Reply
    from falrt.stream import Inputs, Stream
    from falrt.websocket import Socket

__all__ = ["RealtimeConnection"]

logger = logging.getLogger("falrt.connection")

# uvicorn's limit, which fal's server SDK keeps: a larger frame costs the connection.
# Messages that wait to be decoded before the server is held up.
UNREAD_MAX: Final = 16
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024


class RealtimeConnection(Generic[InputT, OutputT]):
    """One logical connection to a realtime app; sockets come and go under it.

    Made by :func:`falrt.connect` or :meth:`falrt.Client.connect`; use it with ``async with``, or ``await`` it and
    :meth:`close` it yourself. All methods belong to the event loop in which it was opened.

    Cancelling any call leaves the connection usable.
    """

    def __init__(self, link: Link[InputT, OutputT], settings: ConnectionSettings) -> None:
        self._link = link
        self._settings = settings
        self._protocol_settings = Settings(
            app=link.app,
            mode=mode_named(link.mode),
            pacing=settings.effective_pacing,
            backoff=settings.backoff,
            lazy=settings.lazy,
            idle_close=settings.idle_close,
            warmup_timeout=settings.warmup_timeout,
            request_timeout=settings.request_timeout,
            keepalive=settings.keepalive,
            renewable=link.renewable,
        )
        # Set by the first use, in the loop that the connection then belongs to.
        self._loop: asyncio.AbstractEventLoop
        self._protocol: RealtimeProtocol
        self._task: asyncio.Task[None] | None = None
        self._callbacks: Callbacks | None = None
        # The one closing of this connection; whoever closes waits for it.
        self._closing: asyncio.Task[None] | None = None
        # A closer was cancelled: lines are cut instead of closed.
        self._hurried = False
        # What is about to end: polite closings of sockets that are no longer used, tasks of streams that were left.
        self._farewells: dict[asyncio.Task[None], Socket | None] = {}
        self._socket: Socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        # The supervisor's alarm clock, while it has no socket.
        self._alarm: asyncio.Future[None] | None = None
        # Those who wait for some state of the connection: open, room, quiet, flushed.
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        # What recv() hands out.
        self._inbox = Inbox()
        self._receiving = False
        # Messages are seen to in the turn of the loop in which they come, unless a decoder may wait or a slow
        # consumer holds the server up.
        self._at_once = settings.decode_message is None and self._protocol_settings.mode.pairs
        # Messages that wait for that, and the bell that wakes the one who sees to them.
        self._unread: list[tuple[bytes, bool]] = []
        self._bell: asyncio.Future[None] | None = None
        self._waiting_read: asyncio.Timeout | None = None
        # A mistake of ours, met where nobody could be told.
        self._broken: Exception | None = None
        self._frame_size = 0
        self._stream: Stream[InputT, OutputT] | None = None
        # The newest answer to a send or in a stream, for latest().
        self._newest: Answered | None = None
        # Encoding in a thread or by an async hook must not let a later input overtake.
        self._encoding = 0
        self._encode_turns: asyncio.Lock | None = None
        self._worker: Worker | None = None

    def __repr__(self) -> str:
        return f"<RealtimeConnection {self._link.app} {self.state}>"

    # --- opening and closing

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def _start(self) -> None:
        if self._task is not None or self._closing is not None:
            raise ConcurrencyError("this connection was used already: call connect() again for another")
        self._loop = asyncio.get_running_loop()
        self._protocol = RealtimeProtocol(self._protocol_settings, self._loop.time(), random.random)
        self._task = self._loop.create_task(self._run(), name=f"falrt {self._link.app}")
        settings = self._settings
        if settings.on_result is not None or settings.on_error is not None:
            self._callbacks = Callbacks(
                self._link,
                settings.on_result,
                settings.on_error,
                ended=self._final_error,
                returned=self._wake_watchers,
            )
            self._callbacks.start()
        if self._settings.lazy:
            return
        try:
            await self._until(lambda: self._protocol.state in (State.OPEN, State.CLOSED))
        except BaseException:
            await self._shut_down()
            raise
        if self._protocol.state is State.CLOSED:
            error = self._protocol.closed_error()
            await self._shut_down()
            raise error

    async def close(self) -> None:
        """Close the connection with code 1000; does nothing when it is closed already.

        Whoever waits on it gets a :class:`falrt.ConnectionClosedOK` whose ``unsent`` hands back the inputs that never
        left. ``await drain()`` first to let everything be answered. When it returns, no task and no socket of
        this connection is left; cancelling it cuts the line at once instead of waiting for the peer.
        """
        await self._shut_down()

    async def _shut_down(self) -> None:
        if self._task is None and self._closing is None:
            self._loop = asyncio.get_running_loop()
        own = asyncio.current_task() in self._own_tasks()
        if self._closing is None:
            self._closing = self._loop.create_task(
                self._finish(asyncio.current_task()), name=f"falrt closing {self._link.app}"
            )
        elif own:
            return  # it is being ended by the closing, which waits for it
        await completed(self._closing, self._cut)

    def _own_tasks(self) -> set[asyncio.Task[None]]:
        stream = [] if self._stream is None else self._stream.tasks
        callbacks = None if self._callbacks is None else self._callbacks.task
        return {task for task in (self._task, callbacks, *stream) if task is not None}

    async def _finish(self, closer: asyncio.Task[Any] | None) -> None:
        """End everything; a callback or a source that asked for it ends by itself."""
        if self._task is not None:
            self._protocol.close(self._loop.time())
            self._react()
        tasks = self._own_tasks() - {closer}
        for task in tasks:
            task.cancel()
        await _settle(tasks)
        await _settle(self._farewells)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._worker is not None:
            self._worker.close()
        await self._link.close()

    def _cut(self) -> None:
        """There is no time for politeness any more: drop the lines."""
        if self._hurried:
            return
        self._hurried = True
        if self._socket is not None:
            self._socket.cut()
        for farewell, socket in self._farewells.items():
            if socket is not None:
                socket.cut()  # the farewell itself may not have begun
            farewell.cancel()

    # --- sending

    async def send(self, input: InputT | Mapping[str, Any]) -> None:
        """Send one input; its answer comes from :meth:`recv`.

        The input is checked and encoded before it is queued, so a mistake shows at this line. With a pacing that
        keeps every input (``Immediate``) this waits until the input is on the socket; with the others it returns
        at once, and a newer input may take the place of this one (counted in ``stats.dropped``).

        Cancelling takes the input back if it has not left.

        Raises:
            ConfigurationError, pydantic.ValidationError: The input is wrong; nothing was sent.
            EncodeError: It cannot be put on the wire, or is larger than 16 MiB; nothing was sent.
            ConnectionClosed: The connection has ended; ``unsent`` holds the input.
        """
        item = self._prepared(input, Kind.SEND) or await self._prepare_in_turn(input, Kind.SEND)
        if item.lane.waiting and not item.lane.pacer.keeps_newest:
            await self._wait_for_room(item)
        self._submit(item)
        if item.sent_at is None and not item.lane.pacer.keeps_newest:
            await self._until_left(item)

    async def request(self, input: InputT | Mapping[str, Any], timeout: float | None = None) -> OutputT:
        """Send one input and return its own answer, never another's.

        Requests may be made from many tasks; where the app echoes no ``request_id`` they take turns. After a lost
        connection a request is sent again. Cancelling gives up the answer; the connection stays usable.

        Args:
            input: As for :meth:`send`.
            timeout: Seconds for everything, waiting for the turn and reconnecting included. Default: the
                connection's ``request_timeout``, which does not run while a cold model is starting.

        Raises:
            RequestTimeout: No answer in time.
            RequestDropped: The server surely dropped the input.
            ServerError: The app failed on this input.
            DecodeError, ResponseValidationError: The answer cannot be read, or does not fit the output type.
            ConfigurationError, EncodeError, ConnectionClosed: As for :meth:`send`.
        """
        if not self._protocol_settings.mode.pairs:
            mode = self._protocol_settings.mode.name
            raise ConfigurationError(
                f"request() needs one answer for each input, which mode {mode!r} does not give: use send() and recv()"
            )
        if timeout is not None and not timeout > 0:
            raise ConfigurationError(f"timeout must be seconds above 0 or None, got {timeout!r}")
        timeout_at = None if timeout is None else self._running().time() + timeout
        item = self._prepared(input, Kind.REQUEST) or await self._prepare_in_turn(input, Kind.REQUEST)
        item.timeout_at = timeout_at
        answer: asyncio.Future[Any] = self._loop.create_future()
        item.tag = answer
        try:
            if item.lane.waiting:
                await self._wait_for_room(item)
            self._submit(item)
            message = await answer
        finally:
            if item.outcome is None:
                self._protocol.abandon(item)
                self._react()
                _forget(answer)
            item.tag = None
        return self._link.load(message)

    async def flush(self) -> None:
        """Send what waits now, without waiting for the clock of a throttle or debounce.

        Returns when every input offered before has left, was superseded, or failed.
        """
        self._running()
        now = self._loop.time()
        self._protocol.flush(now)
        self._react()
        await self._until(lambda: self._protocol.flushed(now))

    async def drain(self, timeout: float | None = None) -> None:
        """Wait until nothing is waiting to be sent, nothing is unanswered, and the callbacks have returned.

        Raises:
            RequestTimeout: Something is still unanswered after ``timeout`` seconds. A server that silently drops
                inputs never answers them: give a timeout.
            ConnectionClosed: The connection ended with something unanswered.
        """
        self._running()
        callbacks = self._callbacks
        if callbacks is not None and asyncio.current_task() is callbacks.task:
            callbacks = None  # one of them asks: it would wait for itself

        def drained() -> bool:
            return self._protocol.quiet and (callbacks is None or callbacks.idle)

        try:
            async with asyncio.timeout(timeout):
                await self._until(lambda: drained() or self._protocol.state is State.CLOSED)
        except TimeoutError as exc:
            stats = self.stats
            raise RequestTimeout(f"{stats.in_flight} inputs are unanswered after {timeout:g} s") from exc
        if self._protocol.state is State.CLOSED and not isinstance(self._protocol.error, ConnectionClosedOK):
            raise self._protocol.closed_error()

    # --- receiving

    async def recv(self) -> OutputT:
        """Return the next result of :meth:`send`, in order of arrival.

        May be cancelled without losing a result. fal's idle TIMEOUT is not an error here: it is ridden out.

        Raises:
            ServerError, DecodeError, ResponseValidationError: Something went wrong with one input or frame; told
                once, and the connection goes on.
            QueueFullError: More than 256 results or 64 MiB were left unread; the oldest are gone.
            ConnectionClosedOK: :meth:`close` was called, or the app ended its stream.
            AuthenticationError, ConnectError, ConnectionClosedError: The connection was lost for good; told again
                by every further call.
            ConcurrencyError: Another task is in :meth:`recv`.
        """
        if self._settings.on_result is not None:
            raise ConfigurationError("results go to on_result: leave it out to use recv()")
        item = await self._next()
        if isinstance(item, Exception):
            raise item
        return self._link.load(item)

    async def __aiter__(self) -> AsyncIterator[OutputT]:
        """Yield results as :meth:`recv` returns them; ends on ``ConnectionClosedOK``."""
        while True:
            try:
                output = await self.recv()
            except ConnectionClosedOK:
                return
            yield output

    def latest(self) -> Reply[InputT, OutputT] | None:
        """Return the newest answer so far, or None before the first; for loops that poll, such as a game's.

        Takes what is unread: a later :meth:`recv` waits for a newer result.

        Raises:
            FalrtError: As :meth:`recv`, an error that nobody has been told yet.
        """
        from falrt.replies import reply_to

        self._running()
        self._inbox.discarded = 0
        while self._inbox:
            item = self._inbox.take()
            self._wake_watchers()
            if isinstance(item, Exception):
                raise item
        if self._protocol.state is State.CLOSED and not isinstance(self._protocol.error, ConnectionClosedOK):
            raise self._protocol.closed_error()
        return None if self._newest is None else reply_to(self._link, self._newest, 0)

    def stream(
        self,
        inputs: Inputs[InputT],
        pacing: Pacing | None = None,
        *,
        every: bool = False,
        gate: Callable[[Any, Any], bool] | None = None,
    ) -> Replies[InputT, OutputT]:
        """Send inputs at the model's own pace and yield a :class:`falrt.Reply` for each answer.

        The stream always sends the newest input and never builds a backlog; its last input is always answered. It
        ends with its source, passes on the source's error, and lives through reconnects.

        Args:
            inputs: An async iterable is live: it is drained as it produces, and only its newest input is kept.
                A callable, sync or async, is asked for an input when one can leave; None is the end. A sync one
                runs on the event loop: let it be quick. Any other iterable is pulled on demand, in a thread
                unless it is a list or tuple, and nothing is skipped.
            pacing: Default: the connection's own, or ``Adaptive()`` where that is ``Immediate()``.
            every: Skip nothing of a live source either; it is then pulled on demand.
            gate: ``gate(last_sent, candidate)`` says whether a live input is worth sending, such as
                :class:`falrt.media.Changed`. The one on which a changing source comes to rest is always sent.

        Raises:
            ServerError: The app failed on three inputs in a row; where nothing is skipped, on one.
            FalrtError: As :meth:`recv`.
            ConcurrencyError: A stream is running on this connection already.
        """
        from falrt.replies import Replies
        from falrt.stream import Stream

        if not self._protocol_settings.mode.pairs:
            mode = self._protocol_settings.mode.name
            raise ConfigurationError(
                f"stream() needs one answer for each input, which mode {mode!r} does not give: use send() and recv()"
            )
        self._running()
        return Replies(Stream(self, inputs, pacing, every=every, gate=gate))

    # --- what it is doing

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return State.IDLE if self._task is None else self._protocol.state

    @property
    def stats(self) -> Stats:
        """A snapshot of the figures so far."""
        return Stats() if self._task is None else self._protocol.stats(self._loop.time())

    @property
    def app(self) -> str:
        """The full path of the app, such as ``fal-ai/flux-2/klein/realtime``."""
        return self._link.full_path

    # --- inputs, on their way out

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._task is None:
            raise ConfigurationError(
                "the connection is not open: use it inside 'async with' or await it first"
            )
        return self._loop

    def _prepared(self, value: Any, kind: Kind) -> Input | None:
        """Check and encode an input if that takes no time; None where it may."""
        if self._task is None or self._protocol.error is not None:
            self._running()
            self._refuse_after_the_end(value)
        link = self._link
        if self._encoding or self._settings.encode_message is not None or link.is_heavy(value):
            return None
        message, request_id = link.dump(value)
        frame = link.encode(message)
        self._check_frame(frame)
        return Input(frame, kind, self._protocol.main, self._loop.time(), request_id, value=value)

    async def _prepare(self, value: Any, kind: Kind) -> Input:
        """Check and encode an input, off the event loop or by an async hook where that is called for."""
        return self._prepared(value, kind) or await self._prepare_in_turn(value, kind)

    async def _prepare_in_turn(self, value: Any, kind: Kind) -> Input:
        frame, request_id = await self._encode_in_turn(value, self._link.is_heavy(value))
        self._check_frame(frame)
        return Input(frame, kind, self._protocol.main, self._loop.time(), request_id, value=value)

    def _refuse_after_the_end(self, value: Any) -> None:
        if self._protocol.error is not None:
            raise self._protocol.closed_error(unsent=(value,))

    async def _encode_in_turn(self, value: Any, heavy: bool) -> tuple[Frame, str | None]:
        self._encode_turns = turns = self._encode_turns or asyncio.Lock()
        self._encoding += 1
        try:
            async with turns:
                self._refuse_after_the_end(value)
                if heavy:
                    self._worker = worker = self._worker or Worker()
                    message, request_id = await worker.run(lambda: self._link.dump(value))
                else:
                    message, request_id = self._link.dump(value)
                hook = self._settings.encode_message
                if hook is None:
                    return self._link.encode(message), request_id
                return await _hooked(hook, message, EncodeError, "encode_message"), request_id
        finally:
            self._encoding -= 1

    def _check_frame(self, frame: Any) -> None:
        if type(frame) is bytes and len(frame) <= MAX_FRAME_BYTES:
            return
        if not isinstance(frame, bytes | str):
            raise EncodeError(f"the encoder returned {type(frame).__name__}: it must return bytes or str")
        size = len(frame)
        if size > MAX_FRAME_BYTES:
            raise EncodeError(
                f"the input takes {size} bytes on the wire, above the limit of {MAX_FRAME_BYTES} (16 MiB): "
                "send a smaller or more compressed picture"
            )

    async def _wait_for_room(self, item: Input) -> None:
        size = len(item.frame)
        # Asked again after each wake-up: somebody else who waited may have taken the room.
        while not item.lane.has_room_for(size) and self._protocol.state is not State.CLOSED:
            await self._until(lambda: self._protocol.state is State.CLOSED or item.lane.has_room_for(size))

    def _submit(self, item: Input) -> None:
        now = self._loop.time()
        self._protocol.submit(item, now)
        self._pump(now)
        if item.sent_at is None or self._watchers or self._stream is not None:
            self._react(now)
        else:  # it has left, and nobody else was waiting for anything
            self._arm(now)

    async def _until_left(self, item: Input) -> None:
        """Wait until an input is on the socket; take it back if the caller gives up."""
        try:
            await self._until(lambda: item.sent_at is not None or item.outcome is not None)
        except BaseException:
            if item.sent_at is None:
                self._protocol.abandon(item)
                self._react()
            raise
        if item.outcome is Outcome.UNSENT:
            raise self._protocol.closed_error(unsent=(item.value,))

    async def _until(self, condition: Callable[[], bool]) -> None:
        if condition():
            return
        future: asyncio.Future[None] = self._loop.create_future()
        entry = (condition, future)
        self._watchers.append(entry)
        try:
            await future
        finally:
            if entry in self._watchers:
                self._watchers.remove(entry)

    # --- the supervisor

    async def _run(self) -> None:
        """Open a socket, read it until it is lost, begin again; until the protocol says that it is over."""
        protocol = self._protocol
        self._link.begin()
        try:
            while protocol.state is not State.CLOSED:
                if not protocol.wants_socket(self._loop.time()):
                    await self._sleep()
                    continue
                loss = await self._live()
                logger.info("%s: %s (code %d)", self._link.app, loss.cause.value, loss.code)
                if loss.cause is Cause.UNAUTHORIZED:
                    self._link.refused()
                protocol.lost(loss, self._loop.time())
                self._react()
        except Exception as exc:
            # A mistake of ours, or of a codec that breaks its promises: whoever waits must hear of it.
            logger.exception("%s: the connection ends by an unexpected error", self._link.app)
            protocol.leaving = Loss(Cause.SETUP, reason=f"unexpected {type(exc).__name__}", error=exc)
            protocol.lost(protocol.leaving, self._loop.time())
            self._react()
        finally:
            self._link.end()

    async def _sleep(self) -> None:
        self._arm(self._loop.time())
        self._alarm = self._loop.create_future()
        try:
            await self._alarm
        finally:
            self._alarm = None

    async def _live(self) -> Loss:
        """The life of one socket, from its opening to its loss."""
        protocol, link = self._protocol, self._link
        protocol.connecting(self._loop.time())
        self._react()
        try:
            socket = await link.open()
        except Exception as exc:
            return link.loss_of_opening(exc)
        self._socket = socket
        socket.on_writable = self._react
        protocol.opened(self._loop.time())
        logger.debug("%s: open", link.app)
        polite = False
        try:
            self._react()
            loss = await self._read(socket)
            polite = loss.cause is not Cause.SILENCE
            return loss
        finally:
            self._socket = None
            socket.on_writable = None
            socket.ignore()
            self._unread.clear()
            # Cancelled by anybody but close(), the loop is ending and waits for no farewell.
            if (polite or protocol.state is State.CLOSED) and not self._hurried:
                self._say_farewell(socket)
            else:
                socket.cut()

    async def _read(self, socket: Socket) -> Loss:
        """Wait until a socket is lost, or until the protocol gives it up; see to what cannot be seen to at once."""
        protocol = self._protocol
        socket.listen(self._arrived, self._ring)
        while protocol.leaving is None:
            if self._unread:
                with contextlib.suppress(TimeoutError):  # given up meanwhile
                    async with asyncio.timeout(None) as self._waiting_read:
                        await self._read_one(*self._unread.pop(0))
                self._waiting_read = None
                socket.pause_reading(len(self._unread) > UNREAD_MAX)
            elif self._broken is not None:
                raise self._broken
            elif socket.gone:
                return self._link.loss_of_close(socket.close_exc)
            else:
                self._bell = self._loop.create_future()
                await self._bell
        return protocol.leaving

    def _arrived(self, data: bytes | bytearray, text: bool) -> None:
        """Take a message, in the turn of the loop in which it came wherever that is possible."""
        if self._at_once:
            try:
                self._take(data, text)
            except Exception as exc:  # the transport would swallow it: the reader must raise it
                self._broken = exc
                self._ring()
            return
        self._unread.append((bytes(data), text))
        if self._socket is not None and len(self._unread) > UNREAD_MAX:
            self._socket.pause_reading(True)
        self._ring()

    def _take(self, data: bytes | bytearray, text: bool) -> None:
        now, self._frame_size = self._loop.time(), len(data)
        try:
            frame = data.decode() if text else data
            control = control_in(frame)
            message = self._link.decode(frame) if control is None else control
        except (DecodeError, UnicodeDecodeError) as exc:
            self._garbled(exc)
        else:
            self._protocol.received(message, now, self._frame_size)
        self._react(now)

    def _garbled(self, exc: DecodeError | UnicodeDecodeError) -> None:
        if isinstance(exc, UnicodeDecodeError):
            exc = DecodeError("a text frame is not UTF-8", size=len(exc.object))
        self._protocol.garbled(exc, self._loop.time(), self._frame_size)

    def _ring(self) -> None:
        """Let the reader look again; where a decoder or a consumer holds it up, only the end of the socket does."""
        if self._waiting_read is not None and self._protocol.leaving is not None:
            self._waiting_read.reschedule(self._loop.time())
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    async def _read_one(self, data: bytes, text: bool) -> None:
        protocol, loop = self._protocol, self._loop
        try:
            self._frame_size = len(data)
            frame = data.decode() if text else data
            control = control_in(frame)
            message = control if control is not None else await self._decode(frame)
        except (DecodeError, UnicodeDecodeError) as exc:
            self._garbled(exc)
        else:
            protocol.received(message, loop.time(), self._frame_size)
        self._react()
        if not protocol.settings.mode.pairs and not self._has_room():
            await self._until(self._has_room)

    def _has_room(self) -> bool:
        """Whether what comes next can be kept until somebody takes it."""
        return not (self._inbox.full or (self._callbacks is not None and self._callbacks.inbox.full))

    async def _decode(self, frame: Frame) -> Any:
        hook = self._settings.decode_message
        if hook is not None:
            return await _hooked(hook, frame, DecodeError, "decode_message")
        return self._link.decode(frame)

    def _say_farewell(self, socket: Socket) -> None:
        """Close a socket politely, beside whatever comes next."""
        task = self._loop.create_task(socket.close_politely(), name=f"falrt closing {self._link.app}")
        self._see_off(task, socket)

    def _see_off(self, task: asyncio.Task[None], socket: Socket | None = None) -> None:
        """Remember a task that is about to end: closing waits for it."""
        if not task.done():
            self._farewells[task] = socket
            task.add_done_callback(self._farewells.pop)

    # --- after anything happened

    def _react(self, now: float | None = None) -> None:
        """Do what follows from the protocol's new state: tell people, send what is due, set the timer."""
        protocol = self._protocol
        now = self._loop.time() if now is None else now
        self._pump(now)
        for event in protocol.take_events():
            self._tell(event)
        if self._watchers:
            self._wake_watchers()
        if self._stream is not None:
            self._stream.wake()
        if protocol.leaving is not None:
            self._ring()
        over, alarm = protocol.error is not None, self._alarm
        if alarm is not None and not alarm.done() and (over or protocol.wants_socket(now)):
            alarm.set_result(None)
        if over:
            self._inbox.wake()
            if self._callbacks is not None:
                self._callbacks.inbox.wake()
        self._arm(now)

    def _pump(self, now: float) -> None:
        """Write everything that may leave, as long as the transport takes it."""
        socket, protocol = self._socket, self._protocol
        if socket is None:
            return
        while protocol.waits and socket.writable and (item := protocol.take_due(now)) is not None:
            socket.write(item.frame)

    def _wake_watchers(self) -> None:
        for entry in [entry for entry in self._watchers if entry[0]()]:
            self._watchers.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)

    def _arm(self, now: float) -> None:
        """Set the one timer to the next deadline; an earlier timer is left alone, for it will set itself anew."""
        if self._timer is not None and self._protocol.undisturbed(self._timer.when()):
            return
        socket = self._socket
        # What a full socket holds up waits for room, not for time: it will say so, and a timer would spin.
        writable = socket is None or socket.writable
        deadline = self._protocol.next_deadline(now, writable=writable)
        timer = self._timer
        if timer is not None:
            if deadline is not None and timer.when() <= deadline:
                return
            timer.cancel()
            self._timer = None
        if deadline is not None and self._protocol.state is not State.CLOSED:
            self._timer = self._loop.call_at(deadline, self._on_timer, deadline)

    def _on_timer(self, deadline: float) -> None:
        self._timer = None
        # The loop's clock may be a hair behind the instant that was asked for: that must not read as "not yet".
        now = max(deadline, self._loop.time())
        protocol, socket = self._protocol, self._socket
        if socket is not None:
            # Where we ourselves have stopped reading, silence says nothing about the peer.
            protocol.heard(now if socket.reading_paused else socket.heard_at)
        protocol.tick(now)
        if socket is not None and protocol.take_ping():
            socket.probe()
        self._react(now)

    # --- telling people

    def _tell(self, event: Event) -> None:
        if type(event) is Answered:
            self._answered(event)
        else:
            self._tell_of(event)
        if self._settings.on_event is not None:
            self._show(event, self._settings.on_event)

    def _answered(self, event: Answered) -> None:
        kind, tag = event.input.kind, event.input.tag
        if kind is Kind.REQUEST:
            if not tag.done():
                tag.set_result(event.message)
        elif kind is Kind.STREAM:
            tag.answered(event)
        else:
            self._newest = event
            self._put(event.message)

    def _tell_of(self, event: Event) -> None:
        match event:
            case Failed(input, error) if input.kind is Kind.REQUEST:
                _reject(input.tag, error)
            case Failed(input, error):
                input.tag.failed(error)
            case Pushed(message):
                self._put(message)
            case Problem(error) | Ended(error):
                self._put(error)
            case Noticed(notice):
                logger.debug("%s: notice %r", self._link.app, notice.action)

    def _show(self, event: Event, on_event: Callable[[Any], object]) -> None:
        try:
            on_event(event)
        except Exception as exc:
            blame(on_event, exc)

    def _report(self, error: Exception) -> None:
        """Tell of an error that a stream lived through."""
        if self._callbacks is not None and self._settings.on_error is not None:
            self._callbacks.inbox.put(error)
        else:
            logger.warning("%s: the stream goes on after %s: %s", self._link.app, type(error).__name__, error)

    def _put(self, item: Any) -> None:
        """Give a result or an error to the callbacks where there is one for it, else to recv()."""
        failed, callbacks = isinstance(item, Exception), self._callbacks
        called_back = callbacks is not None and callbacks.takes(failed=failed)
        inbox = callbacks.inbox if callbacks is not None and called_back else self._inbox
        if inbox.full and self._protocol.settings.mode.pairs:
            # Waiting here would hold up the answers to requests: better to lose the oldest, and say so.
            inbox.discard_oldest()
        inbox.put(item, 0 if failed else self._frame_size)

    async def _next(self) -> Any:
        """Wait for the next thing to hand out. Raises what every further call raises too."""
        self._running()
        if self._receiving:
            raise ConcurrencyError("another task is waiting in recv() already: let one task receive")
        inbox = self._inbox
        self._receiving = True
        try:
            while not inbox:
                over = self._final_error() or self._protocol.session_end
                if over is not None:
                    raise over.with_traceback(None)  # told at every call: its traceback must not grow
                await inbox.wait()
        finally:
            self._receiving = False
        item = inbox.next()
        if self._watchers:
            self._wake_watchers()
        return item

    def _final_error(self) -> FalrtError | None:
        return self._protocol.closed_error() if self._protocol.state is State.CLOSED else None


async def _hooked(
    hook: Callable[[Any], Any], value: Any, kind: type[EncodeError | DecodeError], name: str
) -> Any:
    """Call a user's encoder or decoder; whatever it raises becomes a CodecError."""
    try:
        result = hook(value)
        return await result if inspect.isawaitable(result) else result
    except FalrtError:
        raise
    except Exception as exc:
        raise kind(f"{name} failed with {type(exc).__name__}: {str(exc)[:200]}") from exc


def _forget(future: asyncio.Future[Any]) -> None:
    """Nobody will look at it: an error that came in the turn of a cancellation is not worth a warning."""
    if not future.cancel() and not future.cancelled():
        future.exception()


async def _settle(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait until they have ended, however they end."""
    tasks = set(tasks)
    if tasks:
        await asyncio.wait(tasks)


def _reject(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
