"""Live streams over real sockets: every kind of source, every way to leave, every loss."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import falrt
from falrt import codecs, models, pacing
from falrt.testing import FakeServer, FaultProxy, script
from tests.leaks import leaves_nothing, no_strays, soon, turns, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")

QUICK = falrt.Backoff(initial=0.01, maximum=0.02)


def echo(message: Any) -> dict[str, Any]:
    return {"n": message["n"]}


async def camera(count: int, interval: float = 0.002, closed: list[str] | None = None) -> AsyncIterator[Any]:
    """Give numbered frames at a pace of its own."""
    try:
        for n in range(count):
            yield {"n": n}
            await asyncio.sleep(interval)
    finally:
        if closed is not None:
            closed.append("closed")


def file(count: int, closed: list[str] | None = None) -> Iterator[Any]:
    """Give numbered frames when asked."""
    try:
        for n in range(count):
            yield {"n": n}
    finally:
        if closed is not None:
            closed.append(threading.current_thread().name)


async def collect(conn: Any, *args: Any, **options: Any) -> list[Any]:
    """Run a stream to its end."""
    async with asyncio.timeout(5):
        return [reply async for reply in conn.stream(*args, **options)]


# --- sources


@pytest.mark.parametrize("policy", [None, pacing.Latest(), pacing.Adaptive(), pacing.Throttle(0.004)])
async def test_a_source_faster_than_the_model_is_skipped_through_and_ends_with_its_last(policy: Any) -> None:
    async with FakeServer(echo, service_time=0.01) as server, server.connect() as conn:
        replies = await collect(conn, camera(40), policy)
        shown = [reply.output["n"] for reply in replies]
        assert shown == sorted(set(shown))
        assert shown[-1] == 39
        assert all(reply.output == reply.input for reply in replies)
        assert len(shown) + sum(reply.dropped for reply in replies) == 40


async def patient_camera(server: FakeServer, count: int) -> AsyncIterator[Any]:
    """A camera that is slower than the model, however slow the machine: each frame waits for the one before."""
    for n in range(count):
        await server.wait_for_inputs(n)
        yield {"n": n}


async def test_a_source_slower_than_the_model_is_answered_whole() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        replies = await collect(conn, patient_camera(server, 6))
        assert [reply.output["n"] for reply in replies] == list(range(6))
        assert all(reply.latency >= 0 for reply in replies)  # the clocks of some loops have milliseconds


async def test_an_empty_source_ends_at_once() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        for source in (camera(0), [], file(0), lambda: None):
            assert await collect(conn, source) == []
        assert server.inputs == []


@pytest.mark.parametrize("kind", ["list", "tuple", "generator", "every", "iterator"])
async def test_of_a_source_that_is_pulled_nothing_is_skipped(kind: str) -> None:
    frames = [{"n": n} for n in range(12)]
    sources = {
        "list": frames,
        "tuple": tuple(frames),
        "generator": file(12),
        "every": camera(12, 0),
        "iterator": iter(frames),
    }
    async with FakeServer(echo, service_time=0.001) as server, server.connect() as conn:
        replies = await collect(conn, sources[kind], every=kind == "every")
        assert [reply.output["n"] for reply in replies] == list(range(12))
        assert sum(reply.dropped for reply in replies) == 0


async def test_a_generator_is_pulled_and_closed_in_one_thread_of_its_own() -> None:
    closed: list[str] = []
    threads: set[str] = set()

    def film() -> Iterator[Any]:
        for frame in file(3, closed):
            threads.add(threading.current_thread().name)
            yield frame

    async with FakeServer(echo) as server, server.connect() as conn:
        await collect(conn, film())
        assert closed == ["falrt worker"]
        assert threads == {"falrt worker"}


async def test_a_function_is_asked_only_when_a_frame_can_leave() -> None:
    asked: list[int] = []

    def shot() -> Any:
        asked.append(len(asked))
        return {"n": len(asked) - 1} if len(asked) <= 5 else None

    async with FakeServer(echo, service_time=0.005) as server, server.connect() as conn:
        replies = await collect(conn, shot, pacing.Latest())
        assert [reply.output["n"] for reply in replies] == list(range(5))
        assert len(asked) == 6


async def test_a_function_may_be_async_or_end_with_stop_iteration() -> None:
    frames = iter(range(3))

    async def shot() -> Any:
        await asyncio.sleep(0)
        return next(({"n": n} for n in frames), None)

    more = iter([{"n": 7}])
    async with FakeServer(echo) as server, server.connect() as conn:
        assert [reply.output["n"] for reply in await collect(conn, shot)] == [0, 1, 2]
        assert [reply.output["n"] for reply in await collect(conn, lambda: next(more))] == [7]


async def test_a_function_may_end_with_stop_async_iteration_and_its_last_frame_is_answered() -> None:
    async def camera() -> AsyncIterator[Any]:
        for n in range(3):
            yield {"n": n}

    async with FakeServer(echo, service_time=0.02) as server, server.connect() as conn:
        replies = await collect(conn, camera().__aiter__().__anext__)
        assert [reply.output["n"] for reply in replies] == [0, 1, 2]


@pytest.mark.parametrize(
    "source", [{"n": 1}, "frames", b"frames", 5, object(), dict, models.LCMInput(prompt="x")]
)
async def test_what_is_no_source_is_refused(source: Any) -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(falrt.ConfigurationError, match="inputs must be an async iterable"):
            conn.stream(source)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pacing": pacing.Latest}, "pacing must be a policy"),
        ({"pacing": 5}, "pacing must be a policy"),
        ({"gate": 5}, "gate must be a function"),
        ({"gate": lambda a, b: True}, "gate skips inputs"),
    ],
)
async def test_wrong_options_are_refused_before_anything_is_sent(options: Any, text: str) -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(falrt.ConfigurationError, match=text):
            conn.stream([{"n": 1}], **options)


async def test_a_stream_needs_an_open_connection_and_a_mode_that_pairs() -> None:
    async with FakeServer(echo, mode="bidi") as server:
        with pytest.raises(falrt.ConfigurationError, match="not open"):
            server.connect().stream([])
        async with server.connect(mode="bidi") as conn:
            with pytest.raises(falrt.ConfigurationError, match="bidi"):
                conn.stream([])


async def test_a_network_that_stalls_for_a_second_does_not_shift_the_replies() -> None:
    async with (
        FakeServer(echo, service_time=0.05) as server,
        FaultProxy("127.0.0.1", int(server.url.rpartition(":")[2])) as proxy,
        server.connect(base_url=proxy.url) as conn,
    ):
        proxy.shape(latency=0.03)
        pairs: list[tuple[int, int]] = []
        async for reply in conn.stream(camera(200, 1 / 60)):
            pairs.append((reply.input["n"], reply.output["n"]))
            if len(pairs) == 20:
                proxy.black_hole(seconds=1.0)
    assert pairs[-1] == (199, 199), "the last picture is the last frame's"
    # Where the stall itself makes a server drop, a reply or two may be taken for a neighbour's; they say so.
    assert sum(sent != came for sent, came in pairs) <= 3


# --- errors


@pytest.mark.parametrize("kind", ["live", "generator", "function"])
async def test_the_sources_own_error_is_passed_on(kind: str) -> None:
    async def live() -> AsyncIterator[Any]:
        yield {"n": 0}
        raise LookupError("the camera was unplugged")

    def pulled() -> Iterator[Any]:
        yield {"n": 0}
        raise LookupError("the camera was unplugged")

    def asked() -> Any:
        raise LookupError("the camera was unplugged")

    source = {"live": live(), "generator": pulled(), "function": asked}[kind]
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(LookupError, match="unplugged"):
            await collect(conn, source)
        assert await soon(conn.request({"n": 1})) == {"n": 1}


async def test_an_error_in_the_sources_clean_up_is_passed_on() -> None:
    async def live() -> AsyncIterator[Any]:
        try:
            yield {"n": 0}
        finally:
            raise LookupError("stuck shutter")

    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(LookupError, match="stuck shutter"):
            await collect(conn, live())


async def test_an_error_in_the_clean_up_of_a_stream_that_was_left_is_reported() -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

    def film() -> Iterator[Any]:
        try:
            for n in range(100):
                yield {"n": n}
        finally:
            raise LookupError("stuck shutter")

    async with FakeServer(echo) as server, server.connect() as conn:
        async for _ in conn.stream(film()):
            break
    assert "stuck shutter" in repr(reported[0]["exception"])


@pytest.mark.parametrize("failing", [{0}, {1, 2}, {2}])
async def test_a_stream_whose_last_inputs_fail_says_so_behind_its_replies(failing: set[int]) -> None:
    count, got = max(failing) + 1, list[int]()

    def fails(message: Any) -> dict[str, Any]:
        if message["n"] in failing:
            raise RuntimeError(f"refused {message['n']}")
        return {"n": message["n"]}

    async with FakeServer(fails) as server, server.connect() as conn:
        replies = conn.stream(patient_camera(server, count))

        async def collected() -> None:
            async for reply in replies:
                got.append(reply.output["n"])

        with pytest.raises(falrt.ServerError, match=f"refused {count - 1}"):
            await soon(collected())
    assert got == [n for n in range(count) if n not in failing]


async def test_a_wrong_input_ends_the_stream_with_its_error() -> None:
    async with FakeServer() as server, server.connect(models.LCM) as conn:
        with pytest.raises(ValueError, match="promt"):
            await collect(conn, [{"promt": "a fox"}])


async def test_one_failing_frame_does_not_end_a_live_stream_and_is_reported() -> None:
    def picky(message: Any) -> Any:
        if message["n"] == 2:
            raise ValueError("no such frame")
        return {"n": message["n"]}

    errors: list[Exception] = []
    async with FakeServer(picky) as server, server.connect(on_error=errors.append, reconnect=QUICK) as conn:
        replies = await collect(conn, patient_camera(server, 6))
        assert [reply.output["n"] for reply in replies] == [0, 1, 3, 4, 5]
        assert [str(error) for error in errors] == ["INTERNAL_ERROR: no such frame"]


async def test_without_on_error_the_report_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    faults = [script.Garbage(after=1)]
    async with FakeServer(echo, faults=faults) as server, server.connect(reconnect=QUICK) as conn:
        await collect(conn, camera(4, 0.03))
    assert "the stream goes on after DecodeError" in caplog.text


async def test_a_model_that_fails_three_times_in_a_row_ends_the_stream() -> None:
    def broken(message: Any) -> Any:
        raise ValueError("out of memory")

    async with FakeServer(broken) as server, server.connect(reconnect=QUICK) as conn:
        with pytest.raises(falrt.ServerError, match="out of memory"):
            await collect(conn, camera(100, 0.005))
        assert len(server.inputs) == 3


async def test_where_nothing_is_skipped_the_first_failure_ends_the_stream() -> None:
    def picky(message: Any) -> Any:
        if message["n"] == 1:
            raise ValueError("no such frame")
        return {"n": message["n"]}

    async with FakeServer(picky) as server, server.connect(reconnect=QUICK) as conn:
        stream = conn.stream([{"n": n} for n in range(4)])
        assert (await soon(anext(stream))).output == {"n": 0}
        with pytest.raises(falrt.ServerError):
            await soon(anext(stream))
        with pytest.raises(StopAsyncIteration):
            await soon(anext(stream))


async def test_a_connection_that_is_lost_for_good_ends_the_stream_with_its_error() -> None:
    faults = [script.CloseWith(1011, after=2)]
    async with FakeServer(echo, faults=faults) as server, server.connect(reconnect=False) as conn:
        with pytest.raises(falrt.ConnectionClosedError):
            await collect(conn, camera(100))


async def test_closing_the_connection_ends_the_stream_quietly() -> None:
    closed: list[str] = []
    async with FakeServer(echo) as server, leaves_nothing(server.url), server.connect() as conn:
        async for _ in conn.stream(camera(1000, closed=closed)):
            await conn.close()
        assert closed == ["closed"]


# --- leaving


@pytest.mark.parametrize("how", ["break", "raise", "return"])
@pytest.mark.parametrize("kind", ["live", "generator"])
async def test_leaving_the_loop_closes_the_source_and_leaves_the_connection_usable(
    how: str, kind: str
) -> None:
    closed: list[str] = []

    async def work(conn: Any) -> None:
        source = camera(1000, closed=closed) if kind == "live" else file(1000, closed)
        async for _ in conn.stream(source):
            if how == "break":
                break
            if how == "return":
                return
            raise ZeroDivisionError

    async with FakeServer(echo) as server, leaves_nothing(server.url), server.connect() as conn:
        with contextlib.suppress(ZeroDivisionError):
            await work(conn)
        assert await soon(conn.request({"n": 5})) == {"n": 5}
        await until(lambda: closed)


async def test_a_second_stream_may_begin_in_the_very_turn_in_which_the_first_was_left() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        for _ in range(20):
            async for _ in conn.stream(camera(1000)):
                break
        assert [reply.output["n"] for reply in await collect(conn, [{"n": 3}])] == [3]


async def test_aclosing_waits_until_the_source_is_closed() -> None:
    closed: list[str] = []
    async with FakeServer(echo) as server, server.connect() as conn:
        async with contextlib.aclosing(conn.stream(camera(1000, closed=closed))) as stream:
            async for _ in stream:
                break
        assert closed == ["closed"]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_stream_closed_before_it_began_is_harmless() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        stream = conn.stream(camera(5))
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert server.inputs == []


async def test_leaving_the_connection_inside_a_stream_leaves_nothing() -> None:
    closed: list[str] = []
    async with FakeServer(echo, service_time=0.01) as server, leaves_nothing(server.url):
        with contextlib.suppress(ZeroDivisionError):
            async with server.connect() as conn:
                async for _ in conn.stream(camera(1000, closed=closed)):
                    raise ZeroDivisionError
        assert closed == ["closed"]


async def test_cancelling_the_consumer_leaves_nothing() -> None:
    closed: list[str] = []
    async with FakeServer(echo) as server, leaves_nothing(server.url):

        async def work() -> None:
            async with server.connect() as conn:
                async for _ in conn.stream(camera(1000, closed=closed)):
                    pass

        task = asyncio.create_task(work())
        await server.wait_for_answers(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(task)
        assert closed == ["closed"]


async def test_a_cancelled_anext_loses_no_reply() -> None:
    async with FakeServer(echo, service_time=0.005) as server, server.connect() as conn:
        stream = conn.stream([{"n": n} for n in range(20)])
        got: list[int] = []
        waits = 0
        while len(got) < 20:
            waits += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001 * (waits % 5)):
                    got.append((await anext(stream)).output["n"])
        assert got == list(range(20))


async def test_two_tasks_cannot_iterate_over_one_stream() -> None:
    async with FakeServer(echo, service_time=0.05) as server, server.connect() as conn:
        stream = conn.stream([{"n": 1}])
        first = asyncio.ensure_future(anext(stream))
        await turns()
        with pytest.raises(falrt.ConcurrencyError, match="iterates over this stream"):
            await anext(stream)
        assert (await soon(first)).output == {"n": 1}


async def test_two_streams_at_once_are_refused_and_the_first_goes_on() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        first = conn.stream(camera(20))
        await soon(anext(first))
        with pytest.raises(falrt.ConcurrencyError, match="a stream is already running"):
            await anext(conn.stream(camera(20)))
        gc.collect()
        rest = [reply.output["n"] async for reply in first]
        assert rest[-1] == 19


async def test_a_stream_dropped_in_another_thread_stops() -> None:
    closed: list[str] = []
    async with FakeServer(echo) as server, server.connect() as conn:
        box = [conn.stream(camera(100_000, closed=closed))]
        await soon(anext(box[0]))
        thread = threading.Thread(target=box.clear)
        thread.start()
        await asyncio.to_thread(thread.join)
        await until(lambda: closed)
        assert [reply.output["n"] for reply in await collect(conn, [{"n": 3}])] == [3]


async def test_a_generator_stuck_in_its_thread_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("falrt.connection.sources.CLOSE_PATIENCE", 0.02)
    release = threading.Event()
    closed: list[str] = []

    began: list[bool] = []

    def film() -> Iterator[Any]:
        try:
            yield {"n": 0}
            began.append(True)
            release.wait(5)
        finally:
            closed.append("closed")

    async with FakeServer(echo) as server:
        async with server.connect() as conn:
            async for _ in conn.stream(film()):
                await until(lambda: began)
                break
        assert not closed
        release.set()
        await until(lambda: closed)


# --- requests, slow consumers, latest()


async def test_requests_and_sends_are_served_during_a_stream() -> None:
    async with FakeServer(echo, buffering=2, service_time=0.002) as server, server.connect() as conn:

        async def ask(n: int) -> Any:
            return await conn.request({"n": n})

        async def watch() -> list[Any]:
            return [reply async for reply in conn.stream(camera(60))]

        watching = asyncio.create_task(watch())
        await server.wait_for_answers(2)
        for n in range(1000, 1010):
            assert await soon(ask(n)) == {"n": n}
        replies = await soon(watching)
        assert all(reply.input["n"] < 1000 for reply in replies)
        assert all(reply.output == reply.input for reply in replies if reply.certain)
        assert replies[-1].input["n"] == 59


async def test_a_slow_consumer_sees_the_newest_answer() -> None:
    async with FakeServer(echo, service_time=0.001) as server, server.connect() as conn:
        shown = []
        async for reply in conn.stream(camera(60, 0.001)):
            shown.append((reply.output["n"], reply.dropped))
            await asyncio.sleep(0.02)
        assert len(shown) < 20
        assert shown[-1][0] == 59
        assert len(shown) + sum(dropped for _, dropped in shown) == 60


async def test_where_nothing_is_skipped_a_slow_consumer_holds_up_the_source() -> None:
    pulled: list[int] = []

    def film() -> Iterator[Any]:
        for n in range(100):
            pulled.append(n)
            yield {"n": n}

    async with FakeServer(echo) as server, server.connect() as conn:
        stream = conn.stream(film())
        await soon(anext(stream))
        await turns(200)
        await asyncio.sleep(0.03)
        assert len(pulled) < 15
        assert [reply.output["n"] async for reply in stream] == list(range(1, 100))


async def test_latest_gives_the_newest_answer_so_far() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        assert conn.latest() is None
        await conn.send({"n": 1})
        await conn.send({"n": 2})
        await soon(conn.drain())
        reply = conn.latest()
        assert reply is not None
        assert (reply.input, reply.output) == ({"n": 2}, {"n": 2})
        assert conn.latest() == reply
        async for streamed in conn.stream([{"n": 3}]):
            assert conn.latest() is not None
            assert conn.latest().output == streamed.output  # type: ignore[union-attr]


async def test_latest_tells_an_error_once_and_the_end_always() -> None:
    faults = [script.GatewayError("oops", inputs=1)]
    async with FakeServer(echo, faults=faults) as server, server.connect() as conn:
        await conn.send({"n": 1})
        await until(lambda: bool(conn._core.delivery.inbox))
        with pytest.raises(falrt.ServerError, match="oops"):
            conn.latest()
        assert conn.latest() is None
        await conn.close()
        assert conn.latest() is None


# --- losses


@pytest.mark.parametrize(
    "fault", [script.Reset(times=3), script.CloseWith(1012, times=3), script.HangUp(times=3)]
)
async def test_a_live_stream_lives_through_losses_and_answers_its_last(fault: Any) -> None:
    import dataclasses

    faults = [dataclasses.replace(fault, times=3, after=None, probability=0.2)]
    async with (
        FakeServer(echo, service_time=0.002, faults=faults, seed=3) as server,
        server.connect(reconnect=QUICK) as conn,
    ):
        replies = await collect(conn, camera(60))
        shown = [reply.output["n"] for reply in replies]
        assert shown[-1] == 59
        assert shown == sorted(set(shown))
        assert conn.stats.reconnects >= 1


async def test_of_a_pulled_source_nothing_is_skipped_through_losses() -> None:
    faults = [script.Reset(times=4, after=None, probability=0.2)]
    async with FakeServer(echo, faults=faults, seed=5) as server, server.connect(reconnect=QUICK) as conn:
        replies = await collect(conn, file(40), pacing.Latest())
        assert [reply.output["n"] for reply in replies] == list(range(40))
        assert conn.stats.reconnects >= 1


@pytest.mark.parametrize("buffering", [1, 2, None])
async def test_the_last_frame_is_always_answered(buffering: int | None) -> None:
    async with FakeServer(echo, buffering=buffering, service_time=0.001) as server, server.connect() as conn:
        for run in range(25):
            replies = await collect(conn, camera(8, 0.0007))
            assert replies[-1].input == {"n": 7}, run


async def test_a_last_frame_that_was_swallowed_is_asked_again_on_a_new_socket() -> None:
    faults = [script.Swallow(input=3)]
    async with (
        FakeServer(echo, faults=faults, service_time=0.002) as server,
        server.connect(request_timeout=0.1, reconnect=QUICK) as conn,
    ):
        replies = await collect(conn, camera(4, 0.02))
        assert [reply.output["n"] for reply in replies] == [0, 1, 2, 3]
        assert conn.stats.reconnects == 1


async def test_a_last_frame_whose_answer_went_to_another_is_sent_again() -> None:
    faults = [script.Swallow(input=0)]
    async with (
        FakeServer(echo, faults=faults, service_time=0.02) as server,
        server.connect(pacing=pacing.Latest(in_flight=2), request_timeout=0.3) as conn,
    ):
        replies = await collect(conn, camera(2, 0.005))
        assert replies[-1].input == replies[-1].output == {"n": 1}
        assert len(replies) <= 2


async def test_a_stream_opens_a_connection_that_rests() -> None:
    async with FakeServer(echo, session_timeout=0.03) as server, server.connect() as conn:
        await server.wait_for_close(0)
        await until(lambda: conn.state is falrt.State.IDLE)
        assert [reply.output["n"] for reply in await collect(conn, [{"n": 1}])] == [1]


async def test_an_echoed_request_id_makes_every_reply_certain() -> None:
    async def inputs() -> AsyncIterator[models.LCMInput]:
        for n in range(20):
            yield models.LCMInput(prompt=f"a fox {n}")
            await asyncio.sleep(0.002)

    async with FakeServer(buffering=1, service_time=0.004) as server, server.connect(models.LCM) as conn:
        replies = await collect(conn, inputs(), pacing.Latest(in_flight=2))
        assert all(reply.certain and reply.request_id for reply in replies)


async def test_inference_time_is_told_where_it_is_known() -> None:
    def timed(message: Any) -> Any:
        return {"n": message["n"], "timings": {"inference": 0.25}}

    async with FakeServer(timed) as server, server.connect() as conn:
        replies = await collect(conn, [{"n": 1}])
        assert replies[0].inference_time == 0.25


# --- the gate


async def test_frames_that_did_not_change_are_not_sent_and_the_settled_one_is() -> None:
    pictures = [0, 10, 11, 12, 20, 21, 21, 21]

    async def source() -> AsyncIterator[Any]:
        for n in pictures:
            yield {"n": n}
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.4)  # the source rests longer than the gate waits
        yield {"n": 21}
        yield {"n": 40}

    async with FakeServer(echo) as server, server.connect() as conn:
        replies = await collect(conn, source(), gate=lambda last, new: abs(last["n"] - new["n"]) > 4)
        assert [reply.output["n"] for reply in replies] == [0, 10, 20, 21, 40]
        assert len(replies) + sum(reply.dropped for reply in replies) == 10


async def test_the_ready_made_gate_compares_pictures() -> None:
    numpy = pytest.importorskip("numpy")
    from falrt import media

    dark, bright = numpy.zeros((64, 64, 3), numpy.uint8), numpy.full((64, 64, 3), 200, numpy.uint8)

    async def source() -> AsyncIterator[Any]:
        for sent, pixels in enumerate(((dark, dark + 1), (bright, bright + 1, bright)), 1):
            for each in pixels:
                yield models.KleinInput(image_url=each, prompt="a fox")
                await server.wait_for_inputs(sent)

    async with FakeServer() as server, server.connect(models.KLEIN) as conn:
        replies = await collect(conn, source(), gate=media.Changed())
        assert len(replies) == 2
        assert len(server.inputs) == 2


async def test_at_the_end_the_frame_held_back_is_sent_if_it_differs_at_all() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        replies = await collect(conn, camera(4, 0.01), gate=lambda last, new: False)
        assert [reply.output["n"] for reply in replies] == [0, 3]
        frames = iter([{"n": 1}, {"n": 1}])
        replies = await collect(conn, lambda: next(frames, None), gate=lambda last, new: False)
        assert [reply.output["n"] for reply in replies] == [1]


async def test_a_function_whose_frames_are_held_back_is_not_asked_in_a_spin() -> None:
    asked = 0

    def shot() -> Any:
        nonlocal asked
        asked += 1
        return {"n": 0} if not done.is_set() else None

    done = asyncio.Event()
    async with FakeServer(echo) as server, server.connect() as conn:
        asyncio.get_running_loop().call_later(0.15, done.set)
        replies = await collect(conn, shot, gate=lambda last, new: last != new)
        assert len(replies) == 1
        assert asked < 30


async def test_after_a_failure_the_gate_lets_the_next_frame_pass() -> None:
    faults = [script.Garbage(after=0)]
    async with FakeServer(echo, faults=faults) as server, server.connect(reconnect=QUICK) as conn:
        replies = await collect(conn, camera(6, 0.03), gate=lambda last, new: False)
        assert replies
        assert replies[-1].output == {"n": 5}


async def test_a_gate_that_fails_ends_the_stream_with_its_error() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(ZeroDivisionError):
            await collect(conn, camera(5), gate=lambda last, new: bool(1 / 0))


@pytest.mark.parametrize("kind", ["live", "function"])
async def test_while_the_gate_holds_everything_back_idle_close_leaves_the_socket_closed(kind: str) -> None:
    still = {"n": 1}

    async def webcam() -> AsyncIterator[Any]:
        for _ in range(60):
            yield dict(still)
            await asyncio.sleep(0.005)

    source: Any = webcam() if kind == "live" else lambda: dict(still)
    async with (
        FakeServer(echo) as server,
        server.connect(idle_close=0.02, lazy=True) as conn,
        contextlib.aclosing(conn.stream(source, gate=lambda last, new: last != new)) as replies,
    ):
        assert (await soon(anext(replies))).output == {"n": 1}
        following = asyncio.create_task(anext(replies, None))  # type: ignore[arg-type]
        await server.wait_for_close(0)
        await asyncio.sleep(0.1)  # twenty frames, none of them worth a socket
        assert len(server.connections) == 1
        still["n"] = 2
        assert (await soon(following)).output == {"n": 2}
        assert len(server.connections) == 2


@pytest.mark.parametrize("kind", ["function", "object", "lambda"])
async def test_an_async_gate_is_refused(kind: str) -> None:
    async def gate(last: Any, new: Any) -> bool:
        return False

    class Gate:
        async def __call__(self, last: Any, new: Any) -> bool:
            return False

    gates: dict[str, Any] = {"function": gate, "object": Gate(), "lambda": lambda last, new: gate(last, new)}
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(falrt.ConfigurationError, match="gate must be a plain function"):
            await collect(conn, camera(3), gate=gates[kind])


async def test_an_iterator_that_was_made_for_the_stream_is_closed_and_an_object_of_the_users_is_not() -> None:
    class Frames:
        def __init__(self) -> None:
            self.closed = False

        def __aiter__(self) -> Frames:
            return self

        async def __anext__(self) -> Any:
            return {"n": 1}

        async def aclose(self) -> None:
            self.closed = True

    class Camera:
        def __aiter__(self) -> Frames:
            return frames

    frames, own = Frames(), Frames()
    async with FakeServer(echo) as server, server.connect() as conn:
        for source in (Camera(), own):
            async with contextlib.aclosing(conn.stream(source)) as replies:
                await soon(anext(replies))
    assert frames.closed
    assert not own.closed


# --- encoding beside the loop


async def test_an_async_encoder_keeps_the_order_of_a_stream() -> None:
    async def encode(message: Any) -> bytes:
        await asyncio.sleep(0.001)
        return codecs.Msgpack().encode(message)

    async with FakeServer(echo) as server, server.connect(encode_message=encode) as conn:
        assert [reply.output["n"] for reply in await collect(conn, file(8))] == list(range(8))


async def test_pictures_are_encoded_in_the_connections_own_thread() -> None:
    numpy = pytest.importorskip("numpy")
    pixels = numpy.zeros((256, 256, 3), numpy.uint8)

    async def source() -> AsyncIterator[Any]:
        for n in range(4):
            yield models.KleinInput(image_url=pixels, prompt=f"{n}")
            await asyncio.sleep(0.01)

    async with FakeServer() as server, leaves_nothing(server.url), server.connect(models.KLEIN) as conn:
        replies = await collect(conn, source())
        assert replies[-1].input.prompt == "3"
        assert any(thread.name == "falrt worker" for thread in threading.enumerate())


async def test_skipped_frames_are_counted_in_the_stats_while_a_stream_runs_and_after() -> None:
    async with FakeServer(echo, service_time=0.02) as server, server.connect() as conn:
        dropped = 0
        async for reply in conn.stream(camera(60, 0.001)):
            dropped += reply.dropped
            assert conn.stats.dropped >= dropped
        assert dropped > 0
        assert conn.stats.dropped == dropped
