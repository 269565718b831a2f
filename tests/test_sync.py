"""The blocking facade, from plain threads; no test here runs on an event loop unless it says so."""

from __future__ import annotations

import asyncio
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import falrt
import falrt.sync
from falrt import models, pacing
from falrt.testing import BackgroundFakeServer
from tests.leaks import client_sockets


def echo(message: Any) -> dict[str, Any]:
    return {"n": message["n"]}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """The background loop ends with the last connection."""
    before = {thread for thread in threading.enumerate()}  # noqa: C416
    yield
    patience = time.monotonic() + 5
    while left := [thread for thread in threading.enumerate() if thread not in before]:
        assert time.monotonic() < patience, left
        time.sleep(0.001)


@pytest.fixture
def server() -> Iterator[BackgroundFakeServer]:
    with BackgroundFakeServer(echo) as server:
        yield server


def in_thread(function: Any) -> Any:
    """Call a function in a thread of its own; its result comes out of the queue."""
    results: queue.Queue[Any] = queue.Queue()

    def run() -> None:
        try:
            results.put(function())
        except BaseException as exc:
            results.put(exc)

    threading.Thread(target=run, daemon=True).start()
    return results


def test_send_and_recv(server: BackgroundFakeServer) -> None:
    with server.connect() as conn:
        conn.send({"n": 1})
        assert conn.recv() == {"n": 1}
        assert conn.state is falrt.State.OPEN
        assert conn.stats.received == 1
        assert conn.app == "acme/app/realtime"
        assert "acme/app" in repr(conn)
    assert client_sockets(server.url) == 0
    assert conn.state is falrt.State.CLOSED
    assert conn.stats.received == 1


def test_typed_requests(server: BackgroundFakeServer) -> None:
    with BackgroundFakeServer() as pictures, pictures.connect(models.LCM) as conn:
        assert isinstance(conn.request(models.LCMInput(prompt="a fox"), timeout=5), models.LCMOutput)
        with pytest.raises(ValueError, match="promt"):
            conn.request({"promt": "a fox"})


def test_iteration_flush_drain_and_latest(server: BackgroundFakeServer) -> None:
    with server.connect(pacing=pacing.Debounce(60)) as conn:
        assert conn.latest() is None
        conn.send({"n": 1})
        conn.flush()
        conn.drain(5)
        assert conn.latest().output == {"n": 1}
    with server.connect() as conn:
        for n in range(3):
            conn.send({"n": n})
        got = []
        for output in conn:
            got.append(output["n"])
            if len(got) == 3:
                break
        assert got == [0, 1, 2]


def test_errors_come_out_as_they_are(server: BackgroundFakeServer) -> None:
    with BackgroundFakeServer(echo, service_time=1) as slow, slow.connect() as conn:
        with pytest.raises(falrt.RequestTimeout):
            conn.request({"n": 1}, timeout=0.02)
        with pytest.raises(falrt.ConfigurationError, match="timeout"):
            conn.request({"n": 1}, timeout=0)
    with pytest.raises(falrt.AuthenticationError):
        server.connect(key="wrong").open()
    with pytest.raises(falrt.ConfigurationError, match="app id"):
        falrt.sync.connect("nonsense", key="k")


def test_two_connections_share_the_loop_and_end_one_by_one(server: BackgroundFakeServer) -> None:
    first, second = server.connect().open(), server.connect().open()
    assert first.request({"n": 1}) == {"n": 1}
    first.close()
    assert second.request({"n": 2}) == {"n": 2}
    second.close()
    second.close()


def test_many_threads_may_ask_at_once(server: BackgroundFakeServer) -> None:
    with server.connect() as conn:
        waiting = [in_thread(lambda n=n: conn.request({"n": n})) for n in range(12)]
        assert [results.get(timeout=5) for results in waiting] == [{"n": n} for n in range(12)]


def test_it_works_where_a_loop_runs_already(server: BackgroundFakeServer) -> None:
    async def cell() -> Any:
        with server.connect() as conn:
            return conn.request({"n": 1})

    assert asyncio.run(cell()) == {"n": 1}


def test_callbacks_run_in_the_background(server: BackgroundFakeServer) -> None:
    got: queue.Queue[Any] = queue.Queue()
    with server.connect(on_result=got.put) as conn:
        conn.send({"n": 1})
        assert got.get(timeout=5) == {"n": 1}


