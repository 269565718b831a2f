"""The pytest plugin of falrt (entry point `pytest11`): fixtures of a running fake server.

It is loaded in every test run of everybody who has falrt installed, so it imports nothing but pytest. The
fixtures live in a module that is registered once pytest has loaded its plugins, and the server itself is
imported when a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["pytest_configure"]

MARKER = "fal_server(handler=None, **options): what falrt's fake server of this test does; as FakeServer(...)"


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker and register the fixtures."""
    from falrt.testing import fixtures

    config.addinivalue_line("markers", MARKER)
    config.pluginmanager.register(fixtures, "falrt-fixtures")
