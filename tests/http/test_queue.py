"""``Client.submit``, ``job`` and ``subscribe``: the queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

import falrt
from tests.http.scripted import CUT, Asked, Said, scripted
from tests.leaks import leaves_nothing, soon

APP = "fal-ai/flux/dev"
PLACE = "/queue.fal.run/fal-ai/flux/requests/r1"
INPUT = {"prompt": "a cat"}
ONE, TWO = {"message": "one"}, {"message": "two"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pauses last no time."""
    monkeypatch.setattr("falrt.http.caller.random.random", lambda: 0.0)
    monkeypatch.setattr("falrt.http.queue._POLL_FIRST", 0.001)


def client(url: str) -> falrt.Client:
    return falrt.Client(key="0123456789:abcdefghij", base_url=url)


def events(*statuses: dict[str, Any] | bytes, cut: bool = False) -> Said:
    pieces = [
        each if isinstance(each, bytes) else f"data: {json.dumps(each)}\n\n".encode() for each in statuses
    ]
    return Said(body=pieces, kind="text/event-stream", cut=cut)


WAITING = {"status": "IN_QUEUE", "queue_position": 1}
WORKING = {"status": "IN_PROGRESS", "logs": [ONE]}
DONE = {"status": "COMPLETED", "logs": [ONE, TWO], "metrics": {"inference_time": 0.5}}


class Queue:
    """Plays one job; each part of its address has a script, whose last answer stays."""

    def __init__(self, **answers: list[Said]) -> None:
        self.answers = {
            "submit": [Said(body={"request_id": "r1"})],
            "stream": [events(WAITING, WORKING, DONE)],
            "status": [Said(body=WAITING), Said(body=WORKING), Said(body=DONE)],
            "result": [Said(body={"seed": 7})],
            "cancel": [Said(202, {})],
            **answers,
        }
        self.parts: list[str] = []

    def __call__(self, asked: Asked) -> Said:
        parts = {
            ("POST", f"/queue.fal.run/{APP}"): "submit",
            ("GET", f"{PLACE}/status/stream"): "stream",
            ("GET", f"{PLACE}/status"): "status",
            ("GET", PLACE): "result",
            ("PUT", f"{PLACE}/cancel"): "cancel",
        }
        part = parts[asked.method, asked.path]
        self.parts.append(part)
        answers = self.answers[part]
        return answers.pop(0) if len(answers) > 1 else answers[0]


NO_STREAM = [Said(404, {"detail": "Path not found"})]


async def test_a_job_is_submitted_watched_and_its_result_fetched() -> None:
    async with scripted(queue := Queue()) as (url, asked), client(url) as fal:
        job = await soon(
            fal.submit(APP, INPUT, webhook_url="http://me/hook", priority="low", hint="warm", start_timeout=9)
        )
        statuses = [status async for status in job.events(logs=True)]
        assert await soon(job.result()) == {"seed": 7}
    assert (job.request_id, job.app) == ("r1", APP)
    assert asked[0].query == {"fal_webhook": "http://me/hook"}
    assert asked[0].headers["x-fal-queue-priority"] == "low"
    assert asked[0].json() == INPUT
    assert asked[1].query == {"logs": "1"}
    assert statuses == [
        falrt.Queued(1),
        falrt.InProgress((ONE,)),
        falrt.Completed((TWO,), {"inference_time": 0.5}),
    ]
    assert queue.parts == ["submit", "stream", "result"]


async def test_a_job_is_found_again_by_its_id() -> None:
    async with scripted(queue := Queue()) as (url, _), client(url) as fal:
        job = fal.job(APP, "r1")
        assert await soon(job.status(logs=True)) == falrt.Queued(1)
        assert await soon(job.result()) == {"seed": 7}
    assert queue.parts == ["status", "stream", "result"]
    assert repr(job) == "<falrt job r1 of fal-ai/flux/dev>"


async def test_where_there_is_no_status_stream_the_status_is_asked_for() -> None:
    no_events = [Said(body={"status": "IN_QUEUE"})]
    for answers in (NO_STREAM, no_events):
        async with scripted(queue := Queue(stream=list(answers))) as (url, _), client(url) as fal:
            statuses = [status async for status in fal.job(APP, "r1").events(logs=True)]
        assert [type(each) for each in statuses] == [falrt.Queued, falrt.InProgress, falrt.Completed]
        assert queue.parts == ["stream", "status", "status", "status"]


async def test_an_interval_asks_for_the_status_without_trying_the_stream() -> None:
    async with scripted(queue := Queue()) as (url, _), client(url) as fal:
        statuses = [status async for status in fal.job(APP, "r1").events(interval=0.001)]
    assert len(statuses) == 3
    assert set(queue.parts) == {"status"}


