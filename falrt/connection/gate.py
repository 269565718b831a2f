"""The change gate: frames that did not change are held back, and the one on which the source comes to rest is sent.

Pure: every instant is an argument. What counts as a change is the user's function, such as ``falrt.media.Changed``.

A frame is compared with the newest one that was sent, so a slow drift passes once it is large enough. What is held
back differs a little from what was sent, and a viewer who compares would notice: so after ``SETTLE`` seconds without
a change the newest held frame leaves too, once, and again when the source ends. Until the next change that is all:
a camera's noise keeps no model busy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from falrt.exceptions import ConfigurationError

__all__ = ["Gate"]

# A hand that rests this long has come to rest; the model is free for the settled picture by then.
SETTLE: Final = 0.3
# No frame: a user's may be None.
_NONE: Final = object()


class Gate:
    """Decides which frames of a live source leave.

    Attributes:
        held_back: Frames that were not sent and never will be.
    """

    __slots__ = (
        "_held",
        "_held_differs",
        "_held_since",
        "_judged",
        "_last_sent",
        "_worth_sending",
        "held_back",
    )

    def __init__(self, worth_sending: Callable[[Any, Any], object]) -> None:
        self._worth_sending = worth_sending
        self._last_sent: Any = _NONE
        # The newest frame held back since the last that was sent.
        self._held: Any = _NONE
        # Whether it differs at all from what was sent last.
        self._held_differs = False
        # The frame that the function was asked about last, and what it said.
        self._judged: tuple[Any, bool] | None = None
        # When the source stopped changing; None while it changes, and once the settled frame was sent.
        self._held_since: float | None = None
        self.held_back = 0

    def admits(self, frame: Any, now: float) -> bool:
        """Whether a frame is to be sent now; one that is not is held."""
        self._drop_held()
        if self.passes(frame):
            self._note_sent(frame)
            self._held_since = now
            return True
        self._held, self._judged = frame, None
        self._held_differs = not _same(frame, self._last_sent)
        return False

    def passes(self, frame: Any) -> bool:
        """Whether a frame would be sent if it were offered now; asks the user's function once for each frame.

        Raises:
            ConfigurationError: The function is async: its awaitable would always read as yes.
        """
        if self._last_sent is _NONE:
            return True
        if self._judged is None or self._judged[0] is not frame:
            verdict = self._worth_sending(self._last_sent, frame)
            if inspect.isawaitable(verdict):
                if inspect.iscoroutine(verdict):
                    verdict.close()
                raise ConfigurationError(
                    "gate must be a plain function: it returned an awaitable, not yes or no"
                )
            self._judged = frame, bool(verdict)
        return self._judged[1]

    def settles_at(self) -> float | None:
        """Return when the held frame is to be sent, if nothing changes until then; None: nothing to send."""
        if self._held is _NONE or self._held_since is None or not self._held_differs:
            return None
        return self._held_since + SETTLE

    def settled(self) -> tuple[Any, bool]:
        """Take the held frame as :meth:`last` does; nothing settles again until the next change."""
        self._held_since = None
        return self.last()

    def last(self) -> tuple[Any, bool]:
        """Take the held frame, and whether there is one that differs at all from what was sent last."""
        if self._held is _NONE or not self._held_differs:
            self._drop_held()
            return None, False
        frame, self._held = self._held, _NONE
        self._note_sent(frame)
        return frame, True

    def forget(self) -> None:
        """What was sent last was not answered: the next frame is sent whatever it shows."""
        self._last_sent, self._held_differs = _NONE, self._held is not _NONE

    def _note_sent(self, frame: Any) -> None:
        self._last_sent, self._judged = frame, None

    def _drop_held(self) -> None:
        if self._held is not _NONE:
            self._held = _NONE
            self.held_back += 1


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return bool(one == other)
    except Exception:  # arrays do not compare to a truth value; a user's type may raise anything
        return False
