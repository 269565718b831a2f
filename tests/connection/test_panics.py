"""What a user's function raises need be no ``Exception``: it is told as any other failure, and nothing hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import falrt
from falrt import codecs
from falrt.testing import FakeServer
from tests.leaks import no_strays, soon  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")


class Panic(BaseException):
    """As a codec in Rust raises it."""


def panic(*args: Any) -> Any:
    raise Panic


def cancel(*args: Any) -> Any:
    raise asyncio.CancelledError


async def panic_later(*args: Any) -> Any:
    await asyncio.sleep(0)
    raise Panic


class Codec(codecs.Msgpack):
    """Fails in one direction."""

    __slots__ = ()


class BadDecoder(Codec):
    decode = panic


class CancellingDecoder(Codec):
    decode = cancel


class BadEncoder(Codec):
    encode = panic


def echo(message: Any) -> Any:
    return message


@pytest.mark.parametrize(
    "options",
    [
        {"codec": BadDecoder()},
        {"codec": CancellingDecoder()},
        {"decode_message": panic},
        {"decode_message": panic_later},
    ],
)
async def test_a_decoder_that_panics_at_every_message_is_a_decode_error_to_all_who_wait(
    options: dict[str, Any],
) -> None:
    async with FakeServer(echo) as server, server.connect(**options) as conn:
        with pytest.raises(falrt.DecodeError) as caught:
            await soon(conn.request({"n": 1}))
        assert isinstance(caught.value.__cause__, Panic | asyncio.CancelledError)
        await conn.send({"n": 2})
        with pytest.raises(falrt.DecodeError):
            await soon(conn.recv())
        with pytest.raises(falrt.DecodeError):
            async for _ in conn.stream([{"n": 3}]):
                pass


@pytest.mark.parametrize(
    "options", [{"codec": BadEncoder()}, {"encode_message": panic}, {"encode_message": panic_later}]
)
async def test_an_encoder_that_panics_is_an_encode_error_at_the_callers_line(options: dict[str, Any]) -> None:
    async with FakeServer(echo) as server, server.connect(**options) as conn:
        for send in (conn.send, conn.request):
            with pytest.raises(falrt.EncodeError):
                await soon(send({"n": 1}))


@pytest.mark.parametrize("name", ["on_event", "on_result"])
@pytest.mark.parametrize("function", [panic, panic_later])
async def test_a_callback_that_panics_is_reported_and_called_again(name: str, function: Any) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    if (name, function) == ("on_event", panic_later):
        with pytest.raises(falrt.ConfigurationError, match="plain function"):
            falrt.connect("acme/app", key="k", on_event=function)
        return
    options: dict[str, Any] = {name: function}
    async with FakeServer(echo) as server, server.connect(**options) as conn:
        for n in range(2):
            await conn.send({"n": n})
        await soon(conn.drain())
        assert conn.stats.reconnects == 0
    assert len(reported) >= 2
    assert all(isinstance(context["exception"], Panic) for context in reported)


async def test_a_stream_raises_what_its_source_or_gate_panics_with() -> None:
    async def source() -> AsyncIterator[Any]:
        yield {"n": 1}
        yield {"n": 2}
        raise Panic

    async def endless() -> AsyncIterator[Any]:
        while True:
            yield {"n": 1}

    async with FakeServer(echo) as server, server.connect() as conn:
        for inputs, gate in ((source(), None), (panic, None), (map(panic, "ab"), None), (endless(), panic)):
            with pytest.raises(Panic):
                async for _ in conn.stream(inputs, gate=gate):
                    pass


@pytest.mark.parametrize("provider", [panic, panic_later])
async def test_a_token_provider_that_panics_is_a_token_request_error(provider: Any) -> None:
    async with (
        FakeServer(echo) as server,
        falrt.Client(base_url=server.url, token_provider=provider) as client,
    ):
        with pytest.raises(falrt.TokenRequestError, match="with Panic"):
            await soon(client.connect("acme/app", reconnect=False).__aenter__())
