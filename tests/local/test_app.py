"""The routes, driven by a plain WebSocket and msgpack, as any client would."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgpack
import numpy as np
import pytest
import websockets
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect

from falrt.local import LocalOptions, LocalServer
from falrt.local.scene import draw_scene

KLEIN = "fal-ai/flux-2/klein"
LCM = "fal-ai/fast-lcm-diffusion"
KEY = {"Authorization": "Key test"}


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    return encode(draw_scene("cat", 256, 256, np.random.default_rng(3)), "jpeg")


@pytest.fixture(scope="module")
def uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


@pytest.fixture
async def http(server: LocalServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url) as client:
        yield client


def open_socket(server: LocalServer, path: str, headers: dict[str, str] | None = KEY) -> connect:
    url = f"{server.url.replace('http', 'ws')}/{path}"
    return connect(url, additional_headers=headers, compression=None, proxy=None)


def encode(picture: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, quality=88)
    return out.getvalue()


async def ask(socket: ClientConnection, message: dict[str, Any]) -> dict[str, Any]:
    await socket.send(msgpack.packb(message))
    async with asyncio.timeout(20):
        answer: dict[str, Any] = msgpack.unpackb(await socket.recv())
    return answer


async def last_words(socket: ClientConnection) -> tuple[list[Any], int | None]:
    """Return the remaining text frames and the close code."""
    async with asyncio.timeout(20):
        frames = [json.loads(frame) async for frame in quiet(socket)]
    return frames, socket.close_code


async def quiet(socket: ClientConnection) -> AsyncIterator[Any]:
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            yield await socket.recv()


def pixels(image: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image["content"])).convert("RGB"), dtype=float)


async def test_klein_answers_with_one_raw_image_and_the_seed(server: LocalServer, uri: str) -> None:
    async with open_socket(server, f"{KLEIN}/realtime") as socket:
        answer = await ask(socket, {"image_url": uri, "prompt": "crimson"})

    assert answer.keys() == {"images", "seed"}
    assert answer["seed"] == 35
    image = answer["images"][0]
    assert image.keys() == {"content", "content_type", "width", "height"}
    assert (image["content_type"], image["width"], image["height"]) == ("image/jpeg", 768, 768)
    assert pixels(image).shape == (768, 768, 3)


async def test_klein_is_served_under_both_names(server: LocalServer, uri: str) -> None:
    async with open_socket(server, "fal-ai/flux-2-klein-realtime/realtime") as socket:
        answer = await ask(socket, {"image_url": uri, "image_size": "square_hd"})

    assert answer["images"][0]["width"] == 1024


async def test_interpolation_gives_two_pictures_from_the_second_frame_on(
    server: LocalServer, uri: str
) -> None:
    async with open_socket(server, f"{KLEIN}/realtime") as socket:
        first = await ask(socket, {"image_url": uri, "prompt": "gold", "enable_interpolation": True})
        second = await ask(socket, {"image_url": uri, "prompt": "teal", "enable_interpolation": True})

    between, current = (pixels(image) for image in second["images"])
    before = pixels(first["images"][0])
    assert np.abs(between - (before + current) / 2).mean() < 3


async def test_feedback_keeps_some_of_the_previous_picture(server: LocalServer, uri: str) -> None:
    async with open_socket(server, f"{KLEIN}/realtime") as socket:
        gold = await ask(socket, {"image_url": uri, "prompt": "gold"})
        mixed = await ask(socket, {"image_url": uri, "prompt": "teal", "output_feedback_strength": 0.5})
    async with open_socket(server, f"{KLEIN}/realtime") as socket:
        teal = await ask(socket, {"image_url": uri, "prompt": "teal", "output_feedback_strength": 0.5})

    expected = (pixels(gold["images"][0]) + pixels(teal["images"][0])) / 2
    assert np.abs(pixels(mixed["images"][0]) - expected).mean() < 3


@pytest.mark.parametrize("app", [LCM, "fal-ai/fast-turbo-diffusion", "fal-ai/fast-lightning-sdxl"])
async def test_diffusion_answers_with_timings_and_the_request_id(server: LocalServer, app: str) -> None:
    async with open_socket(server, f"{app}/realtime") as socket:
        answer = await ask(
            socket,
            {"prompt": "the sea", "image_size": "square", "seed": 7, "request_id": "r1", "_binary": b""},
        )

    assert answer["request_id"] == "r1"
    assert answer["seed"] == 7
    assert answer["has_nsfw_concepts"] == [False]
    assert answer["timings"]["inference"] > 0
    assert pixels(answer["images"][0]).shape == (512, 512, 3)


async def test_several_pictures_and_png(server: LocalServer) -> None:
    async with open_socket(server, f"{LCM}/realtime") as socket:
        answer = await ask(
            socket,
            {"prompt": "x", "num_images": 2, "format": "png", "image_size": {"width": 64, "height": 32}},
        )

    assert [image["content"][:4] for image in answer["images"]] == [b"\x89PNG"] * 2
    assert answer["images"][0]["content"] != answer["images"][1]["content"]
    assert answer["request_id"] == ""


@pytest.mark.parametrize("route", ["", "/image-to-image"])
@pytest.mark.parametrize("as_bytes", [True, False])
async def test_frame_comes_as_bytes_or_data_uri(
    server: LocalServer, jpeg: bytes, uri: str, route: str, as_bytes: bool
) -> None:
    frame = {"image_bytes": jpeg} if as_bytes else {"image_url": uri}
    async with open_socket(server, f"fal-ai/fast-turbo-diffusion{route}/realtime") as socket:
        answer = await ask(socket, {"prompt": "x", "strength": 0, **frame})

    original = np.asarray(Image.open(io.BytesIO(jpeg)).resize((512, 512)), dtype=float)
    assert np.abs(pixels(answer["images"][0]) - original).mean() < 6


async def test_inpainting_leaves_the_black_part_of_the_mask(
    server: LocalServer, jpeg: bytes, uri: str
) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (32, 0, 64, 64))
    mask_uri = "data:image/png;base64," + base64.b64encode(encode(mask, "png")).decode()
    async with open_socket(server, f"{LCM}/inpainting/realtime") as socket:
        answer = await ask(
            socket, {"prompt": "crimson", "image_size": "square", "image_url": uri, "mask_url": mask_uri}
        )

    original = np.asarray(Image.open(io.BytesIO(jpeg)).resize((512, 512)), dtype=float)
    change = np.abs(pixels(answer["images"][0]) - original).mean(axis=(0, 2))
    assert change[:240].mean() < 6
    assert change[272:].mean() > 20


@pytest.mark.parametrize(
    ("app", "message", "reason"),
    [
        (KLEIN, {"prompt": "x"}, "1 validation error for KleinInput\nimage_url\n  Field required"),
        (KLEIN, {"image_url": "https://example.com/a.jpg"}, "not a data URI in base64"),
        (KLEIN, {"image_url": "data:image/png;base64,AAAA"}, "image_url\n  cannot load a picture"),
        (LCM, {}, "1 validation error for DiffusionInput\nprompt"),
        (f"{LCM}/image-to-image", {"prompt": "x"}, "image_url or image_bytes is required"),
        (LCM, [1], "must be a mapping, not list"),
        (LCM, {1: 2}, "int is not allowed for map key"),
    ],
)
async def test_bad_input_ends_the_session(server: LocalServer, app: str, message: Any, reason: str) -> None:
    async with open_socket(server, f"{app}/realtime") as socket:
        await socket.send(msgpack.packb(message))
        frames, code = await last_words(socket)

    assert code == 1000
    assert [frame["error"] for frame in frames] == ["INTERNAL_ERROR"]
    assert reason in frames[0]["reason"]


NO_PICTURE = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("app", "message", "place"),
    [
        ("fal-ai/flux-2/klein/4b/edit", {"image_urls": [NO_PICTURE]}, ["image_urls", 0]),
        ("fal-ai/flux-2/turbo/edit", {"image_urls": ["good", NO_PICTURE]}, ["image_urls", 1]),
        ("fal-ai/flux/dev/image-to-image", {"image_url": NO_PICTURE}, ["image_url"]),
        (f"{LCM}/inpainting", {"image_url": "good", "mask_url": NO_PICTURE}, ["mask_url"]),
        (f"{LCM}/image-to-image", {"image_bytes": "AAAA"}, ["image_bytes"]),
        (f"{LCM}/image-to-image", {"image_url": "cut"}, ["image_url"]),
    ],
)
async def test_what_is_no_picture_is_a_422_on_every_route(
    server: LocalServer, http: httpx.AsyncClient, jpeg: bytes, uri: str, app: str, message: Any, place: Any
) -> None:
    cut = "data:image/jpeg;base64," + base64.b64encode(jpeg[:500]).decode()
    text = (
        json.dumps({"prompt": "a fox", **message}).replace('"good"', f'"{uri}"').replace('"cut"', f'"{cut}"')
    )
    asked = json.loads(text)
    run = await http.post(f"/{app}", json=asked, headers=KEY)
    stream = await http.post(f"/{app}/stream", json=asked, headers=KEY)
    job = (await http.post(f"/queue.fal.run/{app}", json=asked, headers=KEY)).json()
    async with asyncio.timeout(20):
        await http.get(f"{job['status_url']}/stream", headers=KEY)
    result = await http.get(job["response_url"], headers=KEY)
    async with open_socket(server, f"ws.fal.run/{app}") as socket, asyncio.timeout(20):
        await socket.send(text)
        start = json.loads(await socket.recv())

    assert (run.status_code, stream.status_code, result.status_code, start["status"]) == (422, 422, 422, 422)
    for reply in (run, stream, result):
        problem = reply.json()["detail"][0]
        assert (problem["loc"], problem["type"]) == (["body", *place], "image_load_error")
        assert problem["msg"].startswith("cannot load a picture from ")


async def test_text_frame_ends_the_session(server: LocalServer) -> None:
    async with open_socket(server, f"{LCM}/realtime") as socket:
        await socket.send('{"prompt": "x"}')
        frames, code = await last_words(socket)

    assert (frames[0]["error"], frames[0]["reason"], code) == ("INTERNAL_ERROR", "'bytes'", 1000)


async def test_json_bytes_are_answered_in_json(server: LocalServer) -> None:
    async with open_socket(server, f"{LCM}/realtime") as socket:
        await socket.send(json.dumps({"prompt": "x", "image_size": "square"}).encode())
        async with asyncio.timeout(20):
            answer = json.loads(await socket.recv())

    assert base64.b64decode(answer["images"][0]["content"])[:2] == b"\xff\xd8"


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"{", b"\x81\xa1"])
async def test_garbage_ends_the_session(server: LocalServer, frame: bytes) -> None:
    async with open_socket(server, f"{LCM}/realtime") as socket:
        await socket.send(frame)
        frames, code = await last_words(socket)

    assert (frames[0]["error"], code) == ("INTERNAL_ERROR", 1000)


async def test_json_that_is_nested_too_deep_ends_the_session(server: LocalServer) -> None:
    async with open_socket(server, f"{LCM}/realtime") as socket:
        await socket.send(b'{"prompt":' + b"[" * 100_000)
        frames, code = await last_words(socket)

    assert (frames[0]["error"], code) == ("INTERNAL_ERROR", 1000)
    assert "recursion" in frames[0]["reason"]


@pytest.mark.parametrize(
    "path",
    [
        "fal-ai/nothing/realtime",
        f"{KLEIN}/realtime/realtime",
        "fal-ai/fast-lightning-sdxl/inpainting/realtime",
    ],
)
async def test_unknown_route_is_accepted_and_closed_with_1011(server: LocalServer, path: str) -> None:
    async with open_socket(server, path) as socket:
        frames, code = await last_words(socket)

    assert (frames, code) == ([], 1011)


@pytest.mark.parametrize("query", ["", "?fal_jwt_token=abc", "?fal_jwt_token=a.b.c"])
async def test_bad_token_is_refused_by_a_frame(server: LocalServer, query: str) -> None:
    async with open_socket(server, f"{LCM}/realtime{query}", headers=None) as socket:
        frames, code = await last_words(socket)

    assert frames == [{"status": "error", "error": "Unauthorized"}]
    assert code == 1000


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/tokens/", {"allowed_apps": ["fast-turbo-diffusion"], "token_expiration": 120}),
        ("/tokens/realtime", {"app": "fal-ai/fast-turbo-diffusion/realtime"}),
    ],
)
async def test_minted_token_opens_a_socket(
    server: LocalServer, http: httpx.AsyncClient, endpoint: str, body: dict[str, Any]
) -> None:
    reply = await http.post(endpoint, json=body, headers=KEY)
    assert reply.status_code == 201
    path = f"fal-ai/fast-turbo-diffusion/realtime?fal_jwt_token={reply.json()}&max_buffering=2"

    async with open_socket(server, path, headers=None) as socket:
        assert (await ask(socket, {"prompt": "x"}))["images"]


@pytest.mark.parametrize("endpoint", ["/tokens/", "/tokens/realtime"])
async def test_token_needs_a_key_and_a_good_body(http: httpx.AsyncClient, endpoint: str) -> None:
    assert (await http.post(endpoint, json={})).status_code == 401
    for body in (b"{}", b"nonsense"):
        reply = await http.post(endpoint, content=body, headers=KEY)
        assert reply.status_code == 422
        assert reply.json()["detail"][0]["loc"][0] == "body"


async def test_page_tells_how_to_use_it(server: LocalServer, http: httpx.AsyncClient) -> None:
    page = await http.get("/")

    assert page.headers["content-type"].startswith("text/html")
    assert f"FALRT_BASE_URL={server.url}" in page.text
    assert f"{KLEIN}/realtime" in page.text


async def test_realtime_paths_are_not_http(http: httpx.AsyncClient) -> None:
    reply = await http.get(f"/{KLEIN}/realtime")

    assert reply.status_code == 404
    assert reply.json() == {"detail": f"Path /{KLEIN}/realtime not found"}


async def answered(socket: ClientConnection, count: int) -> list[int]:
    """Send inputs of seed 0, 1, ... in one go; return the seeds that are answered before the last one is."""
    for seed in range(count):
        await socket.send(msgpack.packb({"prompt": "x", "seed": seed, "width": 32, "height": 32}))
    seeds: list[int] = []
    async with asyncio.timeout(20):
        while not seeds or seeds[-1] != count - 1:
            seeds.append(msgpack.unpackb(await socket.recv())["seed"])
    return seeds


@pytest.mark.parametrize(("buffering", "seeds"), [(1, [0, 9]), (2, [0, 8, 9]), (60, list(range(10)))])
async def test_max_buffering_decides_what_is_dropped(buffering: int, seeds: list[int]) -> None:
    async with (
        LocalServer(LocalOptions(speed=2)) as slow,
        open_socket(slow, f"{LCM}/realtime?max_buffering={buffering}") as socket,
    ):
        assert await answered(socket, 10) == seeds


@pytest.mark.parametrize("query", ["", "?max_buffering=0", "?max_buffering=61", "?max_buffering=x"])
async def test_without_good_max_buffering_the_server_has_its_own(query: str) -> None:
    async with (
        LocalServer(LocalOptions(speed=4, buffering=1)) as slow,
        open_socket(slow, f"{LCM}/realtime{query}") as socket,
    ):
        assert await answered(socket, 5) == [0, 4]


async def test_idle_socket_ends_with_timeout() -> None:
    async with (
        LocalServer(LocalOptions(idle_timeout=0.05)) as impatient,
        open_socket(impatient, f"{LCM}/realtime") as socket,
    ):
        frames, code = await last_words(socket)

    assert (frames[0]["error"], code) == ("TIMEOUT", 1000)


async def test_latency_keeps_the_order() -> None:
    options = LocalOptions(speed=100, latency=0.03, buffering=None)
    async with (
        LocalServer(options) as far,
        open_socket(far, f"{LCM}/realtime") as socket,
    ):
        assert await answered(socket, 5) == [0, 1, 2, 3, 4]


async def test_server_survives_a_client_that_vanishes(server: LocalServer) -> None:
    async with open_socket(server, f"{LCM}/realtime") as socket:
        await socket.send(msgpack.packb({"prompt": "x"}))
        socket.transport.abort()

    async with open_socket(server, f"{LCM}/realtime") as socket:
        assert (await ask(socket, {"prompt": "x", "image_size": "square"}))["images"]


@pytest.mark.wire("W68")
async def test_lightning_ignores_pictures(server: LocalServer, uri: str) -> None:
    asked = {"prompt": "the sea", "seed": 3, "image_size": "square"}
    async with open_socket(server, "fal-ai/fast-lightning-sdxl/realtime") as socket:
        with_picture = await ask(socket, {**asked, "image_url": uri, "strength": 0.1})
        without = await ask(socket, asked)

    assert with_picture["images"][0]["content"] == without["images"][0]["content"]


async def test_page_does_not_show_the_key_that_was_given() -> None:
    async with (
        LocalServer(LocalOptions(key="sekret")) as guarded,
        httpx.AsyncClient() as client,
    ):
        page = (await client.get(guarded.url)).text

    assert "sekret" not in page
    assert "FAL_KEY=local" not in page


async def test_pages_of_any_origin_may_call_it(server: LocalServer, http: httpx.AsyncClient) -> None:
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    preflight = await http.options(
        "/tokens/", headers={**asks, "Access-Control-Request-Headers": "authorization,content-type"}
    )
    reply = await http.post("/tokens/", json={"allowed_apps": ["a"]}, headers={**KEY, **asks})

    assert preflight.status_code == 200
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (201, "*")


async def test_page_names_the_endpoints_over_http(http: httpx.AsyncClient) -> None:
    page = (await http.get("/")).text

    assert "fal-ai/flux/schnell" in page
    assert "/queue.fal.run/" in page
