"""A batch on a Dask cluster on this machine, with workers in processes of their own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import falrt
from tests.batches.queue_server import Queue
from tests.http.scripted import scripted

distributed = pytest.importorskip("distributed", reason="Dask is an extra")

APP = "fal-ai/flux/schnell"
CATS = [{"prompt": f"cat {number}", "seed": number} for number in range(4)]
PATIENCE = 90

# Dask's own: processes that end, and what its teardown leaves to the collector.
pytestmark = pytest.mark.filterwarnings("ignore")


@asynccontextmanager
async def cluster(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Two workers that reach the queue."""
    async with scripted(queue) as (url, _):
        monkeypatch.setenv("FALRT_BASE_URL", url)
        monkeypatch.setenv("FAL_KEY", "a:b")
        async with distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=True,
            dashboard_address=None,
            asynchronous=True,
            silence_logs=50,
        ) as cluster:
            yield cluster


async def submissions_noted(folder: Path, count: int) -> None:
    """Wait until the journal knows of so many: a worker that is killed before it said so may pay twice."""
    journal = folder / ".falrt-batch.jsonl"
    while not journal.exists() or journal.read_text().count('"submitted"') < count:  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.02)


async def test_workers_make_the_calls_and_a_killed_ones_are_not_paid_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue()
    queue.ready.clear()
    async with asyncio.timeout(PATIENCE), cluster(queue, monkeypatch) as local:
        work = asyncio.ensure_future(
            falrt.batch(APP, CATS, folder=tmp_path, cache=tmp_path / "cache", dask=local.scheduler_address)
        )
        await queue.reach(4)
        await submissions_noted(tmp_path, 4)
        os.kill(next(iter(local.workers.values())).pid, signal.SIGKILL)
        queue.ready.set()

        report = await work

    assert report.progress.done == 4
    assert sorted(given["seed"] for given in queue.paid) == [0, 1, 2, 3]
    assert len({path for item in report.items for path in item.files}) == 4
    again = Queue()
    async with scripted(again) as (url, _), falrt.Client(key="a:b", base_url=url) as fal:
        cached = await falrt.batch(APP, CATS, folder=tmp_path / "two", cache=tmp_path / "cache", client=fal)
    assert (cached.progress.reused, again.paid) == (4, [])


async def test_no_scheduler_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falrt.batches.on_dask._CONNECT_SECONDS", 0.2)
    with pytest.raises(falrt.ConfigurationError, match=r"no Dask scheduler at 'tcp://127\.0\.0\.1:1'"):
        await falrt.batch(APP, CATS, folder=tmp_path, cache=False, dask="tcp://127.0.0.1:1")
