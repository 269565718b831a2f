"""falrt: frames in, freshest picture out. The asyncio client for fal's realtime image models.

Names are imported when they are first used, so that ``import falrt`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from falrt.exceptions import *  # noqa: F403 - the whole error tree is public
from falrt.version import __version__

if TYPE_CHECKING:
    from falrt import auth as auth
    from falrt import codecs as codecs
    from falrt import compat as compat
    from falrt import events as events
    from falrt import local as local
    from falrt import media as media
    from falrt import models as models
    from falrt import pacing as pacing
    from falrt import server as server
    from falrt import sync as sync
    from falrt import telemetry as telemetry
    from falrt import testing as testing
    from falrt.auth import Token as Token
    from falrt.batches import BatchProgress as BatchProgress
    from falrt.batches import BatchReport as BatchReport
    from falrt.batches import batch as batch
    from falrt.client import Client as Client
    from falrt.client import connect as connect
    from falrt.connection.connection import RealtimeConnection as RealtimeConnection
    from falrt.connection.stream import Reply as Reply
    from falrt.http.queue import Job as Job
    from falrt.media import data_uri as data_uri
    from falrt.models.spec import Endpoint as Endpoint
    from falrt.models.spec import RealtimeModel as RealtimeModel
    from falrt.protocol.events import State as State
    from falrt.protocol.events import Stats as Stats
    from falrt.protocol.reconnect.backoff import Backoff as Backoff
    from falrt.protocol.wire.queue import Completed as Completed
    from falrt.protocol.wire.queue import InProgress as InProgress
    from falrt.protocol.wire.queue import Queued as Queued

# Public name -> the module that defines it.
_HOMES = {
    "BatchProgress": "falrt.batches",
    "BatchReport": "falrt.batches",
    "Backoff": "falrt.protocol.reconnect.backoff",
    "Client": "falrt.client",
    "Completed": "falrt.protocol.wire.queue",
    "Endpoint": "falrt.models.spec",
    "InProgress": "falrt.protocol.wire.queue",
    "Job": "falrt.http.queue",
    "Queued": "falrt.protocol.wire.queue",
    "RealtimeConnection": "falrt.connection.connection",
    "RealtimeModel": "falrt.models.spec",
    "Reply": "falrt.connection.stream",
    "State": "falrt.protocol.events",
    "Stats": "falrt.protocol.events",
    "Token": "falrt.auth",
    "batch": "falrt.batches",
    "connect": "falrt.client",
    "data_uri": "falrt.media",
}
# Public module -> where it is.
_ROOMS = {
    "auth": "falrt.auth",
    "codecs": "falrt.codecs",
    "compat": "falrt.compat",
    "events": "falrt.events",
    "local": "falrt.local",
    "media": "falrt.media",
    "models": "falrt.models",
    "pacing": "falrt.pacing",
    "server": "falrt.server",
    "sync": "falrt.sync",
    "telemetry": "falrt.telemetry",
    "testing": "falrt.testing",
}

from falrt import exceptions as _exceptions  # noqa: E402

__all__ = [*_exceptions.__all__, *_HOMES, *_ROOMS, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _ROOMS:
        value = importlib.import_module(_ROOMS[name])
    else:
        raise AttributeError(f"module 'falrt' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
