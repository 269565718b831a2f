from __future__ import annotations

from collections.abc import Iterator

import pytest

from falrt.local import LocalOptions, LocalServer


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """In a thread of its own, so that it outlives the loop of a single test."""
    with LocalServer(LocalOptions(speed=100)) as local:
        yield local
