from __future__ import annotations

from collections.abc import Iterator

import pytest

from falrt.local import LocalOptions, LocalServer
from falrt.local.painter import Painter


@pytest.fixture(scope="session")
def painter() -> Painter:
    """One for all tests: preparing the strokes takes a third of a second."""
    return Painter()


@pytest.fixture(scope="module")
def server(painter: Painter) -> Iterator[LocalServer]:
    """In a thread of its own, so that it outlives the loop of a single test."""
    with LocalServer(LocalOptions(speed=100), painter=painter) as local:
        yield local
