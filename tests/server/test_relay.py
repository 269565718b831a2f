# ruff: noqa: SIM117 - servers outside, sockets inside
from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest
from starlette.requests import Request
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from falrt import server
from falrt.testing import FakeServer, script
from tests.server.serving import KEY, serving

PATIENCE = 10


@contextlib.asynccontextmanager
async def relay(fal: FakeServer, **options: Any) -> AsyncIterator[str]:
    """A server of ours before `fal`; gives the URL of its sockets."""
    defaults = {"allow": ["acme/app"], "authorize": server.anyone, "key": fal.key, "base_url": fal.url}
    async with serving(server.create_app(**{**defaults, **options})) as url:
        yield url.replace("http", "ws") + "/api/fal"


async def next_result(ws: ClientConnection) -> tuple[Any, dict[str, Any]]:
    """The next result, and the message behind it."""
    result = None
    async with asyncio.timeout(PATIENCE):
        while True:
            frame = await ws.recv()
            if isinstance(frame, bytes):
                result = msgpack.unpackb(frame)
            else:
                words = json.loads(frame)
                if words.get("action") in ("reply", "timings") and result is not None:
                    return result, words
                if words.get("type") != "x-fal-message":
                    result = words


async def closing(ws: ClientConnection) -> tuple[int, str, list[Any]]:
    """Read to the end: the code, the reason, and what was said before."""
    said = []
    async with asyncio.timeout(PATIENCE):
        try:
            while True:
                frame = await ws.recv()
                said.append(frame if isinstance(frame, bytes) else json.loads(frame))
        except ConnectionClosed as exc:
            assert exc.rcvd is not None  # noqa: PT017 - for the type checker
            return exc.rcvd.code, exc.rcvd.reason, said


def echo(message: dict[str, Any]) -> dict[str, Any]:
    return {"echo": message["prompt"], "picture": b"\xff\xd8"}


async def test_a_frame_goes_to_fal_and_its_answer_comes_back() -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            await ws.send(msgpack.packb({"prompt": "a fox"}))
            result, words = await next_result(ws)
        assert result == {"echo": "a fox", "picture": b"\xff\xd8"}
        assert words["input"] == 1
        assert words["dropped"] == 0
        assert words["latency"] >= 0
        assert fal.connections[0].path == "/acme/app/realtime"


async def test_json_is_answered_in_json() -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app/realtime") as ws:
            await ws.send('{"prompt": "a fox"}')
            result, _ = await next_result(ws)
            assert result == {"echo": "a fox", "picture": "/9g="}
            await ws.send(b'{"prompt": "a hen"}')
            async with asyncio.timeout(PATIENCE):
                frame = await ws.recv()
        assert isinstance(frame, bytes)
        assert json.loads(frame)["echo"] == "a hen"


async def test_the_newest_frame_is_answered_and_the_answer_names_it() -> None:
    async with FakeServer(echo, key=KEY, service_time=0.02) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            for number in range(40):
                await ws.send(msgpack.packb({"prompt": f"frame {number + 1}"}))
            words = {"input": 0}
            while words["input"] < 40:
                result, words = await next_result(ws)
                assert result["echo"] == f"frame {words['input']}"
        assert len(fal.inputs) < 40
        assert fal.inputs[-1] == {"prompt": "frame 40"}


async def test_a_socket_that_asks_nothing_opens_none_at_fal() -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            await ws.ping()
        assert fal.connections == []


async def test_all_browsers_share_one_token() -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url:
        for _ in range(2):
            async with connect(f"{url}/realtime/acme/app") as ws:
                await ws.send(msgpack.packb({"prompt": "a fox"}))
                await next_result(ws)
        assert len(fal.connections) == 2
        assert len(fal.token_requests) == 1


async def test_a_lost_connection_to_fal_is_fixed_without_the_browser() -> None:
    async with FakeServer(echo, key=KEY, faults=[script.Reset(after=1)]) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            for prompt in ("one", "two", "three"):
                await ws.send(msgpack.packb({"prompt": prompt}))
                result, _ = await next_result(ws)
                assert result["echo"] == prompt
        assert len(fal.connections) == 2


async def test_what_the_app_cannot_do_is_told_in_words_and_the_next_frame_is_answered() -> None:
    def picky(message: dict[str, Any]) -> dict[str, Any]:
        if message["prompt"] == "bad":
            raise ValueError("no such thing")
        return echo(message)

    async with FakeServer(picky, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            await ws.send(msgpack.packb({"prompt": "bad"}))
            async with asyncio.timeout(PATIENCE):
                while (words := json.loads(await ws.recv()))["type"] != "x-fal-error":
                    pass
            assert (words["error"], words["reason"]) == ("INTERNAL_ERROR", "no such thing")
            await ws.send(msgpack.packb({"prompt": "good"}))
            result, _ = await next_result(ws)
            assert result["echo"] == "good"


@pytest.mark.parametrize(
    "frame", [b"\xc1", b"", b"\x93\x01\x02\x03", "[]", "{", b"\x81\x01\x02", b"\x91" * 2000]
)
async def test_a_frame_that_is_no_input_ends_the_socket_and_says_why(frame: bytes | str) -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            await ws.send(frame)
            code, reason, said = await closing(ws)
        assert code == 1007
        assert reason
        assert said[-1]["error"] == "BAD_INPUT"
        assert fal.inputs == []


@pytest.mark.parametrize(
    "frame",
    [
        '{"prompt": "half a pair: \\ud800"}',
        '{"prompt": "a fox", "seed": 123456789012345678901234567890}',
        msgpack.packb({"prompt": "a fox", "loras": {7: "a number as a key"}}),
    ],
)
async def test_a_value_that_fal_cannot_take_ends_the_socket_and_names_its_path(frame: bytes | str) -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            await ws.send(frame)
            code, reason, said = await closing(ws)
        assert code == 1007
        assert reason.startswith("input")
        assert said[-1]["error"] == "BAD_INPUT"
        assert fal.inputs == []


async def test_an_answer_that_the_pages_format_cannot_hold_is_told_and_the_next_one_comes() -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            await ws.send('{"prompt": NaN}')
            async with asyncio.timeout(PATIENCE):
                while (words := json.loads(await ws.recv()))["type"] != "x-fal-error":
                    pass
            assert words["error"] == "BAD_ANSWER"
            assert words["reason"].startswith("answer.echo: NaN")
            await ws.send('{"prompt": "a fox"}')
            assert (await next_result(ws))[0]["echo"] == "a fox"


@pytest.mark.parametrize(
    ("limit", "frames", "code"),
    [
        (server.Limit(frame_bytes=100), [b"x" * 101], 1009),
        (server.Limit(frames=2), [msgpack.packb({"prompt": "a"})] * 12, 4429),
        (server.Limit(bytes_per_second=100), [msgpack.packb({"prompt": "a" * 90})] * 8, 4429),
    ],
)
async def test_a_flood_ends_the_socket(limit: server.Limit, frames: list[bytes], code: int) -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal, limit=limit) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            with contextlib.suppress(ConnectionClosed):
                for frame in frames:
                    await ws.send(frame)
            assert (await closing(ws))[0] == code


