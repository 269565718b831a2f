"""Losses: what passes is ridden out, what does not reaches every waiter at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import falrt
from falrt.protocol.realtime import RealtimeProtocol
from falrt.testing import FakeServer, FaultProxy, script
from tests.leaks import leaves_nothing, no_strays, soon, turns, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")

QUICK = falrt.Backoff(initial=0.01, maximum=0.02)


def echo(message: Any) -> dict[str, Any]:
    return {"got": message}


def port_of(server: FakeServer) -> int:
    return int(server.url.rpartition(":")[2])


# --- losses that pass

PASSING = {
    "1001": script.CloseWith(1001, inputs=1),
    "1006": script.CloseWith(1006, inputs=1),
    "1011": script.CloseWith(1011, inputs=1),
    "1012": script.CloseWith(1012, inputs=1),
    "1013": script.CloseWith(1013, inputs=1),
    "1000": script.CloseWith(1000, inputs=1),
    "1005": script.CloseWith(1005, inputs=1),
    "reset": script.Reset(inputs=1),
    "hang up": script.HangUp(inputs=1),
    "reset in mid-frame": script.CutFrame(how="reset"),
    "end in mid-frame": script.CutFrame(how="end"),
}


@pytest.mark.parametrize("name", PASSING)
async def test_a_request_is_answered_after_a_loss(name: str) -> None:
    async with FakeServer(echo, faults=[PASSING[name]]) as server, leaves_nothing(server.url):
        async with server.connect(reconnect=QUICK) as conn:
            assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}
            assert conn.stats.reconnects == 1
        assert server.inputs == [{"n": 1}, {"n": 1}]


@pytest.mark.parametrize("name", PASSING)
async def test_the_newest_send_is_answered_after_a_loss(name: str) -> None:
    async with FakeServer(echo, faults=[PASSING[name]]) as server, server.connect(reconnect=QUICK) as conn:
        await conn.send({"n": 1})
        await conn.send({"n": 2})
        got = [await soon(conn.recv())]
        if got[-1] != {"got": {"n": 2}}:
            got.append(await soon(conn.recv()))
        assert got[-1] == {"got": {"n": 2}}
        await soon(conn.drain())


OPENINGS = {
    "refused": script.Refuse(),
    "429": script.RefuseHandshake(429),
    "500": script.RefuseHandshake(500),
    "502": script.RefuseHandshake(502),
    "503": script.RefuseHandshake(503),
}


@pytest.mark.parametrize("name", OPENINGS)
async def test_a_passing_refusal_to_open_is_tried_again(name: str) -> None:
    async with FakeServer(echo, faults=[OPENINGS[name]]) as server:
        async with server.connect(reconnect=QUICK) as conn:
            assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}
        assert len(server.connections) == 2


async def test_many_requests_survive_a_restart_of_the_server() -> None:
    async with (
        FakeServer(echo, service_time=0.001) as server,
        FaultProxy("127.0.0.1", port_of(server)) as proxy,
        server.connect(base_url=proxy.url, reconnect=QUICK) as conn,
    ):
        asking = [asyncio.create_task(conn.request({"n": n})) for n in range(30)]
        await server.wait_for_answers(5)
        proxy.refuse()
        proxy.cut()
        await until(lambda: conn.state is not falrt.State.OPEN)
        await proxy.accept()
        answers = await soon(asyncio.gather(*asking))
        assert [answer["got"]["n"] for answer in answers] == list(range(30))


async def test_losses_at_random_turns_never_shift_an_answer() -> None:
    async with (
        FakeServer(echo) as server,
        FaultProxy("127.0.0.1", port_of(server)) as proxy,
        server.connect(base_url=proxy.url, reconnect=QUICK) as conn,
    ):
        for n in range(40):
            asking = asyncio.create_task(conn.request({"n": n}))
            await turns(n % 11)
            proxy.cut()
            assert await soon(asking) == {"got": {"n": n}}


async def test_an_idle_connection_comes_back_by_itself() -> None:
    async with FakeServer(echo) as server, server.connect(reconnect=QUICK) as conn:
        server.connections[0].close(1012)
        await server.wait_for_connection(1)
        assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}


# --- without reconnecting


async def test_without_reconnect_a_loss_ends_the_connection_for_everybody() -> None:
    async with (
        FakeServer(echo, faults=[script.CloseWith(1011, "boom", inputs=1)]) as server,
        server.connect(reconnect=False) as conn,
    ):
        receiving = asyncio.create_task(conn.recv())
        with pytest.raises(falrt.ConnectionClosedError, match="1011: boom") as caught:
            await soon(conn.request({"n": 1}))
        assert caught.value.code == 1011
        with pytest.raises(falrt.ConnectionClosedError):
            await soon(receiving)
        assert conn.state is falrt.State.CLOSED
        with pytest.raises(falrt.ConnectionClosedError) as caught:
            await conn.send({"n": 2})
        assert caught.value.unsent == ({"n": 2},)


async def test_without_reconnect_an_ordinary_end_is_ok() -> None:
    async with FakeServer(echo) as server, server.connect(reconnect=False) as conn:
        server.connections[0].close(1000)
        with pytest.raises(falrt.ConnectionClosedOK):
            await soon(conn.recv())


# --- giving up


async def test_when_the_budget_is_spent_every_waiter_hears_of_it_at_once() -> None:
    patience = falrt.Backoff(initial=0.005, maximum=0.01, attempts=2)
    async with (
        FakeServer(echo) as server,
        leaves_nothing(server.url),
        server.connect(reconnect=patience) as conn,
    ):
        await soon(conn.request({"n": 0}))
        server.add_fault(script.RefuseHandshake(503, times=None))
        server.connections[0].reset()
        await until(lambda: conn.state is not falrt.State.OPEN)
        waiting = [
            asyncio.create_task(conn.request({"n": 1})),
            asyncio.create_task(conn.send({"n": 2})),
            asyncio.create_task(conn.recv()),
            asyncio.create_task(conn.drain()),
        ]
        errors = await soon(asyncio.gather(*waiting, return_exceptions=True))
        assert all(isinstance(error, falrt.FalrtError) for error in errors), errors
        assert isinstance(errors[0], falrt.HandshakeError)
        assert isinstance(errors[1], falrt.ConnectionClosed)
        assert errors[1].unsent == ({"n": 2},)
        assert len(server.connections) == 1 + 2


async def test_a_wrong_address_fails_within_seconds() -> None:
    async with FakeServer(echo) as server:
        url = server.url
    with pytest.raises(falrt.ConnectError, match=r"nothing listens at 127\.0\.0\.1"):
        async with falrt.connect("acme/app", base_url=url, auth="key", key="k", reconnect=QUICK):
            pass


@pytest.mark.parametrize("status", [400, 404, 418])
async def test_a_final_status_fails_at_once(status: int) -> None:
    async with FakeServer(
        echo, faults=[script.RefuseHandshake(status, detail="no such app", times=None)]
    ) as server:
        with pytest.raises(falrt.HandshakeError, match="no such app") as caught:
            await server.connect()
        assert caught.value.status == status
        assert len(server.connections) == 1


async def test_no_handshake_in_time_is_a_timeout_error() -> None:
    async with FakeServer(echo, faults=[script.Hang(times=None)]) as server, leaves_nothing(server.url):
        with pytest.raises(falrt.ConnectTimeoutError) as caught:
            await server.connect(open_timeout=0.03, reconnect=False)
        assert isinstance(caught.value, TimeoutError)


async def test_an_answer_that_is_no_http_is_told() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        with pytest.raises(falrt.HandshakeError, match="did not answer the upgrade"):
            await falrt.connect("acme/app", base_url=url, key="k", auth="key", reconnect=False)


# --- credentials


@pytest.mark.wire("W12")
@pytest.mark.parametrize("refusal", ["frame", "close", 401, 403])
async def test_a_bad_key_is_an_authentication_error_at_once(refusal: Any) -> None:
    async with FakeServer(echo, refusal=refusal) as server, leaves_nothing(server.url):
        with pytest.raises(falrt.AuthenticationError):
            async with server.connect(key="wrong") as conn:
                await soon(conn.request({"n": 1}))
        assert not server.connections


@pytest.mark.parametrize("refusal", ["frame", "close", 401, 403])
async def test_a_bad_key_in_the_header_is_an_authentication_error(refusal: Any) -> None:
    async with FakeServer(echo, refusal=refusal) as server:
        with pytest.raises(falrt.UnauthorizedError):
            async with server.connect(key="wrong", auth="key") as conn:
                await soon(conn.request({"n": 1}))
        assert len(server.connections) == 1


@pytest.mark.parametrize("refusal", ["frame", "close", 401, 403])
async def test_a_refused_token_is_renewed_once_and_then_an_error_for_everybody(refusal: Any) -> None:
    async with FakeServer(echo, refusal=refusal) as server, server.connect(lazy=True) as conn:
        server.add_fault(script.ExpiredToken(times=None))
        waiting = [
            asyncio.create_task(conn.request({"n": 1})),
            asyncio.create_task(conn.recv()),
            asyncio.create_task(conn.request({"n": 2})),
        ]
        errors = await soon(asyncio.gather(*waiting, return_exceptions=True))
        assert all(isinstance(error, falrt.AuthenticationError) for error in errors), errors
        assert len(server.connections) == 2
        assert len(server.token_requests) == 2
        with pytest.raises(falrt.ConnectionClosedError):
            await conn.send({"n": 3})


@pytest.mark.parametrize("refusal", ["frame", "close", 401, 403])
async def test_a_token_that_expired_is_replaced_without_a_word(refusal: Any) -> None:
    async with (
        FakeServer(echo, refusal=refusal, faults=[script.ExpiredToken()]) as server,
        server.connect() as conn,
    ):
        assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}


@pytest.mark.wire("W49")
async def test_a_token_that_expired_on_an_open_socket_is_replaced_at_the_next() -> None:
    async with FakeServer(echo) as server, server.connect(reconnect=QUICK) as conn:
        await soon(conn.request({"n": 1}))
        server.expire_tokens()
        server.connections[0].reset()
        assert await soon(conn.request({"n": 2})) == {"got": {"n": 2}}
        assert server.connections[-1].token != server.connections[0].token


async def test_an_unauthorized_frame_in_the_middle_is_renewed() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        await soon(conn.request({"n": 1}))
        server.connections[0].send({"status": "error", "error": "Unauthorized"})
        assert await soon(conn.request({"n": 2})) == {"got": {"n": 2}}


async def test_a_token_endpoint_that_is_down_for_a_while_is_survived() -> None:
    down = [script.RefuseToken(status=503, body={"detail": "down"}, times=4)]
    async with FakeServer(echo, faults=down) as server, server.connect(reconnect=QUICK) as conn:
        assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}


async def test_a_provider_that_fails_in_passing_is_asked_again() -> None:
    from falrt.testing import make_token

    asked: list[str] = []

    async def provide(app_path: str) -> str:
        asked.append(app_path)
        if len(asked) < 3:
            raise OSError("the backend is restarting")
        return make_token(app_path)

    async with FakeServer(echo) as server:
        options = {"base_url": server.url, "token_provider": provide, "reconnect": QUICK}
        async with falrt.connect("acme/app", **options) as conn:  # type: ignore[arg-type]
            assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}
        assert asked == ["acme/app/realtime"] * 3


# --- cold start and idleness


@pytest.mark.wire("W15")
async def test_a_cold_model_shows_as_warming_and_then_answers() -> None:
    states: set[falrt.State] = set()
    async with FakeServer(echo, faults=[script.ColdStart(0.02, times=2)]) as server, server.connect() as conn:
        asking = asyncio.create_task(conn.request({"n": 1}))
        await server.wait_for(lambda: len(server.connections) == 2)
        states.add(conn.state)
        assert await soon(asking) == {"got": {"n": 1}}
        states.add(conn.state)
    assert states == {falrt.State.WARMING, falrt.State.OPEN}


async def test_the_newest_send_is_what_a_cold_model_gets_in_the_end() -> None:
    async with FakeServer(echo, faults=[script.ColdStart(0.02)]) as server, server.connect() as conn:
        await conn.send({"n": 1})
        await conn.send({"n": 2})
        await server.wait_for_close(0)
        await until(lambda: conn.state is falrt.State.WARMING)
        assert await soon(conn.recv()) == {"got": {"n": 2}}


async def test_a_model_that_stays_cold_is_given_up_after_its_time() -> None:
    async with (
        FakeServer(echo, faults=[script.ColdStart(0.01, times=None)]) as server,
        server.connect(warmup_timeout=0.15) as conn,
    ):
        with pytest.raises(falrt.RequestTimeout, match="warmup_timeout"):
            await soon(conn.request({"n": 1}))


async def test_fals_idle_timeout_is_ridden_out() -> None:
    async with FakeServer(echo, session_timeout=0.03) as server, server.connect() as conn:
        assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}
        receiving = asyncio.create_task(conn.recv())
        await server.wait_for_close(0)
        await until(lambda: conn.state is falrt.State.IDLE)
        assert not receiving.done()
        await conn.send({"n": 2})
        assert await soon(receiving) == {"got": {"n": 2}}


async def test_idle_close_closes_and_the_next_input_reopens() -> None:
    async with FakeServer(echo) as server, server.connect(idle_close=0.02) as conn:
        await server.wait_for_close(0)
        assert server.connections[0].close_code == 1000
        await until(lambda: conn.state is falrt.State.IDLE)
        billed = conn.stats.open_seconds
        assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}
        await until(lambda: conn.stats.open_seconds > billed)
        await server.wait_for_close(1)


# --- half-open lines and our own standstill


async def test_a_half_open_line_is_found_and_replaced() -> None:
    async with FakeServer(echo, faults=[script.HalfOpen(inputs=1)]) as server:
        options = {"ping_interval": 0.03, "ping_timeout": 0.03, "reconnect": QUICK}
        async with server.connect(**options) as conn:
            assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}
            assert conn.stats.reconnects == 1


async def test_without_reconnect_the_error_says_which_side_fell_silent() -> None:
    async with (
        FakeServer(echo) as server,
        server.connect(ping_interval=0.02, ping_timeout=0.02, reconnect=False) as conn,
    ):
        server.connections[0].silence()
        with pytest.raises(falrt.ConnectionClosedError, match="the server stopped answering"):
            await soon(conn.recv())


async def test_pings_keep_a_quiet_line_open() -> None:
    async with FakeServer(echo) as server, server.connect(ping_interval=0.01, ping_timeout=0.5) as conn:
        received = conn._core._supervisor.socket.heard_at  # type: ignore[union-attr]
        await until(lambda: conn._core._supervisor.socket.heard_at > received)  # type: ignore[union-attr]
        assert conn.stats.reconnects == 0
        assert conn.state is falrt.State.OPEN


async def test_a_stalled_event_loop_is_not_taken_for_a_dead_peer() -> None:
    async with FakeServer(echo) as server, server.connect(ping_interval=0.05, ping_timeout=0.05) as conn:
        await soon(conn.request({"n": 1}))
        for _ in range(3):
            time.sleep(0.15)  # noqa: ASYNC251 - the standstill is what is tested
            await turns(3)
        assert await soon(conn.request({"n": 2})) == {"got": {"n": 2}}
        assert conn.stats.reconnects == 0


async def test_results_that_nobody_reads_are_not_taken_for_silence() -> None:
    def many(message: Any) -> Any:
        return ({"n": n} for n in range(2000))

    async with FakeServer(many, mode="server_streaming") as server:
        options = {"ping_interval": 0.02, "ping_timeout": 0.02, "mode": "server_streaming"}
        async with server.connect(**options) as conn:
            await conn.send({"go": True})
            await until(lambda: conn._core.delivery.inbox.full)
            await asyncio.sleep(0.12)  # several ping times pass in which we take nothing from the network
            got = [output["n"] async for output in conn]
            assert got == list(range(2000))


# --- frames that cannot be read


@pytest.mark.parametrize("fault", [script.Garbage(), script.Truncated(), script.Garbage(data="no json")])
async def test_a_frame_that_cannot_be_read_fails_its_request_only(fault: script.Fault) -> None:
    async with FakeServer(echo, faults=[fault]) as server, server.connect(reconnect=QUICK) as conn:
        with pytest.raises(falrt.DecodeError):
            await soon(conn.request({"n": 1}))
        assert await soon(conn.request({"n": 2})) == {"got": {"n": 2}}


async def test_a_frame_that_cannot_be_read_is_told_to_recv_and_the_rest_comes() -> None:
    async with FakeServer(echo, faults=[script.Garbage()]) as server, server.connect() as conn:
        await conn.send({"n": 1})
        await conn.send({"n": 2})
        with pytest.raises(falrt.DecodeError):
            await soon(conn.recv())
        assert await soon(conn.recv()) == {"got": {"n": 2}}
        assert conn.stats.reconnects == 0


async def test_a_huge_frame_is_an_error_that_names_size_and_side() -> None:
    async with (
        FakeServer(echo, faults=[script.Huge(size=100_000)]) as server,
        server.connect(max_size=50_000, reconnect=QUICK) as conn,
    ):
        with pytest.raises(
            falrt.DecodeError, match=r"server sent a frame of \d+ bytes, larger than max_size=50000"
        ):
            await soon(conn.request({"n": 1}))
        assert await soon(conn.request({"n": 2})) == {"got": {"n": 2}}


async def test_a_server_that_takes_smaller_frames_only_says_so() -> None:
    async with FakeServer(echo, max_size=50_000) as server, server.connect(reconnect=QUICK) as conn:
        with pytest.raises(falrt.ServerError, match="MESSAGE_TOO_BIG"):
            await soon(conn.request({"image": bytes(60_000)}))
        assert await soon(conn.request({"n": 2})) == {"got": {"n": 2}}


async def test_a_failing_input_fails_its_own_request_and_no_other() -> None:
    def picky(message: Any) -> dict[str, Any]:
        if message.get("bad"):
            raise ValueError("no such picture")
        return {"got": message}

    async with FakeServer(picky) as server, server.connect(reconnect=QUICK) as conn:
        calls = [conn.request({"n": 1}), conn.request({"bad": 1}), conn.request({"n": 2})]
        first, failed, last = await soon(asyncio.gather(*calls, return_exceptions=True))
        assert (first, last) == ({"got": {"n": 1}}, {"got": {"n": 2}})
        assert isinstance(failed, falrt.ServerError)
        assert "no such picture" in failed.reason


# --- an error of ours


async def test_an_unexpected_error_ends_the_connection_and_nobody_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url), server.connect() as conn:
        monkeypatch.setattr(RealtimeProtocol, "received", lambda *args: 1 / 0)
        with pytest.raises(falrt.ConnectionClosedError, match="unexpected ZeroDivisionError") as caught:
            await soon(conn.request({"n": 1}))
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        with pytest.raises(falrt.ConnectionClosedError):
            await soon(conn.recv())
    assert "unexpected error" in caplog.text


# --- lines that live although nothing comes


@asynccontextmanager
async def narrow_uplink(port: int, bytes_per_second: float) -> AsyncIterator[int]:
    """Relay to a port; what is not read yet stays in the sender's kernel, for the buffers are as small as can be."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.setblocking(False)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause: float) -> None:
        while data := await reader.read(16384):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(len(data) * pause)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(OSError):
            await asyncio.gather(
                pass_on(reader, far_writer, 1 / bytes_per_second), pass_on(far_reader, writer, 0)
            )
        far_writer.close()
        writer.close()

    async with await asyncio.start_server(relay, sock=listener, limit=16384):
        yield listener.getsockname()[1]


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the kernel does not say what it still has to send"
)
async def test_an_upload_that_takes_longer_than_the_pings_is_no_dead_peer() -> None:
    # The proxy's own pings would count as life.
    async with FakeServer(lambda message: {"n": message["n"]}, ping_interval=None) as server:
        port = int(server.url.rpartition(":")[2])
        async with (
            narrow_uplink(port, 1_000_000) as near,
            server.connect(base_url=f"http://127.0.0.1:{near}", ping_interval=0.3, ping_timeout=0.3) as conn,
        ):
            assert await conn.request({"n": 1, "image": bytes(2_500_000)}, timeout=30) == {"n": 1}
            assert conn.stats.reconnects == 0