async def test_a_status_stream_that_breaks_is_taken_up_again_and_logs_still_come_once() -> None:
    streams = [
        events(WORKING, b'data: {"sta', cut=True),
        events(WORKING),
        CUT,
        events({**WORKING, "logs": [ONE, TWO]}, DONE),
    ]
    async with scripted(Queue(stream=streams)) as (url, _), client(url) as fal:
        logs = []
        async for status in fal.job(APP, "r1").events(logs=True):
            assert not isinstance(status, falrt.Queued)
            logs += status.logs
    assert logs == [ONE, TWO]


async def test_a_status_stream_that_never_works_is_given_up_for_asking() -> None:
    async with scripted(queue := Queue(stream=[events(b": nothing\n\n")])) as (url, _), client(url) as fal:
        assert await soon(fal.job(APP, "r1").result()) == {"seed": 7}
    assert queue.parts.count("stream") == 3
    assert queue.parts.count("status") == 3


async def test_a_status_stream_that_ends_after_each_status_is_given_up_for_asking() -> None:
    async with scripted(queue := Queue(stream=[events(WAITING)])) as (url, _), client(url) as fal:
        assert await soon(fal.job(APP, "r1").result()) == {"seed": 7}
    assert queue.parts == [*4 * ["stream"], *3 * ["status"], "result"]


async def test_a_status_that_did_not_change_is_no_news() -> None:
    async with scripted(Queue(stream=[events(WAITING, WAITING, DONE)])) as (url, _), client(url) as fal:
        statuses = [status async for status in fal.job(APP, "r1").events()]
    assert [type(each) for each in statuses] == [falrt.Queued, falrt.Completed]


FAILED = {"status": "COMPLETED", "logs": [], "error": "it broke", "error_type": "runner_server_error"}


async def test_a_job_that_failed_tells_why() -> None:
    problem = {"loc": ["body", "prompt"], "msg": "too rude", "type": "content_policy_violation"}
    queue = Queue(stream=[events(FAILED)], result=[Said(422, {"detail": [problem]})])
    async with scripted(queue) as (url, _), client(url) as fal:
        with pytest.raises(falrt.RequestFailedError) as caught:
            await soon(fal.subscribe(APP, INPUT))
    exc = caught.value
    assert str(exc) == f"{APP}: prompt: too rude (422)"
    assert (exc.status, exc.errors, exc.error_type) == (422, (problem,), "content_policy_violation")
    assert (exc.request_id, exc.retryable) == ("r1", False)
    assert "cancel" not in queue.parts


async def test_a_job_that_failed_without_a_result_tells_what_its_status_said() -> None:
    queue = Queue(stream=[events(FAILED)], result=[Said(body={})])
    async with scripted(queue) as (url, _), client(url) as fal:
        with pytest.raises(falrt.RequestFailedError, match="it broke") as caught:
            await soon(fal.subscribe(APP, INPUT))
    assert caught.value.error_type == "runner_server_error"


async def test_a_failed_models_status_is_not_taken_for_a_failed_request() -> None:
    queue = Queue(result=[Said(500, {"detail": "Internal Server Error"})])
    async with scripted(queue) as (url, _), client(url) as fal:
        with pytest.raises(falrt.RequestFailedError):
            await soon(fal.subscribe(APP, INPUT))


async def test_an_unknown_job_is_a_status_error() -> None:
    gone = [Said(404, {"detail": "Request not found"})]
    async with scripted(Queue(stream=gone, status=gone)) as (url, _), client(url) as fal:
        with pytest.raises(falrt.HTTPStatusError, match="Request not found"):
            await soon(fal.job(APP, "r1").result())


@pytest.mark.wire("W78")
async def test_cancelling_tells_whether_there_was_something_to_cancel() -> None:
    answers = [Said(202, {}), Said(400, {"detail": "already completed"}), Said(500, {"detail": "x"})]
    async with scripted(Queue(cancel=answers)) as (url, _), client(url) as fal:
        job = fal.job(APP, "r1")
        assert await soon(job.cancel())
        assert not await soon(job.cancel())
        fal.job(APP, "r1")
        with pytest.raises(falrt.HTTPStatusError):
            await soon(job.cancel())


async def test_questions_about_a_job_are_asked_again_whatever_happened() -> None:
    queue = Queue(status=[CUT, Said(500, None), Said(503, None), Said(body=DONE)])
    async with scripted(queue) as (url, _), client(url) as fal:
        assert isinstance(await soon(fal.job(APP, "r1").status()), falrt.Completed)


async def test_a_submission_that_may_have_arrived_is_not_sent_again() -> None:
    async with scripted(queue := Queue(submit=[CUT])) as (url, _), client(url) as fal:
        with pytest.raises(falrt.HTTPCallError, match="may have been worked on"):
            await soon(fal.submit(APP, INPUT))
    assert queue.parts == ["submit"]


@pytest.mark.parametrize("reply", [{}, [], {"request_id": 3}, {"request_id": "../x"}, {"request_id": ""}])
async def test_a_queue_that_gives_no_id_is_an_error(reply: Any) -> None:
    async with scripted(Queue(submit=[Said(body=reply)])) as (url, _), client(url) as fal:
        with pytest.raises(falrt.HTTPCallError, match="no request_id"):
            await soon(fal.submit(APP, INPUT))


