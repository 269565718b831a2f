"""falrt against fal's own server SDK: one output for each input."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import falrt
from falrt import pacing
from tests.interop.fal_app import FalAppServer
from tests.interop.peer_app import PeerApp

pytestmark = pytest.mark.peer

APP = "acme/app"
# A test that takes longer than this hangs.
PATIENCE = 20


class In(BaseModel):
    n: int
    work_seconds: float = 0.0
    picture: bytes = b""
    fail: str = ""


class Out(BaseModel):
    n: int
    picture: bytes = b""


TYPED = falrt.RealtimeModel(APP, In, Out)


@pytest.fixture(scope="module")
def running() -> Iterator[FalAppServer]:
    with FalAppServer(PeerApp) as server:
        yield server


@pytest.fixture
def server(running: FalAppServer) -> FalAppServer:
    running.app.setup()
    return running


def connect(
    server: FalAppServer, path: str | None = None, **options: Any
) -> falrt.RealtimeConnection[Any, Any]:
    return falrt.connect(APP, path=path, base_url=server.url, key="id:secret", **options)


async def until(condition: Callable[[], bool]) -> None:
    """Look until it holds: the server tells nobody what it has begun, and runs in another thread."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_a_result_comes_back_as_a_map(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server) as conn:
        await conn.send({"n": 1, "picture": b"\xff\xd8"})
        assert await conn.recv() == {"n": 1, "picture": b"\xff\xd8"}


async def test_a_typed_result_comes_back_in_its_type(server: FalAppServer) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        falrt.connect(TYPED, base_url=server.url, key="id:secret") as conn,
    ):
        assert await conn.request(In(n=2, picture=b"\xff\xd8")) == Out(n=2, picture=b"\xff\xd8")


async def test_an_untyped_app_takes_any_value(server: FalAppServer) -> None:
    values: list[Any] = [{"a": None}, [1, 2.5, b"x", True], "text", -(2**63), {"deep": [{"er": {}}]}]
    async with asyncio.timeout(PATIENCE), connect(server, "/untyped") as conn:
        assert [await conn.request(value) for value in values] == [{"got": value} for value in values]


async def test_a_sync_app_works_in_its_own_thread(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/sync") as conn:
        assert (await conn.request({"n": 1}))["n"] == 1
    assert server.app.worker != "fal app"


@pytest.mark.wire("W17")
async def test_the_url_carries_the_token_and_the_buffering(server: FalAppServer) -> None:
    server.front.upgrades.clear()
    server.front.token_requests.clear()
    async with asyncio.timeout(PATIENCE), connect(server, max_buffering=2) as conn:
        await conn.request({"n": 1})

    ((path, query),) = server.front.upgrades
    assert path == "/acme/app/realtime"
    assert query.startswith("fal_jwt_token=ey")
    assert "max_buffering=2" in query
    assert server.front.token_requests == [{"allowed_apps": ["app"], "token_expiration": 120}]


@pytest.mark.parametrize("path", ["/realtime", "/buffering/1", "/buffering/2"])
async def test_each_of_many_tasks_gets_its_own_answer(server: FalAppServer, path: str) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, path) as conn:
        answers = await asyncio.gather(*(conn.request({"n": n, "work_seconds": 0.002}) for n in range(20)))
        assert conn.stats.dropped == 0

    assert [answer["n"] for answer in answers] == list(range(20))
    assert sorted(server.app.seen) == list(range(20))


async def test_a_request_behind_inputs_that_the_server_dropped_gets_its_own_answer(
    server: FalAppServer,
) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/buffering/1") as conn:
        for n in range(10):
            await conn.send({"n": n, "work_seconds": 0.05})
        answer = await conn.request({"n": 99})

    assert answer["n"] == 99
    assert 9 in server.app.seen, "the last send was not lost"


