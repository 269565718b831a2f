"""The platform's HTTP routes: run, events, queue, storage, OpenAPI, webhooks, in fal's words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from falrt.testing import App, FakeServer
from falrt.testing.platform.port import refused
from falrt.testing.platform.queue import log
from tests.http.scripted import Said, scripted
from tests.leaks import soon

KEY = {"authorization": "Key test"}


class Words(BaseModel):
    """An input."""

    prompt: str
    count: int = 1


def http(server: FakeServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, headers=KEY)


# Run and events.


async def test_an_app_is_run_and_its_picture_can_be_fetched() -> None:
    async with FakeServer() as server, http(server) as client:
        reply = await client.post("/acme/app", json={"prompt": "a fox"})
        image = reply.json()["images"][0]
        picture = await client.get(image["url"])
    assert reply.status_code == 200
    assert reply.headers["x-fal-request-id"]
    assert (picture.headers["content-type"], len(picture.content)) == ("image/png", image["file_size"])
    assert server.platform.runs.inputs == [{"prompt": "a fox"}]


async def test_sync_mode_puts_the_picture_into_the_answer() -> None:
    async with FakeServer() as server, http(server) as client:
        reply = await client.post("/acme/app", json={"sync_mode": True})
    assert reply.json()["images"][0]["url"].startswith("data:image/png;base64,")


async def test_a_wrong_field_is_a_422_as_fal_words_it() -> None:
    async with FakeServer(lambda given: {}, input_type=Words) as server, http(server) as client:
        reply = await client.post("/acme/app", json={"count": "many"})
        listed = await client.post("/acme/app", json=[1])
        broken = await client.post("/acme/app", content=b"{")
    assert reply.status_code == 422
    assert [problem["loc"] for problem in reply.json()["detail"]] == [["body", "prompt"], ["body", "count"]]
    assert reply.json()["detail"][0]["url"] == "https://docs.fal.ai/errors#missing"
    assert (listed.status_code, broken.status_code) == (422, 422)


async def test_refusals_have_fals_words() -> None:
    def fail(given: Any) -> Any:
        if given.get("refuse"):
            raise refused(503, "gone", "runner_disconnected")
        raise KeyError("boom")

    async with FakeServer(apps={"acme/app": fail}) as server, http(server) as client:
        server.platform.runs.limit = 1
        unknown = await client.post("/acme/other", json={})
        realtime = await client.post("/acme/app/realtime", json={})
        failed = await client.post("/acme/app", json={})
        gone = await client.post("/acme/app", json={"refuse": True})
        server.platform.runs.limit = 0
        many = await client.post("/acme/app", json={})
        keyless = await client.post("/acme/app", json={}, headers={"authorization": "Key wrong"})
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Path /acme/other not found"})
    assert realtime.status_code == 404
    assert (failed.status_code, failed.json()) == (500, {"detail": "Internal Server Error"})
    assert gone.json() == {"detail": "gone", "error_type": "runner_disconnected"}
    assert gone.headers["x-fal-error-type"] == "runner_disconnected"
    assert (many.status_code, keyless.status_code) == (429, 401)


def events_in(text: str) -> list[Any]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


async def test_parts_of_a_result_are_events() -> None:
    def parts(given: Words) -> Iterator[dict[str, Any]]:
        return ({"n": n, "prompt": given.prompt} for n in range(given.count))

    app = App(lambda given: {"n": "all"}, input_type=Words, parts=parts)
    async with (
        FakeServer(apps={"acme/app": app, "acme/plain": lambda given: {"n": 1}}) as server,
        http(server) as client,
    ):
        reply = await client.post("/acme/app/stream", json={"prompt": "é", "count": 2})
        plain = await client.post("/acme/plain/stream", json={})
        wrong = await client.post("/acme/app/stream", json={})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert events_in(reply.text) == [{"n": 0, "prompt": "é"}, {"n": 1, "prompt": "é"}]
    assert events_in(plain.text) == [{"n": 1}]
    assert wrong.status_code == 422


async def test_a_failure_in_the_middle_of_a_stream_is_an_event() -> None:
    async def parts(given: Any) -> AsyncIterator[dict[str, Any]]:
        yield {"n": 1}
        raise (
            refused(500, "out of memory", "runner_server_error") if given.get("refuse") else ValueError("odd")
        )

    async with FakeServer(apps={"acme/app": App(parts=parts)}) as server, http(server) as client:
        odd = await client.post("/acme/app/stream", json={})
        memory = await client.post("/acme/app/stream", json={"refuse": True})
    assert "event: error\n" in odd.text
    assert events_in(odd.text) == [{"n": 1}, {"detail": "odd", "error_type": "runner_server_error"}]
    assert events_in(memory.text)[1] == {"detail": "out of memory", "error_type": "runner_server_error"}


# The queue.


class Gate:
    """An app that waits until it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = asyncio.Semaphore(0)

    async def __call__(self, given: Any) -> dict[str, Any]:
        log("working")
        self.begun.release()
        await self.go.wait()
        return {"n": given["n"]}


