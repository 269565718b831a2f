"""One fal: the fake server and the stand-in answer alike, whatever a client asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from falrt.local import LocalOptions, LocalServer
from falrt.testing import BackgroundFakeServer, make_token, read_claims

LCM = "fal-ai/fast-lcm-diffusion"
# Neither key nor token may use it.
FORBIDDEN = "fal-ai/fast-turbo-diffusion"
KEY = {"Authorization": "Key id:secret"}
PATIENCE = 20


@dataclass(frozen=True)
class Fal:
    url: str

    def dial(self, path: str, query: str = "", headers: dict[str, str] | None = None) -> connect:
        url = f"{self.url.replace('http', 'ws')}/{path}{query}"
        return connect(url, additional_headers=headers, compression=None, proxy=None)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Fal]]:
    """Each server, lenient and strict, with one app that both have."""

    def answer(given: dict[str, Any]) -> dict[str, Any]:
        return {"images": [], "prompt": given["prompt"]}

    with ExitStack() as stack:
        found = {}
        for strict in (False, True):
            fake = BackgroundFakeServer(
                apps={LCM: answer, FORBIDDEN: answer},
                key="id:secret",
                refusal="close",
                strict=strict,
                session_timeout=30,
                forbidden=[FORBIDDEN],
            )
            local = LocalServer(
                LocalOptions(speed=100, key="id:secret", strict=strict, forbidden=[FORBIDDEN])
            )
            name = " strict" if strict else ""
            found[f"fake{name}"] = Fal(stack.enter_context(fake).url)
            found[f"stand-in{name}"] = Fal(stack.enter_context(local).url)
        yield found


@pytest.fixture(params=["fake", "stand-in"])
def fal(servers: dict[str, Fal], request: pytest.FixtureRequest) -> Fal:
    return servers[request.param]


@pytest.fixture(params=["fake strict", "stand-in strict"])
def strict_fal(servers: dict[str, Fal], request: pytest.FixtureRequest) -> Fal:
    return servers[request.param]


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers=KEY) as client:
        yield client


async def last_words(socket: ClientConnection) -> tuple[list[Any], int | None]:
    """Return the text frames that come, and the close code."""
    frames = []
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = await socket.recv()
                if isinstance(frame, str):
                    frames.append(json.loads(frame))
    except ConnectionClosed:
        return frames, socket.close_code


REFUSED = ([{"status": "error", "error": "Unauthorized"}], 1000)


async def opens(fal: Fal, query: str = "", headers: dict[str, str] | None = None) -> bool:
    """Whether a socket of the common app answers an input; otherwise it must be refused as fal does."""
    async with fal.dial(f"{LCM}/realtime", query, headers) as socket, asyncio.timeout(PATIENCE):
        with suppress(ConnectionClosed):  # refused already
            await socket.send(msgpack.packb({"prompt": "a fox", "image_size": {"width": 32, "height": 32}}))
        first = await socket.recv()
        if isinstance(first, bytes):
            return True
        assert ([json.loads(first)], (await last_words(socket))[1]) == REFUSED
        return False


TOKEN_FORMS = {
    "the released clients": (
        "/tokens/",
        {"allowed_apps": ["fast-lcm-diffusion"], "token_expiration": 120},
        str,
    ),
    "the service's schema": ("/tokens/realtime", {"app": f"{LCM}/realtime"}, str),
    "the whole app": ("/tokens/realtime", {"app": LCM}, str),
    "the documented backend": (
        "/tokens/realtime",
        {"allowed_apps": [f"{LCM}/realtime"], "duration": 60},
        dict,
    ),
}


@pytest.mark.parametrize("form", TOKEN_FORMS)
async def test_every_form_of_token_request_gives_a_token_that_opens_a_socket(
    fal: Fal, http: httpx.AsyncClient, form: str
) -> None:
    path, body, kind = TOKEN_FORMS[form]
    reply = await http.post(f"{fal.url}{path}", json=body)

    assert reply.status_code == 201
    answer = reply.json()
    assert isinstance(answer, kind)
    token = answer["token"] if isinstance(answer, dict) else answer
    assert read_claims(token)["exp"]
    assert await opens(fal, f"?fal_jwt_token={token}")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokens/", {}),
        ("/tokens/", {"allowed_apps": []}),
        ("/tokens/", {"allowed_apps": ["a"], "token_expiration": "60"}),
        ("/tokens/realtime", {"app": 1}),
        ("/tokens/realtime", []),
    ],
)
async def test_a_bad_token_request_is_a_422_with_a_list(
    fal: Fal, http: httpx.AsyncClient, path: str, body: Any
) -> None:
    reply = await http.post(f"{fal.url}{path}", json=body)

    assert reply.status_code == 422
    assert {"loc", "msg", "type"} <= reply.json()["detail"][0].keys()


async def test_the_strict_gateway_takes_only_what_the_schema_has(
    strict_fal: Fal, http: httpx.AsyncClient
) -> None:
    for body in (
        {"allowed_apps": [f"{LCM}/realtime"], "duration": 60},
        {"app": "fal-ai/unknown/realtime"},
        {"app": f"{LCM}/realtime", "token_expiration": 121},
    ):
        assert (await http.post(f"{strict_fal.url}/tokens/realtime", json=body)).status_code == 422
    reply = await http.post(f"{strict_fal.url}/tokens/realtime", json={"app": f"{LCM}/realtime"})
    assert await opens(strict_fal, f"?fal_jwt_token={reply.json()}")


@pytest.mark.parametrize("header", [None, "Key wrong", "Basic id:secret", "Key"])
async def test_a_bad_key_is_a_401_over_http_and_a_frame_on_a_socket(fal: Fal, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with httpx.AsyncClient(headers=headers) as client:
        reply = await client.post(f"{fal.url}/tokens/", json={"allowed_apps": ["a"]})

    is_missing = header in (None, "Key")
    detail = "Unauthorized" if is_missing else "No user found for Key ID and Secret"
    assert (reply.status_code, reply.json()) == (401, {"detail": detail})
    assert not await opens(fal, headers=headers)


async def test_the_key_in_the_header_opens_a_socket(fal: Fal) -> None:
    assert await opens(fal, headers=KEY)


@pytest.mark.parametrize(
    "token", ["", "abc", "a.b.c", make_token("other/app"), make_token(LCM, lifetime=-60)]
)
async def test_a_bad_token_does_not(fal: Fal, token: str) -> None:
    assert not await opens(fal, f"?fal_jwt_token={token}")


async def test_a_path_that_leads_nowhere_is_accepted_and_closed_with_1011(fal: Fal) -> None:
    async with fal.dial("fal-ai/nothing/realtime", headers=KEY) as socket:
        assert await last_words(socket) == ([], 1011)


async def test_realtime_paths_are_no_http(fal: Fal, http: httpx.AsyncClient) -> None:
    reply = await http.get(f"{fal.url}/{LCM}/realtime")

    assert (reply.status_code, reply.json()) == (404, {"detail": f"Path /{LCM}/realtime not found"})


@pytest.mark.wire("W80")
async def test_the_proxy_holds_the_key(fal: Fal) -> None:
    target = {"x-fal-target-url": "https://rest.fal.ai/tokens/"}
    async with httpx.AsyncClient() as client:
        reply = await client.post(
            f"{fal.url}/api/fal/proxy", headers=target, json={"allowed_apps": ["fast-lcm-diffusion"]}
        )

    assert reply.status_code == 201
    assert await opens(fal, f"?fal_jwt_token={reply.json()}")


async def test_a_text_frame_ends_the_session(fal: Fal) -> None:
    async with fal.dial(f"{LCM}/realtime", headers=KEY) as socket:
        await socket.send('{"prompt": "a fox"}')
        frames, code = await last_words(socket)

    assert frames == [{"type": "x-fal-error", "error": "INTERNAL_ERROR", "reason": "'bytes'"}]
    assert code == 1000


# Over HTTP. The app draws; what else it answers differs.


async def test_a_run_answers_with_a_result_or_a_422(fal: Fal, http: httpx.AsyncClient) -> None:
    good = await http.post(f"{fal.url}/{LCM}", json={"prompt": "a fox"})
    bad = await http.post(f"{fal.url}/{LCM}", content=b"no JSON")
    no_map = await http.post(f"{fal.url}/{LCM}", json=[1])

    assert good.status_code == 200
    assert isinstance(good.json()["images"], list)
    assert good.headers["x-fal-request-id"]
    assert [reply.json()["detail"][0]["loc"] for reply in (bad, no_map)] == [["body"], ["body"]]


async def test_a_job_goes_through_the_queue(fal: Fal, http: httpx.AsyncClient) -> None:
    submitted = (await http.post(f"{fal.url}/queue.fal.run/{LCM}", json={"prompt": "a fox"})).json()
    async with asyncio.timeout(PATIENCE), http.stream("GET", f"{submitted['status_url']}/stream") as stream:
        events = [json.loads(line[6:]) async for line in stream.aiter_lines() if line.startswith("data: ")]
    status = await http.get(submitted["status_url"], params={"logs": "1"})
    result = await http.get(submitted["response_url"])
    late = await http.put(submitted["cancel_url"])

    assert submitted["status_url"].startswith(f"{fal.url}/queue.fal.run/{LCM}/requests/")
    assert [event["status"] for event in events][-1] == "COMPLETED"
    assert (status.status_code, status.json()["status"]) == (200, "COMPLETED")
    assert status.json()["metrics"]["inference_time"] >= 0
    assert status.json()["logs"][0].keys() >= {"message", "timestamp"}
    assert isinstance(result.json()["images"], list)
    assert (late.status_code, late.json()) == (400, {"status": "ALREADY_COMPLETED"})


async def test_an_unknown_job_and_an_unknown_app_are_404(fal: Fal, http: httpx.AsyncClient) -> None:
    job = await http.get(f"{fal.url}/queue.fal.run/{LCM}/requests/nothing/status")
    app = await http.post(f"{fal.url}/queue.fal.run/acme/nothing", json={})

    assert (job.status_code, app.status_code) == (404, 404)


async def test_a_stream_ends_with_the_whole_result(fal: Fal, http: httpx.AsyncClient) -> None:
    asked = {"prompt": "a fox", "image_size": {"width": 32, "height": 32}}
    async with (
        asyncio.timeout(PATIENCE),
        http.stream("POST", f"{fal.url}/{LCM}/stream", json=asked) as stream,
    ):
        events = [json.loads(line[6:]) async for line in stream.aiter_lines() if line.startswith("data: ")]

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert isinstance(events[-1]["images"], list)


async def test_a_file_that_was_stored_can_be_fetched(fal: Fal, http: httpx.AsyncClient) -> None:
    asked = {"content_type": "text/plain", "file_name": "note.txt"}
    initiate = f"{fal.url}/storage/upload/initiate?storage_type=fal-cdn-v3"
    addresses = (await http.post(initiate, json=asked)).json()
    async with httpx.AsyncClient() as anybody:
        await anybody.put(addresses["upload_url"], content=b"a note")
        fetched = await anybody.get(addresses["file_url"])

    assert (fetched.content, fetched.headers["content-type"]) == (b"a note", "text/plain")


async def test_http_over_websockets_answers_in_order(fal: Fal) -> None:
    async with fal.dial(f"ws.fal.run/{LCM}", headers=KEY) as socket, asyncio.timeout(PATIENCE):
        for number in range(2):
            await socket.send(json.dumps({"prompt": f"fox {number}"}))
        messages = [json.loads(await socket.recv()) for _ in range(6)]

    assert [message.get("type", "body") for message in messages] == ["start", "body", "end"] * 2
    assert [message["status"] for message in messages if "status" in message] == [200] * 4


@pytest.mark.parametrize("path", [LCM, f"queue.fal.run/{LCM}", f"{LCM}/stream"])
async def test_http_needs_a_key_or_a_token(fal: Fal, http: httpx.AsyncClient, path: str) -> None:
    asked = {"prompt": "a fox", "image_size": {"width": 32, "height": 32}}
    token = (await http.post(f"{fal.url}/tokens/", json={"allowed_apps": ["fast-lcm-diffusion"]})).json()
    async with httpx.AsyncClient() as anybody:
        refused = await anybody.post(f"{fal.url}/{path}", json=asked)
        let_in = await anybody.post(f"{fal.url}/{path}?fal_jwt_token={token}", json=asked)

    assert (refused.status_code, let_in.status_code) == (401, 200)


FORBIDDEN_REPLY = (403, {"detail": "Forbidden"})


@pytest.mark.wire("W46")
@pytest.mark.parametrize("form", ["{app}", "queue.fal.run/{app}", "{app}/stream"])
async def test_an_app_that_the_key_or_the_token_may_not_use_is_a_403(
    fal: Fal, http: httpx.AsyncClient, form: str
) -> None:
    asked = {"prompt": "a fox", "image_size": {"width": 32, "height": 32}}
    token = (await http.post(f"{fal.url}/tokens/", json={"allowed_apps": ["another"]})).json()
    by_key = await http.post(f"{fal.url}/{form.format(app=FORBIDDEN)}", json=asked)
    async with httpx.AsyncClient() as anybody:
        by_token = await anybody.post(f"{fal.url}/{form.format(app=LCM)}?fal_jwt_token={token}", json=asked)

    for reply in (by_key, by_token):
        assert (reply.status_code, reply.json()) == FORBIDDEN_REPLY


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokens/", {"allowed_apps": ["fast-turbo-diffusion"]}),
        ("/tokens/realtime", {"app": f"{FORBIDDEN}/realtime"}),
        ("/tokens/realtime", {"allowed_apps": [FORBIDDEN], "duration": 9}),
    ],
)
async def test_a_token_for_an_app_that_the_key_may_not_use_is_a_403(
    fal: Fal, http: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    reply = await http.post(f"{fal.url}{path}", json=body)

    assert (reply.status_code, reply.json()) == FORBIDDEN_REPLY


async def test_a_socket_of_an_app_that_the_key_may_not_use_is_refused(fal: Fal) -> None:
    async with fal.dial(f"{FORBIDDEN}/realtime", headers=KEY) as socket:
        assert await last_words(socket) == REFUSED
