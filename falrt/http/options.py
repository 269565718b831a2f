"""The options of a call over HTTP: names, defaults, checks, and the headers that they become."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, TypedDict

from falrt.exceptions import ConfigurationError
from falrt.options import ConnectOptions, check_names, check_seconds
from falrt.protocol.wire.queue import Status
from falrt.protocol.wire.storage import Lifetime, lifecycle

__all__ = [
    "CallOptions",
    "CallSettings",
    "MapOptions",
    "PipelineOptions",
    "Priority",
    "SubmitOptions",
    "SubscribeOptions",
]

Priority: TypeAlias = Literal["normal", "low"]
# What HTTP takes for a name.
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS: Final = frozenset({"authorization", "host", "content-length", "transfer-encoding", "x-fal-target-url"})


class PipelineOptions(TypedDict, total=False):
    """Options of ``pipeline()``."""

    timeout: float | None
    retries: int
    repeatable: bool


class CallOptions(PipelineOptions, total=False):
    """Options of one call; see :class:`CallSettings`."""

    start_timeout: float | None
    hint: str | None
    headers: Mapping[str, str] | None
    query: Mapping[str, str | int | float | bool] | None
    expires_in: Lifetime | None
    method: str


class MapOptions(CallOptions, total=False):
    """Options of ``map()``."""

    concurrency: int
    ordered: bool
    on_progress: Callable[[int, int | None], object] | None


class SubmitOptions(CallOptions, total=False):
    """Options of ``submit()``."""

    webhook_url: str | None
    priority: Priority | None


class SubscribeOptions(SubmitOptions, total=False):
    """Options of ``subscribe()``."""

    on_update: Callable[[Status], object] | None
    on_submit: Callable[[Any], object] | None
    logs: bool
    interval: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """The checked options of one call; the names are those that users write.

    Attributes:
        timeout: Seconds that the whole call may take, retries included; None for no limit. In ``stream()``
            the longest silence between two events.
        start_timeout: Seconds, more than 1, within which the service must start to work on the request.
        hint: Requests with the same hint go to the same runner where possible.
        headers: Additional headers.
        query: Additional parameters of the URL.
        expires_in: How long the files that the endpoint stores are kept.
        retries: How many times a request is retried after a temporary failure, if it cannot have run.
        repeatable: Whether it may run twice. Then it is also retried if the answer was lost, or if the model
            failed temporarily: at worst you pay for two results.
        method: The HTTP method, in upper or lower case; ``"GET"`` sends no input.
        sent: The headers made from the options.

    Raises:
        ConfigurationError: A value is wrong; the text names the option and the cure.
    """

    timeout: float | None = None
    start_timeout: float | None = None
    hint: str | None = None
    headers: Mapping[str, str] | None = None
    query: Mapping[str, str | int | float | bool] | None = None
    expires_in: Lifetime | None = None
    retries: int = 3
    repeatable: bool = False
    method: str = "POST"
    # What the options become; made once.
    sent: dict[str, str] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        check_seconds("timeout", self.timeout, optional=True)
        check_seconds("start_timeout", self.start_timeout, optional=True)
        if self.start_timeout is not None and self.start_timeout <= 1:
            raise ConfigurationError(f"start_timeout must be more than 1 second, got {self.start_timeout!r}")
        if type(self.retries) is not int or not 0 <= self.retries <= 100:
            raise ConfigurationError(
                f"retries must be a whole number from 0 to 100, got {self.retries!r:.50}"
            )
        if not isinstance(self.repeatable, bool):
            raise ConfigurationError(f"repeatable must be True or False, got {self.repeatable!r:.50}")
        if not (str(self.method).isalpha() and str(self.method).isascii()):
            raise ConfigurationError(f"method must be a word such as 'POST', got {self.method!r:.50}")
        object.__setattr__(self, "method", str(self.method).upper())
        for name, value in _mapping("query", self.query).items():
            if not isinstance(value, str | int | float | bool):
                raise ConfigurationError(
                    f"query[{name!r}] must be a string or a number, not {type(value).__name__}"
                )
            if any("\ud800" <= character <= "\udfff" for character in f"{name}{value}"):
                raise ConfigurationError(f"query[{name!r}] contains half a character (a lone surrogate)")
        self._fill()

    def _fill(self) -> None:
        sent = self.sent
        for name, value in _mapping("headers", self.headers).items():
            if not _HEADER.fullmatch(name):
                raise ConfigurationError(
                    f"headers must not contain {name!r:.80}: this is no name of a header"
                )
            if name.lower() in _OURS:
                raise ConfigurationError(
                    f"headers must not contain {name!r}: it is set for you (pass a key as key=)"
                )
            sent[name.lower()] = _line(f"headers[{name!r}]", value)
        if self.hint is not None:
            sent["x-fal-runner-hint"] = _line("hint", self.hint)
        if self.start_timeout is not None:
            sent["x-fal-request-timeout"] = str(float(self.start_timeout))
        if (kept := lifecycle(self.expires_in)) is not None:
            sent["x-fal-object-lifecycle-preference"] = kept

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> CallSettings:
        """Check options given by name.

        Raises:
            ConfigurationError: An option is unknown (the nearest name is suggested) or wrong.
        """
        if not options:
            return DEFAULTS
        known = [each.name for each in fields(cls) if each.init]
        check_names(options, known, ConnectOptions.__annotations__, "connect(), not a call over HTTP")
        return cls(**options)


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigurationError(f"{name} must be a mapping of names to values, not {type(value).__name__}")
    return value


def _line(name: str, value: object) -> str:
    """Return a header's value; an HTTP library would fail on what does not fit into one."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ConfigurationError(f"{name} must be one line of ASCII text")
    return value


DEFAULTS: Final = CallSettings()
