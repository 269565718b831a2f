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
                apps={LCM: answer}, key="id:secret", refusal="close", strict=strict, session_timeout=30
            )
            local = LocalServer(LocalOptions(speed=100, key="id:secret", strict=strict))
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

    assert (reply.status_code, reply.json()) == (401, {"detail": "Unauthorized"})
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
