"""One connection for tests with literal times: short verbs around RealtimeProtocol."""

from __future__ import annotations

from typing import Any

from falrt.protocol.events import Answered, Event, Failed, Lost, Opened
from falrt.protocol.inputs import Input, Kind, Lane
from falrt.protocol.loss import Cause, Loss
from falrt.protocol.pacing.policies import Immediate, Pacer, Pacing
from falrt.protocol.realtime import RealtimeProtocol
from falrt.protocol.settings import Settings
from falrt.protocol.wire.modes import MODES

TIMEOUT = {"type": "x-fal-error", "error": "TIMEOUT", "reason": "no inputs, reconnect when needed!"}
UNAUTHORIZED = {"status": "error", "error": "Unauthorized"}


def fault(reason: str = "bad input") -> dict[str, str]:
    """The app's own error message."""
    return {"type": "x-fal-error", "error": "INTERNAL_ERROR", "reason": reason}


class Overlapping:
    """A policy that claims to time its inputs, and sends each at once."""

    def start(self) -> Pacer:
        return _OverlappingPacer()


class _OverlappingPacer(type(Immediate().start())):  # type: ignore[misc]  # the least code for such a pacer
    overlaps = True


def a_lane(pacing: Pacing, **options: bool) -> Lane:
    """A lane of its own, whose inputs end unnoticed."""
    return Lane(pacing.start(), lambda outcome, event: None, **options)


def taken(protocol: RealtimeProtocol) -> list[Event]:
    """Take what happened, as the shell does."""
    events = [*protocol.events]
    protocol.events.clear()
    return events


class Line:
    """A protocol whose chance is always one half, so that every pause is half of its ceiling."""

    def __init__(self, mode: str = "unary", *, start: float = 0.0, **options: Any) -> None:
        self.protocol = RealtimeProtocol(
            Settings("acme/app", mode=MODES[mode], **options), start, lambda: 0.5
        )

    def open(self, now: float) -> Line:
        assert self.protocol.connecting(now)
        self.protocol.opened(now)
        return self

    def offer(self, kind: Kind, name: str, now: float, **details: Any) -> Input:
        lane: Lane = details.pop("lane", self.protocol.main)
        input = Input(name.encode(), kind, lane, now, value=name, **details)
        self.protocol.submit(input, now)
        return input

    def send(self, name: str, now: float, **details: Any) -> Input:
        return self.offer(Kind.SEND, name, now, **details)

    def request(self, name: str, now: float, **details: Any) -> Input:
        return self.offer(Kind.REQUEST, name, now, **details)

    def frame(self, lane: Lane, name: str, now: float, **details: Any) -> Input:
        return self.offer(Kind.STREAM, name, now, lane=lane, **details)

    def leave(self, now: float) -> list[str]:
        """Let everything leave that may; return the frames."""
        frames = []
        while (input := self.protocol.take_due(now)) is not None:
            frames.append(bytes(input.frame).decode() if isinstance(input.frame, bytes) else input.frame)
        return frames

    def result(self, now: float, request_id: str | None = None, **more: Any) -> list[tuple[str, bool]]:
        """A result comes; return whose it is and whether that is certain."""
        message = {"seed": 1, **more} if request_id is None else {"seed": 1, "request_id": request_id, **more}
        self.protocol.received(message, now)
        return [(event.input.value, event.certain) for event in self.events() if isinstance(event, Answered)]

    def say(self, message: object, now: float, code: int = 1000) -> None:
        """A control message comes, and the socket closes."""
        self.protocol.received(message, now)
        self.lose(now, code=code)

    def lose(self, now: float, cause: Cause = Cause.CLOSED, code: int = 1006, **details: Any) -> None:
        self.protocol.lost(Loss(cause, code, **details), now)

    def at(self, now: float) -> list[Event]:
        """Time has come; return what happened."""
        self.protocol.tick(now)
        return self.events()

    def given_up(self) -> Loss:
        """The protocol has given up its socket: close it, and say why it did."""
        leaving = self.protocol.socket.leaving
        assert leaving is not None
        return leaving

    def all_events(self) -> list[Event]:
        return taken(self.protocol)

    def events(self) -> list[Event]:
        """What happened but for the sockets' coming and going."""
        return [event for event in self.all_events() if not isinstance(event, Opened | Lost)]

    def failures(self) -> list[tuple[str, Exception]]:
        return [(event.input.value, event.error) for event in self.events() if isinstance(event, Failed)]

    @property
    def next(self) -> float | None:
        return self.protocol.next_deadline(0.0)
