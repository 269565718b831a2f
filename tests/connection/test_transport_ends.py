"""What the ends and failures of sockets mean, one exception of the library after the other."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosedError,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    PayloadTooBig,
    ProxyError,
)
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response

import falrt
from falrt.connection.transport import loss_of_close, loss_of_opening
from falrt.protocol.loss import Cause, Verdict, verdict_on
from falrt.testing import FakeServer, script
from tests.leaks import leaves_nothing, soon, until
from tests.raw_server import raw_server

TOKEN = "fal_jwt_token=topsecret"


def status(code: int, body: bytes = b"", **headers: str) -> InvalidStatus:
    return InvalidStatus(Response(code, "phrase", Headers(headers), body))


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
        (InvalidMessage("no HTTP"), Cause.HANDSHAKE, falrt.HandshakeError, None),
        (InvalidUpgrade("Upgrade", "h2c"), Cause.HANDSHAKE, falrt.HandshakeError, None),
        (ConnectionRefusedError("refused"), Cause.NETWORK, falrt.ConnectError, Verdict.RETRY),
        (ProxyError("no proxy"), Cause.SETUP, falrt.ConfigurationError, Verdict.FINAL),
        (InvalidProxy("x", "bad"), Cause.SETUP, falrt.ConfigurationError, Verdict.FINAL),
        (InvalidURI(f"ws://h/?{TOKEN}", "bad"), Cause.SETUP, falrt.ConfigurationError, Verdict.FINAL),
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
    assert "fal.run" in str(loss.error)
    assert verdict is None or verdict_on(loss) is verdict


@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), ("soon", None), ("", None)])
def test_retry_after_is_heard(value: str, seconds: float | None) -> None:
    assert loss_of_opening(status(503, **{"Retry-After": value}), "acme/app", "h").retry_after == seconds


def test_an_end_without_a_close_frame_is_a_cut_line() -> None:
    loss = loss_of_close(ConnectionClosedError(None, None), None)
    assert (loss.cause, loss.code, loss.reason) == (Cause.CLOSED, 1006, "the line was cut")
    cut = ConnectionClosedError(None, None)
    cut.__cause__ = ConnectionResetError("reset by peer")
    assert "reset by peer" in loss_of_close(cut, None).reason


def test_a_close_frame_is_passed_on_with_code_and_reason() -> None:
    loss = loss_of_close(ConnectionClosedError(Close(1012, "restart"), Close(1012, ""), True), None)
    assert (loss.cause, loss.code, loss.reason) == (Cause.CLOSED, 1012, "restart")


@pytest.mark.parametrize("code", [1002, 1007, 1009])
def test_a_complaint_of_ours_is_a_bad_frame_of_theirs(code: int) -> None:
    loss = loss_of_close(ConnectionClosedError(None, Close(code, "why")), 50)
    assert loss.cause is Cause.BAD_FRAME
    assert isinstance(loss.error, falrt.DecodeError)
    assert ("max_size=50" in str(loss.error)) is (code == 1009)


@pytest.mark.parametrize(
    ("cause", "size"),
    [(PayloadTooBig(2000, 50), 2000), (PayloadTooBig(40, 20, 30), 70), (PayloadTooBig(None, 50), 0)],
)
def test_a_frame_that_is_too_large_is_told_with_its_size(cause: PayloadTooBig, size: int) -> None:
    end = ConnectionClosedError(None, Close(1009, str(cause)))
    end.__cause__ = cause
    error = loss_of_close(end, 50).error
    assert isinstance(error, falrt.DecodeError)
    assert error.size == size
    assert (f"a frame of {size} bytes, larger than max_size=50" in str(error)) is bool(size)


def test_a_socks_proxy_without_its_package_is_told_with_the_cure() -> None:
    absent = ImportError("connecting through a SOCKS proxy requires python-socks")
    loss = loss_of_opening(absent, "acme/app", "fal.run")
    assert verdict_on(loss) is Verdict.FINAL
    assert isinstance(loss.error, falrt.MissingDependencyError)
    assert "pip install 'falrt[socks]'" in str(loss.error)


def test_a_server_that_takes_smaller_frames_says_so() -> None:
    loss = loss_of_close(ConnectionClosedError(Close(1009, ""), Close(1009, ""), True), None)
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
        socket = conn._supervisor.socket  # type: ignore[union-attr]
        assert socket is not None
        await conn.send({"n": 1})
        await until(lambda: socket.gone)
        assert socket._ending is None
