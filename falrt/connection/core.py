"""Core: what a connection, all who share it, and its streams have in common: its beginning, its end, its inputs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Protocol

from falrt.connection.delivery import Delivery
from falrt.connection.inside import Inside, in_users_code
from falrt.connection.supervisor import Supervisor
from falrt.connection.translation import Encoder, Translation
from falrt.exceptions import ConcurrencyError, ConfigurationError
from falrt.protocol.endings import with_unsent
from falrt.protocol.events import State, Stats
from falrt.protocol.realtime import RealtimeProtocol
from falrt.protocol.settings import Settings
from falrt.protocol.wire.modes import mode_named
from falrt.tasks import begin, completed, settle
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.connection.opening import Opening
    from falrt.models.spec import RealtimeModel
    from falrt.options import ConnectionSettings

__all__ = ["Core"]


class RunningStream(Protocol):
    """What a connection knows of the stream that runs on it."""

    tasks: list[asyncio.Task[None]]

    @property
    def skipped(self) -> int:
        """Inputs that were left out before they were offered."""
        ...


class Core(Generic[InputT, OutputT]):
    """One logical connection, however many hold it.

    ``spec`` holds the model's types; None for an app that is only an id. ``on_start`` is called when the connection
    begins, and may refuse; ``on_close`` when it has ended.

    Attributes:
        encoder: Makes inputs of what the user gives.
        mode: How inputs and results belong together.
        inside: Marks what runs for the user.
        delivery: Hands over what happens; exists from the start on.
        stream: The one that is running.
    """

    __slots__ = (
        "__weakref__", "_closing", "_on_close", "_on_start", "_supervisor", "delivery", "encoder", "inside", "mode",
        "opening", "settings", "stream", "translation",
    )  # fmt: skip

    def __init__(
        self,
        spec: RealtimeModel[InputT, OutputT] | None,
        settings: ConnectionSettings,
        opening: Opening,
        *,
        on_start: Callable[[Core[Any, Any]], None],
        on_close: Callable[[Core[Any, Any]], Awaitable[None]],
    ) -> None:
        self.settings, self.opening = settings, opening
        self._on_start, self._on_close = on_start, on_close
        self.mode = mode_named(settings.mode or (spec.mode if spec is not None else "unary"))
        self.translation: Translation[InputT, OutputT] = Translation(
            opening.app, spec, settings, is_unary=self.mode.name == "unary"
        )
        self.inside = Inside()
        self.encoder = Encoder(self.translation)
        self.delivery: Delivery
        self.stream: RunningStream | None = None
        # Made by the start, in the loop to which the connection then belongs.
        self._supervisor: Supervisor | None = None
        # The one closing; whoever closes waits for it.
        self._closing: asyncio.Task[None] | None = None

    # --- beginning and ending

    async def start(self) -> None:
        """Begin, and wait for the first socket unless it is to come with the first input.

        Raises:
            ConcurrencyError: It began before.
            FalrtError: It could not be opened.
        """
        if self._supervisor is not None or self._closing is not None:
            raise ConcurrencyError("this connection has already been used: call connect() again for another")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "no asyncio event loop is running here, and falrt needs one: under trio or in plain code use falrt.sync"
            ) from None
        self._on_start(self)
        protocol = RealtimeProtocol(self._protocol_settings(), loop.time(), random.random)
        self.delivery = delivery = Delivery(self.translation, self.settings, protocol)
        self._supervisor = supervisor = Supervisor(self.translation, self.opening, protocol, delivery)
        self.inside.context().run(delivery.start, supervisor.look)
        if self.settings.lazy:
            return
        try:
            await supervisor.until(lambda: protocol.state in (State.OPEN, State.CLOSED))
        except BaseException:
            await self.close()
            raise
        if protocol.ending is not None:
            error = protocol.ending
            await self.close()
            raise error.with_traceback(None)  # where it was met, in a task of ours, tells the caller nothing

    def _protocol_settings(self) -> Settings:
        settings = self.settings
        return Settings(
            app=self.opening.app,
            mode=self.mode,
            pacing=settings.effective_pacing,
            backoff=settings.backoff,
            lazy=settings.lazy,
            idle_close=settings.idle_close,
            warmup_timeout=settings.warmup_timeout,
            request_timeout=settings.request_timeout,
            keepalive=settings.keepalive,
            renewable=self.opening.renewable,
        )

    async def close(self) -> None:
        """End everything; no task and no socket is left then. Cancelling cuts the socket at once.

        Raises:
            ConcurrencyError: Called in another event loop.
        """
        if self._supervisor is not None:
            self.supervisor()
        if self._closing is None:
            self._closing = begin(self._finish(), name=f"falrt closing {self.opening.app}")
        elif self.inside.is_here:
            return  # it is being ended by the closing, which waits for it
        # Callbacks may close each other's connections: two closings would wait for each other.
        patient = not in_users_code()
        await completed(self._closing, self.cut, patient=patient)
        # A callback or a source that closed the connection may have gone on: it ends with those who hold it.
        left = set() if self.inside.is_here else self._end_users()
        if left:
            await completed(begin(settle(left), name="falrt closing"), self.cut, patient=patient)

    async def _finish(self) -> None:
        """End everything; where a callback or a source asked for it, those end by themselves."""
        supervisor = self._supervisor
        try:
            if supervisor is not None:
                supervisor.close()
        finally:
            if supervisor is not None:
                apart = self.users() if self.inside.is_here else set()
                ending = {supervisor.task} if apart else {supervisor.task, *self._end_users()}
                supervisor.task.cancel()
                try:
                    await settle(ending)
                    await supervisor.settled(apart=apart)
                except asyncio.CancelledError:  # the loop is ending, and waits for nobody's politeness
                    supervisor.cut()
                    raise
            self.encoder.close()
            await self._on_close(self)

    def users(self) -> set[asyncio.Task[None]]:
        """Return the tasks in which the user's functions run."""
        tasks = [] if self.stream is None else [*self.stream.tasks]
        callbacks = None if self._supervisor is None else self.delivery.callbacks
        if callbacks is not None:
            tasks.append(callbacks.task)
        return {task for task in tasks if not task.done()}

    def _end_users(self) -> set[asyncio.Task[None]]:
        """Cancel what runs the user's functions; return what is ending."""
        users = self.users()
        if users and self.delivery.callbacks is not None:
            self.delivery.callbacks.stop()
        for task in users:
            task.cancel()
        return users

    def cut(self) -> None:
        """Drop the sockets: there is no time for politeness any more."""
        if self._supervisor is not None:
            self._supervisor.cut()

    def forgotten(self) -> bool:
        """Close it, for nobody holds it any more; may be called in any thread.

        Returns:
            Whether it was open.
        """
        supervisor = self._supervisor
        if supervisor is None or self.is_over or supervisor.loop.is_closed():
            return False
        supervisor.loop.call_soon_threadsafe(self._close_in_background)
        return True

    def _close_in_background(self) -> None:
        if self._closing is None:
            self._closing = begin(self._finish(), name=f"falrt closing {self.opening.app}")

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return State.IDLE if self._supervisor is None else self._supervisor.protocol.state

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._closing is not None or self.state is State.CLOSED

    def supervisor(self) -> Supervisor:
        """Return what runs the connection.

        Raises:
            ConfigurationError: Nothing does yet.
            ConcurrencyError: It does in another event loop.
        """
        supervisor = self._supervisor
        if supervisor is None:
            raise ConfigurationError(
                "the connection is not open: use it inside 'async with' or await it first"
            )
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is not supervisor.loop:
            raise ConcurrencyError(
                "this connection belongs to another event loop: use falrt.sync, or asyncio.run_coroutine_threadsafe"
            )
        return supervisor

    def stats(self) -> Stats:
        """Return a snapshot of the figures so far."""
        supervisor, stream = self._supervisor, self.stream
        if supervisor is None:
            return Stats()
        stats = supervisor.protocol.stats(supervisor.loop.time())
        return stats if stream is None else replace(stats, dropped=stats.dropped + stream.skipped)

    # --- inputs, on their way out

    def usable(self, value: Any) -> Supervisor:
        """Return what takes inputs.

        Raises:
            FalrtError: The connection has ended; the error hands this input back.
        """
        supervisor = self.supervisor()
        protocol = supervisor.protocol
        if protocol.ending is not None and protocol.state is State.CLOSED:
            raise with_unsent(protocol.ending, (value,))
        return supervisor
