from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest

from falrt.auth import Token
from falrt.auth.token_providers import ask_provider
from falrt.exceptions import ConnectError, MissingCredentialsError, TokenRequestError

PATH = "fal-ai/fast-lcm-diffusion/realtime"


def plain(app: str) -> str:
    return f"token-for-{app}"


async def asynchronous(app: str) -> str:
    await asyncio.sleep(0)
    return f"token-for-{app}"


def returning_an_awaitable(app: str) -> Awaitable[str]:
    return asynchronous(app)


def returning_a_token(app: str) -> Token:
    return Token(f"  token-for-{app}\n")


async def with_more(prefix: str, app: str) -> str:
    return prefix + app


class AsyncObject:
    async def __call__(self, app: str) -> str:
        return f"token-for-{app}"

    async def method(self, app: str) -> str:
        return f"token-for-{app}"


@pytest.mark.wire("W47")
@pytest.mark.parametrize(
    "provider",
    [
        plain,
        asynchronous,
        returning_an_awaitable,
        returning_a_token,
        functools.partial(with_more, "token-for-"),
        AsyncObject(),
        AsyncObject().method,
        lambda app: f"token-for-{app}",
    ],
)
async def test_every_kind_of_provider_is_called_with_the_full_path(provider: Any) -> None:
    assert (await ask_provider(provider, PATH)).value == f"token-for-{PATH}"


async def test_a_lifetime_given_with_the_token_is_kept() -> None:
    assert await ask_provider(lambda app: Token("t", 9.5), PATH) == Token("t", 9.5)


async def test_a_blocking_provider_does_not_stall_the_loop() -> None:
    go_on = threading.Event()

    def blocking(app: str) -> str:
        assert go_on.wait(5)
        return "late"

    task = asyncio.create_task(ask_provider(blocking, PATH))
    await asyncio.sleep(0)  # The provider is being called; the loop still runs:
    go_on.set()
    async with asyncio.timeout(5):
        assert (await task).value == "late"


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "returned NoneType"),
        (b"token", "returned bytes"),
        ({"token": "t"}, "returned dict"),
        (Token(None), "returned NoneType"),  # type: ignore[arg-type]
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("two words", "spaces"),
        ('{"token":"t"}', "markup or JSON"),
        (Token("t", 0.0), "expires_in must be a positive number of seconds or None, got 0.0"),
        (Token("t", float("nan")), "got nan"),
        (Token("t", "60"), "got '60'"),  # type: ignore[arg-type]
        (Token("t", 10**400), "got 1000"),
        (Token("t", True), "got True"),
    ],
    ids=repr,
)
async def test_a_result_that_is_no_token_is_named(result: Any, why: str) -> None:
    with pytest.raises(TokenRequestError, match=why) as caught:
        await ask_provider(lambda app: result, PATH)
    assert not caught.value.passing


def http_error(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://backend")
    return httpx.HTTPStatusError("refused", request=request, response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (KeyError("top-secret"), False),
        (ConnectionRefusedError("top-secret"), True),
        (TimeoutError("top-secret"), True),
        (httpx.ConnectError("top-secret"), True),
        (ConnectError("top-secret"), True),
        (http_error(503), True),
        (http_error(401), False),
        (StopIteration("top-secret"), False),
    ],
    ids=repr,
)
async def test_a_failing_provider_is_the_cause_and_its_words_are_not_repeated(
    error: Exception, passing: bool
) -> None:
    def provider(app: str) -> str:
        raise error

    with pytest.raises(TokenRequestError, match=PATH) as caught:
        await ask_provider(provider, PATH)
    assert caught.value.passing is passing
    assert caught.value.__cause__ is not None
    assert "top-secret" not in str(caught.value)


async def test_the_question_whether_a_failure_may_pass_does_not_import_httpx(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "httpx")

    async def provider(app: str) -> str:
        raise RuntimeError

    with pytest.raises(TokenRequestError):
        await ask_provider(provider, PATH)
    assert "httpx" not in sys.modules


async def test_a_providers_own_authentication_error_passes_unchanged() -> None:
    error = MissingCredentialsError("log in first")

    async def provider(app: str) -> str:
        raise error

    with pytest.raises(MissingCredentialsError) as caught:
        await ask_provider(provider, PATH)
    assert caught.value is error
