"""What the ends and failures of sockets mean, one exception of the library after the other."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from websockets.frames import Close, Frame, Opcode

import falrt
from falrt.connection.handshake import Answer, NotAnUpgrade, Refused
from falrt.connection.losses import End, loss_of_end, loss_of_opening
from falrt.protocol.loss import Cause, Verdict, verdict_on
from falrt.testing import FakeServer, script
from tests.leaks import leaves_nothing, soon, until
from tests.raw_server import raw_server

TOKEN = "fal_jwt_token=topsecret"


def status(code: int, body: bytes = b"", *, proxy: str = "", **headers: str) -> Refused:
    return Refused(Answer(code, tuple(headers.items()), 0), body, proxy)


@pytest.mark.parametrize(
    ("error", "cause", "kind", "verdict"),
    [
        (status(401), Cause.UNAUTHORIZED, falrt.UnauthorizedError, Verdict.RENEW),
        (status(403, b"no"), Cause.UNAUTHORIZED, falrt.UnauthorizedError, Verdict.RENEW),
        (status(404, b"no app"), Cause.HANDSHAKE, falrt.HandshakeError, Verdict.FINAL),
        (status(503), Cause.HANDSHAKE, falrt.HandshakeError, Verdict.RETRY),
        (status(302), Cause.HANDSHAKE, falrt.HandshakeError, Verdict.FINAL),
        (TimeoutError(), Cause.TIMEOUT, falrt.ConnectTimeoutError, Verdict.RETRY),
        (EOFError("ended"), Cause.HANDSHAKE, falrt.HandshakeError, None),
        (NotAnUpgrade("no HTTP"), Cause.HANDSHAKE, falrt.HandshakeError, None),
        (ConnectionRefusedError("refused"), Cause.NETWORK, falrt.ConnectError, Verdict.RETRY),
        (status(407, proxy="http://p:1"), Cause.SETUP, falrt.ConfigurationError, Verdict.FINAL),
        (status(403, proxy="http://p:1"), Cause.HANDSHAKE, falrt.HandshakeError, Verdict.FINAL),
        (status(503, proxy="http://p:1"), Cause.HANDSHAKE, falrt.HandshakeError, Verdict.RETRY),
        (RuntimeError(f"odd {TOKEN}"), Cause.SETUP, falrt.ConnectError, Verdict.FINAL),
    ],
)
def test_a_failed_opening_is_an_error_of_ours(
    error: Exception, cause: Cause, kind: type[Exception], verdict: Verdict | None
) -> None:
    loss = loss_of_opening(error, "acme/app", "fal.run")
    assert loss.cause is cause
    assert type(loss.error) is kind
    assert loss.error is not None
    assert "topsecret" not in "".join(traceback.format_exception(loss.error))
    assert "fal.run" in str(loss.error) or "http://p:1" in str(loss.error)
    assert verdict is None or verdict_on(loss) is verdict


@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), ("soon", None), ("", None)])
def test_retry_after_is_heard(value: str, seconds: float | None) -> None:
    assert loss_of_opening(status(503, **{"retry-after": value}), "acme/app", "h").retry_after == seconds


def test_an_end_without_a_close_frame_is_a_lost_connection() -> None:
    loss = loss_of_end(End())
    assert (loss.cause, loss.code) == (Cause.CLOSED, 1006)
    assert loss.reason == "connection lost without a close frame"
    assert "reset by peer" in loss_of_end(End(cause=ConnectionResetError("reset by peer"))).reason


def test_a_close_frame_is_passed_on_with_code_and_reason() -> None:
    loss = loss_of_end(End(received=(1012, "restart")))
    assert (loss.cause, loss.code, loss.reason) == (Cause.CLOSED, 1012, "restart")


@pytest.mark.parametrize("code", [1002, 1007, 1009])
def test_a_complaint_of_ours_is_a_bad_frame_of_theirs(code: int) -> None:
    loss = loss_of_end(End(complaint=(code, "why"), max_size=50))
    assert loss.cause is Cause.BAD_FRAME
    assert isinstance(loss.error, falrt.DecodeError)
    assert ("max_size=50" in str(loss.error)) is (code == 1009)


@pytest.mark.parametrize("size", [2000, 0])
def test_a_frame_that_is_too_large_is_told_with_its_size(size: int) -> None:
    error = loss_of_end(End(complaint=(1009, "big"), size=size, max_size=50)).error
    assert isinstance(error, falrt.DecodeError)
    assert error.size == size
    assert (f"a frame of {size} bytes, larger than max_size=50" in str(error)) is bool(size)


def test_a_server_that_takes_smaller_frames_says_so() -> None:
    loss = loss_of_end(End(received=(1009, "")))
    assert isinstance(loss.error, falrt.ServerError)
    assert loss.cause is Cause.SERVER_FAULT


@pytest.mark.parametrize("ping_interval", [20.0, 0.01])
async def test_a_close_frame_ends_the_socket_though_the_line_stays(
    monkeypatch: pytest.MonkeyPatch, ping_interval: float
) -> None:
    monkeypatch.setattr("falrt.connection.transport.CLOSE_TIMEOUT", 0.1)
    options: Any = {"key": "k", "auth": "key", "ping_interval": ping_interval, "ping_timeout": 0.01}
    bye = Frame(Opcode.CLOSE, Close(4000, "bye").serialize()).serialize(mask=False)
    async with raw_server(bye, polite=False) as url, leaves_nothing(url):
        with pytest.raises(falrt.ConnectionClosedError, match="bye") as caught:
            async with falrt.connect("acme/app", base_url=url, **options) as conn:
                await soon(conn.recv())
        assert caught.value.code == 4000


async def test_a_socket_that_ends_in_time_leaves_no_timer() -> None:
    async with FakeServer(faults=[script.CloseWith(1000, "", inputs=1)]) as server, server.connect() as conn:
        socket = conn._core._supervisor.socket  # type: ignore[union-attr]
        assert socket is not None
        await conn.send({"n": 1})
        await until(lambda: socket.gone)
        assert socket._ending is None