async def test_an_app_that_does_not_exist_is_told_to_everybody_who_waits_within_seconds() -> None:
    async with FakeServer(apps={"acme/app": None}) as server, server.connect("acme/typo") as conn:

        async def stream() -> None:
            async for _ in conn.stream(iter([{"n": 1}])):
                pass

        waiting = await soon(
            asyncio.gather(conn.request({"n": 1}), conn.recv(), stream(), return_exceptions=True)
        )
        with pytest.raises(falrt.ConnectionClosedError) as raised:
            await conn.send({"n": 2})
    for error in (*waiting, raised.value.__cause__):
        assert isinstance(error, falrt.ConnectError)
        assert "no such realtime app? check the id 'acme/typo' and its path" in str(error)


async def test_sockets_that_are_lost_and_come_back_are_shown_to_on_event() -> None:
    seen: list[Any] = []
    faults = [script.Reset(after=1)]
    async with FakeServer(echo, faults=faults) as server, server.connect(on_event=seen.append) as conn:
        for n in range(2):
            await soon(conn.request({"n": n}))
    names = [type(event).__name__ for event in seen]
    assert names == ["Opened", "Answered", "Lost", "Opened", "Answered"]
    assert seen[2].loss.code == 1006


async def test_a_mistake_in_a_timer_ends_the_connection_instead_of_its_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with FakeServer(echo) as server, server.connect(ping_interval=0.01) as conn:
        monkeypatch.setattr(RealtimeProtocol, "tick", lambda *args: 1 / 0)
        with pytest.raises(falrt.ConnectionClosedError, match="unexpected ZeroDivisionError"):
            await soon(conn.recv())


async def test_a_socket_that_has_gone_holds_nothing_back() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        socket = conn._core._supervisor.socket
        assert socket.unwritten == 0
        await conn.close()
        assert socket.unwritten == 0
