"""The queue's words: where a job stands, which of its logs are new, and the paths of its addresses.

Source: wire facts W76 to W78, docs/reference/wire.md.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from falrt.exceptions import DecodeError
from falrt.protocol.wire.endpoint import Endpoint

__all__ = ["Completed", "InProgress", "NewLogs", "Queued", "Status", "read_status", "request_path"]


@dataclass(frozen=True, slots=True)
class Queued:
    """The job waits.

    Attributes:
        position: How many stand before it.
    """

    position: int


@dataclass(frozen=True, slots=True)
class InProgress:
    """The job is worked on.

    Attributes:
        logs: What the app has logged; maps with ``message``, ``level``, ``timestamp`` as a rule. In ``job.events()``
            only what is new.
    """

    logs: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Completed:
    """The job has ended, well or badly.

    Attributes:
        logs: As in :class:`InProgress`.
        metrics: Such as ``inference_time``, in seconds.
        error: What went wrong, or None.
        error_type: The service's word for it, or None.
    """

    logs: Sequence[Mapping[str, Any]] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    error_type: str | None = None


Status: TypeAlias = Queued | InProgress | Completed


def request_path(endpoint: Endpoint, request_id: str) -> str:
    """Return the path of a request: the endpoint's own path is not part of it."""
    return replace(endpoint, path=f"requests/{request_id}").app_id


def read_status(reply: Any) -> Status:
    """Return where a job stands.

    Raises:
        DecodeError: The reply is none of the queue's.
    """
    given = reply if isinstance(reply, dict) else {}
    logs = tuple(each for each in given.get("logs") or () if isinstance(each, dict))
    match given.get("status"):
        case "IN_QUEUE":
            position = given.get("queue_position")
            return Queued(position if isinstance(position, int) else 0)
        case "IN_PROGRESS":
            return InProgress(logs)
        case "COMPLETED":
            metrics = given.get("metrics")
            error = given.get("error")
            return Completed(
                logs,
                metrics if isinstance(metrics, dict) else {},
                error if isinstance(error, str) or error is None else json.dumps(error),
                given.get("error_type"),
            )
        case other:
            raise DecodeError(f"the queue answered with an unknown status: {str(other)[:80]!r}")


class NewLogs:
    """Leaves out log lines that were handed out before, whether the service repeats them each time or not."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def of(self, status: Status) -> Status:
        """Return the status with its new log lines alone."""
        if isinstance(status, Queued) or not status.logs:
            return status
        now: Counter[str] = Counter()
        new = []
        for line in status.logs:
            name = json.dumps(line, sort_keys=True, default=str)
            now[name] += 1
            # The same line twice in one reply was logged twice.
            if now[name] > self._seen[name]:
                new.append(line)
        self._seen |= now
        return replace(status, logs=tuple(new))
