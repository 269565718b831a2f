"""RealtimeConnection: what users send to and receive from.

The sockets under it come and go in ``supervisor.py``, which follows the decisions of ``protocol/realtime.py``; inputs
become frames in ``encoding.py``; results and errors find who waits for them in ``delivery.py``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from falrt.connection.delivery import Delivery
from falrt.connection.inside import Inside
from falrt.connection.supervisor import Supervisor
from falrt.connection.translation import Encoder
from falrt.exceptions import (
    ConcurrencyError,
    ConfigurationError,
    ConnectionClosedOK,
    FalrtError,
    RequestTimeout,
)
from falrt.options import check_seconds
from falrt.protocol.endings import request_timeout
from falrt.protocol.events import Answered, State, Stats
from falrt.protocol.inputs import Input, Kind, Outcome
from falrt.protocol.realtime import RealtimeProtocol
from falrt.protocol.settings import Settings
from falrt.protocol.wire.modes import mode_named
from falrt.tasks import begin, completed, settle
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.connection.opening import Link
    from falrt.connection.replies import Replies, Reply
    from falrt.connection.stream import Inputs, Stream
    from falrt.options import ConnectionSettings
    from falrt.protocol.pacing.policies import Pacing

__all__ = ["RealtimeConnection"]

T = TypeVar("T")


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
        # Made by the first use, in the loop that the connection then belongs to.
        self._supervisor: Supervisor | None = None
        self._delivery: Delivery
        # The one closing of this connection; whoever closes waits for it.
        self._closing: asyncio.Task[None] | None = None
        self._encoder = Encoder(link)
        self._stream: Stream[InputT, OutputT] | None = None
        self.inside = Inside()

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
        if self._supervisor is not None or self._closing is not None:
            raise ConcurrencyError("this connection was used already: call connect() again for another")
        protocol = RealtimeProtocol(self._protocol_settings, asyncio.get_running_loop().time(), random.random)
        self._delivery = delivery = Delivery(self._link, self._settings, protocol)
        self._supervisor = supervisor = Supervisor(
            self._link, protocol, tell=delivery.tell, ended=delivery.wake, has_room=delivery.has_room
        )
        supervisor.start()
        self.inside.context().run(delivery.start, supervisor.look)
        if self._settings.lazy:
            return
        try:
            await supervisor.until(lambda: protocol.state in (State.OPEN, State.CLOSED))
        except BaseException:
            await self._shut_down()
            raise
        if protocol.state is State.CLOSED:
            error = protocol.closed_error()
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
        if self._closing is None:
            self._closing = begin(self._finish(), name=f"falrt closing {self._link.app}")
        elif self.inside.is_here:
            return  # it is being ended by the closing, which waits for it
        await completed(self._closing, self._cut)

    async def _finish(self) -> None:
        """End everything; where a callback or a source asked for it, those end by themselves."""
        supervisor = self._supervisor
        try:
            if supervisor is not None:
                supervisor.close()
        finally:
            users = self._tasks_of_users()
            if supervisor is not None:
                tasks = {supervisor.task}
                if not self.inside.is_here:
                    tasks |= users
                    if self._delivery.callbacks is not None:
                        self._delivery.callbacks.stop()
                for task in tasks:
                    task.cancel()
                await settle(tasks)
                await supervisor.settled(apart=users - tasks)
            self._encoder.close()
            await self._link.close()

    def _tasks_of_users(self) -> set[asyncio.Task[None]]:
        """Tasks in which the user's functions run."""
        if self._supervisor is None:
            return set()
        stream = [] if self._stream is None else self._stream.tasks
        callbacks = self._delivery.callbacks
        return {*stream} if callbacks is None or callbacks.task is None else {callbacks.task, *stream}

    def _cut(self) -> None:
        """There is no time for politeness any more: drop the lines."""
        if self._supervisor is not None:
            self._supervisor.cut()

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
        supervisor = self._usable(input)
        item = self._prepared(supervisor, input, Kind.SEND) or await self._prepared_in_turn(input, Kind.SEND)
        lane = item.lane
        if lane.waiting and not lane.pacer.keeps_newest:
            await _room_for(item, supervisor)
        supervisor.submit(item)
        if item.sent_at is None and not lane.pacer.keeps_newest:
            await _left(item, supervisor)

    async def request(
        self, input: InputT | Mapping[str, Any], timeout: float | None = None, *, resend: bool = True
    ) -> OutputT:
        """Send one input and return its own answer, never another's.

        Requests may be made from many tasks; where the app echoes no ``request_id`` they take turns. A request that
        the server dropped, or whose connection was lost, is sent again until its timeout. Cancelling gives up the
        answer; the connection stays usable.

        Args:
            input: As for :meth:`send`.
            timeout: Seconds for everything, waiting for the turn and reconnecting included. Default: the
                connection's ``request_timeout``, which does not run while a cold model is starting.
            resend: False sends it only once, for an input that must not be worked on twice.

        Raises:
            RequestTimeout: No answer in time.
            RequestDropped: With ``resend=False``: the server dropped the input, or the connection was lost.
            ServerError: The app failed on this input.
            DecodeError, ResponseValidationError: The answer cannot be read, or does not fit the output type.
            ConfigurationError, EncodeError, ConnectionClosed: As for :meth:`send`.
        """
        self._check_pairs("request()")
        check_seconds("timeout", timeout, optional=True)
        supervisor = self._usable(input)
        now = supervisor.loop.time()
        timeout_at = None if timeout is None else now + timeout
        item = self._prepared(supervisor, input, Kind.REQUEST)
        if item is None:
            item = await self._in_time(self._prepared_in_turn(input, Kind.REQUEST), now, timeout_at)
        item.timeout_at, item.resend = timeout_at, resend
        answer: asyncio.Future[Any] = supervisor.loop.create_future()
        item.waiter = _Caller(answer)
        try:
            if item.lane.waiting:
                await self._in_time(_room_for(item, supervisor), now, timeout_at)
            supervisor.submit(item)
            message = await answer
        finally:
            if item.outcome is None:
                supervisor.abandon(item)
                _forget(answer)
            item.waiter = None
        return self._link.load(message)

    async def flush(self) -> None:
        """Send what waits now, without waiting for the clock of a throttle or debounce.

        Returns when every input offered before has left, was superseded, or failed.
        """
        supervisor = self._running()
        protocol, now = supervisor.protocol, supervisor.loop.time()
        protocol.flush(now)
        supervisor.react()
        await supervisor.until(lambda: protocol.flushed(now))

    async def drain(self, timeout: float | None = None) -> None:
        """Wait until nothing is waiting to be sent, nothing is unanswered, and the callbacks have returned.

        Raises:
            RequestTimeout: Something is still unanswered after ``timeout`` seconds. A server that silently drops
                inputs never answers them: give a timeout.
            ConnectionClosed: The connection ended with something unanswered.
        """
        check_seconds("timeout", timeout, optional=True)
        supervisor = self._running()
        protocol, callbacks = supervisor.protocol, self._delivery.callbacks
        if self.inside.is_here:
            callbacks = None  # one of them asks, or a task that it waits for: it would wait for itself

        def drained() -> bool:
            return protocol.quiet and (callbacks is None or callbacks.idle)

        try:
            async with asyncio.timeout(timeout):
                await supervisor.until(lambda: drained() or protocol.state is State.CLOSED)
        except TimeoutError as exc:
            raise RequestTimeout(
                f"{protocol.pending} inputs are unsent or unanswered after {timeout:g} s"
            ) from exc
        if protocol.state is State.CLOSED and not isinstance(protocol.error, ConnectionClosedOK):
            raise protocol.closed_error().with_traceback(None)  # told at every call

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
        supervisor = self._running()
        item = await self._delivery.next()
        supervisor.look()  # there is room for another result
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

        Answers of :meth:`send` and :meth:`stream` count; those of :meth:`request` belong to their callers.

        Takes what is unread: a later :meth:`recv` waits for a newer result.

        Raises:
            FalrtError: As :meth:`recv`, an error that nobody has been told yet.
        """
        from falrt.connection.replies import reply_to

        self._check_pairs("latest()")
        supervisor = self._running()
        delivery = self._delivery
        inbox = delivery.inbox
        inbox.discarded = 0
        while inbox:
            item = inbox.take()
            supervisor.look()
            if isinstance(item, Exception):
                raise item
        final = delivery.final_error()
        if final is not None and not isinstance(final, ConnectionClosedOK):
            raise final.with_traceback(None)  # told at every call
        return None if delivery.newest is None else reply_to(self._link, delivery.newest, 0)

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
        from falrt.connection.replies import Replies
        from falrt.connection.stream import Stream

        self._check_pairs("stream()")
        self._running()
        return Replies(Stream(self, inputs, pacing, every=every, gate=gate))

    # --- what it is doing

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return State.IDLE if self._supervisor is None else self._supervisor.protocol.state

    @property
    def stats(self) -> Stats:
        """A snapshot of the figures so far."""
        supervisor, stream = self._supervisor, self._stream
        if supervisor is None:
            return Stats()
        stats = supervisor.protocol.stats(supervisor.loop.time())
        return stats if stream is None else replace(stats, dropped=stats.dropped + stream.skipped)

    @property
    def app(self) -> str:
        """The full path of the app, such as ``fal-ai/flux-2/klein/realtime``."""
        return self._link.full_path

    # --- inputs, on their way out

    def _running(self) -> Supervisor:
        if self._supervisor is None:
            raise ConfigurationError(
                "the connection is not open: use it inside 'async with' or await it first"
            )
        return self._supervisor

    def _check_pairs(self, method: str) -> None:
        if not self._protocol_settings.mode.pairs:
            mode = self._protocol_settings.mode.name
            raise ConfigurationError(
                f"{method} needs one answer for each input, which mode {mode!r} does not give: use send() and recv()"
            )

    def _usable(self, value: Any) -> Supervisor:
        """Return what takes inputs; where the connection has ended, the error hands this one back."""
        supervisor = self._supervisor or self._running()
        if supervisor.protocol.error is not None:
            raise supervisor.protocol.closed_error(unsent=(value,))
        return supervisor

    def _prepared(self, supervisor: Supervisor, value: Any, kind: Kind) -> Input | None:
        return self._encoder.at_once(value, kind, supervisor.protocol.main, supervisor.loop.time())

    async def _prepared_in_turn(self, value: Any, kind: Kind) -> Input:
        frame, request_id = await self._encoder.in_turn(value, self._usable)
        supervisor = self._running()
        return Input(frame, kind, supervisor.protocol.main, supervisor.loop.time(), request_id, value=value)

    async def _in_time(self, waiting: Coroutine[Any, Any, T], began: float, timeout_at: float | None) -> T:
        """Wait for what comes before a request is queued, within the time of its caller."""
        if (
            timeout_at is None
            and self._settings.request_timeout is not None
            and self.state is not State.WARMING
        ):
            timeout_at = began + self._settings.request_timeout
        try:
            async with asyncio.timeout_at(timeout_at):
                return await waiting
        except TimeoutError as exc:
            if isinstance(exc, FalrtError):
                raise
            supervisor = self._running()
            waited, last = supervisor.loop.time() - began, supervisor.protocol.last_failure
            raise request_timeout(self._link.app, waited, left=False, state=self.state, last=last) from None

    async def _prepare(self, value: Any, kind: Kind) -> Input:
        """Check and encode an input, off the event loop or by an async hook where that is called for."""
        return self._prepared(self._usable(value), value, kind) or await self._prepared_in_turn(value, kind)


class _Caller:
    """Whoever waits in ``request()``."""

    __slots__ = ("_answer",)

    def __init__(self, answer: asyncio.Future[Any]) -> None:
        self._answer = answer

    def answered(self, event: Answered) -> None:
        if not self._answer.done():
            self._answer.set_result(event.message)

    def failed(self, error: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)


async def _room_for(item: Input, supervisor: Supervisor) -> None:
    """Wait until an input may be queued."""
    lane, size, protocol = item.lane, len(item.frame), supervisor.protocol
    # Asked again after each wake-up: somebody else who waited may have taken the room.
    while not lane.has_room_for(size) and protocol.state is not State.CLOSED:
        await supervisor.until(lambda: protocol.state is State.CLOSED or lane.has_room_for(size))


async def _left(item: Input, supervisor: Supervisor) -> None:
    """Wait until an input is on the socket; take it back if the caller gives up."""
    try:
        await supervisor.until(lambda: item.sent_at is not None or item.outcome is not None)
    except BaseException:
        if item.sent_at is None:
            supervisor.abandon(item)
        raise
    if item.outcome is Outcome.UNSENT:
        raise supervisor.protocol.closed_error(unsent=(item.value,))


def _forget(future: asyncio.Future[Any]) -> None:
    """Nobody will look at it: an error that came in the turn of a cancellation is not worth a warning."""
    if not future.cancel() and not future.cancelled():
        future.exception()
