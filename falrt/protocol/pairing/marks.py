"""What a result says about itself: the id of its input and the time that the model took, where it does.

Source:
    ``request_id`` and ``timings.inference`` in outputs: wire fact W35, docs/reference/wire.md.
"""

from __future__ import annotations

from typing import Any

from falrt.protocol.wire.messages import seconds_in

__all__ = ["marks_in"]


def marks_in(message: Any) -> tuple[str | None, float | None]:
    """Return the request id and the inference time in seconds that a result carries; None for each it does not."""
    if type(message) is not dict:
        return None, None
    request_id = message.get("request_id")
    timings = message.get("timings")
    return (
        request_id if type(request_id) is str and request_id else None,
        seconds_in(timings.get("inference")) if type(timings) is dict else None,
    )
