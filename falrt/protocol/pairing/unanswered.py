"""The unanswered inputs of one socket, and which answer belongs to which of them.

A fal runner answers in the order of the inputs, but it may silently drop the oldest one waiting, or make one output
of several; most models echo no id. What is known about the order decides what an answer proves:

==========  ===========================================  ==========================  ===============================
order       because                                      the oldest input's answer   back to PROVEN
==========  ===========================================  ==========================  ===============================
PROVEN      no more are unanswered than the server       is certain
            surely keeps (``vouched``, one unless the
            caller says more)
CROWDED     more are unanswered: one may be dropped      is probable                 when answers alone have brought
                                                                                     the count back to zero
BROKEN      a plain send was given up, and its answer    may be another's            by an answer that names a
            may still come                                                           later input, or a new socket
==========  ===========================================  ==========================  ===============================

Whatever the order, an echoed ``request_id`` decides (``facts.Ids``), and tells that every older unanswered input was
dropped. The server gives fewer answers than inputs, never more. No request is given an answer that is only probable:
the socket is replaced instead, for a new one has no stale answers.

Source:
    Buffering, dropping, pairing: wire facts W31 to W36, docs/reference/wire.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from falrt.protocol.inputs import REQUEST, SEND, Input, Lane, Outcome
from falrt.protocol.pairing.facts import ECHOED, REFUTED, AppFacts

__all__ = ["Match", "Order", "Unanswered"]


class Order(StrEnum):
    """What the order of the inputs says about the order of the answers; see the module's table."""

    PROVEN = "proven"
    CROWDED = "crowded"
    BROKEN = "broken"


PROVEN, CROWDED, BROKEN = Order


@dataclass(slots=True)
class Match:
    """What an answer was paired with; not frozen, for that would double the cost of one for each answer.

    Attributes:
        input: The input answered; None where the answer belongs to none that still counts.
        certain: The pairing is proven.
        overtaken: Older inputs that were dropped, as the name of this one tells.
        ambiguous: The answer could be several inputs'; the socket must be replaced.
    """

    input: Input | None
    certain: bool = True
    overtaken: tuple[Input, ...] = ()
    ambiguous: bool = False


_NONE: Final = Match(None)
_AMBIGUOUS: Final = Match(None, certain=False, ambiguous=True)
# fal's server-side buffer holds 60 at the most: of more, the oldest were dropped, and count as such. An app without a
# buffer answers them all the same; those results are handed out unpaired.
UNANSWERED_SENDS_MAX: Final = 128
UNANSWERED_BYTES_MAX: Final = 64 * 1024 * 1024
# Names remembered whose answers may still come.
SPENT_MAX: Final = 256