async def submit(client: httpx.AsyncClient, number: int, **headers: str) -> dict[str, Any]:
    reply = await client.post("/queue.fal.run/acme/app/sub", json={"n": number}, headers=headers)
    job: dict[str, Any] = reply.json()
    return job


async def test_jobs_wait_in_their_order_and_low_ones_let_others_pass() -> None:
    gate = Gate()
    async with FakeServer(gate) as server, http(server) as client:
        server.platform.queue.runners = 1
        first = await submit(client, 0)
        await soon(gate.begun.acquire())
        low = await submit(client, 1, **{"x-fal-queue-priority": "low"})
        second = await submit(client, 2)
        statuses = [(await client.get(job["status_url"])).json() for job in (first, second, low)]
        early = await client.get(first["response_url"])
        gate.go.set()
        text = (await soon(client.get(low["status_url"] + "/stream?logs=1"))).text
        results = [(await client.get(job["response_url"])).json() for job in (first, second, low)]
        done = await client.get(first["status_url"], params={"logs": True})
    assert "/queue.fal.run/acme/app/requests/" in first["status_url"]
    assert statuses[0]["status"] == "IN_PROGRESS"
    assert [(each["status"], each["queue_position"]) for each in statuses[1:]] == [
        ("IN_QUEUE", 0),
        ("IN_QUEUE", 1),
    ]
    assert (early.status_code, early.json()) == (400, {"detail": "Request is still in progress"})
    assert results == [{"n": 0}, {"n": 2}, {"n": 1}]
    assert (done.status_code, done.json()["status"]) == (200, "COMPLETED")
    assert [line["message"] for line in done.json()["logs"]][:2] == ["started", "working"]
    seen = [event["status"] for event in events_in(text)]
    assert seen[-1] == "COMPLETED"


async def test_a_job_can_be_cancelled_while_it_waits_and_while_it_runs() -> None:
    gate = Gate()
    async with FakeServer(gate) as server, http(server) as client:
        server.platform.queue.runners = 1
        jobs = [await submit(client, number) for number in range(2)]
        await soon(gate.begun.acquire())
        for job in reversed(jobs):
            assert (await client.put(job["cancel_url"])).status_code == 202
            status = (await client.get(job["status_url"])).json()
            assert (status["status"], status["error_type"]) == ("COMPLETED", "client_cancelled")
            assert (await client.get(job["response_url"])).status_code == 499
            assert (await client.put(job["cancel_url"])).status_code == 400
        unknown = await client.get("/queue.fal.run/acme/app/requests/none/status")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Request not found"})


async def test_a_job_that_does_not_start_in_time_fails() -> None:
    gate = Gate()
    async with FakeServer(gate) as server, http(server) as client:
        server.platform.queue.runners = 1
        await submit(client, 0)
        late = await submit(client, 1, **{"x-fal-request-timeout": "0.01"})
        await soon(client.get(late["status_url"] + "/stream"))
        result = await client.get(late["response_url"])
    assert (result.status_code, result.json()["error_type"]) == (504, "request_timeout")
    assert result.headers["x-fal-request-timeout-type"] == "user"


async def test_a_queue_may_be_full() -> None:
    async with FakeServer(Gate()) as server, http(server) as client:
        server.platform.queue.runners = 0
        await submit(client, 0)
        full = await client.post("/queue.fal.run/acme/app?fal_max_queue_length=0", json={"n": 1})
    assert full.status_code == 429


