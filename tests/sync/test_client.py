"""``falrt.sync.Client``: the calls of ``falrt.Client``, from plain threads."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import falrt
import falrt.sync
from falrt.http.pipeline import Pipeline
from falrt.sync.loop_thread import LoopThread
from falrt.testing import BackgroundFakeServer
from tests.http.scripted import Asked, Said, scripted
from tests.sync.blocking import in_thread, interrupt_when

APP = "fal-ai/flux/dev"
INPUT = {"prompt": "a cat"}
PLACE = "/queue.fal.run/fal-ai/flux/requests/r1"


def events(*statuses: dict[str, Any]) -> Said:
    return Said(
        body=[f"data: {json.dumps(each)}\n\n".encode() for each in statuses], kind="text/event-stream"
    )


def service(asked: Asked) -> Said:
    """Answers each route with as little as a client takes."""
    route = asked.method, asked.path
    if route == ("POST", f"/{APP}"):
        return Said(body={"seed": asked.json().get("seed", 7)})
    if route == ("POST", f"/{APP}/stream"):
        return events({"part": 1}, {"part": 2})
    return {
        ("POST", f"/queue.fal.run/{APP}"): Said(body={"request_id": "r1"}),
        ("GET", f"{PLACE}/status/stream"): events(
            {"status": "IN_QUEUE", "queue_position": 0}, {"status": "COMPLETED"}
        ),
        ("GET", f"{PLACE}/status"): Said(body={"status": "COMPLETED"}),
        ("GET", PLACE): Said(body={"seed": 7}),
        ("PUT", f"{PLACE}/cancel"): Said(202, {}),
    }[route]


@contextmanager
def serving(answer: Callable[[Asked], Any]) -> Iterator[tuple[str, list[Asked]]]:
    loop = LoopThread("falrt fake")
    server = scripted(answer)
    try:
        yield loop.call(server.__aenter__)
    finally:
        loop.finish(lambda: server.__aexit__(None, None, None), stop=True)  # type: ignore[arg-type,return-value]


@pytest.fixture
def url() -> Iterator[str]:
    with serving(service) as (url, _):
        yield url


@pytest.fixture
def fal(url: str) -> Iterator[falrt.sync.Client]:
    with falrt.sync.Client(key="0123456789:abcdefghij", base_url=url) as fal:
        yield fal


def test_every_call_blocks_and_returns_what_the_asynchronous_one_does(fal: falrt.sync.Client) -> None:
    assert fal.run(APP, INPUT) == {"seed": 7}
    assert list(fal.map(APP, [{"seed": n} for n in range(5)], concurrency=2)) == [
        {"seed": n} for n in range(5)
    ]
    assert list(fal.stream(APP, INPUT)) == [{"part": 1}, {"part": 2}]
    seen: list[Any] = []
    assert fal.subscribe(APP, INPUT, on_update=seen.append) == {"seed": 7}
    assert [type(status) for status in seen] == [falrt.Queued, falrt.Completed]


def test_a_job_is_followed(fal: falrt.sync.Client) -> None:
    job = fal.submit(APP, INPUT)
    assert isinstance(job, falrt.sync.Job)
    assert (job.request_id, job.app) == ("r1", APP)
    assert "r1" in repr(job)
    assert isinstance(job.status(), falrt.Completed)
    assert [type(status) for status in fal.job(APP, "r1").events()] == [falrt.Queued, falrt.Completed]
    assert job.result(timeout=5) == {"seed": 7}
    assert job.cancel() is True


def test_the_platform_answers_runs_uploads_and_pipelines() -> None:
    with (
        BackgroundFakeServer() as server,
        falrt.sync.Client(key="test", base_url=server.url) as fal,
    ):
        assert "images" in fal.run("acme/app", INPUT)
        assert fal.upload(b"hello", content_type="text/plain").startswith(server.url)
        with fal.pipeline("acme/app") as pipeline:
            assert "acme/app" in repr(pipeline)
            asking = [in_thread(lambda: pipeline.run(INPUT, timeout=5)) for _ in range(4)]
            assert all("images" in results.get(timeout=5) for results in asking)
        with pytest.raises(falrt.ConnectionClosedOK):
            pipeline.run(INPUT)


def test_leaving_an_iteration_leaves_nothing(fal: falrt.sync.Client) -> None:
    for result in fal.map(APP, ({"seed": n} for n in range(1000)), concurrency=2):
        assert result == {"seed": 0}
        break
    assert fal.run(APP, INPUT) == {"seed": 7}


def test_errors_come_out_as_they_are(fal: falrt.sync.Client) -> None:
    with pytest.raises(falrt.ConfigurationError, match="timeout"):
        fal.run(APP, INPUT, timeout=-1)
    with pytest.raises(falrt.ConfigurationError, match="by name"):
        falrt.sync.Client("key")
    with pytest.raises(falrt.ConfigurationError):
        fal.connect("nonsense")
    assert repr(fal).startswith("<falrt.sync.Client ")


def test_connections_of_a_client_share_its_loop_and_end_before_it() -> None:
    with BackgroundFakeServer(lambda message: {"n": message["n"]}) as server:
        fal = falrt.sync.Client(key="test", base_url=server.url)
        first, second = fal.connect("acme/app").open(), fal.connect("acme/app").open()
        assert [thread.name for thread in threading.enumerate()].count("falrt loop") == 1
        assert len(server.fake.token_requests) == 1
        first.close()
        assert second.request({"n": 2}, timeout=5) == {"n": 2}
        fal.close()
        with pytest.raises(falrt.ConnectionClosedOK):
            second.request({"n": 3})


def test_a_connection_keeps_its_client() -> None:
    with (
        BackgroundFakeServer(lambda message: {"n": message["n"]}) as server,
        falrt.sync.Client(key="test", base_url=server.url).connect("acme/app") as conn,
    ):
        gc.collect()
        assert conn.request({"n": 2}, timeout=5) == {"n": 2}


def test_a_closed_client_says_so(fal: falrt.sync.Client) -> None:
    fal.close()
    fal.close()
    for call in (lambda: fal.run(APP, INPUT), lambda: list(fal.map(APP, [INPUT])), lambda: fal.connect(APP)):
        with pytest.raises(falrt.ConfigurationError, match="the client is closed"):
            call()


def test_it_works_in_threads_and_where_a_loop_runs(fal: falrt.sync.Client) -> None:
    async def cell() -> Any:
        return fal.run(APP, INPUT)

    assert asyncio.run(cell()) == {"seed": 7}
    waiting = [in_thread(lambda n=n: fal.run(APP, {"seed": n})) for n in range(8)]
    assert [results.get(timeout=5) for results in waiting] == [{"seed": n} for n in range(8)]


def test_a_blocking_call_in_a_callback_is_refused(fal: falrt.sync.Client) -> None:
    with pytest.raises(falrt.ConcurrencyError, match=r"queue\.Queue"):
        fal.subscribe(APP, INPUT, on_update=lambda status: fal.run(APP, INPUT))


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_cancels_the_call_and_the_client_goes_on() -> None:
    gone = threading.Event()

    async def never() -> Said:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            gone.set()
            raise
        return Said()

    def answer(asked: Asked) -> Any:
        return never() if asked.json() == {"slow": True} else Said(body={})

    with serving(answer) as (url, asked), falrt.sync.Client(key="0123456789:abcdefghij", base_url=url) as fal:
        pressing = interrupt_when(lambda: asked)
        pressing.start()
        with pytest.raises(KeyboardInterrupt):
            fal.run(APP, {"slow": True})
        pressing.join()
        assert fal.run(APP, INPUT) == {}


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_of_a_stream_closes_it_without_a_word() -> None:
    async def never() -> Said:
        await asyncio.Event().wait()
        raise AssertionError("cancelled before")

    def answer(asked: Asked) -> Any:
        return never() if asked.path.endswith("/stream") else Said(body={})

    with serving(answer) as (url, asked), falrt.sync.Client(key="0123456789:abcdefghij", base_url=url) as fal:
        pressing = interrupt_when(lambda: asked)
        pressing.start()
        with pytest.raises(KeyboardInterrupt):
            list(fal.stream(APP, INPUT))
        pressing.join()
        assert fal.run(APP, INPUT) == {}


PROGRAM = """
import falrt, falrt.sync
fal = falrt.sync.Client(key="0123456789:abcdefghij", base_url={url!r})
print(fal.run("{app}", {{}}))
"""
ENDS = {
    "forgets to close": "",
    "leaves an iteration": "parts = fal.stream('{app}', {{}})\nprint(next(parts))",
    "is forked": """
