"""``falrt.batch``: what is paid, what is saved, and what is never paid twice."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import falrt
from falrt import models
from falrt.batches import files
from falrt.batches.journal import Journal
from tests.batches.queue_server import Queue, picture
from tests.http.scripted import Said, scripted
from tests.leaks import soon

APP = "fal-ai/flux/schnell"
CATS = [{"prompt": f"cat {number}", "seed": number} for number in range(5)]


@asynccontextmanager
async def client_of(queue: Any) -> AsyncIterator[falrt.Client]:
    async with scripted(queue) as (url, _), falrt.Client(key="a:b", base_url=url) as fal:
        yield fal


async def run(
    queue: Any, folder: Path, inputs: Any = CATS, app: Any = APP, **options: Any
) -> falrt.BatchReport:
    async with client_of(queue) as fal:
        return await soon(falrt.batch(app, inputs, folder=folder, client=fal, **{"cache": False, **options}))


async def test_every_input_becomes_files_a_manifest_and_a_sheet(tmp_path: Path) -> None:
    queue = Queue()

    report = await run(queue, tmp_path, price=0.003)

    assert queue.paid == CATS
    assert [item.status for item in report.items] == ["done"] * 5
    assert [item.files[0].name for item in report.items] == [f"000{n + 1}-cat-{n}.jpg" for n in range(5)]
    assert report.items[2].result == {"images": [{"url": picture()}], "seed": 2}
    lines = [json.loads(line) for line in report.manifest.read_text().splitlines()]
    assert lines[1]["input"] == CATS[1]
    assert (lines[1]["files"], lines[1]["seed"], lines[1]["source"]) == (["0002-cat-1.jpg"], 1, "paid")
    assert (report.progress.done, report.progress.pictures, report.progress.cost) == (
        5,
        5,
        pytest.approx(0.015),
    )
    assert report.sheet is not None
    with Image.open(report.sheet) as sheet:
        assert sheet.width > 3 * 224
    assert sorted(os.listdir(tmp_path)) == sorted(
        [".falrt-batch.jsonl", "manifest.jsonl", "sheet.jpg", *(f"000{n + 1}-cat-{n}.jpg" for n in range(5))]
    )


async def test_the_same_batch_again_pays_nothing(tmp_path: Path) -> None:
    await run(Queue(), tmp_path)
    queue = Queue()

    report = await run(queue, tmp_path)

    assert queue.paid == []
    assert {item.source for item in report.items} == {"before"}
    assert (report.progress.done, report.progress.reused, report.progress.cost) == (5, 5, 0)


async def test_a_file_that_was_removed_is_made_from_what_was_paid(tmp_path: Path) -> None:
    first = await run(Queue(), tmp_path)
    first.items[3].files[0].unlink()
    queue = Queue()

    report = await run(queue, tmp_path)

    assert queue.paid == []
    assert report.items[3].files[0].exists()


async def test_typed_inputs_are_checked_before_one_is_sent(tmp_path: Path) -> None:
    queue = Queue()

    report = await run(
        queue, tmp_path, [models.FluxSchnellInput(prompt="a"), {"prompt": "b"}], models.FLUX_SCHNELL
    )

    assert queue.paid == [{"prompt": "a"}, {"prompt": "b"}]
    assert report.progress.done == 2
    with pytest.raises(ValueError, match="did you mean 'prompt'"):
        await run(queue, tmp_path / "b", [{"prompt": "c"}, {"promt": "d"}], models.FLUX_SCHNELL)
    assert len(queue.paid) == 2
    assert not (tmp_path / "b").exists()


async def test_no_more_than_so_many_are_at_work(tmp_path: Path) -> None:
    queue = Queue()
    queue.ready.clear()
    async with client_of(queue) as fal:
        work = asyncio.ensure_future(
            falrt.batch(APP, CATS, folder=tmp_path, client=fal, cache=False, concurrency=2)
        )
        await soon(queue.reach(2))
        assert len(queue.paid) == 2
        queue.ready.set()
        assert (await soon(work)).progress.done == 5


async def test_a_failed_input_is_one_failed_item_and_tried_again(tmp_path: Path) -> None:
    def result(given: Any) -> Any:
        return (
            Said(422, {"detail": [{"loc": ["body", "seed"], "msg": "no", "type": "x"}]})
            if given["seed"] == 2
            else {"images": [{"url": picture()}]}
        )

    queue = Queue(result)
    report = await run(queue, tmp_path)

    assert [item.status for item in report.items] == ["done", "done", "failed", "done", "done"]
    assert "seed: no (422" in str(report.failed[0].error)
    assert '"status": "failed"' in report.manifest.read_text()
    again = Queue()
    assert (await run(again, tmp_path)).progress.failed == 0
    assert again.paid == [CATS[2]]


async def test_a_stopped_batch_asks_for_what_was_submitted(tmp_path: Path) -> None:
    queue = Queue()
    queue.ready.clear()
    async with scripted(queue) as (url, _):
        async with falrt.Client(key="a:b", base_url=url) as fal:
            work = asyncio.ensure_future(
                falrt.batch(APP, CATS, folder=tmp_path, client=fal, cache=False, concurrency=3)
            )
            await soon(queue.reach(3))
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
        assert [
            json.loads(line)["status"] for line in (tmp_path / "manifest.jsonl").read_text().splitlines()
        ] == ["open"] * 5
        queue.ready.set()
        async with falrt.Client(key="a:b", base_url=url) as fal:
            report = await soon(falrt.batch(APP, CATS, folder=tmp_path, client=fal, cache=False))

    assert report.progress.done == 5
    assert queue.paid == CATS, "each was submitted once"


PROGRAM = """
import asyncio, sys, falrt
async def main():
    cats = [{"prompt": f"cat {n}", "seed": n} for n in range(5)]
    async with falrt.Client(key="a:b", base_url=sys.argv[1]) as fal:
        await falrt.batch("fal-ai/flux/schnell", cats, folder=sys.argv[2], client=fal, cache=False, concurrency=2)
