"""Tokens from the user's own function.

Source: wire fact W47, docs/reference/wire.md.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable
from typing import Any, Protocol

from falrt.auth.credentials import Token
from falrt.exceptions import AuthenticationError, ConfigurationError, ConnectError, TokenRequestError
from falrt.protocol.numbers import SECONDS, check_number
from falrt.protocol.wire.token_endpoints import is_passing, token_problem
from falrt.tasks import INTERRUPTS
from falrt.threads import run_in_thread

__all__ = ["TokenProvider", "ask_provider"]


class TokenProvider(Protocol):
    """A function, sync or async, that makes a token for one app.

    Called with the full path, such as ``fal-ai/fast-lcm-diffusion/realtime``.
    """

    def __call__(self, app_path: str, /) -> str | Token | Awaitable[str | Token]:
        """Return the token, or an awaitable of it."""
        ...


async def ask_provider(provider: TokenProvider, app_path: str) -> Token:
    """Return the provider's token for a full path.

    An async provider runs on the event loop. A plain function runs in a thread, since it may do blocking
    HTTP; where it returns an awaitable, that is awaited on the loop.

    Raises:
        AuthenticationError: The provider's own, unchanged.
        TokenRequestError: The provider failed otherwise (see the cause), or its result is not a token.
    """
    try:
        if inspect.iscoroutinefunction(provider) or inspect.iscoroutinefunction(type(provider).__call__):
            result: Any = await provider(app_path)  # type: ignore[misc]  # checked in the line above
        else:
            result = await run_in_thread(lambda: provider(app_path))
            if inspect.isawaitable(result):
                result = await result
    except (AuthenticationError, asyncio.CancelledError, *INTERRUPTS):
        raise
    except BaseException as exc:
        # Its text stays in the cause: it is the user's, and may contain secrets.
        raise TokenRequestError(
            f"the token provider failed for {app_path!r} with {type(exc).__name__}",
            passing=_may_pass(exc),
        ) from exc
    return _checked(result)


def _checked(result: Any) -> Token:
    token = result if isinstance(result, Token) else Token(result)
    if not isinstance(token.value, str):
        raise TokenRequestError(
            f"the token provider returned {type(token.value).__name__}: it must return str or falrt.Token"
        )
    value = token.value.strip()
    if problem := token_problem(value):
        raise TokenRequestError(f"the token provider's result is not a token: {problem}")
    try:
        check_number("the token provider's expires_in", token.expires_in, SECONDS, optional=True)
    except ConfigurationError as exc:
        raise TokenRequestError(str(exc)) from None
    return Token(value, token.expires_in)


def _may_pass(error: BaseException) -> bool:
    """Whether a provider failed because of the network or a server, so that another try can help."""
    if isinstance(error, OSError | ConnectError):  # TimeoutError is one.
        return True
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return is_passing(status)
    # Most providers use httpx. It is not imported here: a provider that raised its error has imported it.
    httpx = sys.modules.get("httpx")
    return httpx is not None and isinstance(error, httpx.TransportError)
