"""The blocking facade, from plain threads; no test here runs on an event loop unless it says so."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import falrt
import falrt.sync
from falrt import models, pacing
from falrt.sync.loop_thread import LoopEnded, LoopThread
from falrt.testing import BackgroundFakeServer
from tests.leaks import client_sockets, until
from tests.sync.blocking import in_thread, interrupt_when


def echo(message: Any) -> dict[str, Any]:
    return {"n": message["n"]}


@pytest.fixture
def server() -> Iterator[BackgroundFakeServer]:
    with BackgroundFakeServer(echo) as server:
        yield server


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
        try:
            conn.send({"n": 2})
        except falrt.ConcurrencyError as exc:
            got.put(exc)

    with server.connect(on_result=on_result) as conn:
        conn.send({"n": 1})
        assert "queue.Queue" in str(got.get(timeout=5))


def test_a_callback_may_close_its_connection(server: BackgroundFakeServer) -> None:
    conn = server.connect(on_result=lambda result: conn.close()).open()
    conn.send({"n": 1})
    server.wait_for(lambda: not server.fake.connections or server.fake.connections[0].close_code == 1000)
    conn.close()
    assert conn.state is falrt.State.CLOSED


def test_two_threads_may_close_at_once_and_other_connections_live_on(server: BackgroundFakeServer) -> None:
    with server.connect() as other:
        for _ in range(20):
            conn = server.connect().open()
            together = threading.Barrier(3)
            closing = [in_thread(lambda: (together.wait(5), conn.close())[1]) for _ in range(3)]  # noqa: B023
            assert [results.get(timeout=5) for results in closing] == [None, None, None]
        assert other.request({"n": 1}, timeout=5) == {"n": 1}


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


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_a_waiting_call_and_leaves_the_connection_usable(
    server: BackgroundFakeServer,
) -> None:
    with server.connect() as conn:
        pressing = interrupt_when(lambda: conn._loop._calls)
        pressing.start()
        with pytest.raises(KeyboardInterrupt):
            conn.recv()
        pressing.join()
        conn.send({"n": 1})
        assert conn.recv() == {"n": 1}


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_while_the_loop_is_busy_loses_no_result(server: BackgroundFakeServer) -> None:
    decoding, go_on = threading.Event(), threading.Event()

    def decode(data: Any) -> Any:
        decoding.set()
        go_on.wait(5)  # the loop is busy in a hook when the interrupt comes
        return falrt.codecs.Msgpack().decode(data)

    with server.connect(decode_message=decode) as conn:
        conn.send({"n": 1})
        pressing = interrupt_when(lambda: decoding.is_set() and conn._loop._calls)
        pressing.start()
        with pytest.raises(KeyboardInterrupt):
            conn.recv()
        pressing.join()
        go_on.set()
        assert in_thread(conn.recv).get(timeout=5) == {"n": 1}
        conn.send({"n": 2})
        assert conn.recv() == {"n": 2}


def test_what_an_interrupted_recv_got_all_the_same_is_the_next_ones(server: BackgroundFakeServer) -> None:
    with server.connect() as conn:
        conn.send({"n": 1})
        conn.drain(5)
        # The result is there: this recv() has it when the interrupt comes, and the task is done.
        conn._interrupted.append(_finished_task(conn))
        assert conn.recv() == {"n": 1}
        assert conn._interrupted == deque()


def _finished_task(conn: falrt.sync.Connection[Any, Any]) -> asyncio.Task[Any]:
    """A recv() that got its result in the turn in which its caller was interrupted."""

    async def received() -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(conn._connection.recv())
        await asyncio.wait({task})
        return task

    assert conn._loop is not None
    return conn._loop.call(received)


def test_a_call_that_comes_while_the_loop_ends_is_refused_and_never_begun() -> None:
    loop = LoopThread("test loop")
    begun: list[bool] = []
    late: list[queue.Queue[Any]] = []

    async def call() -> None:
        begun.append(True)
        await asyncio.Event().wait()

    async def left_open() -> AsyncIterator[None]:
        try:
            yield
        finally:  # by the loop, which has cancelled its tasks already
            late.append(in_thread(lambda: loop.call(call)))
            await until(lambda: begun or not late[0].empty())

    held = left_open()

    async def nothing() -> None:
        pass

    loop.call(lambda: anext(held))
    loop.finish(nothing, stop=True, timeout=5)
    assert isinstance(late[0].get(timeout=5), LoopEnded)
    assert not begun


def test_a_forgotten_connection_is_closed_when_it_is_collected(server: BackgroundFakeServer) -> None:
    conn = server.connect().open()
    assert conn.request({"n": 1}) == {"n": 1}
    del conn
    gc.collect()
    assert client_sockets(server.url) == 0


HEAD = """
import falrt.sync
conn = falrt.sync.connect("acme/app", base_url={url!r}, key="test").open()
print(conn.request({{"n": 1}}))
"""
PROGRAMS = {
    "forgets to close": "",
    "closes in __del__": """
class Camera:
    def __del__(self):
        conn.close()
camera = Camera()
""",
    "closes in __del__ what it holds": """
class Camera:
    def __init__(self, conn):
        self.conn = conn
        self.myself = self
    def __del__(self):
        self.conn.close()
camera = Camera(conn)
del conn
""",
    "leaves a stream open": """
replies = conn.stream(lambda: {"n": 2})
next(replies)
""",
    "leaves a stream of a list open": """
replies = conn.stream([{"n": n} for n in range(1000)])
next(replies)
""",
    "leaves a thread waiting": """
import threading, time
threading.Thread(target=conn.recv, daemon=True).start()
""",
    "exits in the middle": """
import sys
sys.exit(0)
""",
    "closes in an exit handler": """
import atexit
atexit.register(conn.close)
""",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_ends_whatever_it_leaves_open(server: BackgroundFakeServer, program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEAD.format(url=server.url) + PROGRAMS[program]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "{'n': 1}\n")
    # A daemon thread that is told of the end at the end may say so.
    assert done.stderr == "" or program == "leaves a thread waiting"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_is_told_and_makes_its_own(server: BackgroundFakeServer) -> None:
    program = (
        HEAD
        + """
import multiprocessing, falrt

def child(results):
    try:
        conn.request({{"n": 2}})
    except falrt.ConcurrencyError as exc:
        results.put(str(exc))
    conn.close()
    with falrt.sync.connect("acme/app", base_url={url!r}, key="test") as own:
        results.put(own.request({{"n": 3}}))

context = multiprocessing.get_context("fork")
results = context.SimpleQueue()
process = context.Process(target=child, args=(results,))
process.start()
print(results.get())
print(results.get())
process.join()
print(process.exitcode, conn.request({{"n": 4}}))
conn.close()
"""
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program.format(url=server.url)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    first, told, own, last = done.stdout.splitlines() or [done.stderr, "", "", ""]
    assert (first, own, last) == ("{'n': 1}", "{'n': 3}", "0 {'n': 4}")
    assert "of its own in the new process" in told
    assert (done.returncode, done.stderr) == (0, "")
