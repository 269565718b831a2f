"""The four ways in which a realtime app takes inputs and gives outputs: one row of rules each.

A client cannot learn the mode from the wire, so the caller names it.

Source:
    Modes: wire fact W30, docs/reference/wire.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from falrt.exceptions import ConfigurationError

__all__ = ["MODES", "Mode", "Replay", "mode_named"]


class Replay(StrEnum):
    """Which unanswered inputs may be sent again on a new socket."""

    UNANSWERED = "unanswered"
    """Each input stands alone: whatever was not answered may be asked again."""
    BEFORE_OUTPUT = "before_output"
    """Only while nothing has come back: a second run would repeat outputs already handed out."""
    NEVER = "never"
    """The inputs of a session belong together; half a session cannot be repeated."""


@dataclass(frozen=True, slots=True)
class Mode:
    """The rules of one mode.

    Attributes:
        name: As users write it.
        pairs: One output per processed input, so ``request()`` and ``stream()`` make sense.
        inputs_per_socket: Most inputs that one socket takes; None for no limit.
        ends: The app ends the session: ``TIMEOUT`` and close 1000 mean end of stream, not idleness.
        replay: What a new socket may be asked again.
    """

    name: str
    pairs: bool
    inputs_per_socket: int | None
    ends: bool
    replay: Replay


MODES: Final = {
    mode.name: mode
    for mode in (
        Mode("unary", pairs=True, inputs_per_socket=None, ends=False, replay=Replay.UNANSWERED),
        Mode("server_streaming", pairs=False, inputs_per_socket=1, ends=True, replay=Replay.BEFORE_OUTPUT),
        Mode("client_streaming", pairs=False, inputs_per_socket=None, ends=True, replay=Replay.NEVER),
        Mode("bidi", pairs=False, inputs_per_socket=None, ends=True, replay=Replay.NEVER),
    )
}


def mode_named(name: str) -> Mode:
    """Return the rules of a mode.

    Raises:
        ConfigurationError: No mode has this name.
    """
    try:
        return MODES[name]
    except (KeyError, TypeError):
        raise ConfigurationError(
            f"mode {name!r} is unknown: use one of {', '.join(map(repr, MODES))}"
        ) from None
