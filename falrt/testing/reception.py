"""What meets a client of the fake server before its app does: token requests, the gateway, faults, routing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from falrt.testing.app import App
from falrt.testing.connection import ServerConnection
from falrt.testing.gateway import Gateway
from falrt.testing.handlers import unrolled
from falrt.testing.http11 import HttpReply, HttpRequest
from falrt.testing.plan import FaultPlan
from falrt.testing.script import (
    AcceptFault,
    ColdStart,
    ExpiredToken,
    Fault,
    HandshakeFault,
    Hang,
    Refuse,
    RefuseHandshake,
    RefuseToken,
    SlowHandshake,
    SlowToken,
    Unauthorized,
)
from falrt.testing.session import Session
from falrt.testing.wire import WireSocket

if TYPE_CHECKING:
    from websockets.http11 import Request

__all__ = ["Reception"]

UNAUTHORIZED: Final = '{"status":"error","error":"Unauthorized"}'
FORWARDING_ERROR: Final = "Error while forwarding the request"


class Reception:
    """Owns every socket (a `SocketOwner`): answers token requests, judges handshakes, opens sessions.

    Args:
        apps: The app behind every path, or the apps by path.
        refusal: How a bad credential is refused; see `FakeServer`.
        plan: The faults.
        gateway: Who judges credentials.
        changed: Called whenever something observable happened.

    Attributes:
        connections: Every WebSocket handshake, in order.
    """

    def __init__(
        self,
        apps: App | Mapping[str, App],
        refusal: str | int,
        plan: FaultPlan,
        gateway: Gateway,
        changed: Callable[[], None],
    ) -> None:
        self._apps = apps
        self._refusal = refusal
        self._plan = plan
        self._gateway = gateway
        self._changed = changed
        # Handlers as functions, by app; made at first use, so that a list of answers goes on after a reconnect.
        self._handlers: dict[int, Callable[..., Any]] = {}
        self._sockets: set[WireSocket] = set()
        self._sessions: dict[WireSocket, Session] = {}
        # Sessions whose socket is gone and whose handlers may still be cleaning up.
        self._leaving: list[Session] = []
        self._by_socket: dict[WireSocket, ServerConnection] = {}
        # Timers of late answers, so that none outlives the server.
        self._timers: set[asyncio.TimerHandle] = set()
        self.connections: list[ServerConnection] = []

    async def close(self) -> None:
        """Close every socket (1001) and end every task."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._leaving += self._sessions.values()
        try:
            await asyncio.gather(*(socket.shut() for socket in list(self._sockets)))
        finally:
            # Also where the test was cancelled: what is cut off here frees its tasks through disconnected().
            for socket in list(self._sockets):
                socket.abort()
        for session in self._leaving:
            session.disconnected()
            await session.wait_ended()

    def connected(self, socket: WireSocket) -> None:
        """Note a TCP connection."""
        self._sockets.add(socket)

    def http_request(self, socket: WireSocket, request: HttpRequest) -> None:
        """Answer the token endpoints, and 404 to everything else."""
        number = len(self._gateway.requests)
        path = urlsplit(request.headers.get("x-fal-target-url", request.target)).path
        endpoint = "realtime" if path.endswith("realtime") else "general"
        is_token = path.startswith("/tokens")
        refuse = self._plan.at_token(RefuseToken, number, endpoint) if is_token else None
        expired = self._plan.at_token(ExpiredToken, number, endpoint) if is_token else None
        slow = self._plan.at_token(SlowToken, number, endpoint) if is_token else None
        reply = self._gateway.answer(
            request,
            lifetime=None if expired is None else -expired.age,
            reply=None
            if refuse is None
            else HttpReply.json(refuse.status, refuse.body or {"detail": "Forbidden"}),
        )
        if reply is None:
            reply = HttpReply.json(404, {"detail": f"Path {urlsplit(request.target).path} not found"})
        self._later(slow.seconds if slow else 0.0, lambda: socket.respond(reply))
        self._changed()

    def upgrade_request(self, socket: WireSocket, request: Request) -> None:
        """Judge a handshake."""
        parts = urlsplit(request.path)
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        now = asyncio.get_running_loop().time()
        connection = ServerConnection(len(self.connections), parts.path, query, headers, now, socket)
        self.connections.append(connection)
        self._by_socket[socket] = connection
        late = 0.0
        while fault := self._plan.draw(AcceptFault, connection.number) or self._plan.draw(
            HandshakeFault, connection.number
        ):
            connection.faults.append(fault)
            if isinstance(fault, SlowHandshake):
                late += fault.seconds
                continue
            self._later(late, partial(self._spoil_handshake, connection, fault))
            return
        self._later(late, lambda: self._judge(connection))

    def frames_received(self, socket: WireSocket, frames: list[bytes | str]) -> None:
        """Pass messages on to the session; without one they are swallowed."""
        session = self._sessions.get(socket)
        if session is not None:
            session.frames_received(frames)
        else:
            self._by_socket[socket].frames += frames
        self._changed()

    def disconnected(self, socket: WireSocket) -> None:
        """Forget a connection."""
        self._sockets.discard(socket)
        session = self._sessions.pop(socket, None)
        if session is not None:
            session.disconnected()
            self._leaving = [*(other for other in self._leaving if not other.has_ended), session]
        self._by_socket.pop(socket, None)
        self._changed()

    # Inside.

    def _spoil_handshake(self, connection: ServerConnection, fault: Fault) -> None:
        socket = connection.socket
        match fault:
            case Refuse():
                socket.reset()
            case Hang():
                socket.silence()
            case RefuseHandshake():
                connection.refusal = f"fault: {fault.status}"
                socket.refuse(HttpReply.json(fault.status, {"detail": fault.detail}))
            case Unauthorized():
                connection.refusal = "fault: Unauthorized"
                self._refuse(connection, "close" if fault.close else "frame")
        self._changed()

    def _judge(self, connection: ServerConnection) -> None:
        refusal = self._gateway.refusal(connection.path, connection.query, connection.headers)
        app = self._route(connection.path)
        if refusal is not None:
            connection.refusal = refusal
            self._refuse(connection, self._refusal)
        elif app is None:
            # The gateway has said 101 before it asks the app (wire fact W14).
            connection.refusal = FORWARDING_ERROR
            self._accept(connection)
            connection.socket.close(1011, FORWARDING_ERROR)
        else:
            self._open(connection, app)
        self._changed()

    def _refuse(self, connection: ServerConnection, how: str | int) -> None:
        if isinstance(how, int):
            connection.socket.refuse(HttpReply.json(how, {"detail": "Unauthorized"}))
            return
        self._accept(connection)
        connection.socket.send(UNAUTHORIZED)
        connection.controls.append(json.loads(UNAUTHORIZED))
        if how == "close":
            connection.socket.close()

    def _accept(self, connection: ServerConnection) -> None:
        connection.socket.accept()
        connection.accepted = connection.is_open

    def _open(self, connection: ServerConnection, app: App) -> None:
        self._accept(connection)
        if not connection.accepted:
            return
        cold = self._plan.draw(ColdStart, connection.number)
        if cold is not None:
            connection.faults.append(cold)
            self._later(cold.seconds, connection.socket.close)
            return
        handler = self._handlers.setdefault(id(app), unrolled(app))
        session = Session(app, handler, connection, self._plan, self._changed)
        self._sessions[connection.socket] = session
        session.start()

    def _route(self, path: str) -> App | None:
        if isinstance(self._apps, App):
            return self._apps
        name = path.strip("/")
        return self._apps.get(name) or self._apps.get(name.removesuffix("/realtime"))

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        if not seconds:
            act()
            return

        def fire() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(seconds, fire)
        self._timers.add(timer)