async def test_an_idle_browser_is_told_so_as_fal_does() -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal, limit=server.Limit(idle=0.05)) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            code, _, said = await closing(ws)
    assert code == 1000
    assert said[-1]["error"] == "TIMEOUT"


async def test_a_browser_that_leaves_takes_its_connection_to_fal_along() -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            await ws.send(msgpack.packb({"prompt": "a fox"}))
            await next_result(ws)
        await fal.wait_for_close()


@pytest.mark.parametrize(
    "path", ["/realtime/acme/other", "/realtime/acme", "/realtime/https://evil.example/x"]
)
async def test_another_app_is_4403(path: str) -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal) as url, connect(url + path) as ws:
        code, reason, _ = await closing(ws)
        assert code == 4403
        assert reason
        assert fal.connections == []


async def test_nobody_and_a_foreign_page_are_kept_out() -> None:
    def nobody(request: Request) -> None:
        assert request.headers["host"]

    async with FakeServer(echo, key=KEY) as fal, relay(fal, authorize=nobody) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            assert (await closing(ws))[0] == 4401
        for path in ("/realtime/acme/app", "/watch/stage"):
            for origin in ("https://evil.example", "null"):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(url + path, origin=origin)  # type: ignore[arg-type]
                assert refused.value.response.status_code == 403
        assert fal.connections == []


async def test_a_visitor_has_so_many_sockets() -> None:
    async with FakeServer(echo, key=KEY) as fal, relay(fal, limit=server.Limit(sockets=1)) as url:
        async with connect(f"{url}/realtime/acme/app") as one:
            async with connect(f"{url}/realtime/acme/app") as two:
                assert (await closing(two))[:2] == (4429, "Too many sockets")
            await one.send(msgpack.packb({"prompt": "a fox"}))
            assert (await next_result(one))[0]["echo"] == "a fox"
        async with asyncio.timeout(PATIENCE):  # the place is free as soon as the first has gone
            while True:
                async with connect(f"{url}/realtime/acme/app") as three:
                    await three.send(msgpack.packb({"prompt": "a hen"}))
                    with contextlib.suppress(ConnectionClosed):
                        await next_result(three)
                        break


async def test_who_is_logged_out_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falrt.server.sockets._RECHECK_INTERVAL", 0.01)
    sessions = {"anna"}

    def login(request: Request) -> str | None:
        return "anna" if "anna" in sessions else None

    async with FakeServer(echo, key=KEY) as fal, relay(fal, authorize=login) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            await ws.send(msgpack.packb({"prompt": "a fox"}))
            await next_result(ws)
            sessions.clear()
            assert (await closing(ws))[0] == 4401


async def test_a_bad_key_of_ours_is_not_the_visitors_business() -> None:
    async with FakeServer(echo, key="another-key") as fal, relay(fal, key=KEY) as url:
        async with connect(f"{url}/realtime/acme/app") as ws:
            await ws.send(msgpack.packb({"prompt": "a fox"}))
            code, reason, said = await closing(ws)
        assert code == 1011
        assert "key" not in reason.lower() + str(said[-1]).lower()


async def test_a_stalled_browser_holds_up_neither_fal_nor_others() -> None:
    picture = b"\xff\xd8" + b"x" * 400_000

    def paint(message: dict[str, Any]) -> dict[str, Any]:
        return {"number": message["number"], "picture": picture}

    async with FakeServer(paint, key=KEY) as fal, relay(fal) as url:
        async with connect(f"{url}/realtime/acme/app", max_queue=1) as stalled:

            async def ask(number: int) -> None:
                await stalled.send(msgpack.packb({"number": number}))

            # It asks and does not read: more pictures than all buffers hold.
            for number in range(60):
                await ask(number)
                await fal.wait_for(lambda number=number: {"number": number} in fal.inputs)
            async with connect(f"{url}/realtime/acme/app") as other:
                await other.send(msgpack.packb({"number": 1000}))
                assert (await next_result(other))[0]["number"] == 1000
            # Then it reads: what comes is few, and ends with the newest.
            seen = []
            while not seen or seen[-1] != 59:
                seen.append((await next_result(stalled))[0]["number"])
        assert seen == sorted(seen)
        assert len(seen) < 60
