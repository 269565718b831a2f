"""What an error answer over HTTP says, and whether the same request may be sent again.

The service words its errors in three ways: flat (``detail`` text and ``error_type``) from the platform, a list of
problems from models, and pages of HTML from what stands in front of both. The type decides first, the status second.

Two questions are kept apart. *Retryable*: may the same request succeed later? *Safe to repeat*: can it not have been
worked on, so that sending it again costs no second generation?

Source: wire facts W70 to W74, docs/reference/wire.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from falrt.exceptions import HTTPAuthenticationError, HTTPCallError, HTTPStatusError
from falrt.protocol.wire.endpoint import redact
from falrt.protocol.wire.token_schedule import looks_like_jwt

__all__ = ["is_safe_to_repeat", "read_detail", "read_error", "recast", "seconds_in", "tells_failure"]

ErrorT = TypeVar("ErrorT", bound=HTTPCallError)

# The platform's own failures: it gave up, says so, and asks for another try.
_PLATFORM_FAILURES: Final = frozenset(
    {
        *("request_timeout", "startup_timeout", "runner_scheduling_failure", "runner_connection_timeout"),
        *("runner_disconnected", "runner_connection_refused", "runner_connection_error"),
        *("runner_incomplete_response", "runner_server_error", "internal_error"),
    }
)
_FINAL: Final = frozenset({"client_disconnected", "client_cancelled", "bad_request"})
# The model worked on the input and failed; another try may do better.
_MODEL_FAILURES: Final = frozenset(
    {
        *("internal_server_error", "generation_timeout"),
        *("downstream_service_error", "downstream_service_unavailable"),
    }
)
# Refused before anything began: too slow in coming, in conflict, too early, too many.
_NOT_BEGUN: Final = frozenset({408, 409, 425, 429})
# The limit in X-Fal-Request-Timeout was the caller's own wish.
_OWN_LIMIT: Final = "x-fal-request-timeout-type"

_CURES: Final = {
    401: "check FAL_KEY or key=... against https://fal.ai/dashboard/keys",
    402: "the account has no balance: see https://fal.ai/dashboard/billing",
    403: "check that the key may use this app, and that the account is in good standing",
    404: "check the id",
    429: "the account's limit of concurrent requests is reached: send fewer at a time",
}
_REDIRECT_CURE: Final = (
    "redirects are not followed, because the credential is meant for one host: set base_url"
)
_TITLE: Final = re.compile(r"<title[^>]*>\s*([^<]{1,200}?)\s*</title>", re.IGNORECASE)
_FIELD_HEADS: Final = frozenset({"body", "query", "path", "header"})
# More than this of what the service says belongs into a log, not into a message.
_SHOWN: Final = 500
_DETAIL_SHOWN: Final = 300


def read_error(
    status: int, headers: Mapping[str, str], body: bytes, *, what: str, wall_now: float = 0.0
) -> HTTPStatusError:
    """Return the error that an answer stands for.

    Args:
        status: HTTP status, 300 or above.
        headers: Of the answer, names in lower case.
        body: Its beginning, or all of it.
        what: What was called, such as the endpoint id; begins the message.
        wall_now: Seconds since the epoch, for a ``Retry-After`` that names a date.
    """
    text = body.decode("utf-8", "replace")
    reply = _parsed(text)
    detail = _detail_in(reply, text)
    error_type = headers.get("x-fal-error-type")
    if isinstance(reply, dict) and isinstance(reply.get("error_type"), str):
        error_type = reply["error_type"]
    title = _TITLE.search(text) if reply is None else None
    said = f"an HTML page, {title[1]!r}" if title else _said(detail, _SHOWN)
    errors = [each for each in detail if isinstance(each, dict)] if isinstance(detail, list) else []
    types = [each.get("type") for each in errors]
    if error_type is None and types and isinstance(types[0], str) and types.count(types[0]) == len(types):
        error_type = types[0]
    request_id = headers.get("x-fal-request-id")
    kind = HTTPAuthenticationError if status in (401, 403) else HTTPStatusError
    return kind(
        _message(what, said, status, request_id, headers),
        status=status,
        detail=detail,
        errors=errors,
        error_type=error_type,
        request_id=request_id,
        retryable=_is_retryable(status, error_type, headers),
        retry_after=seconds_in(headers.get("retry-after"), wall_now),
        headers=headers,
    )


def recast(error: HTTPCallError, kind: type[ErrorT], **changes: Any) -> ErrorT:
    """Return an error of another type with what another one carries."""
    return kind(str(error), **{**vars(error), **changes})


def tells_failure(value: Any) -> bool:
    """Whether an event is one of the forms in which fal's services report a failure; no result has them."""
    if not isinstance(value, dict):
        return False
    if value.get("type") == "x-fal-error" or (value.get("status") == "error" and "error" in value):
        return True
    return "detail" in value and ("error_type" in value or value.keys() == {"detail"})


