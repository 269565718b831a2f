from __future__ import annotations

from typing import Any

import pytest

from falrt import exceptions
from falrt.local.options import LocalOptions


@pytest.mark.parametrize(
    "wrong",
    [{"speed": 0}, {"latency": -1}, {"latency": 61}, {"idle_timeout": 0}, {"buffering": 0}, {"key": ""}],
)
def test_wrong_option_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(exceptions.ConfigurationError, match=next(iter(wrong))):
        LocalOptions(**wrong)


def test_no_limits_are_options() -> None:
    assert LocalOptions(idle_timeout=None, buffering=None).buffering is None
