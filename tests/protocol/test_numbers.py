"""What an option that is a number may be."""

from __future__ import annotations

import math
from typing import Any

import pytest

from falrt.exceptions import ConfigurationError
from falrt.protocol.numbers import COUNT, PAUSE, SECONDS, Rule, check_number, finite

NO_NUMBERS = ["60", b"60", None, True, math.inf, -math.inf, math.nan, 10**400, -(10**5000), 1j, [1]]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("rule", [SECONDS, PAUSE, COUNT])
def test_what_is_no_number_is_refused_with_the_name_the_value_and_the_cure(rule: Rule, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^Throttle.interval must be .*, got .*: write 0\.1$"):
        check_number("Throttle.interval", value, rule, cure="write 0.1")
    assert finite(value) is None


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (SECONDS, [0.001, 1, 366 * 24 * 3600], [0, -1, 1e9]),
        (PAUSE, [0, 0.0, 2.5], [-0.001, 1e9]),
        (COUNT, [1, 1000], [0, -1, 1.0, 2.5]),
    ],
)
def test_each_rule_has_its_range(rule: Rule, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        check_number("x", value, rule)
    for value in bad:
        with pytest.raises(ConfigurationError, match=f"x must be {rule.text}, got "):
            check_number("x", value, rule)


def test_an_optional_number_may_be_none_and_says_so() -> None:
    check_number("x", None, SECONDS, optional=True)
    with pytest.raises(ConfigurationError, match="a positive number of seconds or None, got '1'"):
        check_number("x", "1", SECONDS, optional=True)


def test_an_enormous_number_is_not_written_out() -> None:
    with pytest.raises(ConfigurationError, match="got an enormous number"):
        check_number("x", 10**5000, SECONDS)