def test_a_blocking_call_in_a_callback_is_refused_with_the_cure(server: BackgroundFakeServer) -> None:
    got: queue.Queue[Any] = queue.Queue()

    def on_result(result: Any) -> None:
        for call in (lambda: conn.send({"n": 2}), conn.close):
            try:
                call()
            except falrt.ConcurrencyError as exc:
                got.put(exc)

    with server.connect(on_result=on_result) as conn:
        conn.send({"n": 1})
        assert "queue.Queue" in str(got.get(timeout=5))
        assert "queue.Queue" in str(got.get(timeout=5))


def test_closing_in_another_thread_ends_a_waiting_recv(server: BackgroundFakeServer) -> None:
    conn = server.connect().open()
    receiving, iterating = in_thread(conn.recv), queue.Queue[Any]()
    with pytest.raises(queue.Empty):
        receiving.get(timeout=0.05)
    in_thread(conn.close).get(timeout=5)
    assert isinstance(receiving.get(timeout=5), falrt.ConnectionClosedOK)
    assert iterating.empty()


def test_after_close_calls_say_so_and_hand_inputs_back(server: BackgroundFakeServer) -> None:
    with server.connect() as conn:
        pass
    for call in (conn.send, conn.request):
        with pytest.raises(falrt.ConnectionClosedOK) as caught:
            call({"n": 1})
        assert caught.value.unsent == ({"n": 1},)
    with pytest.raises(falrt.ConnectionClosedOK) as caught:
        conn.recv()
    assert caught.value.unsent == ()
    assert list(conn) == []
    with pytest.raises(falrt.ConcurrencyError, match=r"connect\(\) again"):
        conn.open()


def test_before_it_is_open_calls_say_so(server: BackgroundFakeServer) -> None:
    conn = server.connect()
    with pytest.raises(falrt.ConfigurationError, match="use it inside 'with'"):
        conn.send({"n": 1})
    assert conn.state is falrt.State.IDLE
    assert conn.stats == falrt.Stats()
    conn.close()


def test_streams_of_every_kind(server: BackgroundFakeServer) -> None:
    frames = [{"n": n} for n in range(5)]

    async def live() -> Any:
        for frame in frames:
            yield frame
            await asyncio.sleep(0.01)

    async def shot() -> Any:
        return next(shots, None)

    shots, more = iter(frames), iter(frames)
    with server.connect() as conn:
        assert [reply.output["n"] for reply in conn.stream(frames)] == list(range(5))
        assert [reply.output["n"] for reply in conn.stream(frame for frame in frames)] == list(range(5))
        assert [reply.output["n"] for reply in conn.stream(live())][-1] == 4
        # A function's frames are live: a consumer that is slow for a moment sees the newest answer only.
        for asked in (shot, lambda: next(more)):
            seen = [reply.output["n"] for reply in conn.stream(asked)]
            assert seen == sorted(set(seen))
            assert seen[-1] == 4


def test_a_function_that_blocks_holds_up_nobody(server: BackgroundFakeServer) -> None:
    release = threading.Event()
    shots = iter([{"n": 1}, None])

    def shot() -> Any:
        release.wait(5)
        return next(shots)

    with server.connect() as conn:
        replies = in_thread(lambda: [reply.output for reply in conn.stream(shot)])
        assert conn.request({"n": 7}, timeout=5) == {"n": 7}
        release.set()
        assert replies.get(timeout=5) == [{"n": 1}]


def test_leaving_a_stream_closes_its_source(server: BackgroundFakeServer) -> None:
    closed = threading.Event()

    def film() -> Iterator[Any]:
        try:
            for n in range(1000):
                yield {"n": n}
        finally:
            closed.set()

    with server.connect() as conn:
        for reply in conn.stream(film()):
            assert reply.output == {"n": 0}
            break
        assert closed.wait(5)
        assert conn.request({"n": 3}) == {"n": 3}


def test_a_stream_ends_quietly_when_the_connection_is_closed(server: BackgroundFakeServer) -> None:
    with server.connect() as conn:
        for _ in conn.stream([{"n": n} for n in range(100)]):
            conn.close()


def test_an_interrupt_ends_a_waiting_call_and_leaves_the_connection_usable(
    server: BackgroundFakeServer,
) -> None:
    main = threading.main_thread().ident
    assert main is not None

    with server.connect() as conn:
        timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            conn.recv()
        conn.send({"n": 1})
        assert conn.recv() == {"n": 1}
        timer.join()


def test_a_program_that_forgets_to_close_ends_all_the_same(server: BackgroundFakeServer) -> None:
    program = f"""
import falrt.sync
conn = falrt.sync.connect("acme/app", base_url={server.url!r}, key="test").open()
print(conn.request({{"n": 1}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{'n': 1}\n", "")