async def test_the_last_of_a_burst_is_answered_whatever_the_server_drops(server: FalAppServer) -> None:
    answered = []
    async with asyncio.timeout(PATIENCE), connect(server, "/buffering/1") as conn:
        for n in range(30):
            await conn.send({"n": n, "work_seconds": 0.01})
        while not answered or answered[-1] != 29:
            answered.append((await conn.recv())["n"])

    assert answered == sorted(answered)
    assert len(answered) < 30


@pytest.mark.wire("W31")
async def test_without_a_limit_everything_is_answered_in_order(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server) as conn:
        for n in range(100):
            # The SDK itself lets outputs overtake each other where the app never waits.
            await conn.send({"n": n, "work_seconds": 0.0001})
        assert [(await conn.recv())["n"] for _ in range(100)] == list(range(100))
        assert conn.stats.in_flight == 0


async def test_a_cancelled_request_does_not_shift_the_answers(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/buffering/1") as conn:
        for n in range(5):
            given_up = asyncio.create_task(conn.request({"n": -1, "work_seconds": 0.03}))
            await until(lambda n=n: server.app.seen.count(-1) > n)
            given_up.cancel()
            assert (await conn.request({"n": n}))["n"] == n


async def test_requests_in_a_batching_app_are_answered_one_by_one(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/batch") as conn:
        answers = await asyncio.gather(*(conn.request({"n": n}) for n in range(6)))

    assert answers == [{"batch": [n]} for n in range(6)]


@pytest.mark.wire("W33")
async def test_sends_may_come_back_in_batches(server: FalAppServer) -> None:
    batches: list[int] = []
    async with asyncio.timeout(PATIENCE), connect(server, "/batch") as conn:
        for n in range(6):
            await conn.send({"n": n, "work_seconds": 0.02})
        while len(batches) < 6:
            batches += (await conn.recv())["batch"]
        assert (await conn.request({"n": 7})) == {"batch": [7]}, "the app owes no more answers"

    assert batches == list(range(6))


@pytest.mark.wire("W20")
async def test_timings_are_told_with_the_result(server: FalAppServer) -> None:
    with FalAppServer(PeerApp, emit_timings=True) as timed:
        async with asyncio.timeout(PATIENCE), connect(timed) as conn:
            replies = [
                reply async for reply in conn.stream([{"n": n, "work_seconds": 0.01} for n in range(3)])
            ]
            await conn.request({"n": 3, "work_seconds": 0.05})
            # The timings frame follows the result.
            await until(lambda: (conn.stats.inference_time or 0) >= 0.05)

    assert [reply.output["n"] for reply in replies] == [0, 1, 2]


# Large frames.


@pytest.mark.wire("W19")
async def test_15_mib_in_and_20_mib_out(server: FalAppServer) -> None:
    picture = bytes(15 * 1024 * 1024)
    async with asyncio.timeout(PATIENCE), connect(server) as conn:
        assert (await conn.request({"n": 1, "picture": picture}))["picture"] == picture
        assert (
            len((await conn.request({"n": 2, "answer_bytes": 20 * 1024 * 1024}))["picture"])
            == 20 * 1024 * 1024
        )


async def test_more_than_16_mib_is_refused_before_it_is_sent(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server) as conn:
        with pytest.raises(falrt.EncodeError, match="16 MiB"):
            await conn.request({"n": 1, "picture": bytes(16 * 1024 * 1024)})
        assert (await conn.request({"n": 2}))["n"] == 2
        assert conn.stats.reconnects == 0

    assert server.app.seen == [2]


async def test_an_answer_above_max_size_is_a_decode_error_that_names_the_option(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, max_size=100_000) as conn:
        with pytest.raises(falrt.DecodeError, match="max_size"):
            await conn.request({"n": 1, "answer_bytes": 200_000})
        assert (await conn.request({"n": 2}))["n"] == 2


# Failing inputs.


@pytest.mark.wire("W23")
async def test_an_app_that_raises_fails_the_one_request(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server) as conn:
        with pytest.raises(falrt.ServerError, match="no memory left") as caught:
            await conn.request({"n": 1, "fail": "no memory left"})
        assert caught.value.error == "INTERNAL_ERROR"
        assert caught.value.reason == "no memory left"
        assert (await conn.request({"n": 2}))["n"] == 2


async def test_what_the_apps_types_refuse_fails_the_one_request(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server) as conn:
        with pytest.raises(falrt.ServerError, match="1 validation error for Order"):
            await conn.request({"n": "many"})
        assert (await conn.request({"n": 2}))["n"] == 2


async def test_what_the_app_cannot_decode_fails_the_one_request(server: FalAppServer) -> None:
    garble = iter([b"\xc1"])

    def encode(message: Any) -> bytes:
        return next(garble, None) or falrt.codecs.Msgpack().encode(message)

    async with asyncio.timeout(PATIENCE), connect(server, encode_message=encode) as conn:
        with pytest.raises(falrt.ServerError) as caught:
            await conn.request({"n": 1})
        assert caught.value.reason == ""
        assert (await conn.request({"n": 2}))["n"] == 2


@pytest.mark.wire("W50")
async def test_text_is_refused_by_the_app_and_said_so(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, codec=falrt.codecs.Json(text=True)) as conn:
        with pytest.raises(falrt.ServerError, match="'bytes'"):
            await conn.request({"n": 1})


async def test_a_failing_request_among_twenty_takes_no_other_down(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server) as conn:
        outcomes = await asyncio.gather(
            *(conn.request({"n": n, "fail": "bad" if n % 7 == 3 else ""}) for n in range(20)),
            return_exceptions=True,
        )

    for n, outcome in enumerate(outcomes):
        if n % 7 == 3:
            assert isinstance(outcome, falrt.ServerError)
        else:
            assert not isinstance(outcome, BaseException), n
            assert outcome["n"] == n


async def test_a_failing_send_is_told_by_recv_and_the_last_input_is_answered(server: FalAppServer) -> None:
    told: list[str] = []
    async with asyncio.timeout(PATIENCE), connect(server) as conn:
        await conn.send({"n": 1, "fail": "bad", "work_seconds": 0.02})
        await conn.send({"n": 2})
        answer = None
        while answer is None:
            try:
                answer = (await conn.recv())["n"]
            except falrt.ServerError as exc:
                told.append(exc.reason)

    assert answer == 2
    assert told
    assert set(told) == {"bad"}


# Idle ends.


@pytest.mark.wire("W22")
async def test_the_idle_end_is_ridden_out(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/idle") as conn:
        assert (await conn.request({"n": 1}))["n"] == 1
        await until(lambda: conn.state is not falrt.State.OPEN)
        assert (await conn.request({"n": 2}))["n"] == 2
        assert conn.stats.reconnects == 1


async def test_an_answer_that_outlasts_the_session_timeout_still_comes(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/idle") as conn:
        assert (await conn.request({"n": 1, "work_seconds": 0.3}))["n"] == 1


async def test_an_app_slower_than_twice_its_session_timeout_is_a_server_error(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/idle") as conn:
        with pytest.raises(falrt.ServerError) as caught:
            await conn.request({"n": 1, "work_seconds": 0.6})
        assert caught.value.error == "INTERNAL_ERROR"
        assert (await conn.request({"n": 2}))["n"] == 2


@pytest.mark.wire("W36")
async def test_an_input_that_the_idle_end_swallowed_is_sent_again(server: FalAppServer) -> None:
    # The end marker takes the place of the one waiting input (wire fact W22).
    async with asyncio.timeout(PATIENCE), connect(server, "/idle/buffering/1") as conn:
        await conn.send({"n": 1, "work_seconds": 0.35})
        await until(lambda: server.app.seen == [1])
        await conn.send({"n": 2})
        assert [(await conn.recv())["n"], (await conn.recv())["n"]] == [1, 2]
        assert conn.stats.reconnects == 1


async def test_recv_waits_through_idle_ends(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/idle") as conn:
        waiting = asyncio.create_task(conn.recv())
        for n in range(2):
            await conn.send({"n": n})
            assert (await waiting)["n"] == n
            waiting = asyncio.create_task(conn.recv())
            await until(lambda: conn.state is not falrt.State.OPEN)
        assert not waiting.done()
        waiting.cancel()


# Streams.


async def test_a_stream_over_a_slow_app_shows_the_newest_and_ends_with_the_last(server: FalAppServer) -> None:
    async def camera() -> AsyncIterator[Any]:
        for n in range(60):
            yield {"n": n, "work_seconds": 0.03}
            await asyncio.sleep(0.005)

    replies = []
    async with asyncio.timeout(PATIENCE), connect(server, "/buffering/1") as conn:
        async for reply in conn.stream(camera()):
            assert reply.output["n"] == reply.input["n"] or not reply.certain
            replies.append(reply)

    shown = [reply.input["n"] for reply in replies]
    assert shown == sorted(set(shown))
    assert shown[-1] == 59
    assert len(shown) + sum(reply.dropped for reply in replies) == 60


async def test_a_stream_one_at_a_time_is_always_certain(server: FalAppServer) -> None:
    inputs = [{"n": n, "work_seconds": 0.002} for n in range(15)]
    async with asyncio.timeout(PATIENCE), connect(server, "/buffering/1", pacing=pacing.Latest()) as conn:
        replies = [reply async for reply in conn.stream(inputs)]

    assert [reply.output["n"] for reply in replies] == list(range(15))
    assert all(reply.certain for reply in replies)


async def test_a_live_stream_lives_through_a_bad_frame(server: FalAppServer) -> None:
    frames = iter([{"n": n, "fail": "bad" if n == 3 else ""} for n in range(8)])
    errors: list[Exception] = []
    async with asyncio.timeout(PATIENCE), connect(server, on_error=errors.append) as conn:
        replies = [reply async for reply in conn.stream(lambda: next(frames, None))]

    assert [reply.output["n"] for reply in replies] == [0, 1, 2, 4, 5, 6, 7]
    assert sum(reply.dropped for reply in replies) == 1
    assert {str(error) for error in errors} == {"INTERNAL_ERROR: bad"}


async def test_a_stream_that_skips_nothing_ends_with_the_error_of_a_bad_input(server: FalAppServer) -> None:
    inputs = [{"n": n, "fail": "bad" if n == 3 else ""} for n in range(8)]
    async with asyncio.timeout(PATIENCE), connect(server) as conn:
        stream = conn.stream(inputs)
        shown = [(await anext(stream)).output["n"] for _ in range(3)]
        with pytest.raises(falrt.ServerError, match="bad"):
            await anext(stream)
        assert (await conn.request({"n": 9}))["n"] == 9

    assert shown == [0, 1, 2]


async def test_a_stream_opens_a_lazy_connection(server: FalAppServer) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, lazy=True) as conn:
        assert [reply.output["n"] async for reply in conn.stream([{"n": 1}, {"n": 2}])] == [1, 2]


async def test_a_live_stream_goes_on_after_a_pause_that_the_app_took_for_the_end(
    server: FalAppServer,
) -> None:
    async with asyncio.timeout(PATIENCE), connect(server, "/idle") as conn:

        async def camera() -> AsyncIterator[Any]:
            for n in range(3):
                yield {"n": n}
                await until(lambda n=n: conn.stats.received > n and conn.state is falrt.State.IDLE)  # type: ignore[misc]

        assert [reply.output["n"] async for reply in conn.stream(camera())] == [0, 1, 2]
        assert conn.stats.reconnects == 2


# No gateway.


@pytest.mark.wire("W13")
async def test_an_unknown_path_is_refused_at_the_door(server: FalAppServer) -> None:
    with pytest.raises(falrt.UnauthorizedError, match="403"):
        async with asyncio.timeout(PATIENCE), connect(server, "/nowhere"):
            pass


async def test_a_closed_connection_leaves_no_task_behind(server: FalAppServer) -> None:
    before = asyncio.all_tasks()
    async with asyncio.timeout(PATIENCE), connect(server) as conn:
        await conn.request({"n": 1})
    assert asyncio.all_tasks() == before
