"""Inputs, and which answer belongs to which of them.

A fal runner answers in the order of the inputs, but it may silently drop the oldest one waiting, or make one output
of several; most models echo no id. So:

- An echoed ``request_id`` decides, and tells that every older unanswered input was dropped. It is trusted once seen.
- Otherwise the oldest unanswered input is answered. That is proven while no more inputs are unanswered than the
  server surely keeps (``vouched``, one unless the caller says more). Beyond that the pairing is in *doubt*.
- The server gives fewer answers than inputs, never more: when the count comes back to zero by answers alone, nothing
  was dropped and the doubt is gone.
- An input may be *written off*: we guess that it was dropped. Its answer may still come, so the doubt stays until it
  does, until an answer that names a later input proves the guess, or until the socket goes. An answer that no
  unanswered input claims belongs to one that was written off.

Source:
    Buffering, dropping, pairing: wire facts W31 to W36, docs/reference/wire.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from falrt.protocol.inputs import Input, Kind, Lane, supersede

__all__ = ["InFlight", "Match"]


@dataclass(slots=True)
class Match:
    """What an answer was paired with; not frozen, for that would double the cost of one for each answer.

    Attributes:
        input: The input answered; None where the answer belongs to none that still counts.
        certain: The pairing is proven.
        overtaken: Older inputs that were dropped, as it seems: answers overtake each other only in a traffic jam.
        ambiguous: The answer could be several inputs'; the socket must be replaced.
        late: The input had been written off.
    """

    input: Input | None
    certain: bool = True
    overtaken: tuple[Input, ...] = ()
    ambiguous: bool = False
    late: bool = False


_NONE: Final = Match(None)
_AMBIGUOUS: Final = Match(None, certain=False, ambiguous=True)
# fal's server-side buffer holds 60 at the most; an app without a bound is answered all the same, unpaired.
UNANSWERED_SENDS_MAX: Final = 128
UNANSWERED_BYTES_MAX: Final = 64 * 1024 * 1024
# Overtaken requests whose answers are still looked for; those that are pushed out end at their time all the same.
OVERTAKEN_MAX: Final = 64
# Written-off inputs whose answers are still looked for; so many guesses in a row mean that the socket is no good.
LATE_MAX: Final = 8


class InFlight:
    """The unanswered inputs of one connection, oldest first; cleared when the socket goes."""

    __slots__ = (
        "_forgotten", "_held_bytes", "_inputs", "_late", "_overtaken", "_owed", "_strict", "doubt", "ids_refuted",
        "ids_trusted",
    )  # fmt: skip

    def __init__(self) -> None:
        self._inputs: list[Input] = []
        # How many of them nothing newer can stand for; how many are requests and stream frames.
        self._owed = self._strict = 0
        # What the values of those whose frames were let go weigh.
        self._held_bytes = 0
        # Written off on this socket and not proven to be dropped, oldest first.
        self._late: list[Input] = []
        # Requests that a later input's answer overtook: theirs may come all the same, and will name them.
        self._overtaken: list[Input] = []
        # How many inputs were forgotten without an answer on this socket; their results are nobody's in particular.
        self._forgotten = 0
        # An answer carried the id of its input: this app echoes ids. Kept across sockets.
        self.ids_trusted = False
        # The app echoed and then did not: ids prove nothing here any more.
        self.ids_refuted = False
        # More is unanswered than surely kept, or something was written off: pairing is inferred.
        self.doubt = False

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
        return self._strict > 0

    @property
    def owes(self) -> bool:
        """Whether a request, be it one given up, or a frame that nothing newer can stand for is unanswered."""
        return self._owed > 0

    @property
    def awaited(self) -> bool:
        """Whether somebody still waits for an answer."""
        return any(input.outcome is None for input in (*self._overtaken, *self._inputs))

    @property
    def forgot(self) -> bool:
        """Whether an input was forgotten without an answer: results may come that belong to none that we know."""
        return self._forgotten > 0

    @property
    def stale(self) -> bool:
        """Whether a late answer may come to an input that was written off."""
        return self._forgotten > 0 or bool(self._late)

    @property
    def frames_late(self) -> bool:
        """Whether a late answer may come to a stream's frame that was written off, and will not name it."""
        return not self.ids_trusted and any(input.lane.streams for input in self._late)

    @property
    def hopeless(self) -> bool:
        """Whether so many inputs were written off that the socket must be taken for useless."""
        return len(self._late) >= LATE_MAX and any(input.lane.streams for input in self._late)

    def all_of(self, lane: Lane) -> bool:
        """Whether every unanswered input came from this lane."""
        return all(input.lane is lane for input in self._inputs)

    def count_of(self, lane: Lane) -> int:
        """How many unanswered inputs came from this lane."""
        return sum(input.lane is lane for input in self._inputs)

    def trusts(self, request_id: str | None) -> bool:
        """Whether an input with this id may go out among others: its answer will name it."""
        return (
            request_id is not None
            and self.ids_trusted
            and not self._forgotten
            and all(other.request_id not in (None, request_id) for other in self._inputs)
            and all(late.request_id != request_id for late in self._late)
        )

    def tells(self, input: Input) -> bool:
        """Whether the answer of an unanswered input will surely name it."""
        return (
            self.ids_trusted
            and input.request_id is not None
            and not any(other.request_id == input.request_id for other in self._inputs if other is not input)
        )

    def sent(self, input: Input, vouched: int) -> None:
        """Note that an input left, when the server surely keeps ``vouched`` unanswered ones."""
        if len(self._inputs) >= vouched and not self.trusts(input.request_id):
            self.doubt = True
        if input.kind is not Kind.SEND:
            self._strict += 1
            self._owed += input.kind is Kind.REQUEST or input.lane.keeps_all
        elif self._inputs:
            self._let_go(self._inputs[-1])
        if input.kind is not Kind.REQUEST:
            for late in self._late:
                if late.lane is input.lane:
                    late.frame = b""
        self._inputs.append(input)

    def _let_go(self, previous: Input) -> None:
        """A newer send is leaving: older ones are never sent again, so their frames are not needed any more."""
        if previous.kind is Kind.SEND:
            previous.held_bytes, previous.frame = len(previous.frame), b""
            self._held_bytes += previous.held_bytes
        while self._inputs[0].kind is Kind.SEND and (
            len(self._inputs) >= UNANSWERED_SENDS_MAX
            or (self._held_bytes > UNANSWERED_BYTES_MAX and len(self._inputs) > 1)
        ):
            self.doubt = True
            self._forget(self._removed(0))

    def only_newest(self) -> list[Input]:
        """Forget all but the newest, where inputs have no answers of their own; return the others."""
        return [self._removed(0) for _ in range(len(self._inputs) - 1)]

    def match(self, request_id: str | None) -> Match:
        """Pair an answer that carries this id (None where it carries none) and remove what it settles."""
        inputs = self._inputs
        if request_id is not None and not self.ids_refuted:
            named = [index for index, input in enumerate(inputs) if input.request_id == request_id]
            if named:
                return self._match_by_id(named, request_id)
            for index, overtaken in enumerate(self._overtaken):
                if overtaken.request_id == request_id:
                    return Match(self._overtaken.pop(index))
        if self.ids_trusted:
            return self._match_unnamed(request_id)
        if not inputs:
            return self._match_late(None)
        return self._paired(0, certain=not self.doubt)

    def _match_by_id(self, named: list[int], request_id: str) -> Match:
        # An id that the caller gave to several inputs names none of them.
        unique = (
            len(named) == 1
            and not self._forgotten
            and all(late.request_id != request_id for late in self._late)
        )
        self.ids_trusted = True
        match = self._paired(named[0], certain=unique or not self.doubt)
        if unique:
            # Outputs come in the order of the inputs: whatever was written off before this one is surely gone.
            for late in self._late:
                supersede(late)
            self._late.clear()
            if len(self._inputs) <= 1:
                self.doubt = False  # one that is alone behind it is surely kept
        return match

    def _match_unnamed(self, request_id: str | None) -> Match:
        """An app that echoes ids gave an answer that carries none of ours."""
        inputs = self._inputs
        if not inputs or (request_id is not None and (self.stale or inputs[0].request_id is not None)):
            return self._match_late(request_id)
        unnamed = next((index for index, input in enumerate(inputs) if input.request_id is None), None)
        if unnamed == 0 or (not self.doubt and (len(inputs) == 1 or unnamed is not None)):
            return self._paired(0, certain=not self.doubt)
        if unnamed is not None and not self._strict:
            return self._paired(unnamed, certain=False)
        self.ids_trusted, self.ids_refuted, self.doubt = False, True, True
        return _AMBIGUOUS

    def _match_late(self, request_id: str | None) -> Match:
        """No unanswered input claims an answer: it may belong to one that was written off."""
        if request_id is None and self._forgotten:
            # Those that were forgotten are older still, and outputs come in the order of the inputs.
            self._forgotten -= 1
            self._settle()
            return _NONE
        for late in self._late:
            if request_id is None or late.request_id == request_id:
                self._late.remove(late)
                self._settle()
                return Match(late, certain=False, late=True)
        return _NONE

    def _paired(self, index: int, *, certain: bool) -> Match:
        candidate = self._inputs[index]
        if not certain and candidate.kind is Kind.REQUEST and candidate.outcome is None:
            return _AMBIGUOUS  # whatever happens, no request is given an answer that may be another's
        overtaken = tuple(self._removed(0) for _ in range(index)) if index else ()
        answered = self._removed(0)
        self._settle()
        return Match(answered, certain, overtaken)

    def overtook(self, request: Input, until: float) -> None:
        """Wait a little for the answer of a request that seems to be dropped, before its caller is told so."""
        request.dropped_at = until
        if len(self._overtaken) >= OVERTAKEN_MAX:
            del self._overtaken[0]
        self._overtaken.append(request)

    def _removed(self, index: int) -> Input:
        input = self._inputs.pop(index)
        if input.kind is Kind.SEND:
            self._held_bytes -= input.held_bytes
        else:
            self._strict -= 1
            self._owed -= input.kind is Kind.REQUEST or input.lane.keeps_all
        return input

    def _settle(self) -> None:
        if not self._inputs and not self._late and not self._forgotten:
            self.doubt = False

    def _forget(self, input: Input) -> None:
        self._forgotten += 1
        supersede(input)

    def spoiled(self) -> Input | None:
        """Something came that cannot be read: it may have been the oldest input's answer, or something else."""
        return self.write_off()

    def write_off(self) -> Input | None:
        """Take the oldest input for silently dropped, and return it; a late answer may still be its."""
        if not self._inputs:
            return None
        self.doubt = True
        lost = self._removed(0)
        if any(newer.lane is lost.lane and newer.kind is not Kind.REQUEST for newer in self._inputs):
            lost.frame = b""  # a newer one stands for it; the newest of its lane may have to leave again
        if len(self._late) >= LATE_MAX:
            self._forget(self._late.pop(0))
        self._late.append(lost)
        return lost

    def take_unproven(self) -> list[Input]:
        """Remove and return the newest input of each lane that was written off, nobody knows whether rightly."""
        unproven = [late for late in self._late if late.frame and late.outcome is None]
        self._late = [late for late in self._late if late not in unproven]
        return unproven

    def of_lane(self, lane: Lane) -> list[Input]:
        """Return the inputs of a lane whose answers may still come."""
        return [input for input in (*self._late, *self._inputs) if input.lane is lane]

    def clear(self) -> tuple[Input, ...]:
        """The socket has gone: return its unanswered inputs, oldest first, and forget them."""
        inputs = (*self._overtaken, *self._inputs)
        for overtaken in self._overtaken:
            overtaken.dropped_at = None
        for late in self._late:
            supersede(late)
        self._overtaken.clear()
        self._inputs.clear()
        self._late.clear()
        self._owed = self._strict = self._held_bytes = 0
        self.doubt, self._forgotten = False, 0
        return inputs