@pytest.mark.parametrize("fails", [False, True])
async def test_a_webhook_on_this_machine_is_told(fails: bool) -> None:
    told = asyncio.Event()

    def hook(asked: Any) -> Said:
        told.set()
        return Said(body={})

    def answer(given: Any) -> dict[str, Any]:
        if fails:
            raise ValueError("boom")
        return {"n": 1}

    async with scripted(hook) as (url, asked), FakeServer(answer) as server, http(server) as client:
        params = {"fal_webhook": f"{url}/hook?a=1"}
        job = (await client.post("/queue.fal.run/acme/app", json={}, params=params)).json()
        await soon(told.wait())
        elsewhere = {"fal_webhook": "http://fal.invalid/hook"}
        await client.post("/queue.fal.run/acme/app", json={}, params=elsewhere)
    said = asked[0].json()
    assert (asked[0].path, asked[0].query) == ("/hook", {"a": "1"})
    assert said["request_id"] == job["request_id"]
    assert (said["status"], said["payload"]) == (
        ("ERROR", {"detail": "Internal Server Error"}) if fails else ("OK", {"n": 1})
    )


# Storage.


async def cdn_token(client: httpx.AsyncClient) -> dict[str, str]:
    token = (await client.post("/storage/auth/token?storage_type=fal-cdn-v3", json={})).json()
    return {"authorization": f"{token['token_type']} {token['token']}"}


async def test_a_file_is_uploaded_by_token_and_fetched() -> None:
    async with FakeServer() as server, http(server) as client:
        headers = {**await cdn_token(client), "content-type": "text/plain", "x-fal-file-name": "a b.txt"}
        reply = await client.post("/files/upload", content=b"hello", headers=headers)
        fetched = await client.get(reply.json()["access_url"], headers={"authorization": ""})
        refused_reply = await client.post("/files/upload", content=b"", headers={"authorization": "Bearer x"})
    assert (fetched.content, fetched.headers["content-type"]) == (b"hello", "text/plain")
    assert refused_reply.status_code == 401


async def test_a_file_is_uploaded_in_parts_by_either_way() -> None:
    async with FakeServer() as server, http(server) as client:
        headers = {**await cdn_token(client), "x-fal-file-name": "big.bin"}
        begun = (await client.post("/files/upload/multipart", headers=headers)).json()
        by_token = f"{begun['access_url']}/multipart/{begun['uploadId']}"
        asked = {"content_type": "text/plain", "file_name": "big.txt"}
        initiated = (await client.post("/storage/upload/initiate-multipart", json=asked)).json()
        for base, url in ((by_token, begun["access_url"]), (initiated["upload_url"], initiated["file_url"])):
            parts = []
            for number, data in ((2, b"world"), (1, b"hello ")):
                etag = (await client.put(f"{base}/{number}", content=data)).headers["etag"]
                parts.append({"partNumber": number, "etag": etag})
            assert (await client.get(url)).status_code == 404
            assert (await client.post(f"{base}/complete", json={"parts": parts[:1]})).status_code == 400
            assert (await client.post(f"{base}/complete", json={"parts": parts})).status_code == 200
            assert (await client.get(url)).content == b"hello world"


async def test_a_file_is_put_at_the_address_that_was_given() -> None:
    async with FakeServer() as server, http(server) as client:
        asked = {"content_type": "text/plain", "file_name": "a.txt"}
        given = (await client.post("/storage/upload/initiate", json=asked)).json()
        await client.put(given["upload_url"], content=b"hello")
        assert (await client.get(given["file_url"])).content == b"hello"
        assert (await client.post("/storage/upload/initiate", json={})).status_code == 422
        assert (await client.get(f"{server.url}/files/00/none.txt")).status_code == 404


@pytest.mark.parametrize("header", ["x-fal-object-lifecycle", "x-fal-object-lifecycle-preference"])
async def test_the_lifetime_of_a_file_is_noted_from_either_clients_header(header: str) -> None:
    async with FakeServer() as server, http(server) as client:
        asked = {"content_type": "text/plain", "file_name": "a.txt"}
        await client.post("/storage/upload/initiate", json=asked, headers={header: "1h"})
    assert [file.lifecycle for file in server.platform.storage.files.values()] == ["1h"]


async def test_an_app_gets_uploaded_files_as_data_uris() -> None:
    async with FakeServer(lambda given: {"got": given["images"][0]["url"]}) as server, http(server) as client:
        path = server.platform.storage.add(b"abc", "text/plain", "a.txt")
        body = {"images": [{"url": f"{server.url}/v3.fal.media{path}"}, "http://elsewhere/files/x"]}
        reply = await client.post("/acme/app", json=body)
    assert reply.json() == {"got": "data:text/plain;base64,YWJj"}