class Unanswered:
    """What is unanswered on one socket, oldest first."""

    __slots__ = (
        "_facts",
        "_held_bytes",
        "_spent",
        "inputs",
        "order",
        "strict",
        "unproven",
    )

    def __init__(self, facts: AppFacts) -> None:
        self._facts = facts
        # Oldest first; changed here only.
        self.inputs: list[Input] = []
        # How many of them are requests, even given up, or stream frames: their pairing matters.
        self.strict = 0
        # Bytes of the plain sends whose frames were let go.
        self._held_bytes = 0
        self.order = PROVEN
        # The newest plain send, given up for a silence: it leaves again if the socket is lost before anything newer.
        self.unproven: Input | None = None
        # Names that more answers than one may carry, or that an input which was given up bears.
        self._spent: dict[str, Input] = {}

    # --- questions

    @property
    def owes(self) -> bool:
        """Whether a request, be it one given up, or a frame that nothing newer can stand for is unanswered."""
        return any(input.kind is REQUEST or input.lane.keeps_all for input in self.inputs)

    @property
    def repeats(self) -> bool:
        """Whether a request is unanswered that the server dropped before; as the newest it is surely kept."""
        return any(input.kind is REQUEST and input.drops for input in self.inputs)

    @property
    def awaited(self) -> bool:
        """Whether somebody still waits for an answer."""
        return any(input.outcome is None for input in self.inputs)

    def all_of(self, lane: Lane) -> bool:
        """Whether every unanswered input came from this lane."""
        return all(input.lane is lane for input in self.inputs)

    def count_of(self, lane: Lane) -> int:
        """How many unanswered inputs came from this lane."""
        return sum(input.lane is lane for input in self.inputs)

    def names(self, request_id: str | None) -> bool:
        """Whether an input with this id may go out among others: its answer will name it."""
        return (
            request_id is not None
            and self._facts.ids is ECHOED
            and request_id not in self._spent
            and all(other.request_id not in (None, request_id) for other in self.inputs)
        )

    def was_sent_by(self, request_id: str) -> Input | None:
        """Return the input of a name that more answers than one may carry, or whose input was given up."""
        return self._spent.get(request_id)

    # --- what leaves

    def sent(self, input: Input, vouched: int) -> None:
        """Note that an input left, when the server surely keeps ``vouched`` unanswered ones."""
        if self.order is PROVEN and len(self.inputs) >= vouched and not self.names(input.request_id):
            self.order = CROWDED
        if input.kind is not SEND:
            self.strict += 1
        else:
            if self.inputs:
                self._let_go(self.inputs[-1])
            self.end_unproven(Outcome.SUPERSEDED)
        self.inputs.append(input)

    def _let_go(self, previous: Input) -> None:
        """A newer send is leaving: older ones are never sent again, so their frames are not needed any more."""
        if previous.kind is SEND:
            previous.held_bytes, previous.frame = len(previous.frame), b""
            self._held_bytes += previous.held_bytes
        while self.inputs[0].kind is SEND and (
            len(self.inputs) >= UNANSWERED_SENDS_MAX
            or (self._held_bytes > UNANSWERED_BYTES_MAX and len(self.inputs) > 1)
        ):
            self._give_up(self._removed(0), Outcome.SUPERSEDED)

    def end_older(self, outcome: Outcome) -> None:
        """End all but the newest, where inputs have no answers of their own."""
        while len(self.inputs) > 1:
            self._removed(0).end(outcome)

    # --- what is answered

    def match(self, request_id: str | None) -> Match:
        """Pair an answer that carries this id (None where it carries none) and remove what it settles."""
        inputs, ids = self.inputs, self._facts.ids
        if request_id is not None and ids is not REFUTED:
            named = [index for index, input in enumerate(inputs) if input.request_id == request_id]
            if named:
                return self._match_named(named, request_id)
        if ids is ECHOED:
            return self._match_unnamed(request_id)
        return self._paired(0) if inputs else _NONE

    def _match_named(self, named: list[int], request_id: str) -> Match:
        self._facts.ids = ECHOED
        input, spent = self.inputs[named[0]], self._spent.get(request_id)
        if spent is input:
            # It left twice on this socket: this may be the late answer of the first time, which proves no order.
            return Match(self._removed(named[0]))
        if spent is not None or len(named) > 1:  # an id that was given to several inputs names none of them
            return self._paired(named[0])
        self._facts.kept(len(self.inputs))
        match = self._paired(named[0], named=True)
        # Outputs come in the order of the inputs: whatever was given up before this one is surely gone.
        self.end_unproven(Outcome.SUPERSEDED)
        if len(self.inputs) <= 1:
            self.order = PROVEN  # one that is alone behind it is surely kept
        elif self.order is BROKEN:
            self.order = CROWDED
        return match

    def _match_unnamed(self, request_id: str | None) -> Match:
        """An app that echoes ids gave an answer that carries none of ours."""
        inputs = self.inputs
        if not inputs or (
            request_id is not None and (request_id in self._spent or inputs[0].request_id is not None)
        ):
            return _NONE
        unnamed = next((index for index, input in enumerate(inputs) if input.request_id is None), None)
        proven = self.order is PROVEN
        if unnamed == 0 or (proven and (len(inputs) == 1 or unnamed is not None)):
            return self._paired(0)
        if unnamed is not None and not self.strict:
            return self._paired(unnamed)
        self._facts.ids = REFUTED
        return _AMBIGUOUS

    def _paired(self, index: int, *, named: bool = False) -> Match:
        candidate, certain = self.inputs[index], named or self.order is PROVEN
        if not certain and candidate.kind is REQUEST and candidate.outcome is None:
            return _AMBIGUOUS
        overtaken = tuple(self._removed(0) for _ in range(index)) if index else ()
        answered = self._removed(0)
        if not self.inputs and self.order is CROWDED:
            self.order = PROVEN
        return Match(answered, certain, overtaken)

    def _removed(self, index: int) -> Input:
        input = self.inputs.pop(index)
        if input.kind is SEND:
            self._held_bytes -= input.held_bytes
        else:
            self.strict -= 1
        return input

    # --- what is given up

    def spend(self, input: Input) -> None:
        """More answers than one may carry this input's name, or one that nobody counts on."""
        if input.request_id is not None:
            self._spent[input.request_id] = input
            if len(self._spent) > SPENT_MAX:
                del self._spent[next(iter(self._spent))]

    def _give_up(self, send: Input, outcome: Outcome) -> None:
        self.order = BROKEN
        self.spend(send)
        send.end(outcome)

    def fail_oldest(self) -> None:
        """Something came that cannot be read: it may have been the oldest send's answer."""
        if self.inputs:
            self._give_up(self._removed(0), Outcome.FAILED)

    def settle(self) -> None:
        """Take everything unanswered, plain sends all of them, for dropped; the newest may have to leave again."""
        self.end_unproven(Outcome.SUPERSEDED)
        while len(self.inputs) > 1:
            self._give_up(self._removed(0), Outcome.SUPERSEDED)
        self.unproven = newest = self._removed(0)
        self.order = BROKEN
        self.spend(newest)

    def end_unproven(self, outcome: Outcome) -> None:
        """The newest plain send that was given up has ended for good."""
        if self.unproven is not None:
            self.unproven.end(outcome)
            self.unproven = None

    def take_all(self) -> tuple[Input, ...]:
        """The socket has gone: return what was not answered on it, oldest first, and forget it."""
        unproven = () if self.unproven is None else (self.unproven,)
        inputs = (*unproven, *self.inputs)
        self.unproven = None
        self.inputs.clear()
        self.strict = self._held_bytes = 0
        return inputs
