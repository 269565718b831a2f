"""The official JavaScript client in a browser's page, on our proxy and our token endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from falrt import server
from falrt.local import LocalServer
from tests.browser.official_page import MODULES, page_with
from tests.browser.threads import serving_in_thread

pytestmark = pytest.mark.skipif(
    not (MODULES / "@fal-ai/client").exists(), reason="the official JavaScript client is not installed"
)

OpenPage = Callable[..., Any]
REALTIME = "fal-ai/fast-lcm-diffusion"
HTTP = "fal-ai/flux/dev"


def http_services(seen: list[Request]) -> Starlette:
    """fal's run, queue and streaming, of one endpoint."""
    polls: dict[str, int] = {}

    async def run(request: Request) -> Response:
        seen.append(request)
        return JSONResponse({"ran": await request.json()})

    async def submit(request: Request) -> Response:
        seen.append(request)
        return JSONResponse({"request_id": "r-1", "status": "IN_QUEUE", "queue_position": 0})

    async def status(request: Request) -> Response:
        polls["r-1"] = polls.get("r-1", 0) + 1
        if polls["r-1"] < 2:
            return JSONResponse({"status": "IN_QUEUE", "queue_position": 1}, 202)
        return JSONResponse({"status": "COMPLETED", "logs": [], "metrics": {"inference_time": 0.1}})

    async def result(request: Request) -> Response:
        return JSONResponse({"subscribed": True}, headers={"x-fal-request-id": "r-1"})

    async def stream(request: Request) -> Response:
        seen.append(request)

        async def events() -> Any:
            for number in range(3):
                yield f"data: {json.dumps({'number': number, 'word': 'füchse'}, ensure_ascii=False)}\n\n".encode()

        return StreamingResponse(events(), media_type="text/event-stream")

    queue = "/queue.fal.run/fal-ai/flux/requests/r-1"
    return Starlette(
        routes=[
            Route(f"/{HTTP}", run, methods=["POST"]),
            Route(f"/{HTTP}/stream", stream, methods=["POST"]),
            Route(f"/queue.fal.run/{HTTP}", submit, methods=["POST"]),
            Route(f"{queue}/status", status),
            Route(queue, result),
        ]
    )


@pytest.fixture
def seen() -> list[Request]:
    return []


@pytest.fixture
def http_page(open_page: OpenPage, seen: list[Request]) -> Iterator[Any]:
    with serving_in_thread(http_services(seen)) as upstream:
        fal = server.routes(allow=[HTTP], authorize=server.anyone, key="test:key-of-ours", base_url=upstream)
        with serving_in_thread(page_with(fal, "ws://unused")) as url:
            page = open_page(url)
            page.evaluate("() => fal.fal.config({ proxyUrl: '/api/fal/proxy' })")
            yield page


def test_run_through_the_proxy(http_page: Any, seen: list[Request]) -> None:
    result = http_page.evaluate(
        f"async () => (await fal.fal.run('{HTTP}', {{ input: {{ prompt: 'a fox' }} }})).data"
    )
    assert result == {"ran": {"prompt": "a fox"}}
    assert seen[0].headers["authorization"] == "Key test:key-of-ours"


def test_subscribe_through_the_proxy(http_page: Any) -> None:
    result = http_page.evaluate(
        f"async () => {{ const states = []; const result = await fal.fal.subscribe('{HTTP}', {{ input: {{}}, "
        "pollInterval: 10, onQueueUpdate: ({ status }) => states.push(status) });"
        " return { states, data: result.data, id: result.requestId }; }"
    )
    assert result["data"] == {"subscribed": True}
    assert result["id"] == "r-1"
    assert result["states"][-1] == "COMPLETED"


def test_stream_through_the_proxy(http_page: Any) -> None:
    result = http_page.evaluate(
        f"async () => {{ const events = []; const stream = await fal.fal.stream('{HTTP}', {{ input: {{}} }});"
        " for await (const event of stream) events.push(event); return { events, last: await stream.done() }; }"
    )
    assert [event["number"] for event in result["events"]] == [0, 1, 2]
    assert result["last"] == {"number": 2, "word": "füchse"}


def test_what_is_not_allowed_is_an_error_with_our_words(http_page: Any) -> None:
    result = http_page.evaluate(
        "async () => { try { await fal.fal.run('fal-ai/secret', { input: {} }); }"
        " catch (error) { return { status: error.status, detail: error.body.detail }; } }"
    )
    assert result == {"status": 403, "detail": "Endpoint fal-ai/secret is not allowed here"}


UPLOAD = """async ({ options, size }) => {
  const file = new File(["a note of füchse"], "note.txt", { type: "text/plain" });
  // In parts above 90 MB: a file that says so of itself has all of its bytes in the first one.
  if (size) Object.defineProperty(file, "size", { value: size });
  const url = await fal.fal.storage.upload(file, options);
  const answer = await fetch(url);
  return { text: await answer.text(), type: answer.headers.get("content-type"), url };
}"""


