"""What a link makes of codecs and hooks that raise whatever they like, and of tokens that do not come."""

from __future__ import annotations

import asyncio
import json
import traceback
from typing import Any

import pytest

import falrt
from falrt import codecs
from falrt.protocol.loss import Verdict, verdict_on
from falrt.testing import FakeServer, script
from tests.leaks import no_strays, soon  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")

ODD = [falrt.RequestTimeout("x"), falrt.ResponseValidationError("x"), falrt.ServerError("x"), OSError("x")]


def echo(message: Any) -> Any:
    return message


def raises(error: BaseException, second: bool) -> Any:
    """Return a hook that raises at the first or the second call, and else does what the codec does."""
    calls = []

    def hook(value: Any) -> Any:
        calls.append(value)
        if len(calls) == 1 + second:
            raise error
        return codecs.Msgpack().decode(value) if isinstance(value, bytes) else codecs.Msgpack().encode(value)

    return hook


@pytest.mark.parametrize("error", ODD, ids=repr)
@pytest.mark.parametrize(
    ("name", "kind"), [("encode_message", falrt.EncodeError), ("decode_message", falrt.DecodeError)]
)
async def test_whatever_a_hook_raises_fails_one_request_only(
    name: str, kind: type[Exception], error: Exception
) -> None:
    options: Any = {name: raises(error, True), "reconnect": falrt.Backoff(initial=0.01, maximum=0.02)}
    async with FakeServer(echo) as server, server.connect(**options) as conn:
        assert await soon(conn.request({"n": 1})) == {"n": 1}
        with pytest.raises(kind, match=f"{name} failed with {type(error).__name__}") as caught:
            await soon(conn.request({"n": 2}))
        assert caught.value.__cause__ is error
        assert await soon(conn.request({"n": 3})) == {"n": 3}


@pytest.mark.parametrize("error", [falrt.EncodeError("mine"), falrt.ConfigurationError("mine")], ids=repr)
async def test_an_encoders_expected_error_passes_as_it_is(error: Exception) -> None:
    hook = raises(error, False)
    async with FakeServer(echo) as server, server.connect(encode_message=hook) as conn:
        with pytest.raises(type(error), match=r"^mine$"):
            await conn.send({"n": 1})


@pytest.mark.parametrize(
    ("name", "kind"), [("encode_message", falrt.EncodeError), ("decode_message", falrt.DecodeError)]
)
async def test_a_hook_that_awaits_something_cancelled_has_failed(name: str, kind: type[Exception]) -> None:
    async def hook(value: Any) -> Any:
        waiting = asyncio.get_running_loop().create_future()
        waiting.cancel()
        await waiting

    async with FakeServer(echo) as server, server.connect(**{name: hook}) as conn:
        with pytest.raises(kind, match="was cancelled"):
            await soon(conn.request({"n": 1}))


async def test_a_hook_that_is_cancelled_with_its_caller_is_cancelled() -> None:
    started = asyncio.Event()

    async def hook(value: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    async with FakeServer(echo) as server, server.connect(encode_message=hook) as conn:
        request = asyncio.ensure_future(conn.request({"n": 1}))
        await soon(started.wait())
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(request)


class OddCodec:
    """Encodes as JSON, and raises an error of falrt's own where it should not."""

    def encode(self, message: Any) -> str | bytes:
        if message["n"] == 2:
            raise falrt.RequestTimeout("x")
        text = json.dumps(message, ensure_ascii=False)
        return text if message["n"] == 3 else text.encode()

    def decode(self, frame: Any) -> Any:
        return json.loads(frame)


async def test_an_encoder_that_raises_or_returns_what_cannot_be_sent_fails_one_request_only() -> None:
    async with (
        FakeServer(echo, codec=codecs.Json()) as server,
        server.connect(codec=OddCodec()) as conn,
    ):
        assert await soon(conn.request({"n": 1})) == {"n": 1}
        with pytest.raises(falrt.EncodeError, match=r"codec\.encode failed with RequestTimeout"):
            await soon(conn.request({"n": 2}))
        with pytest.raises(falrt.EncodeError, match="surrogate"):
            await soon(conn.request({"n": 3, "prompt": "\ud800"}))
        assert await soon(conn.request({"n": 4})) == {"n": 4}


# --- tokens that do not come


async def test_a_network_that_is_down_is_no_matter_of_the_credential() -> None:
    options: Any = {"key": "a:b", "reconnect": False}
    with pytest.raises(falrt.ConnectError) as caught:
        await soon(falrt.connect("acme/app", base_url="http://127.0.0.1:9", **options))
    assert not isinstance(caught.value, falrt.AuthenticationError)
    assert "nothing listens at 127.0.0.1:9" in str(caught.value)


@pytest.mark.parametrize("auth", ["token", "key"])
async def test_a_traceback_shows_no_other_librarys_chain_and_the_cause_is_there_for_who_asks(
    auth: Any,
) -> None:
    options: Any = {"key": "a:b", "reconnect": False, "auth": auth}
    with pytest.raises(falrt.ConnectError, match="nothing listens at") as caught:
        await soon(falrt.connect("acme/app", base_url="http://127.0.0.1:9", **options))
    shown = "".join(traceback.format_exception(caught.value))
    assert "httpx" not in shown
    assert "direct cause" not in shown
    assert "During handling" not in shown
    assert caught.value.__context__ is not None


async def test_a_network_that_was_down_for_a_moment_is_tried_again() -> None:
    async with FakeServer(echo) as server:
        link = server.connect()._core.opening
        loss = link.loss_of_opening(falrt.ConnectError("down"))
        assert verdict_on(loss) is Verdict.RETRY
        assert verdict_on(link.loss_of_opening(falrt.ConnectTimeoutError("slow"))) is Verdict.RETRY


async def test_a_provider_that_hangs_is_named() -> None:
    async def provider(app: str) -> str:
        await asyncio.Event().wait()
        return ""

    options: Any = {"token_provider": provider, "open_timeout": 0.02, "reconnect": False}
    with pytest.raises(falrt.ConnectTimeoutError, match="the token provider returned no token in time"):
        await soon(falrt.connect("acme/app", base_url="http://127.0.0.1:9", **options))


async def test_a_token_request_that_hangs_is_named() -> None:
    faults = [script.SlowToken(1.0, times=None)]
    options: Any = {"open_timeout": 0.05, "reconnect": False}
    async with FakeServer(echo, faults=faults) as server:
        with pytest.raises(falrt.ConnectTimeoutError, match=r"the token request to 127\.0\.0\.1"):
            await soon(server.connect(**options))
