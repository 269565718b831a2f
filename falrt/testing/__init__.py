"""The kit for testing programs that use falrt: a fake fal on loopback, faults by name, a fault proxy, tokens.

Nothing here is imported until it is used, since the pytest plugin is loaded in every test run of its users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from falrt.testing.app import App, picture_answer
    from falrt.testing.connection import ServerConnection
    from falrt.testing.gateway import TokenRequest
    from falrt.testing.server import FakeServer
    from falrt.testing.tokens import make_token, read_claims

__all__ = [
    "App",
    "FakeServer",
    "ServerConnection",
    "TokenRequest",
    "make_token",
    "picture_answer",
    "read_claims",
]

HOMES = {
    "App": "app",
    "FakeServer": "server",
    "ServerConnection": "connection",
    "TokenRequest": "gateway",
    "make_token": "tokens",
    "picture_answer": "app",
    "read_claims": "tokens",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
