"""The rules of the four modes."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from falrt.exceptions import ConfigurationError
from falrt.protocol.wire.modes import MODES, Replay, mode_named
from falrt.typing import ModeName


def test_the_modes_are_those_that_users_may_write() -> None:
    assert tuple(MODES) == get_args(ModeName)
    assert all(mode_named(name).name == name for name in MODES)


@pytest.mark.wire("W30")
def test_only_unary_apps_answer_each_input() -> None:
    assert [name for name, mode in MODES.items() if mode.pairs] == ["unary"]


@pytest.mark.wire("W30")
def test_a_server_stream_takes_one_input_a_socket() -> None:
    limits = {name: mode.inputs_per_socket for name, mode in MODES.items()}
    assert limits == {"unary": None, "server_streaming": 1, "client_streaming": None, "bidi": None}


@pytest.mark.wire("W30")
def test_the_idle_timeout_ends_every_stream_but_not_a_unary_connection() -> None:
    assert [name for name, mode in MODES.items() if mode.ends] == [
        "server_streaming",
        "client_streaming",
        "bidi",
    ]


def test_nothing_is_asked_twice_that_was_half_answered() -> None:
    assert mode_named("unary").replay is Replay.UNANSWERED
    assert mode_named("server_streaming").replay is Replay.BEFORE_OUTPUT
    assert mode_named("client_streaming").replay is Replay.NEVER
    assert mode_named("bidi").replay is Replay.NEVER


@pytest.mark.parametrize("name", ["duplex", "", "UNARY", None, [], 5])
def test_an_unknown_mode_is_refused_with_the_names_of_the_others(name: Any) -> None:
    with pytest.raises(
        ConfigurationError, match="use one of 'unary', 'server_streaming', 'client_streaming', 'bidi'"
    ):
        mode_named(name)