import multiprocessing
def child():
    try:
        fal.run("{app}", {{}})
    except falrt.ConcurrencyError as exc:
        assert "client of its own" in str(exc), exc
        fal.close()
        with falrt.sync.Client(key="0123456789:abcdefghij", base_url={url!r}) as own:
            own.run("{app}", {{}})
        raise SystemExit(7)
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
assert process.exitcode == 7, process.exitcode
fal.run("{app}", {{}})
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("end", ENDS)
def test_a_program_ends_whatever_it_leaves_open(url: str, end: str) -> None:
    program = (PROGRAM + ENDS[end]).format(url=url, app=APP)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("{'seed': 7}\n")


@pytest.mark.parametrize("whose", ["a client of the batch", "a client of the user"])
def test_a_batch_runs_without_asyncio(whose: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [{"prompt": "a fox", "seed": seed} for seed in (1, 2)]
    counts = []
    with BackgroundFakeServer() as server, contextlib.ExitStack() as stack:
        monkeypatch.setenv("FALRT_BASE_URL", server.url)
        monkeypatch.setenv("FAL_KEY", "test")
        client = stack.enter_context(falrt.sync.Client()) if whose.endswith("user") else None
        for _ in range(2):
            report = falrt.sync.batch(
                APP, inputs, folder=tmp_path, client=client, cache=False,
                on_progress=lambda progress: counts.append(progress.done),
            )  # fmt: skip
        if client is not None:
            assert client.run(APP, INPUT)["seed"] == 35, "the user's client goes on"
        paid = [item.source for item in report.items]
    assert [item.status for item in report.items] == ["done", "done"]
    assert report.progress.reused == 2
    assert (counts, paid) == ([1, 2, 1, 2], ["before", "before"])
    assert all(path.exists() for item in report.items for path in item.files)


def test_a_batch_in_a_closed_client_says_so(tmp_path: Path) -> None:
    client = falrt.sync.Client(key="test")
    client.close()
    with pytest.raises(falrt.ConfigurationError, match="closed"):
        falrt.sync.batch(APP, [INPUT], folder=tmp_path, client=client)


def test_it_has_all_that_the_asynchronous_client_has() -> None:
    def public(kind: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}

    assert public(falrt.sync.Client) == public(falrt.Client) - {"aclose"} | {"close"}
    assert public(falrt.sync.Pipeline) == public(Pipeline)
    assert public(falrt.sync.Job) == public(falrt.Job)
    assert public(falrt.sync.Connection) == public(falrt.RealtimeConnection) | {"open"}
