"""The kit for testing programs that use falrt: a fake fal on loopback, faults by name, a fault proxy, tokens.

Nothing here is imported until it is used, since the pytest plugin is loaded in every test run of its users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from falrt.testing import script
    from falrt.testing.background import BackgroundFakeServer
    from falrt.testing.connection import ServerConnection
    from falrt.testing.platform.app import App, picture_answer
    from falrt.testing.platform.gateway import TokenRequest
    from falrt.testing.platform.jwt import make_token, read_claims
    from falrt.testing.proxy import FaultProxy
    from falrt.testing.server import FakeServer

__all__ = [
    "App",
    "BackgroundFakeServer",
    "FakeServer",
    "FaultProxy",
    "ServerConnection",
    "TokenRequest",
    "make_token",
    "picture_answer",
    "read_claims",
    "script",
]

# Where each name lives.
HOMES = {
    "App": "platform.app",
    "BackgroundFakeServer": "background",
    "FakeServer": "server",
    "FaultProxy": "proxy",
    "ServerConnection": "connection",
    "TokenRequest": "platform.gateway",
    "make_token": "platform.jwt",
    "picture_answer": "platform.app",
    "read_claims": "platform.jwt",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in HOMES:
        return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    script = import_module(f"{__name__}.script")
    if name == "script":
        return script
    known = [*__all__, *(f"script.{fault}" for fault in script.__all__)]
    raise AttributeError(f"{__name__} has no {script.meant(name, known, 'it has')}")
