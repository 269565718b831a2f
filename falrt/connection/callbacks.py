"""Callbacks: results and errors handed to the user's functions, one at a time and in order."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from falrt.connection.inbox import Inbox
from falrt.exceptions import ConnectionClosedOK, FalrtError
from falrt.tasks import INTERRUPTS, begin, is_own_cancellation

if TYPE_CHECKING:
    from falrt.connection.translation import Translation
    from falrt.options import ConnectionSettings

__all__ = ["Callbacks", "blame"]

logger = logging.getLogger("falrt.connection")


class Callbacks:
    """What ``on_result`` and ``on_error`` of one connection are called with.

    Args:
        translation: Makes results typed.
        settings: Name the functions: results go to ``recv()`` where there is no ``on_result``, and without an
            ``on_error`` errors go where the results go, or are logged.
        ended: Returns the connection's last error once it is closed, else None.
        returned: Called whenever a function has returned.

    Attributes:
        inbox: What is to be handed over.
        task: What calls the functions, from now on.
    """

    __slots__ = ("_ended", "_returned", "_running", "_settings", "_stopping", "_translation", "inbox", "task")

    def __init__(
        self,
        translation: Translation[Any, Any],
        settings: ConnectionSettings,
        ended: Callable[[], FalrtError | None],
        returned: Callable[[], None],
    ) -> None:
        self._translation, self._settings = translation, settings
        self._ended, self._returned = ended, returned
        self._running = self._stopping = False
        self.inbox = Inbox()
        self.task = begin(self._run(), name=f"falrt callbacks {translation.app}")

    def stop(self) -> None:
        """Call no more; a function that is running is cancelled."""
        self._stopping = True
        self.task.cancel()

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be handed over and no function runs."""
        return not (self.inbox or self._running)

    def takes(self, item: Any) -> bool:
        """Whether a result, or an error, goes to a callback."""
        settings = self._settings
        return settings.on_result is not None or (
            settings.on_error is not None and isinstance(item, Exception)
        )

    async def _run(self) -> None:
        """Hand over one thing after the other; the final error last."""
        over = False
        while not over:
            try:
                over = await self._next()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if self._stopping or task is None:
                    raise
                # A function has cancelled its own task, or somebody cancels all there are: who comes to an end is the
                # connection, and this task with it.
                while task.uncancel():
                    pass
            self._returned()

    async def _next(self) -> bool:
        """Wait for something, hand it over, and return whether it was the last."""
        final = None
        while not self.inbox and (final := self._ended()) is None:
            await self.inbox.wait()
        self._running = True
        try:
            await self._hand_over(self.inbox.next() if final is None else final)
        finally:
            self._running = False
        return final is not None

    async def _hand_over(self, item: Any) -> None:
        if not isinstance(item, Exception):
            try:
                item = self._translation.load(item)
            except Exception as exc:  # whatever it is: this task must live on
                item = exc
        if not isinstance(item, Exception):
            await self._call(self._settings.on_result, item)
        elif not isinstance(item, ConnectionClosedOK):
            await self._call(self._settings.on_error, item)

    async def _call(self, function: Callable[[Any], object] | None, value: Any) -> None:
        if function is None:
            logger.error("%s: %s", self._translation.app, value)
            return
        try:
            outcome = function(value)
            if inspect.isawaitable(outcome):
                await outcome
        except asyncio.CancelledError as exc:
            if is_own_cancellation():
                raise
            blame(function, exc)  # something that the function waited for was cancelled, not the function
        except INTERRUPTS:
            raise
        except BaseException as exc:
            blame(function, exc)


def blame(function: Callable[..., object], error: BaseException) -> None:
    """A mistake in the user's function is theirs to see, and no reason to stop."""
    context = {"message": f"falrt: {function!r} failed", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
