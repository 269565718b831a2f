"""RealtimeConnection: what users send to and receive from.

What it shares with its streams is ``core.py``. The sockets under it come and go in ``supervisor.py``, which follows the
decisions of ``protocol/realtime.py``; inputs become frames in ``translation.py``; results and errors find who waits for
them in ``delivery.py``.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from falrt.exceptions import ConfigurationError, ConnectionClosedOK, FalrtError, RequestTimeout
from falrt.options import check_seconds
from falrt.protocol.endings import with_unsent
from falrt.protocol.events import CLOSED, Answered, Failed, State, Stats
from falrt.protocol.inputs import REQUEST, SEND, Input, Outcome
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.connection.consumer import Replies
    from falrt.connection.core import Core
    from falrt.connection.replies import Reply
    from falrt.connection.stream import Inputs
    from falrt.connection.supervisor import Supervisor
    from falrt.protocol.pacing.policies import Pacing

__all__ = ["RealtimeConnection"]

T = TypeVar("T")


class RealtimeConnection(Generic[InputT, OutputT]):
    """One logical connection to a realtime app; it reopens its socket when that is lost.

    Made by :func:`falrt.connect` or :meth:`falrt.Client.connect`; use it with ``async with``, or ``await`` it and
    :meth:`close` it yourself. All methods belong to the event loop in which it was opened.

    Cancelling any call leaves the connection usable.
    """

    __slots__ = ("__weakref__", "_core")

    def __init__(self, core: Core[InputT, OutputT]) -> None:
        self._core = core

    def __repr__(self) -> str:
        return f"<RealtimeConnection {self._core.opening.app} {self.state}>"

    # --- opening and closing

    async def __aenter__(self) -> Self:
        await self._core.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if self._forgotten():
            text = f"{self!r} was open, and billed, when it was forgotten: use 'async with', or close() it"
            _warn(text, ResourceWarning, source=self)

    def _forgotten(self) -> bool:
        """Close the connection, for nobody holds it any more, and return whether it was open."""
        return self._core.forgotten()

    async def close(self) -> None:
        """Close the connection with code 1000; does nothing if it is already closed.

        Waiting calls raise :class:`falrt.ConnectionClosedOK`, whose ``unsent`` holds the inputs that were never sent.
        To wait for all answers first, ``await drain()``. When it returns, no task and no socket of this
        connection is left; cancelling it closes the socket at once instead of waiting for the peer.
        """
        await self._core.close()

    # --- sending

    async def send(self, input: InputT | Mapping[str, Any]) -> None:
        """Send one input; its answer comes from :meth:`recv`.

        The input is checked and encoded before it is queued, so this call raises if it is wrong. With a pacing that
        keeps every input (``Immediate``) this waits until the input was written to the socket; with the others it
        returns at once, and a newer input may replace this one (counted in ``stats.dropped``).

        Cancelling withdraws the input if it has not been sent.

        Raises:
            ConfigurationError, pydantic.ValidationError: The input is wrong; nothing was sent.
            EncodeError: It cannot be put on the wire, or is larger than 16 MiB; nothing was sent.
            ConnectionClosed: The connection has ended; ``unsent`` holds the input.
        """
        core = self._core
        supervisor = core.usable(input)
        lane, now = supervisor.protocol.main, supervisor.loop.time()
        item = core.encoder.at_once(input, SEND, lane, now)
        if item is None:
            item = await core.encoder.in_turn(input, SEND, lane, core.usable)
            now = item.submitted_at
        if lane.waiting and not lane.pacer.keeps_newest:
            await supervisor.room_for(item)
            now = supervisor.loop.time()
        supervisor.submit(item, now)
        if item.sent_at is None and not lane.pacer.keeps_newest:
            await _left(item, supervisor)

    async def request(
        self, input: InputT | Mapping[str, Any], timeout: float | None = None, *, resend: bool = True
    ) -> OutputT:
        """Send one input and return its own answer, never that of another input.

        Requests may be made from many tasks; if the app echoes no ``request_id``, they take turns. A request that
        the server dropped, or whose connection was lost, is sent again until its timeout. Cancelling gives up the
        answer; the connection stays usable.

        Args:
            input: As for :meth:`send`.
            timeout: Seconds for everything, waiting for the turn and reconnecting included. Default: the
                connection's ``request_timeout``, which does not run while a cold model is starting.
            resend: False sends it only once, for an input that must not run twice.

        Raises:
            RequestTimeout: The timeout passed without an answer.
            RequestDropped: With ``resend=False``: the server dropped the input, or the connection was lost.
            ServerError: The app failed on this input.
            DecodeError, ResponseValidationError: The answer cannot be read, or does not fit the output type.
            ConfigurationError, EncodeError, ConnectionClosed: As for :meth:`send`.
        """
        core = self._core
        self._check_pairs("request()")
        if timeout is not None:
            check_seconds("timeout", timeout, optional=True)
        supervisor = core.usable(input)
        loop, lane = supervisor.loop, supervisor.protocol.main
        now = began = loop.time()
        timeout_at = None if timeout is None else began + timeout
        item = core.encoder.at_once(input, REQUEST, lane, now)
        if item is None:
            encoding = core.encoder.in_turn(input, REQUEST, lane, core.usable)
            item = await self._in_time(encoding, began, timeout_at)
            now = item.submitted_at
        item.timeout_at, item.resend = timeout_at, resend
        answer: asyncio.Future[Any] = loop.create_future()
        item.waiter = partial(_settle, answer)
        try:
            if lane.waiting:
                await self._in_time(supervisor.room_for(item), began, timeout_at)
                now = loop.time()
            supervisor.submit(item, now)
            message = await answer
        finally:
            if item.outcome is None:
                supervisor.abandon(item)
                _forget(answer)
            item.waiter = None
        return core.translation.load(message)

    async def flush(self) -> None:
        """Send waiting inputs now, without waiting for the interval of a throttle or debounce.

        Returns when every earlier input was sent, was superseded, or failed.
        """
        supervisor = self._core.supervisor()
        now = supervisor.loop.time()
        waiting = supervisor.protocol.flush(now)
        supervisor.react()
        await supervisor.until(lambda: all(x.sent_at is not None or x.outcome is not None for x in waiting))

    async def drain(self, timeout: float | None = None) -> None:
        """Wait until nothing is waiting to be sent, nothing is unanswered, and the callbacks have returned.

        Raises:
            RequestTimeout: An input is still unanswered after ``timeout`` seconds. A server that silently drops
                inputs never answers them: pass a timeout.
            ConnectionClosed: The connection ended before all inputs were answered.
        """
        check_seconds("timeout", timeout, optional=True)
        supervisor = self._core.supervisor()
        protocol, callbacks = supervisor.protocol, self._core.delivery.callbacks
        if self._core.inside.is_here:
            callbacks = None  # one of them asks, or a task that it waits for: it would wait for itself
        pairs = self._core.mode.pairs

        def drained() -> bool:
            # Where inputs have no answers of their own, only an empty socket says that they have left.
            taken = pairs or supervisor.socket is None or supervisor.socket.writable
            return not protocol.pending() and taken and (callbacks is None or callbacks.idle)

        try:
            async with asyncio.timeout(timeout):
                await supervisor.until(lambda: drained() or protocol.state is CLOSED)
        except TimeoutError:
            count = protocol.pending()
            left = f"{count} input is" if count == 1 else f"{count} inputs are"
            left += " unsent or unanswered"
            if not count and callbacks is not None and not callbacks.idle:
                left = "every input is answered, but on_result or on_error has not returned"
            raise RequestTimeout(f"{left} after {timeout:g} s") from None
        ending = protocol.ending if protocol.state is CLOSED else None
        if ending is not None and not isinstance(ending, ConnectionClosedOK):
            raise ending.with_traceback(None)  # told at every call

    # --- receiving

    async def recv(self) -> OutputT:
        """Return the next result of :meth:`send`, in order of arrival.

        May be cancelled without losing a result. fal's idle TIMEOUT is not an error: the connection reopens at the
        next input.

        Raises:
            ServerError, DecodeError, ResponseValidationError: Something went wrong with one input or frame; told
                once, and the connection stays usable.
            QueueFullError: More than 256 results or 64 MiB were left unread; the oldest were discarded.
            ConnectionClosedOK: :meth:`close` was called, or the app ended its stream.
            AuthenticationError, ConnectError, ConnectionClosedError: The connection failed permanently; raised again
                by every further call.
            ConcurrencyError: Another task is in :meth:`recv`.
        """
        if self._core.settings.on_result is not None:
            raise ConfigurationError("results go to on_result: leave it out to use recv()")
        supervisor = self._core.supervisor()
        item = await self._core.delivery.next()
        supervisor.look()  # there is room for another result
        if isinstance(item, Exception):
            raise item
        return self._core.translation.load(item)

    async def __aiter__(self) -> AsyncIterator[OutputT]:
        """Yield results as :meth:`recv` returns them; ends on ``ConnectionClosedOK``."""
        while True:
            try:
                output = await self.recv()
            except ConnectionClosedOK:
                return
            yield output

    def latest(self) -> Reply[InputT, OutputT] | None:
        """Return the newest answer so far, or None before the first; for loops that poll, such as a game loop.

        Answers of :meth:`send` and :meth:`stream` count; those of :meth:`request` go to their callers only.

        Discards unread results: a later :meth:`recv` waits for a newer one.

        Raises:
            FalrtError: As :meth:`recv`: an error that was not raised to a caller yet.
        """
        from falrt.connection.replies import reply_to

        self._check_pairs("latest()")
        supervisor = self._core.supervisor()
        delivery = self._core.delivery
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
        return None if delivery.newest is None else reply_to(self._core.translation, delivery.newest, 0)

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
        ends with its source, raises the source's error, and continues after reconnects.

        Args:
            inputs: An async iterable is live: every input is read, and only the newest is kept.
                A callable, sync or async, is called when an input can be sent; None ends the stream. A sync one
                runs on the event loop, so it must be quick. Any other iterable is read on demand, in a thread
                unless it is a list or tuple, and nothing is skipped.
            pacing: Default: the connection's own, or ``Adaptive()`` if that is ``Immediate()``.
            every: Skip nothing of a live source either; it is then read on demand.
            gate: ``gate(last_sent, candidate)`` says whether a live input is worth sending, such as
                :class:`falrt.media.Changed`. When a changing source stops changing, its last input is always sent.

        Raises:
            ServerError: The app failed on three inputs in a row; if nothing may be skipped, on one.
            FalrtError: As :meth:`recv`.
            ConcurrencyError: A stream is already running on this connection.
        """
        from falrt.connection.consumer import Replies
        from falrt.connection.stream import Stream

        self._check_pairs("stream()")
        return Replies(Stream(self._core, inputs, pacing, every=every, gate=gate), self)

    # --- what it is doing

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._core.state

    @property
    def stats(self) -> Stats:
        """A snapshot of the figures so far."""
        return self._core.stats()

    @property
    def app(self) -> str:
        """The full path of the app, such as ``fal-ai/flux-2/klein/realtime``."""
        return self._core.opening.full_path

    def _check_pairs(self, method: str) -> None:
        if not self._core.mode.pairs:
            raise ConfigurationError(
                f"{method} needs one answer for each input, which mode {self._core.mode.name!r} does not give: "
                "use send() and recv()"
            )

    async def _in_time(self, waiting: Coroutine[Any, Any, T], began: float, timeout_at: float | None) -> T:
        """Wait for what comes before a request is queued, within the time of its caller."""
        if (
            timeout_at is None
            and self._core.settings.request_timeout is not None
            and self.state is not State.WARMING
        ):
            timeout_at = began + self._core.settings.request_timeout
        try:
            async with asyncio.timeout_at(timeout_at):
                return await waiting
        except TimeoutError as exc:
            if isinstance(exc, FalrtError):
                raise
            supervisor = self._core.supervisor()
            raise supervisor.protocol.timeout_error(began, supervisor.loop.time()) from None


def _settle(answer: asyncio.Future[Any], event: Answered | Failed) -> None:
    """Tell the caller of a request how it ended."""
    if answer.done():
        return
    if isinstance(event, Failed):
        answer.set_exception(event.error)
    else:
        answer.set_result(event.message)


async def _left(item: Input, supervisor: Supervisor) -> None:
    """Wait until an input is on the socket; take it back if the caller gives up."""
    try:
        await supervisor.until(lambda: item.sent_at is not None or item.outcome is not None)
    except BaseException:
        if item.sent_at is None:
            supervisor.abandon(item)
        raise
    if item.outcome is Outcome.UNSENT:
        raise with_unsent(supervisor.protocol.ending, (item.value,))


def _forget(future: asyncio.Future[Any]) -> None:
    """Nobody will look at it: an error that came in the turn of a cancellation is not worth a warning."""
    if not future.cancel() and not future.cancelled():
        future.exception()
