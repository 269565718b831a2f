"""What each value of a fault, an app or a server may be: one table, by the value's name.

It is looked up where a thing is built. A fault that can never happen would show much later, as a test that hangs.
"""

from __future__ import annotations

import difflib
import inspect
import json
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, get_args

from falrt.exceptions import ConfigurationError
from falrt.protocol import numbers
from falrt.typing import ModeName

__all__ = ["RULES", "Helpful", "Rule", "check", "check_fields", "meant"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value may be.

    Attributes:
        words: In words, behind "must be".
        allows: Whether it allows a value; called with anything.
    """

    words: str
    allows: Callable[[Any], bool]

    def or_none(self, meaning: str = "") -> Rule:
        """Return the rule that allows None too; `meaning` says what None stands for."""
        words = f"{self.words}, or None{meaning and f' for {meaning}'}"
        return Rule(words, lambda value: value is None or self.allows(value))


class Helpful(type):
    """The metaclass of what is made in tests: an unknown argument is refused with the one that was meant."""

    if not TYPE_CHECKING:  # type checkers look at __init__

        def __call__(cls, *args: Any, **options: Any) -> Any:
            """Make one, if every argument is known."""
            known = list(inspect.signature(cls.__init__).parameters)[1:]
            unknown = [name for name in options if name not in known]
            if unknown:
                raise ConfigurationError(f"{cls.__name__} takes no {meant(unknown[0], known, 'it takes')}")
            return super().__call__(*args, **options)


def meant(name: str, known: Collection[str], otherwise: str) -> str:
    """Return an unknown name with the known one that it resembles, or with all of them; for an error."""
    short = {each.rpartition(".")[2]: each for each in known}
    near = difflib.get_close_matches(name, short, 1)
    cure = f"did you mean {short[near[0]]!r}?" if near else f"{otherwise} {', '.join(known)}"
    return f"{name!r}: {cure}"


def check(values: Mapping[str, object], owner: str = "") -> None:
    """Refuse the first value that its rule does not allow; a value without a rule passes.

    Args:
        values: By name.
        owner: Whose values: a rule named ``owner.name`` goes before the one named ``name``.

    Raises:
        ConfigurationError: Names the value and what is allowed.
    """
    for name, value in values.items():
        rule = RULES.get(f"{owner}.{name}") or RULES.get(name)
        if rule is not None and not rule.allows(value):
            raise ConfigurationError(f"{name} must be {rule.words}, not {value!r}")


def check_fields(owner: Any) -> None:
    """Check every field of a dataclass; see `check`."""
    check({field.name: getattr(owner, field.name) for field in fields(owner)}, type(owner).__name__)


def _number(rule: numbers.Rule) -> Rule:
    return Rule(rule.text, rule.allows)


def _is_whole(value: Any) -> bool:
    # Members of the standard library's enums of codes and statuses are whole numbers too; True is a slip.
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(words: str, least: int, most: float = float("inf")) -> Rule:
    return Rule(words, lambda value: _is_whole(value) and least <= value <= most)


def _one_of(*values: object) -> Rule:
    words = ", ".join(repr(value) for value in values[:-1])
    return Rule(f"{words} or {values[-1]!r}", lambda value: any(value is it or value == it for it in values))


def _a(kind: Any, words: str) -> Rule:
    return Rule(words, lambda value: isinstance(value, kind))


def _is_close_code(code: Any) -> bool:
    # 1005 and 1006 are never sent: they stand for a close frame without a code, and for none at all.
    return _is_whole(code) and (1000 <= code <= 1014 or 3000 <= code <= 4999) and code != 1004


def _is_close_reason(value: object) -> bool:
    return isinstance(value, str) and len(value.encode()) <= 123


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _is_codec(value: object) -> bool:
    if isinstance(value, type):  # a class has both methods too, and could call neither
        return False
    return callable(getattr(value, "encode", None)) and callable(getattr(value, "decode", None))


_SECONDS = _number(numbers.PAUSE)
_SOME_SECONDS = _number(numbers.SECONDS)
_FLAG = _a(bool, "True or False")
_JSON = Rule("what JSON can hold", _is_json)

RULES: Final[Mapping[str, Rule]] = {
    # Faults.
    "times": _whole("1 or more", 1).or_none("always"),
    "connection": _whole("a connection's number, counted from 0", 0).or_none("any"),
    "probability": _number(numbers.Rule("above 0 and at most 1", 0, 1, open=True)),
    "after": _whole("a number of answers, 0 or more", 0).or_none("any"),
    "inputs": _whole("a number of inputs, 1 or more", 1).or_none(),
    "input": _whole("an input's number, counted from 0", 0).or_none("any"),
    "seconds": _SECONDS,
    "StopReading.seconds": _SECONDS.or_none("ever"),
    "age": _SECONDS,
    # 1xx would only announce the answer that a client then waits for.
    "status": _whole("an HTTP status, 200 to 599", 200, 599),
    "detail": _JSON,
    "body": _JSON,
    "error": _JSON,
    "close": _FLAG,
    "code": Rule("a close code, 1000 to 1003, 1005 to 1014 or 3000 to 4999", _is_close_code),
    "reason": Rule("text of at most 123 bytes", _is_close_reason),
    "data": _a(bytes | str, "bytes or text"),
    "keep": _whole("a number of bytes, 0 or more", 0).or_none("half"),
    "size": _whole("a number of bytes, 0 or more", 0),
    "how": _one_of("reset", "end"),
    "endpoint": _one_of("general", "realtime", None),
    # Apps.
    "mode": _one_of(*get_args(ModeName)),
    "buffering": _whole("1 or more", 1).or_none("no limit"),
    "service_time": Rule(
        f"{numbers.PAUSE.text}, or a function", lambda value: callable(value) or _SECONDS.allows(value)
    ),
    "session_timeout": _SOME_SECONDS.or_none("never"),
    "emit_timings": _FLAG,
    "max_batch_size": _whole("1 or more", 1),
    "codec": Rule("an object with encode and decode, as in falrt.codecs", _is_codec).or_none("msgpack"),
    "per_connection": _FLAG,
    "input_type": Rule("a class or a function", callable).or_none(),
    # The path to the server and the socket.
    "latency": _SECONDS,
    "jitter": _SECONDS,
    "bandwidth": _number(numbers.Rule("a positive number of bytes a second", 0, 2**63, open=True)).or_none(
        "no limit"
    ),
    "max_size": _whole("a number of bytes above 0", 1).or_none("no limit"),
    "ping_interval": _SOME_SECONDS.or_none("no pings"),
    "ping_timeout": _SOME_SECONDS.or_none("ever"),
    "direction": _one_of("up", "down", "both"),
    # The stand-in.
    "speed": _number(numbers.Rule("a positive number", 0, 1e6, open=True)),
    "LocalOptions.latency": _number(numbers.Rule("0 to 60 seconds", 0, 60)),
    "idle_timeout": _SOME_SECONDS.or_none("never"),
    "check_keys": _FLAG,
    # The server.
    "apps": Rule(
        "a map of endpoint paths to apps",
        lambda value: isinstance(value, Mapping) and all(isinstance(path, str) for path in value),
    ).or_none(),
    "seed": _whole("a whole number", -(2**63), 2**63),
    "auth": _FLAG,
    "strict": _FLAG,
    "forbidden": Rule(
        "a list of endpoint ids", lambda value: isinstance(value, list | tuple | set | frozenset)
    ),
    "key": Rule("a non-empty string", lambda value: isinstance(value, str) and value != "").or_none("any"),
    "token_lifetime": _number(numbers.Rule("a number of seconds", -numbers.YEAR, numbers.YEAR)).or_none(
        "what is asked for"
    ),
    "token_reply": _one_of("string", "token", "jwt", "detail"),
    "refusal": Rule(
        '"frame", "close" or an HTTP status, 300 to 599',
        lambda value: value in ("frame", "close") or (_is_whole(value) and 300 <= value <= 599),
    ),
    "ssl": _a(ssl.SSLContext, "an ssl.SSLContext").or_none("http"),
}
"""The rules. A name means the same wherever it stands; ``Kind.name`` is the exception for one kind."""
