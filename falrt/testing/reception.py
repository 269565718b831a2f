"""Between the fake server's wire and the platform: every socket, every task, and the faults before a session."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from functools import partial

from falrt import tasks
from falrt.testing.connection import ServerConnection
from falrt.testing.faulty import FaultyPort
from falrt.testing.plan import FaultPlan
from falrt.testing.platform.app import App
from falrt.testing.platform.gateway import REALTIME
from falrt.testing.platform.platform import Platform, Refusal, unauthorized
from falrt.testing.platform.port import Refused, Request, Response
from falrt.testing.platform.session import Conversation
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
from falrt.testing.wire import WireSocket

__all__ = ["Reception"]


class Reception:
    """Owns every socket (a `SocketOwner`): passes requests and handshakes on to the platform, opens sessions.

    Args:
        platform: What decides.
        plan: The faults.
        changed: Called whenever something observable happened.

    Attributes:
        connections: Every WebSocket handshake, in order.
    """

    def __init__(self, platform: Platform, plan: FaultPlan, changed: Callable[[], None]) -> None:
        self._platform = platform
        self._plan = plan
        self._changed = changed
        self._sockets: set[WireSocket] = set()
        self._sessions: dict[WireSocket, Conversation] = {}
        # Of sessions whose socket is gone, and whose handlers may still be cleaning up.
        self._leaving: set[asyncio.Task[None]] = set()
        self._by_socket: dict[WireSocket, ServerConnection] = {}
        self.connections: list[ServerConnection] = []

    async def close(self) -> None:
        """Close every socket (1001) and end every task."""
        try:
            await asyncio.gather(*(socket.shut() for socket in list(self._sockets)))
        finally:
            # Also where the test was cancelled: what is cut off here frees its tasks through disconnected().
            for socket in list(self._sockets):
                socket.abort()
        for session in list(self._sessions.values()):
            self._leave(session)
        await self._platform.aclose()
        await tasks.settle(self._leaving)

    def connected(self, socket: WireSocket) -> None:
        """Note a TCP connection."""
        self._sockets.add(socket)

    async def answer(self, request: Request) -> Response:
        """Answer an HTTP request."""
        if self._platform.gateway.is_token_request(request):
            response = await self._answer_token_request(request)
        else:
            response = await self._platform.respond(request)
        self._changed()
        return response

    def upgrade_request(self, socket: WireSocket, request: Request) -> None:
        """Judge a handshake."""
        now = asyncio.get_running_loop().time()
        connection = ServerConnection(
            len(self.connections), request.path, request.query, request.headers, now, socket
        )
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
            socket.later(late, partial(self._spoil_handshake, connection, fault))
            return
        socket.later(late, partial(self._judge, connection, request))

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
            self._leave(session)
        self._by_socket.pop(socket, None)
        self._changed()

    # Inside.

    async def _answer_token_request(self, request: Request) -> Response:
        gateway, plan = self._platform.gateway, self._plan
        number = len(gateway.requests)
        endpoint = "realtime" if request.path == REALTIME else "general"
        refuse = plan.at_token(RefuseToken, number, endpoint)
        expired = plan.at_token(ExpiredToken, number, endpoint)
        slow = plan.at_token(SlowToken, number, endpoint)
        fault = None
        if refuse is not None:
            fault = Refused(Response.json(refuse.status, refuse.body or {"detail": "Forbidden"}), "a fault")
        lifetime = None if expired is None else -expired.age
        response = gateway.answer(request, time.time(), lifetime=lifetime, fault=fault)
        if slow is not None:
            await asyncio.sleep(slow.seconds)
        return response

    def _spoil_handshake(self, connection: ServerConnection, fault: Fault) -> None:
        socket = connection.socket
        match fault:
            case Refuse():
                socket.reset()
            case Hang():
                socket.silence()
            case RefuseHandshake():
                response = Response.json(fault.status, {"detail": fault.detail})
                self._refuse(connection, Refusal(f"fault: {fault.status}", response))
            case Unauthorized():
                self._refuse(
                    connection, unauthorized("fault: Unauthorized", "close" if fault.close else "frame")
                )
        self._changed()

    def _judge(self, connection: ServerConnection, request: Request) -> None:
        app = self._platform.judge(request)
        if isinstance(app, Refusal):
            self._refuse(connection, app)
        else:
            self._open(connection, request, app)
        self._changed()

    def _refuse(self, connection: ServerConnection, refusal: Refusal) -> None:
        connection.refusal = refusal.reason
        if refusal.response is not None:
            connection.socket.refuse(refusal.response)
            return
        self._accept(connection)
        if refusal.frame is not None:
            connection.socket.send(refusal.frame)
            connection.controls.append(json.loads(refusal.frame))
        if refusal.close is not None:
            connection.socket.close(*refusal.close)

    def _accept(self, connection: ServerConnection) -> None:
        connection.socket.accept()
        connection.accepted = connection.is_open

    def _open(self, connection: ServerConnection, request: Request, app: App) -> None:
        self._accept(connection)
        if not connection.accepted:
            return
        cold = self._plan.draw(ColdStart, connection.number)
        if cold is not None:
            connection.faults.append(cold)
            connection.socket.later(cold.seconds, connection.socket.close)
            return
        port = FaultyPort(app, connection, self._plan, self._changed)
        session = self._sessions[connection.socket] = self._platform.converse(request, app, port)
        session.start()
        port.opened()

    def _leave(self, session: Conversation) -> None:
        session.disconnected()
        for task in session.tasks:
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