# subscribe()


async def test_subscribe_tells_each_status_and_returns_the_result() -> None:
    told: list[Any] = []

    async def on_update(status: Any) -> None:
        told.append(status)

    async with scripted(Queue()) as (url, _), client(url) as fal, leaves_nothing(url):
        result = await soon(
            fal.subscribe(APP, INPUT, on_update=on_update, on_submit=told.append, logs=True, timeout=5)
        )
        await fal.aclose()
    assert result == {"seed": 7}
    assert [type(each).__name__ for each in told] == ["Job", "Queued", "InProgress", "Completed"]


async def leave(how: Callable[[falrt.Client], Any], queue: Queue) -> BaseException:
    """Let a subscription that never ends be left; return what came of it."""
    async with scripted(queue) as (url, _), client(url) as fal, leaves_nothing(url):
        try:
            await soon(how(fal))
        except BaseException as exc:
            await fal.aclose()
            return exc
    raise AssertionError("nothing ended it")


def unending() -> Queue:
    return Queue(stream=[Said(404, None)], status=[Said(body=WORKING)])


async def test_a_time_out_cancels_the_job() -> None:
    queue = unending()
    exc = await leave(lambda fal: fal.subscribe(APP, INPUT, timeout=0.1), queue)
    assert isinstance(exc, falrt.RequestTimeout)
    assert queue.parts[-1] == "cancel"


async def test_a_cancelled_caller_cancels_the_job() -> None:
    queue = unending()

    async def cancelled(fal: falrt.Client) -> None:
        working = asyncio.Event()
        task = asyncio.ensure_future(fal.subscribe(APP, INPUT, on_update=lambda _: working.set()))
        await working.wait()
        task.cancel()
        await task

    exc = await leave(cancelled, queue)
    assert isinstance(exc, asyncio.CancelledError)
    assert queue.parts[-1] == "cancel"
    assert queue.parts.count("cancel") == 1


async def test_a_caller_who_leaves_during_the_submission_leaves_no_job() -> None:
    submitting, go = asyncio.Event(), asyncio.Event()
    queue = unending()

    async def slowly(asked: Asked) -> Said:
        if asked.method == "POST":
            submitting.set()
            await go.wait()
        return queue(asked)

    async with scripted(slowly) as (url, _), client(url) as fal:
        task = asyncio.ensure_future(fal.subscribe(APP, INPUT))
        await soon(submitting.wait())
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await soon(task)
    assert queue.parts == ["submit", "cancel"]


async def test_a_time_out_during_the_submission_leaves_no_job() -> None:
    queue = unending()

    async def slowly(asked: Asked) -> Said:
        if asked.method == "POST":
            await over.wait()
        return queue(asked)

    over = asyncio.Event()
    async with scripted(slowly) as (url, _), client(url) as fal:
        await fal.job(APP, "r1").status()  # what is slow to load is loaded
        asyncio.get_running_loop().call_later(0.2, over.set)
        with pytest.raises(falrt.RequestTimeout):
            await soon(fal.subscribe(APP, INPUT, timeout=0.1))
    assert queue.parts == ["status", "submit", "cancel"]


async def test_an_error_of_a_callback_comes_out_and_cancels_the_job() -> None:
    queue = unending()

    def on_update(status: Any) -> None:
        raise ValueError("mine")

    exc = await leave(lambda fal: fal.subscribe(APP, INPUT, on_update=on_update), queue)
    assert str(exc) == "mine"
    assert queue.parts[-1] == "cancel"


async def test_a_service_that_cannot_cancel_hides_no_error() -> None:
    queue = unending()
    queue.answers["cancel"] = [Said(400, None)]
    exc = await leave(lambda fal: fal.subscribe(APP, INPUT, timeout=0.05), queue)
    assert isinstance(exc, falrt.RequestTimeout)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"on_update": 3}, "on_update"),
        ({"on_submit": "x"}, "on_submit"),
        ({"priority": "high"}, "priority"),
        ({"webhook_url": "me"}, "webhook_url"),
        ({"interval": 0}, "interval"),
        ({"intervall": 1}, "interval"),
    ],
)
async def test_a_wrong_option_is_named_before_anything_is_sent(options: Any, text: str) -> None:
    async with falrt.Client(key="k", base_url="http://127.0.0.1:1") as fal:
        with pytest.raises((falrt.ConfigurationError, TypeError), match=text):
            await fal.subscribe(APP, INPUT, **options)


@pytest.mark.parametrize("request_id", ["", "a/b", "../x", None, "a b"])
async def test_a_request_id_that_is_none_is_refused(request_id: Any) -> None:
    async with falrt.Client(key="k") as fal:
        with pytest.raises(falrt.ConfigurationError, match="request_id"):
            fal.job(APP, request_id)
