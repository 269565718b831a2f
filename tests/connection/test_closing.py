"""Leaving: normally, by an exception, by cancellation, at any moment. Nothing may be left behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

import falrt
from falrt.connection.supervisor import Supervisor
from falrt.testing import FakeServer, FaultProxy, script
from tests.leaks import leaves_nothing, no_strays, soon, turns, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")

SLOW = falrt.Backoff(initial=60, maximum=60)


def echo(message: Any) -> dict[str, Any]:
    return {"got": message}


# --- the ways out


async def test_leaving_normally_closes_with_1000() -> None:
    async with FakeServer(echo) as server:
        async with leaves_nothing(server.url), server.connect() as conn:
            await soon(conn.request({"n": 1}))
        connection = await server.wait_for_close(0)
        assert connection.close_code == 1000


async def test_leaving_by_an_exception_closes_with_1000_and_passes_it_on() -> None:
    async with FakeServer(echo) as server:
        async with leaves_nothing(server.url):
            with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what is left
                async with server.connect() as conn:
                    await soon(conn.request({"n": 1}))
                    _ = 1 / 0
        connection = await server.wait_for_close(0)
        assert connection.close_code == 1000


async def test_leaving_by_cancellation_closes_with_1000() -> None:
    async with FakeServer(echo) as server:

        async def work() -> None:
            async with server.connect() as conn:
                await soon(conn.request({"n": 1}))
                await conn.recv()

        async with leaves_nothing(server.url):
            task = asyncio.create_task(work())
            await server.wait_for_answers(1)
            await turns()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await soon(task)
        connection = await server.wait_for_close(0)
        assert connection.close_code == 1000


async def test_leaving_in_a_cancelled_anyio_scope_leaves_nothing() -> None:
    async with FakeServer(echo) as server:
        async with leaves_nothing(server.url):
            with anyio.CancelScope() as scope:
                async with server.connect() as conn:
                    await soon(conn.request({"n": 1}))
                    scope.cancel()
                    await conn.recv()
            assert scope.cancelled_caught
        await server.wait_for_close(0)


async def test_leaving_in_a_failing_anyio_task_group_leaves_nothing() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        with pytest.raises(ExceptionGroup):  # noqa: PT012 - the group is what is left
            async with anyio.create_task_group() as group:

                async def work() -> None:
                    async with server.connect() as conn:
                        await conn.recv()

                group.start_soon(work)
                await server.wait_for_connection(0)
                raise LookupError("somebody else's mistake")


async def test_a_timeout_around_everything_leaves_nothing() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), server.connect() as conn:
                await conn.recv()


@pytest.mark.parametrize("turn", range(0, 60, 2))
async def test_cancelling_at_any_turn_of_opening_leaves_nothing(turn: int) -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):

        async def work() -> None:
            async with server.connect() as conn:
                await conn.request({"n": 1})

        task = asyncio.create_task(work())
        await turns(turn)
        task.cancel()
        await soon(asyncio.gather(task, return_exceptions=True))


STAGES: dict[str, list[script.Fault]] = {
    "token": [script.SlowToken(60)],
    "handshake": [script.Hang()],
    "upgrade": [script.SlowHandshake(60)],
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("level", ["edge", "level"])
async def test_cancelling_while_it_opens_leaves_nothing(stage: str, level: str) -> None:
    async with FakeServer(echo, faults=STAGES[stage]) as server, leaves_nothing(server.url):

        async def work(scope: anyio.CancelScope) -> None:
            with scope:
                await server.connect()

        scope = anyio.CancelScope()
        task = asyncio.create_task(work(scope))
        await until(lambda: server.token_requests if stage == "token" else server.connections)
        if level == "level":
            scope.cancel()
        else:
            task.cancel()
        await soon(asyncio.gather(task, return_exceptions=True))


@pytest.mark.parametrize("stage", STAGES)
async def test_closing_while_it_opens_ends_those_who_wait(stage: str) -> None:
    async with (
        FakeServer(echo, faults=STAGES[stage]) as server,
        leaves_nothing(server.url),
        server.connect(lazy=True) as conn,
    ):
        asking = asyncio.create_task(conn.request({"n": 1}))
        await until(lambda: server.token_requests if stage == "token" else server.connections)
        await turns(5)
        await soon(conn.close())
        with pytest.raises(falrt.ConnectionClosedOK) as caught:
            await soon(asking)
        assert caught.value.unsent == ({"n": 1},)


async def test_closing_while_an_eager_connection_opens_ends_the_opening() -> None:
    async with FakeServer(echo, faults=[script.Hang()]) as server, leaves_nothing(server.url):
        conn = server.connect()
        opening = asyncio.ensure_future(conn.__aenter__())
        await server.wait_for(lambda: server.connections)
        await soon(conn.close())
        with pytest.raises(falrt.ConnectionClosedOK):
            await soon(opening)


async def test_closing_while_it_waits_to_come_back_leaves_nothing() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        async with server.connect(reconnect=SLOW) as conn:
            await soon(conn.request({"n": 1}))
            server.add_fault(script.RefuseHandshake(503, times=None))
            server.connections[0].reset()
            await until(lambda: len(server.connections) == 2 and conn.state is falrt.State.WAITING)
            asking = asyncio.create_task(conn.request({"n": 2}))
            await turns()
        with pytest.raises(falrt.ConnectionClosedOK):
            await soon(asking)


async def test_leaving_with_a_task_still_in_recv_ends_that_task() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        async with server.connect() as conn:
            tasks = [
                asyncio.create_task(conn.recv()),
                asyncio.create_task(conn.request({"n": 1})),
                asyncio.create_task(conn.drain()),
                asyncio.create_task(conn.flush()),
            ]
        outcomes = await soon(asyncio.gather(*tasks, return_exceptions=True))
        assert isinstance(outcomes[0], falrt.ConnectionClosedOK)
        assert isinstance(outcomes[1], falrt.ConnectionClosedOK)


async def test_closing_twice_at_once_and_again_is_harmless() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        conn = await server.connect()
        await soon(asyncio.gather(conn.close(), conn.close(), conn.close()))
        await soon(conn.close())


async def test_a_peer_that_does_not_answer_the_close_is_cut_off_when_cancelled() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        conn = await server.connect()
        server.connections[0].silence()
        closing = asyncio.create_task(conn.close())
        await turns(5)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(closing)


async def test_a_peer_that_does_not_answer_the_close_is_cut_off_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("falrt.connection.transport.CLOSE_TIMEOUT", 0.02)
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        conn = await server.connect()
        server.connections[0].silence()
        await soon(conn.close())


async def test_a_closing_that_was_cancelled_is_whole_all_the_same() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        conn = await server.connect()
        closing = asyncio.create_task(conn.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        assert conn.state is falrt.State.CLOSED


async def test_a_server_that_does_not_read_cannot_hold_up_a_cancelled_close() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        conn = await server.connect()
        server.connections[0].pause_reading()
        sends = [asyncio.create_task(conn.send({"image": bytes(4_000_000)})) for _ in range(6)]
        await until(
            lambda: conn._core._supervisor.socket is not None and not conn._core._supervisor.socket.writable
        )
        closing = asyncio.create_task(conn.close())
        await turns()
        closing.cancel()
        await soon(asyncio.gather(closing, *sends, return_exceptions=True))


# --- what never ends by itself


def test_a_loop_that_ends_with_an_open_connection_complains_of_nothing(recwarn: Any) -> None:
    async def forget() -> None:
        server = FakeServer(echo)
        await server.start()
        conn = await server.connect(auth="key")  # an HTTP client would stay open
        await conn.request({"n": 1})

    asyncio.run(forget())
    gc.collect()
    assert not [str(warning.message) for warning in recwarn if "falrt" in str(warning.message)]


async def test_a_closed_connection_is_garbage() -> None:
    async with FakeServer(echo) as server:
        conn = server.connect()
        async with conn:
            await soon(conn.request({"n": 1}))
        seen = [weakref.ref(conn), weakref.ref(conn._core)]
        del conn
        await turns()
        gc.collect()
        assert [each() for each in seen] == [None, None]


@pytest.mark.parametrize("key", [None, "canvas"])
async def test_a_connection_that_is_forgotten_while_open_is_closed_with_a_warning(key: str | None) -> None:
    async with (
        FakeServer(echo) as server,
        leaves_nothing(server.url),
        falrt.Client(base_url=server.url, key="test") as fal,
    ):
        with pytest.warns(ResourceWarning, match="when it was forgotten"):  # noqa: PT031 - gc is when
            await fal.connect("acme/app", connection_key=key)
            gc.collect()
        await soon(server.wait_for_close(0))
        assert server.connections[0].close_code == 1000


async def test_a_stream_holds_its_connection() -> None:
    async with FakeServer(echo) as server:
        replies = (await server.connect()).stream([{"n": n} for n in range(3)])
        gc.collect()
        assert [reply.output async for reply in replies] == [{"got": {"n": n}} for n in range(3)]
        with pytest.warns(ResourceWarning, match="when it was forgotten"):  # noqa: PT031 - gc is when
            del replies
            gc.collect()
        await soon(server.wait_for_close(0))


async def test_a_connection_that_was_never_opened_is_garbage() -> None:
    seen = weakref.ref(falrt.connect("acme/app", key="k", base_url="http://127.0.0.1:9"))
    gc.collect()
    assert seen() is None


# --- from within


async def test_a_callback_may_close_the_connection_and_goes_on() -> None:
    done: list[str] = []

    async with FakeServer(echo) as server, leaves_nothing(server.url):

        async def on_result(result: Any) -> None:
            await conn.close()
            await asyncio.sleep(0)
            done.append("after")

        conn = server.connect(on_result=on_result)
        async with conn:
            await conn.send({"n": 1})
            await until(lambda: done)
        assert conn.state is falrt.State.CLOSED


@pytest.mark.parametrize("how", ["close", "the client"])
async def test_a_callback_that_closed_the_connection_and_goes_on_ends_with_its_owner(how: str) -> None:
    closed, ended = asyncio.Event(), asyncio.Event()

    async def on_result(result: Any) -> None:
        await conn.close()
        closed.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with FakeServer(echo) as server, leaves_nothing(server.url):
        client = falrt.Client(key="test", base_url=server.url)
        conn = await client.connect("acme/app", on_result=on_result)
        await conn.send({"n": 1})
        await soon(closed.wait())
        await soon(conn.close() if how == "close" else client.aclose())
        assert ended.is_set()
        await client.aclose()


async def test_a_callback_that_closes_while_it_is_ended_does_not_hang() -> None:
    began: list[bool] = []

    async with FakeServer(echo) as server, leaves_nothing(server.url):

        async def on_result(result: Any) -> None:
            began.append(True)
            try:
                await asyncio.Event().wait()
            finally:
                await conn.close()

        conn = server.connect(on_result=on_result)
        async with conn:
            await conn.send({"n": 1})
            await until(lambda: began)
        assert conn.state is falrt.State.CLOSED


# --- under load


async def test_a_congested_socket_does_not_spin_and_sends_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        FakeServer(lambda message: {"n": message["n"]}) as server,
        FaultProxy("127.0.0.1", int(server.url.rpartition(":")[2])) as proxy,
        server.connect(base_url=proxy.url) as conn,
    ):
        proxy.black_hole("up")
        asked = count_calls(monkeypatch, Supervisor, "_on_timer")
        # Beyond the kernel's buffers each waits for room.
        sends = [asyncio.create_task(conn.send({"n": n, "image": bytes(1_000_000)})) for n in range(20)]
        await until(
            lambda: conn._core._supervisor.socket is not None and not conn._core._supervisor.socket.writable
        )
        await asyncio.sleep(0.1)
        assert asked() < 20
        proxy.restore()
        await soon(asyncio.gather(*sends))
        assert [(await soon(conn.recv()))["n"] for _ in range(20)] == list(range(20))


def count_calls(monkeypatch: pytest.MonkeyPatch, target: type, name: str) -> Callable[[], int]:
    calls = 0
    original = getattr(target, name)

    def counted(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return original(*args)

    monkeypatch.setattr(target, name, counted)
    return lambda: calls


async def test_a_request_that_waits_for_room_ends_at_its_time() -> None:
    faults = [script.Hang()]
    async with FakeServer(echo, faults=faults) as server, server.connect(lazy=True) as conn:
        sends = [asyncio.create_task(conn.send({"n": n})) for n in range(300)]
        await turns()
        with pytest.raises(falrt.RequestTimeout, match="could not be sent"):
            await soon(conn.request({"n": 300}, timeout=0.05))
        for send in sends:
            send.cancel()
        await asyncio.wait(sends)


async def test_a_request_whose_encoder_hangs_ends_at_its_time() -> None:
    async def encode(message: Any) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    async with FakeServer(echo) as server, server.connect(encode_message=encode) as conn:
        with pytest.raises(falrt.RequestTimeout):
            await soon(conn.request({"n": 1}, timeout=0.05))


async def test_five_hundred_senders_share_the_room_of_the_queue_in_order() -> None:
    faults = [script.SlowHandshake(0.05)]
    async with FakeServer(echo, faults=faults) as server, server.connect(lazy=True) as conn:
        await soon(asyncio.gather(*(conn.send({"n": n}) for n in range(500))))
        await server.wait_for_inputs(500)
        assert [message["n"] for message in server.inputs] == list(range(500))


async def test_two_hundred_connections_of_one_client_come_and_go() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        async with falrt.Client(base_url=server.url, key="test") as fal:

            async def work(n: int) -> Any:
                async with fal.connect("acme/app") as conn:
                    return await conn.request({"n": n})

            answers = await asyncio.gather(*(work(n) for n in range(200)))
            assert [answer["got"]["n"] for answer in answers] == list(range(200))
        assert len(server.token_requests) == 1


async def test_a_decoder_that_takes_its_time_to_clean_up_does_not_break_the_closing() -> None:
    cleaning = asyncio.Event()

    async def decode(frame: Any) -> Any:
        try:
            await asyncio.sleep(100)
        finally:
            cleaning.set()
            await asyncio.sleep(0.05)

    options: dict[str, Any] = {"decode_message": decode, "request_timeout": 0.1}
    async with FakeServer(echo) as server, leaves_nothing(server.url), server.connect(**options) as conn:
        await conn.send({"n": 1})
        await soon(cleaning.wait())
        await conn.close()


# --- closed by the user's own functions


@pytest.mark.parametrize("how", ["close", "in a child task", "the client"])
async def test_a_callback_may_close_what_it_belongs_to(how: str) -> None:
    closed: list[str] = []

    async with FakeServer(echo) as server, leaves_nothing(server.url):
        client = falrt.Client(key="test", base_url=server.url)

        async def on_result(result: Any) -> None:
            closing = {"close": conn.close, "in a child task": conn.close, "the client": client.aclose}[how]()
            await (asyncio.wait_for(closing, 5) if how == "in a child task" else closing)
            closed.append(how)

        conn = await client.connect("acme/app", on_result=on_result)
        await conn.send({"n": 1})
        await until(lambda: closed)
        await soon(client.aclose())
        assert conn.state is falrt.State.CLOSED


async def test_a_callback_may_close_what_somebody_else_is_closing() -> None:
    began = asyncio.Event()

    async def on_result(result: Any) -> None:
        began.set()
        try:
            await asyncio.sleep(100)
        finally:
            await client.aclose()
            await conn.close()

    async with FakeServer(echo) as server, leaves_nothing(server.url):
        client = falrt.Client(key="test", base_url=server.url)
        conn = await client.connect("acme/app", on_result=on_result)
        await conn.send({"n": 1})
        await soon(began.wait())
        await soon(client.aclose())


@pytest.mark.parametrize("how", ["close", "the client"])
async def test_callbacks_may_close_each_others_connections(how: str) -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        clients = [falrt.Client(key="test", base_url=server.url) for _ in range(2)]
        both = asyncio.Barrier(3)

        def closing(other: int) -> Any:
            async def on_result(result: Any) -> None:
                await both.wait()
                await (conns[other].close() if how == "close" else clients[other].aclose())

            return on_result

        conns = [
            await client.connect("acme/app", on_result=closing(1 - n)) for n, client in enumerate(clients)
        ]
        for conn in conns:
            await conn.send({"n": 1})
        await soon(both.wait())
        await until(lambda: all(conn.state is falrt.State.CLOSED for conn in conns))
        # Not cancelled where it fails: what hung could not be cancelled either.
        closings = {asyncio.create_task(client.aclose()) for client in clients}
        assert not (await asyncio.wait(closings, timeout=5))[1]


async def test_a_source_may_close_the_client() -> None:
    async def source() -> AsyncIterator[Any]:
        yield {"n": 1}
        await client.aclose()

    async with FakeServer(echo) as server, leaves_nothing(server.url):
        client = falrt.Client(key="test", base_url=server.url)
        conn = await client.connect("acme/app")
        replies = [reply.output async for reply in conn.stream(source())]
        assert len(replies) <= 1
        await soon(client.aclose())