def is_safe_to_repeat(error: HTTPCallError) -> bool:
    """Whether a failed request cannot have led to a result, so that sending it again costs no second one.

    Without an answer nobody knows. With one, the platform's own failures and refusals are safe; so is a page of the
    entrance (nginx) that could not hand the request on. Its 504 means that it did hand it on.
    """
    if error.status is None or _OWN_LIMIT in error.headers:
        return False
    if error.error_type in _PLATFORM_FAILURES:
        return True
    if error.error_type is not None and error.status not in _NOT_BEGUN:
        return False
    if error.status in (502, 503):
        return "x-fal-request-id" not in error.headers and "nginx" in str(error.detail)
    return error.status in _NOT_BEGUN


def seconds_in(retry_after: str | None, wall_now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for, be they given as a number or as a date."""
    if not retry_after:
        return None
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after[:9])
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - wall_now)
    except (ValueError, TypeError, OverflowError):
        return None


def _is_retryable(status: int, error_type: str | None, headers: Mapping[str, str]) -> bool:
    if _OWN_LIMIT in headers or error_type in _FINAL:
        return False
    if error_type in _PLATFORM_FAILURES or error_type in _MODEL_FAILURES:
        return True
    told = headers.get("x-fal-retryable", headers.get("x-fal-needs-retry", "")).lower()
    if told in ("true", "false"):
        return told == "true"
    return status in _NOT_BEGUN or status >= 500


def _message(what: str, said: str, status: int, request_id: str | None, headers: Mapping[str, str]) -> str:
    number = f"{status}, request {request_id}" if request_id else str(status)
    text = f"{what}: {said or 'no explanation'} ({number})"
    cure = _REDIRECT_CURE if 300 <= status < 400 else _CURES.get(status)
    return redact(f"{text}; {cure}" if cure else text)


def read_detail(body: str) -> str:
    """Return what an error reply says, shortened to one line; ``detail`` may be text, a list or a map."""
    return _said(_detail_in(_parsed(body), body), _DETAIL_SHOWN)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _detail_in(reply: Any, text: str) -> Any:
    if isinstance(reply, dict):
        return next((reply[name] for name in ("detail", "error", "message") if reply.get(name)), reply)
    return text if reply is None else reply


def _said(detail: Any, most: int) -> str:
    problems = detail if isinstance(detail, list) else [detail]
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    said = "; ".join(map(_problem, problems[:3])) + more
    words = " ".join(map(_without_token, said.split()))
    return words if len(words) <= most else words[: most - 3] + "..."


def _without_token(word: str) -> str:
    # 40: shorter than any signed token, longer than a host name that a message would quote.
    return "***" if len(word) > 40 and looks_like_jwt(word.strip("\"'.,:;()")) else word


def _problem(each: Any) -> str:
    """Return one problem as ``image_size: unexpected value 'no'``."""
    if not isinstance(each, dict):
        return each if isinstance(each, str) else json.dumps(each)
    message = str(each.get("msg") or each.get("message") or each.get("type") or json.dumps(each))
    where = each.get("loc")
    if not isinstance(where, list):
        return message
    path = [str(part) for part in where]
    field = ".".join(path[1:] if path and path[0] in _FIELD_HEADS and len(path) > 1 else path)
    return f"{field}: {message}" if field else message
