"""The whole way over real sockets: token requests to ``falrt.testing.FakeServer`` by the client made here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from falrt.auth import Key, TokenCache
from falrt.exceptions import ConnectError, TokenRequestError
from falrt.testing import FakeServer

PATH, ALIAS = "acme/app/realtime", "app"


@pytest.mark.parametrize("form", ["string", "token", "jwt", "detail"])
async def test_every_reply_form_gives_a_token_with_the_servers_lifetime(form: Any) -> None:
    async with asyncio.timeout(20), FakeServer(token_reply=form, token_lifetime=50) as server:
        tokens = TokenCache(key=Key("test"), base_url=server.url)
        token = await tokens.get(PATH, ALIAS)
        await tokens.aclose()
    assert token.expires_in is not None
    assert 45 < token.expires_in <= 50


async def test_a_wrong_key_is_told_with_its_cure() -> None:
    async with asyncio.timeout(20), FakeServer() as server:
        tokens = TokenCache(key=Key("wrong-key-0123456789"), base_url=server.url)
        with pytest.raises(TokenRequestError, match="FAL_KEY") as caught:
            await tokens.get(PATH, ALIAS)
        await tokens.aclose()
    assert caught.value.status == 401
    assert "wrong-key" not in str(caught.value)
    assert not caught.value.passing


async def test_a_server_that_is_gone_is_a_failure_that_may_pass() -> None:
    async with FakeServer() as server:
        url = server.url
    async with asyncio.timeout(20):
        tokens = TokenCache(key=Key("test"), base_url=url, retry_delays=(0.0,))
        with pytest.raises(ConnectError, match="nothing listens"):
            await tokens.get(PATH, ALIAS)
        await tokens.aclose()