@pytest.mark.parametrize("size", [None, 95 * 1024 * 1024], ids=["whole", "in parts"])
def test_uploads_through_the_proxy(open_page: OpenPage, stand_in: LocalServer, size: int | None) -> None:
    key = "key-of-ours"
    fal = server.routes(
        allow=[REALTIME], authorize=server.anyone, key=key, base_url=stand_in.url, uploads=True
    )
    with serving_in_thread(page_with(fal, "ws://unused")) as url:
        page = open_page(url, storage=stand_in.url)
        asked: list[Any] = []
        page.on("request", lambda request: asked.append(request))
        page.evaluate("() => fal.fal.config({ proxyUrl: '/api/fal/proxy' })")
        stored = page.evaluate(UPLOAD, {"options": {"lifecycle": {"expiresIn": "1h"}}, "size": size})
        assert stored["text"] == "a note of füchse"
        assert stored["type"].startswith("text/plain")
        # The bytes go to storage; only the permission for them comes from us.
        assert [each.method for each in asked if each.url.startswith(url)] == ["POST"]
        assert not any(key in str(each.headers) for each in asked)


def test_a_file_in_an_input_is_uploaded_and_without_uploads_the_page_is_told(
    open_page: OpenPage, stand_in: LocalServer
) -> None:
    run = """async () => { try {
      const canvas = new OffscreenCanvas(64, 64);
      canvas.getContext("2d").fillRect(0, 0, 64, 64);
      const input = { prompt: "a fox", image_url: await canvas.convertToBlob() };
      return (await fal.fal.queue.submit("fal-ai/flux/dev", { input })).request_id;
    } catch (error) { return { status: error.status, detail: error.body.detail }; } }"""
    for uploads in (True, False):
        fal = server.routes(
            allow=[HTTP], authorize=server.anyone, key="local", base_url=stand_in.url, uploads=uploads
        )
        with serving_in_thread(page_with(fal, "ws://unused")) as url:
            page = open_page(url, storage=stand_in.url)
            page.evaluate("() => fal.fal.config({ proxyUrl: '/api/fal/proxy' })")
            result = page.evaluate(run)
            if uploads:
                assert isinstance(result, str)
            else:
                assert result["status"] == 403
                assert "uploads=True" in result["detail"]


SEND_ONE = """(options) => new Promise((resolve, reject) => {
  const connection = fal.fal.realtime.connect("%s", {
    throttleInterval: 0,
    ...(options.provider ? { tokenProvider: eval(options.provider), tokenExpirationSeconds: 60 } : {}),
    onResult: (result) => { connection.close(); resolve([...result.images[0].content.slice(0, 3)]); },
    onError: (error) => reject(error),
  });
  connection.send({ prompt: "a fox in the snow", image_size: "square", num_inference_steps: 1 });
})"""


@pytest.mark.parametrize(
    "provider",
    [
        None,
        "(app) => fetch('/api/fal/token?app=' + app).then((r) => r.json()).then(({ token }) => token)",
        "async (app) => (await fetch(postTokens, { method: 'POST', body: JSON.stringify({ app }) })).text()",
    ],
    ids=["proxy", "token as JSON", "token as text"],
)
def test_realtime_with_tokens_of_ours(
    open_page: OpenPage, stand_in: LocalServer, provider: str | None
) -> None:
    fal = server.routes(allow=[REALTIME], authorize=server.anyone, key="local", base_url=stand_in.url)
    with serving_in_thread(page_with(fal, stand_in.url.replace("http", "ws"))) as url:
        page = open_page(url)
        page.evaluate("() => fal.fal.config({ proxyUrl: '/api/fal/proxy' })")
        page.evaluate("() => { window.postTokens = '/api/fal/realtime-token'; }")
        assert page.evaluate(SEND_ONE % REALTIME, {"provider": provider}) == [0xFF, 0xD8, 0xFF]
        assert "fal_jwt_token=eyJ" in page.evaluate("() => opened[0]")


def test_realtime_over_our_relay_needs_no_token_of_fals(open_page: OpenPage, stand_in: LocalServer) -> None:
    fal = server.routes(allow=[REALTIME], authorize=server.anyone, key="local", base_url=stand_in.url)
    with serving_in_thread(page_with(fal, "")) as url:
        page = open_page(url)
        page.evaluate(
            "() => { const Before = WebSocket; window.WebSocket = class extends Before { constructor(url) {"
            " super(url.replace('wss://fal.run', location.origin.replace('http', 'ws') + '/api/fal/realtime')); } }; }"
        )
        assert page.evaluate(SEND_ONE % REALTIME, {"provider": "async () => 'unused'"}) == [0xFF, 0xD8, 0xFF]
