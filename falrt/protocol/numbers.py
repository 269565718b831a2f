"""What counts as a number: one table of rules for every option, and one reading of what others send.

A bool, a string, an infinity and a whole number too large for a float are none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from falrt.exceptions import ConfigurationError

__all__ = ["COUNT", "NEVER", "PAUSE", "SECONDS", "YEAR", "Rule", "check_number", "finite"]

# No app waits longer than a year; and nothing above can be added to a clock without loss.
YEAR: Final = 366 * 24 * 3600

NEVER: Final = math.inf
"""The instant that does not come."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What an option may be.

    Attributes:
        text: In words, after "must be".
        least: Smallest value.
        most: Largest value.
        whole: Only whole numbers.
        open: The smallest value itself is too small.
    """

    text: str
    least: float
    most: float
    whole: bool = False
    open: bool = False

    def allows(self, value: object) -> bool:
        """Whether a value obeys."""
        number = finite(value)
        if number is None or (self.whole and type(value) is not int):
            return False
        return self.least <= number <= self.most and not (self.open and number == self.least)


SECONDS: Final = Rule("a positive number of seconds", 0.0, YEAR, open=True)
PAUSE: Final = Rule("a number of seconds, 0 or more", 0.0, YEAR)
COUNT: Final = Rule("a whole number from 1", 1, 10**9, whole=True)


def check_number(name: str, value: object, rule: Rule, *, optional: bool = False, cure: str = "") -> None:
    """Refuse a value that a rule does not allow; ``optional`` allows None too.

    Raises:
        ConfigurationError: Names the option as users write it, the value and the cure.
    """
    if (value is None and optional) or rule.allows(value):
        return
    alternative = " or None" if optional else ""
    raise ConfigurationError(
        f"{name} must be {rule.text}{alternative}, got {_shown(value)}" + (f": {cure}" if cure else "")
    )


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 10_000:
        return "an enormous number"  # Python itself refuses to write out the largest
    return f"{value!r:.50}"


def finite(value: Any) -> float | None:
    """Return a value as a float that can be reckoned with; None for anything else, NaN and infinities included."""
    if type(value) is float:
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # whole numbers may have any length
        return None
    return number if math.isfinite(number) else None
