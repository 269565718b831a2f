"""No key and no token in anything that people read: not even in the libraries' DEBUG logs."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

import falrt
from falrt.testing import FakeServer, script
from tests.leaks import no_strays, soon, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")

KEY = "topsecretid:topsecretkey"


def echo(message: Any) -> dict[str, Any]:
    return {"n": message["n"]}


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Any:
    """Log everything of everybody at DEBUG."""
    names = ("websockets", "httpx", "httpcore", "falrt", "asyncio", "")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    yield caplog
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def told(error: BaseException) -> str:
    """Everything that an error and its causes say."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error.args) + str(vars(error))


@pytest.mark.parametrize("auth", ["token", "key"])
async def test_nothing_that_is_logged_or_shown_holds_a_secret(everything: Any, auth: str) -> None:
    async with FakeServer(echo, key=KEY) as server:
        fal = falrt.Client(base_url=server.url, key=KEY, auth=auth)  # type: ignore[arg-type]
        async with fal, fal.connect("acme/app", reconnect=falrt.Backoff(initial=0.01, maximum=0.02)) as conn:
            await soon(conn.request({"n": 1}))
            server.connections[0].reset()
            assert await soon(conn.request({"n": 2})) == {"n": 2}
            shown = [
                fal,
                conn,
                conn._core.opening,
                conn._core.settings,
                conn.stats,
                conn._core._supervisor.protocol,
                conn._core._supervisor.socket,
                [getattr(conn._core, name, None) for name in type(conn._core).__slots__],
            ]
            texts = [repr(each) + str(each) for each in shown] + [everything.text]
        tokens = [request.token for request in server.token_requests if request.token]
        assert bool(tokens) is (auth == "token")
    for secret in ("topsecret", *tokens):
        assert not [text for text in texts if secret in text]
    assert "falrt" in everything.text


FAILURES: dict[str, Any] = {
    "refused": {"faults": [script.Refuse(times=None)]},
    "404": {"faults": [script.RefuseHandshake(404, times=None)]},
    "401": {"faults": [script.RefuseHandshake(401, times=None)]},
    "503": {"faults": [script.RefuseHandshake(503, times=None)]},
    "unauthorized": {"faults": [script.Unauthorized(times=None)]},
    "hang": {"faults": [script.Hang(times=None)]},
    "token refused": {"faults": [script.RefuseToken(times=None)]},
    "garbage": {"faults": [script.Garbage(times=None)]},
}


@pytest.mark.parametrize("auth", ["token", "key"])
@pytest.mark.parametrize("name", FAILURES)
async def test_no_failure_tells_a_secret(everything: Any, name: str, auth: str) -> None:
    async with FakeServer(echo, key=KEY, **FAILURES[name]) as server:
        options: Any = {"key": KEY, "auth": auth, "reconnect": False, "open_timeout": 0.05}
        texts = []
        try:
            async with server.connect(**options) as conn:
                await soon(conn.request({"n": 1}))
        except falrt.FalrtError as exc:
            texts.append(told(exc))
        texts.append(everything.text)
        tokens = [request.token for request in server.token_requests if request.token]
    for secret in ("topsecret", *tokens):
        assert not [text for text in texts if secret in text]


@pytest.mark.parametrize("proxy", ["foo://user:hunter2@h:1", "http://user:hunter2@", "http://u:hunt/er2@h:1"])
def test_a_wrong_proxy_is_refused_at_once_and_its_password_not_shown(proxy: str) -> None:
    with pytest.raises(falrt.ConfigurationError, match="proxy must be") as caught:
        falrt.connect("acme/app", key=KEY, proxy=proxy)
    assert "hunt" not in told(caught.value)


@pytest.mark.parametrize("how", ["close", "frame"])
async def test_what_a_server_says_of_a_token_is_not_shown(how: str) -> None:
    token = "eyJhbGciOi.SECRETSECRET.sig"

    async def quote(ws: ServerConnection) -> None:
        assert ws.request is not None
        said = f"cannot forward {ws.request.path} with {token}"
        if how == "close":
            await ws.close(4008, said)
        else:
            await ws.send(json.dumps({"status": "error", "error": said, "reason": said}))
            await ws.wait_closed()

    async with serve(quote, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(
            falrt.FalrtError, match=r"cannot forward /acme/app/realtime\?fal_jwt_token=\*"
        ) as caught:
            async with falrt.connect("acme/app", base_url=url, token_provider=lambda app: token) as conn:
                await soon(conn.request({"n": 1}))
    assert "SECRET" not in str(caught.value)
    assert "SECRET" not in getattr(caught.value, "reason", "")


async def test_a_server_that_repeats_the_credential_does_not_get_it_into_the_error() -> None:
    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = head.split(b"\r\n")[0] + b" Authorization: Key topsecret"
        writer.write(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    token = ".".join(["top", "secret", "token"])
    server = await asyncio.start_server(repeat, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        with pytest.raises(falrt.HandshakeError, match=r"fal_jwt_token=\*\*\*") as caught:
            await falrt.connect("acme/app", base_url=url, token_provider=lambda app: token)
    assert "topsecret" not in told(caught.value)
    assert token not in told(caught.value)
