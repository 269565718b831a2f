"""What a message from the server means.

Control messages are JSON text whatever the codec; a gateway may pass them on as JSON bytes, and some clients of
old saw them as msgpack. So a frame is looked at twice: cheaply before decoding (:func:`control_in`), and once more
as the decoded message (:func:`classify`). No model's result has one of the control shapes.

Source:
    Control frames: wire facts W20 to W27, docs/reference/wire.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from falrt.protocol.numbers import finite
from falrt.typing import Frame

__all__ = [
    "OWN_ID_PREFIX",
    "Control",
    "IdleTimeout",
    "Notice",
    "ServerFault",
    "Timings",
    "Unauthorized",
    "classify",
    "control_in",
    "id_and_time_in",
    "seconds_in",
]

OWN_ID_PREFIX: Final = "falrt-"
"""How the ids begin that falrt gives to inputs that have none, so that they are told from the app's own."""

# Control messages are a line of JSON; a longer frame is a result, and is not searched.
CONTROL_MAX_BYTES: Final = 16_384
_raw_decode: Final = json.JSONDecoder().raw_decode
_MARK, _ERROR_MARK = "x-fal-", '"status"'
_BINARY_MARK, _BINARY_ERROR_MARK = _MARK.encode(), _ERROR_MARK.encode()


@dataclass(frozen=True, slots=True)
class Timings:
    """Server-side inference time in seconds of the output just sent."""

    inference_time: float


@dataclass(frozen=True, slots=True)
class Notice:
    """An ``x-fal-message`` whose action we do not know; shown to those who ask, otherwise harmless."""

    action: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """No input for a while, or the end of a stream; the server closes with 1000 next."""

    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """The gateway refused the token or key after the upgrade."""

    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ServerFault:
    """The app or the gateway failed; terminal for the socket."""

    error: str
    reason: str
    payload: dict[str, Any]


Control = Timings | Notice | IdleTimeout | Unauthorized | ServerFault


def control_in(frame: Frame | bytearray | memoryview) -> Control | None:
    """Return the control message that a frame holds as JSON, text or bytes, else None.

    The socket gives short frames as bytes; a memoryview is a long one.
    """
    if len(frame) > CONTROL_MAX_BYTES or isinstance(frame, memoryview):
        return None
    if isinstance(frame, str):
        marked = _MARK in frame or _ERROR_MARK in frame
    else:
        # No msgpack map begins with an opening brace, so this costs a result one comparison.
        marked = frame[:1] == b"{" and (_BINARY_MARK in frame or _BINARY_ERROR_MARK in frame)
    if not marked:
        return None
    try:
        text = frame.strip() if isinstance(frame, str) else str(frame, "utf-8").strip()
        message, end = _raw_decode(text)  # json.loads would look twice for white space
    except (ValueError, RecursionError):
        return None  # not JSON: the codec will say what it is
    return classify(message) if end == len(text) else None


def classify(message: Any) -> Control | None:
    """Return what a decoded message says beyond being a result; None for a result."""
    if type(message) is not dict:
        return None
    kind = message.get("type")
    if kind == "x-fal-message":
        return _fal_message(message)
    if kind == "x-fal-error" or message.get("status") == "error":
        return _error(message)
    if type(kind) is str and kind.startswith("x-fal-"):
        return Notice(kind, message)  # of a kind that came after this was written; never anybody's answer
    return None


def _error(message: dict[str, Any]) -> Control:
    error = str(message.get("error") or "UNKNOWN")
    if message.get("type") == "x-fal-error":
        if error == "TIMEOUT":
            return IdleTimeout(message)
    elif error.strip().lower() == "unauthorized":
        return Unauthorized(message)
    reasons = (message.get(name) for name in ("reason", "message", "detail"))
    return ServerFault(error, str(next(filter(None, reasons), "")), message)


def _fal_message(message: dict[str, Any]) -> Control:
    action = message.get("action", "")
    if action == "timings" and (seconds := seconds_in(message.get("timing"))) is not None:
        return Timings(seconds)
    return Notice(str(action), message)


def id_and_time_in(message: Any) -> tuple[str | None, float | None]:
    """Return the request id and the inference time in seconds that a result carries; None for each it does not.

    Source:
        ``request_id`` and ``timings.inference`` in outputs: wire fact W35, docs/reference/wire.md.
    """
    if type(message) is not dict:
        return None, None
    request_id = message.get("request_id")
    timings = message.get("timings")
    return (
        request_id if type(request_id) is str and request_id else None,
        seconds_in(timings.get("inference")) if type(timings) is dict else None,
    )


def seconds_in(value: object) -> float | None:
    """Return a duration that can be reckoned with; None for anything else, NaN and infinity included."""
    seconds = finite(value)
    return seconds if seconds is not None and seconds >= 0 else None
