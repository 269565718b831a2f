"""States, and what may follow what."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from falrt.protocol.events import TRANSITIONS, Event, Latency, State, Stats


def test_closed_is_final() -> None:
    assert State.CLOSED not in {state for state, _ in TRANSITIONS}


def test_every_state_but_warming_can_be_reached_and_closed() -> None:
    reached = set(TRANSITIONS.values())
    assert reached == set(State) - {State.WARMING}
    for state in reached - {State.CLOSED}:
        assert State.CLOSED in {after for (before, _), after in TRANSITIONS.items() if before is state}


def test_a_socket_is_open_only_after_connecting() -> None:
    assert {before for (before, _), after in TRANSITIONS.items() if after is State.OPEN} == {State.CONNECTING}


def test_every_state_can_come_back_to_open() -> None:
    near = {State.OPEN}
    for _ in State:
        near |= {before for (before, _), after in TRANSITIONS.items() if after in near}
    assert near == set(State) - {State.WARMING, State.CLOSED}


def test_figures_start_at_nothing() -> None:
    assert Stats() == Stats(sent=0, received=0, dropped=0, in_flight=0, reconnects=0)
    assert Stats().latency == Latency(p50=None, p95=None, last=None)


@pytest.mark.parametrize("kind", [*get_args(Event), Latency, Stats], ids=lambda kind: kind.__name__)
def test_what_is_reported_cannot_be_changed_afterwards(kind: type) -> None:
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert hasattr(kind, "__slots__")
