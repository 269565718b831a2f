"""What ``on_event`` is called with: one small type for each thing that happens. See :mod:`falrt.protocol.events`."""

from falrt.protocol.events import (
    Answered,
    Dropped,
    Ended,
    Event,
    Failed,
    Lost,
    Noticed,
    Opened,
    Problem,
    Pushed,
)

__all__ = [
    "Answered",
    "Dropped",
    "Ended",
    "Event",
    "Failed",
    "Lost",
    "Noticed",
    "Opened",
    "Problem",
    "Pushed",
]
