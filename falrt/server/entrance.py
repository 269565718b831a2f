"""Who may come in: the page's origin, the app's own login, and the limits; asked before anything else is done."""

from __future__ import annotations

import contextlib
import inspect
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from falrt.server.limits import Limit, Limiter
from falrt.server.origins import Origins
from falrt.server.targets import Refused

__all__ = ["Authorize", "Entrance", "Visitor", "anyone"]

# Proxied calls at once in one process: each is a socket here and one at fal.
CALLS_MAX: Final = 200

Authorize = Callable[[Request], Any | Awaitable[Any]]


def anyone(request: Request) -> bool:
    """Let everybody in: no check, said by name. Limits then count by address."""
    del request
    return True


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who was let in.

    Attributes:
        user: What ``authorize`` returned.
        name: What tells the user from others; None where nothing does, and limits count by address.
        address: The client's address; an IPv6 one is cut to its /64, which one person has whole.
    """

    user: Any
    name: str | None
    address: str


@dataclass(slots=True)
class Entrance:
    """Lets visitors in.

    Attributes:
        authorize: ``(Request) -> user | None``, sync or async. For a socket it is given the handshake as a request.
        origins: Pages that may call.
        limit: What one visitor may do.
        limiter: Keeps the accounts.
    """

    authorize: Authorize
    origins: Origins
    limit: Limit
    limiter: Limiter
    # Proxied calls under way in this process, by address.
    _calls: Counter[str] = field(default_factory=Counter, init=False)

    def check_origin(self, connection: HTTPConnection) -> None:
        """Look at the page that asks.

        Raises:
            Refused: It may not; 403.
        """
        if self.origins.refuses(connection.headers):
            raise Refused(403, "This page's origin may not call; the server's owner lists it in origins=")

    async def visitor(self, connection: HTTPConnection) -> Visitor:
        """Ask the app who this is.

        Raises:
            Refused: Nobody it knows; 401. An ``HTTPException`` of the app's own keeps its status.
        """
        # Logins are written for requests; a handshake is one in all but its type.
        request = Request(
            {**connection.scope, "type": "http", "method": connection.scope.get("method", "GET")}
        )
        try:
            if inspect.iscoroutinefunction(self.authorize):
                user = await self.authorize(request)
            else:
                user = await run_in_threadpool(self.authorize, request)
                user = await user if inspect.isawaitable(user) else user
        except HTTPException as exc:
            raise Refused(exc.status_code, str(exc.detail)) from exc
        if _is_nobody(user):
            raise Refused(401, "Unauthorized")
        return Visitor(user, _name(user), _address(connection))

    async def count(self, visitor: Visitor) -> None:
        """Put one request on a visitor's account.

        Raises:
            Refused: There were too many; 429.
        """
        limit = self.limit
        for key, most in self._accounts(visitor, limit.requests):
            seconds = await self.limiter.wait(f"requests {key}", most, limit.per)
            if seconds:
                raise Refused(429, "Too many requests", retry_after=seconds)

    @contextlib.asynccontextmanager
    async def place(self, visitor: Visitor, kind: str) -> AsyncIterator[None]:
        """Hold one of the visitor's sockets of a kind, or proxied calls, whose kind is ``"calls"``.

        Raises:
            Refused: All are taken; 429, or 503 where others hold them.
        """
        what, most = ("calls", self.limit.calls) if kind == "calls" else ("sockets", self.limit.sockets)
        async with contextlib.AsyncExitStack() as stack:
            for account, places in self._accounts(visitor, most):
                key = f"{kind} {account}"
                place = await self.limiter.enter(key, places)
                if place is None:
                    raise Refused(429, f"Too many {what}", retry_after=1.0)
                stack.push_async_callback(self.limiter.leave, key, place)
            if kind == "calls":
                stack.enter_context(self._share(visitor.address))
            yield

    @contextlib.contextmanager
    def _share(self, address: str) -> Iterator[None]:
        """Hold one of this process's calls.

        No address may hold more than are free: alone it gets half of them, two get a third each, and whoever comes
        next finds one until as many addresses as there are places hold one.
        """
        if self._calls[address] >= CALLS_MAX - self._calls.total():
            raise Refused(503, "The server is busy", retry_after=1.0)
        self._calls[address] += 1
        try:
            yield
        finally:
            self._calls -= Counter([address])  # drops what comes to nothing

    async def submitted(self, visitor: Visitor, request_id: str) -> None:
        """Note whose request in the queue this is, where the visitor has a name: addresses change."""
        if visitor.name is not None:
            # Refused now, the caller would submit it once more.
            with contextlib.suppress(Refused):
                await self.limiter.keep(_one_spelling(request_id), visitor.name)

    async def check_owner(self, visitor: Visitor, request_id: str) -> None:
        """Let a visitor follow or cancel a request in the queue.

        One that was not submitted through this server may be anybody's: the app's own backend may have submitted it
        for a page, and its id is a secret of those who were told.

        Raises:
            Refused: Somebody else has submitted it; 404.
        """
        if not await self.limiter.may_follow(_one_spelling(request_id), visitor.name):
            raise Refused(404, "Request not found")

    def _accounts(self, visitor: Visitor, most: int) -> list[tuple[str, int]]:
        """Return what a visitor's doings are counted on, and how many each may have."""
        if visitor.name is None:
            return [(f"address {visitor.address}", most)]
        everybody_there = (f"all at {visitor.address}", most * self.limit.users_per_address)
        return [(f"user {visitor.name}", most), everybody_there]


def _one_spelling(request_id: str) -> str:
    """Return an id as it is remembered: a UUID is the same one in capitals and without its dashes."""
    return request_id.replace("-", "").lower()


def _address(connection: HTTPConnection) -> str:
    host = connection.client.host if connection.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host or "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _is_nobody(user: Any) -> bool:
    """Whether what a login returned stands for nobody: nothing, an empty session, a framework's anonymous user."""
    if getattr(user, "is_authenticated", True) is False:
        return True
    return user is None or user is False or (isinstance(user, str | Mapping) and not user)


def _name(user: Any) -> str | None:
    """Return what tells a user from others; None where nothing does."""
    if isinstance(user, str | int) and not isinstance(user, bool):
        return str(user)
    for name in ("id", "sub", "username", "email"):
        value = user.get(name) if isinstance(user, Mapping) else getattr(user, name, None)
        if value is not None and not callable(value):
            return str(value)
    return None
