"""The pytest fixtures `fal_server`, `make_fal_server` and `fal_server_blocking`.

Registered by `falrt.testing.plugin`; a test only names them.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from falrt.testing.background import BackgroundFakeServer
    from falrt.testing.server import FakeServer

__all__ = ["fal_server", "fal_server_blocking", "make_fal_server"]

T = TypeVar("T")


def async_fixture(function: Callable[..., T]) -> Callable[..., T]:
    """Return an async fixture for whichever plugin runs async tests here.

    Where pytest-asyncio is active it has been imported by now, and in its strict mode such a fixture must be
    its own. Without it, plain async fixtures are run by anyio's plugin.
    """
    fixture: Any = getattr(sys.modules.get("pytest_asyncio"), "fixture", pytest.fixture)
    decorated: Callable[..., T] = fixture(function)
    return decorated


@async_fixture
async def fal_server(request: pytest.FixtureRequest) -> AsyncIterator[FakeServer]:
    """A running `falrt.testing.FakeServer`; ``@pytest.mark.fal_server(handler, buffering=2)`` sets it up."""
    from falrt.testing.server import FakeServer

    args, options = marked(request)
    async with FakeServer(*args, **options) as server:
        yield server


@async_fixture
async def make_fal_server() -> AsyncIterator[Callable[..., Awaitable[FakeServer]]]:
    """A function that starts servers: awaited with `FakeServer` arguments; all close at the end."""
    from falrt.testing.server import FakeServer

    async with AsyncExitStack() as stack:

        async def make(*args: Any, **options: Any) -> FakeServer:
            return await stack.enter_async_context(FakeServer(*args, **options))

        yield make


@pytest.fixture
def fal_server_blocking(request: pytest.FixtureRequest) -> Iterator[BackgroundFakeServer]:
    """A running `falrt.testing.BackgroundFakeServer` for tests without an event loop; same marker."""
    from falrt.testing.background import BackgroundFakeServer

    args, options = marked(request)
    with BackgroundFakeServer(*args, **options) as server:
        yield server


def marked(request: pytest.FixtureRequest) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of the markers; those nearer to the test win."""
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("fal_server"))):
        args = marker.args or args
        options |= marker.kwargs
    return args, options
