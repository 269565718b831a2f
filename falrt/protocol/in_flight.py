"""Inputs, and which answer belongs to which of them.

A fal runner answers in the order of the inputs, but it may silently drop the oldest one waiting, or make one output
of several; most models echo no id. So:

- An echoed ``request_id`` decides, and tells that every older unanswered input was dropped. It is trusted once seen.
- Otherwise the oldest unanswered input is answered. That is proven while no more inputs are unanswered than the
  server surely keeps (``vouched``, one unless the caller says more). Beyond that the pairing is in *doubt*.
- The server gives fewer answers than inputs, never more: when the count comes back to zero by answers alone, nothing
  was dropped and the doubt is gone. After an input was *written off* (we guessed that it was dropped), a late answer
  may still come, so the doubt stays as long as the socket.

Source:
    Buffering, dropping, pairing: wire facts W31 to W36, docs/reference/wire.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from falrt.typing import Frame

if TYPE_CHECKING:
    from falrt.protocol.lane import Lane

__all__ = ["InFlight", "Input", "Kind", "Match", "Outcome"]


class Kind(StrEnum):
    """Who is waiting for the answer."""

    SEND = "send"
    """Nobody in particular: the answer goes to ``recv()``."""
    REQUEST = "request"
    """One caller, who must never get another input's answer."""
    STREAM = "stream"
    """A stream; pairing matters, and may be marked uncertain."""


class Outcome(StrEnum):
    """How an input ended. Every input gets exactly one."""

    ANSWERED = "answered"
    SUPERSEDED = "superseded"
    """A newer input took its place, or the server dropped it; counted in ``stats.dropped``."""
    UNSENT = "unsent"
    """Handed back: it never left."""
    FAILED = "failed"
    ABANDONED = "abandoned"
    """Its caller stopped waiting; a late answer is absorbed."""


@dataclass(slots=True, eq=False)
class Input:
    """One input on its way.

    Attributes:
        frame: As encoded, kept until the outcome is known: it may have to leave again.
        kind: Who waits for the answer.
        lane: Where it queues.
        submitted_at: When it was offered.
        request_id: The id that the answer may carry, if the input has one.
        timeout_at: The caller's own deadline, or None for the connection's default.
        value: The input as the user gave it; handed back when it never left.
        tag: The shell's: whom to tell.
        taken_at: When a stream began to prepare it; the pacing counts from here.
        sent_at: When it last left; None while it waits.
        sends: How often it left, each time on another socket.
        inference_time: Seconds the model took for it, once told.
        outcome: None until it has ended.
    """

    frame: Frame
    kind: Kind
    lane: Lane
    submitted_at: float
    request_id: str | None = None
    timeout_at: float | None = None
    value: Any = None
    tag: Any = None
    taken_at: float | None = None
    sent_at: float | None = None
    sends: int = 0
    inference_time: float | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """What an answer was paired with.

    Attributes:
        input: The input answered; None where the answer belongs to none that still counts.
        certain: The pairing is proven.
        overtaken: Older inputs that are now known to have been dropped.
        ambiguous: The answer could be several inputs'; the socket must be replaced.
    """

    input: Input | None
    certain: bool = True
    overtaken: tuple[Input, ...] = ()
    ambiguous: bool = False


_NONE: Final = Match(None)
# fal's server-side buffer holds 60 at the most; an app without a bound is answered all the same, unpaired.
UNANSWERED_SENDS_MAX: Final = 128


class InFlight:
    """The unanswered inputs of one connection, oldest first; cleared when the socket goes."""

    __slots__ = ("_inputs", "_written_off", "doubt", "ids_refuted", "ids_trusted")

    def __init__(self) -> None:
        self._inputs: list[Input] = []
        # An answer carried the id of its input: this app echoes ids. Kept across sockets.
        self.ids_trusted = False
        # The app echoed and then did not: ids prove nothing here any more.
        self.ids_refuted = False
        # More is unanswered than surely kept, or something was written off: pairing is inferred.
        self.doubt = False
        # Something was written off on this socket: the doubt cannot be resolved by counting.
        self._written_off = False

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def oldest(self) -> Input | None:
        """The input that has waited longest."""
        return self._inputs[0] if self._inputs else None

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All unanswered inputs, oldest first."""
        return tuple(self._inputs)

    @property
    def strict(self) -> bool:
        """Whether the pairing of an unanswered input matters: it is a request, even one given up, or a stream's."""
        return any(input.kind is not Kind.SEND for input in self._inputs)

    @property
    def stale(self) -> bool:
        """Whether an answer without an input may be a late one to an input that was written off."""
        return self._written_off

    def all_of(self, lane: Lane) -> bool:
        """Whether every unanswered input came from this lane."""
        return all(input.lane is lane for input in self._inputs)

    def trusts(self, request_id: str | None) -> bool:
        """Whether an input with this id may go out among others: its answer will name it."""
        return (
            request_id is not None
            and self.ids_trusted
            and all(other.request_id not in (None, request_id) for other in self._inputs)
        )

    def sent(self, input: Input, vouched: int) -> None:
        """Note that an input left, when the server surely keeps ``vouched`` unanswered ones."""
        if len(self._inputs) >= vouched and not self.trusts(input.request_id):
            self.doubt = True
        if input.kind is Kind.SEND and self._inputs:
            self._let_go()
        self._inputs.append(input)

    def _let_go(self) -> None:
        """A newer send is leaving: older ones are never sent again, so their frames are not needed any more."""
        previous = self._inputs[-1]
        if previous.kind is Kind.SEND:
            previous.frame = b""
        if len(self._inputs) >= UNANSWERED_SENDS_MAX and self._inputs[0].kind is Kind.SEND:
            dropped = self._inputs.pop(0)
            dropped.outcome = dropped.outcome or Outcome.SUPERSEDED
            dropped.lane.dropped += 1
            # Its answer may still come, when the count has long been back at zero.
            self.doubt = self._written_off = True

    def match(self, request_id: str | None) -> Match:
        """Pair an answer that carries this id (None where it carries none) and remove what it settles."""
        inputs = self._inputs
        if request_id is not None and not self.ids_refuted:
            named = [index for index, input in enumerate(inputs) if input.request_id == request_id]
            if named:
                # An id that the caller gave to several inputs names none of them.
                return self._match_by_id(named[0], certain=len(named) == 1 or not self.doubt)
            if self.ids_trusted:
                return _NONE  # a late answer to an input that has ended long ago
        if not inputs:
            return _NONE
        if self.ids_trusted and len(inputs) > 1:
            self.ids_trusted, self.ids_refuted, self.doubt = False, True, True
            return Match(None, certain=False, ambiguous=True)
        answered = inputs.pop(0)
        certain = not self.doubt
        self._settle()
        return Match(answered, certain)

    def _match_by_id(self, index: int, *, certain: bool) -> Match:
        inputs = self._inputs
        self.ids_trusted = True
        answered, overtaken = inputs[index], tuple(inputs[:index])
        del inputs[: index + 1]
        self._settle()
        return Match(answered, certain, overtaken)

    def _settle(self) -> None:
        if not self._inputs and not self._written_off:
            self.doubt = False

    def write_off(self) -> Input | None:
        """Take the oldest input for silently dropped, and return it."""
        if not self._inputs:
            return None
        self.doubt = self._written_off = True
        return self._inputs.pop(0)

    def clear(self) -> tuple[Input, ...]:
        """The socket has gone: return its unanswered inputs, oldest first, and forget them."""
        inputs = tuple(self._inputs)
        self._inputs.clear()
        self.doubt = self._written_off = False
        return inputs