asyncio.run(main())
"""


async def test_a_killed_process_loses_and_pays_nothing(tmp_path: Path) -> None:
    queue = Queue(lambda given: {"images": [{"url": picture()}]} if given["seed"] < 2 else held)
    held = Said(503, {"detail": "gone"}, cut=True)
    async with asyncio.timeout(60), scripted(queue) as (url, _):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, url, str(tmp_path))
        await queue.reach(4)
        process.kill()
        await process.wait()
        queue.result = lambda given: {"images": [{"url": picture()}]}
        async with falrt.Client(key="a:b", base_url=url) as fal:
            report = await falrt.batch(APP, CATS, folder=tmp_path, client=fal, cache=False)

    assert report.progress.done == 5
    assert sorted(given["seed"] for given in queue.paid) == [0, 1, 2, 3, 4]


async def test_a_job_that_the_service_has_forgotten_is_submitted_again(tmp_path: Path) -> None:
    tmp_path.joinpath("x").mkdir()
    journal = Journal(tmp_path)
    from falrt.batches.pieces import pieces_of

    journal.note(pieces_of(APP, CATS, "this machine")[0].key, "submitted", request_id="gone")
    journal.close()
    queue = Queue()

    assert (await run(queue, tmp_path)).progress.done == 5
    assert len(queue.paid) == 5


async def test_a_line_that_a_crash_cut_is_left_out(tmp_path: Path) -> None:
    await run(Queue(), tmp_path)
    journal = tmp_path / ".falrt-batch.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    queue = Queue()

    report = await run(queue, tmp_path)

    assert (report.progress.done, queue.paid) == (5, [])


async def test_a_full_disk_stops_the_batch_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.suffix == ".part":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    queue = Queue()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            await run(queue, tmp_path, concurrency=1)
    assert len(queue.paid) == 1

    again = Queue()
    report = await run(again, tmp_path)

    assert report.progress.done == 5
    assert again.paid == CATS[1:]


def test_the_last_lines_find_room_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    reserve = tmp_path / ".falrt-batch.jsonl.reserve"
    assert reserve.stat().st_size > 100_000
    real = Journal._write

    def full(self: Journal, line: bytes) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, line)

    monkeypatch.setattr(Journal, "_write", full)
    journal.note("k", "paid", result={"seed": 1})
    journal.close()

    monkeypatch.undo()
    after = Journal(tmp_path)
    after.close()
    assert after.of("k") == {"result": {"seed": 1}}


async def test_one_folder_has_one_batch_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    try:
        with pytest.raises(falrt.ConfigurationError, match="another batch is at work"):
            await run(Queue(), tmp_path)
    finally:
        journal.close()


async def test_without_a_key_or_a_network_nothing_further_is_tried(tmp_path: Path) -> None:
    asked = 0

    async def refused(_: Any) -> Said:
        nonlocal asked
        asked += 1
        return Said(401, {"detail": "Unauthorized"})

    with pytest.raises(falrt.AuthenticationError):
        await run(refused, tmp_path, concurrency=1)
    assert asked == 1


async def test_a_server_that_is_not_there_is_told_once_and_leaves_nothing_unseen(tmp_path: Path) -> None:
    unseen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    async with scripted(Queue()) as (url, _):
        pass  # nobody listens there any more

    async with falrt.Client(key="a:b", base_url=url) as fal:
        with pytest.raises(falrt.ConnectError, match="nothing listens"):
            await soon(falrt.batch(APP, CATS, folder=tmp_path, client=fal, cache=False))
    gc.collect()
    assert unseen == []


# The cache.


async def test_the_same_prompt_and_seed_are_paid_once_in_all_batches(tmp_path: Path) -> None:
    first, second = Queue(), Queue()
    await run(first, tmp_path / "one", cache=tmp_path / "cache")

    report = await run(
        second, tmp_path / "two", [*CATS, {"prompt": "dog", "seed": 1}], cache=tmp_path / "cache"
    )

    assert second.paid == [{"prompt": "dog", "seed": 1}]
    assert [item.source for item in report.items] == ["cache"] * 5 + ["paid"]
    assert report.items[0].files[0].read_bytes() == (tmp_path / "one/0001-cat-0.jpg").read_bytes()


async def test_pictures_of_a_stand_in_are_not_taken_for_those_of_fal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"folder": tmp_path / "out", "cache": tmp_path / "cache"}
    await run(Queue(), tmp_path / "out", cache=tmp_path / "cache")
    monkeypatch.delenv("FALRT_BASE_URL", raising=False)
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(falrt.MissingCredentialsError):  # fal would be asked, so the key is missed
        await soon(falrt.batch(APP, CATS, **options))


async def test_within_a_batch_one_seed_is_paid_once_and_no_seed_each_time(tmp_path: Path) -> None:
    queue = Queue()

    report = await run(queue, tmp_path, [{"prompt": "a", "seed": 1}] * 3 + [{"prompt": "a"}] * 2)

    assert len(queue.paid) == 3
    assert report.progress.done == 5
    assert len({item.files for item in report.items}) == 3


async def test_a_damaged_cache_costs_a_picture_and_not_the_batch(tmp_path: Path) -> None:
    import diskcache

    from falrt.batches.pieces import pieces_of

    with diskcache.Cache(str(tmp_path / "cache")) as store:
        store.set(pieces_of(APP, CATS, "this machine")[0].key, b"\xc1damaged")
        store.set(pieces_of(APP, CATS, "this machine")[1].key, ["not", "ours"])
    queue = Queue()

    assert (await run(queue, tmp_path / "out", cache=tmp_path / "cache")).progress.done == 5
    assert len(queue.paid) == 5


# Files, progress, mistakes.


async def test_every_file_of_a_result_is_saved_whatever_it_is(tmp_path: Path) -> None:
    film = "data:video/mp4;base64,AAAAGGZ0eXA="
    queue = Queue(
        lambda given: {"video": {"url": film}, "images": [{"url": picture()}, {"url": picture("red")}]}
    )

    report = await run(queue, tmp_path, [{"prompt": "x", "seed": 1}])

    assert [path.name for path in report.items[0].files] == ["0001-x-1.mp4", "0001-x-2.jpg", "0001-x-3.jpg"]


async def test_progress_is_told_after_each_input(tmp_path: Path) -> None:
    told: list[falrt.BatchProgress] = []

    await run(Queue(), tmp_path, on_progress=told.append, price=1.0, concurrency=1)

    assert [each.done for each in told] == [1, 2, 3, 4, 5]
    assert [each.cost for each in told] == [1, 2, 3, 4, 5]
    assert all(each.total == 5 and each.seconds >= 0 for each in told)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"concurrency": 0}, "concurrency must be"),
        ({"inputs": {"prompt": "x"}}, "inputs must be an iterable of inputs, not dict"),
        ({"inputs": ["x"]}, r"inputs\[0\] must be a mapping, not str"),
        ({"folder": "/dev/null/x"}, "cannot be written"),
    ],
)
async def test_a_mistake_is_told_before_anything_is_sent(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    queue = Queue()
    async with client_of(queue) as fal:
        with pytest.raises(falrt.ConfigurationError, match=words):
            await falrt.batch(
                **{"app": APP, "inputs": CATS, "folder": tmp_path, "client": fal, "cache": False, **options}
            )
    assert queue.paid == []


@pytest.mark.parametrize(
    ("url", "data", "suffix"),
    [
        ("https://x.y/a.mp4?x=1", b"film", ".mp4"),
        ("https://x.y/a", b"what", ".bin"),
        ("https://x.y/a.png", b"\xff\xd8\xff", ".jpg"),
        ("https://x.y/../../etc/passwd", b"what", ".bin"),
        ("data:audio/wav;base64,AAAA", b"RIFF", ".wav"),
        ("data:image/svg+xml;base64,AAAA", b"<svg/>", ".svg"),
        ("data:image/..\\..\\x;base64,AAAA", b"what", ".bin"),
        (f"data:a/{'x' * 230};base64,AAAA", b"what", ".bin"),
        ("data:nothing", b"x", ".bin"),
    ],
)
def test_a_file_is_named_by_its_bytes_else_by_its_address(
    url: str, data: bytes, suffix: str, tmp_path: Path
) -> None:
    assert files.written(tmp_path, "0001", [data], [url]) == [f"0001{suffix}"]
