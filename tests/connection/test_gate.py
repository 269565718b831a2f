"""The change gate, with literal times."""

from __future__ import annotations

from typing import Any

import pytest

from falrt.connection.gate import SETTLE, Gate


def far(last: Any, new: Any) -> bool:
    return abs(last - new) > 4


def test_the_first_frame_and_every_change_are_admitted() -> None:
    gate = Gate(far)
    assert gate.admits(0, 1.0)
    assert not gate.admits(3, 1.1)
    assert gate.admits(5, 1.2)
    assert gate.held_back == 1


def test_a_slow_drift_passes_once_it_is_large_enough() -> None:
    gate = Gate(far)
    assert [n for n in range(12) if gate.admits(n, n / 10)] == [0, 5, 10]


def test_the_settled_frame_is_due_a_while_after_the_last_change() -> None:
    gate = Gate(far)
    gate.admits(0, 1.0)
    assert gate.settles_at() is None
    gate.admits(1, 1.1)
    gate.admits(2, 1.2)
    assert gate.settles_at() == 1.0 + SETTLE
    assert gate.settled() == (2, True)
    assert gate.held_back == 1
    assert gate.settles_at() is None


def test_once_settled_noise_sends_nothing_until_the_next_change() -> None:
    gate = Gate(far)
    for n, now in ((0, 1.0), (1, 1.1)):
        gate.admits(n, now)
    gate.settled()
    assert not gate.admits(3, 2.0)
    assert gate.settles_at() is None
    assert gate.admits(9, 3.0)


def test_a_settled_frame_that_is_the_same_is_not_sent_again() -> None:
    gate = Gate(far)
    gate.admits(0, 1.0)
    gate.admits(0, 1.1)
    assert gate.settled() == (None, False)
    assert gate.held_back == 1


def test_at_the_end_what_is_held_is_handed_over_if_it_differs() -> None:
    gate = Gate(far)
    assert gate.last() == (None, False)
    gate.admits(0, 1.0)
    gate.admits(2, 1.1)
    gate.settled()
    gate.admits(3, 2.0)
    assert gate.last() == (3, True)


def test_after_forgetting_the_next_frame_passes() -> None:
    gate = Gate(far)
    gate.admits(0, 1.0)
    gate.forget()
    assert gate.admits(0, 1.1)


def test_what_cannot_be_compared_differs() -> None:
    np = pytest.importorskip("numpy")
    gate = Gate(lambda last, new: False)
    gate.admits(np.zeros(3), 1.0)
    gate.admits(np.zeros(3), 1.1)
    assert gate.last()[1]
    same = np.zeros(3)
    gate = Gate(lambda last, new: False)
    gate.admits(same, 1.0)
    gate.admits(same, 1.1)
    assert not gate.last()[1]
