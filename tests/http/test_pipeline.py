"""``Client.pipeline``: HTTP over WebSockets."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

import falrt
from falrt.testing import FakeServer
from falrt.testing.platform.port import refused
from tests.http.scripted import Said, scripted
from tests.leaks import leaves_nothing, our_tasks, soon, until

APP = "fal-ai/flux/schnell"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses between tries last no time."""
    monkeypatch.setattr("falrt.http.caller.random.random", lambda: 0.0)


class Echo:
    """Answers with the input's number; can hold up those that it is told to."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)
        self.go: asyncio.Event | None = None
        self.inputs: list[Any] = []

    async def __call__(self, given: Any) -> Any:
        self.inputs.append(given["n"])
        self.begun.release()
        if self.go is not None:
            await self.go.wait()
        if given["n"] == 13:
            raise refused(503, "gone", "runner_server_error")
        if given["n"] == 42:
            raise refused(422, [{"loc": ["body", "n"], "msg": "not that", "type": "x"}])
        return {"n": given["n"]}


def client(server: FakeServer, **options: Any) -> falrt.Client:
    return falrt.Client(**{"key": "test", "base_url": server.url, **options})


async def test_calls_at_the_same_time_get_their_own_answers_over_one_socket() -> None:
    async with FakeServer(Echo()) as server, client(server) as fal, leaves_nothing(server.url):
        async with fal.pipeline(APP) as ws:
            results = await soon(asyncio.gather(*(ws.run({"n": n}) for n in range(100, 120))))
        assert [result["n"] for result in results] == list(range(100, 120))
        assert len(server.connections) == 1
        await fal.aclose()


async def test_a_model_checks_and_loads() -> None:
    async with FakeServer() as server, client(server) as fal, fal.pipeline(falrt.models.FLUX_SCHNELL) as ws:
        output = await soon(ws.run({"prompt": "a cat"}))
        assert output.images[0].width == 8
        with pytest.raises(ValueError, match="promt"):
            await ws.run({"promt": "a cat"})


async def test_an_error_fails_its_own_call_alone() -> None:
    async with FakeServer(Echo()) as server, client(server) as fal, fal.pipeline(APP, retries=0) as ws:
        results = await soon(
            asyncio.gather(*(ws.run({"n": n}) for n in (1, 42, 13, 2)), return_exceptions=True)
        )
    assert (results[0], results[3]) == ({"n": 1}, {"n": 2})
    wrong, gone = results[1:3]
    assert isinstance(wrong, falrt.HTTPStatusError)
    assert str(wrong).startswith(f"{APP}: n: not that (422, request ")
    assert isinstance(gone, falrt.HTTPStatusError)
    assert gone.error_type == "runner_server_error"


async def test_a_failure_of_the_platform_is_tried_again() -> None:
    echo = Echo()
    async with FakeServer(echo) as server, client(server) as fal, fal.pipeline(APP, retries=2) as ws:
        with pytest.raises(falrt.HTTPStatusError):
            await soon(ws.run({"n": 13}))
    assert echo.inputs == [13] * 3


async def test_a_call_that_is_given_up_leaves_its_answer_to_nobody() -> None:
    echo = Echo()
    async with FakeServer(echo) as server, client(server) as fal, fal.pipeline(APP) as ws:
        echo.go = asyncio.Event()
        with pytest.raises(falrt.RequestTimeout):
            await soon(ws.run({"n": 1}, timeout=0.05))
        second = asyncio.ensure_future(ws.run({"n": 2}))
        await asyncio.sleep(0)
        echo.go.set()
        assert await soon(second) == {"n": 2}


async def test_a_lost_socket_fails_what_may_have_been_worked_on_and_the_next_call_has_another() -> None:
    echo = Echo()
    echo.go = asyncio.Event()
    async with FakeServer(echo) as server, client(server) as fal, fal.pipeline(APP) as ws:
        call = asyncio.ensure_future(ws.run({"n": 1}))
        await soon(echo.begun.acquire())
        server.connections[0].socket.reset()
        with pytest.raises(falrt.HTTPCallError, match="may have been worked on") as caught:
            await soon(call)
        assert caught.value.retryable
        echo.go.set()
        assert await soon(ws.run({"n": 2})) == {"n": 2}
    assert len(server.connections) == 2


async def test_a_lost_answer_is_asked_for_again_where_that_is_safe() -> None:
    echo = Echo()
    echo.go = asyncio.Event()
    async with FakeServer(echo) as server, client(server) as fal, fal.pipeline(APP) as ws:
        call = asyncio.ensure_future(ws.run({"n": 1}, repeatable=True))
        await soon(echo.begun.acquire())
        echo.go.set()
        server.connections[0].socket.reset()
        assert await soon(call) == {"n": 1}
    assert echo.inputs == [1, 1]


@pytest.mark.parametrize("refusal", ["frame", "close", 401])
async def test_a_bad_key_is_an_authentication_error(refusal: Any) -> None:
    async with FakeServer(refusal=refusal) as server, client(server, key="wrong-key") as fal:
        with pytest.raises(falrt.AuthenticationError):
            async with fal.pipeline(APP) as ws:
                await soon(ws.run({"n": 1}))


@pytest.mark.parametrize("status", [403, 503])
@pytest.mark.parametrize("way", ["pipeline", "connect"])
async def test_a_refused_handshake_that_quotes_half_of_the_key_does_not_show_it(
    way: str, status: int
) -> None:
    secret = "abcdefghij"
    async with (
        scripted(lambda _: Said(status, {"detail": f"who is {secret}?"})) as (url, _),
        falrt.Client(key=f"0123456789:{secret}", base_url=url, auth="key") as fal,
    ):
        made: Any = {
            "pipeline": lambda: fal.pipeline(APP, retries=0),
            "connect": lambda: fal.connect(APP, reconnect=False),
        }
        with pytest.raises(falrt.FalrtError, match="who is") as caught:
            await soon(made[way]().__aenter__())
    shown = "".join(traceback.format_exception(caught.value))
    assert secret not in shown


async def test_a_server_that_is_not_there_is_named() -> None:
    port = await _free_port()
    async with falrt.Client(key="test", base_url=f"http://127.0.0.1:{port}") as fal:
        with pytest.raises(falrt.ConnectError, match=f"127.0.0.1:{port}"):
            async with fal.pipeline(APP):
                pass


async def _free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_a_server_that_speaks_out_of_turn_ends_the_calls() -> None:
    async def babble(socket: ServerConnection) -> None:
        async for _ in socket:
            await socket.send('{"odd": true}')

    async with serve(babble, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with falrt.Client(key="test", base_url=url) as fal, fal.pipeline(APP) as ws:
            with pytest.raises(falrt.DecodeError, match="belongs to no answer"):
                await soon(ws.run({"n": 1}))


async def test_closing_ends_what_waits_and_leaves_nothing() -> None:
    echo = Echo()
    echo.go = asyncio.Event()
    async with FakeServer(echo) as server, client(server) as fal, leaves_nothing(server.url):
        ws = fal.pipeline(APP)
        await ws.__aenter__()
        call = asyncio.ensure_future(ws.run({"n": 1}))
        await soon(echo.begun.acquire())
        await soon(fal.aclose())
        with pytest.raises(falrt.ConnectionClosedOK):
            await soon(call)
        with pytest.raises(falrt.ConnectionClosedOK):
            await ws.run({"n": 2})
        await until(lambda: not our_tasks())


async def test_wrong_use_is_named() -> None:
    async with falrt.Client(proxy_url="http://127.0.0.1:1/proxy") as fal:
        with pytest.raises(falrt.ConfigurationError, match="proxy_url"):
            fal.pipeline(APP)
    async with falrt.Client(key="test", base_url="http://127.0.0.1:1") as fal:
        wrong: Any = {"hint": "x"}
        with pytest.raises(falrt.ConfigurationError, match="run"):
            fal.pipeline(APP, **wrong)
        with pytest.raises(falrt.ConnectionClosedOK, match="new"):
            await fal.pipeline(APP).run({"n": 1})
    async with FakeServer() as server, client(server) as fal, fal.pipeline(APP) as ws:
        with pytest.raises(falrt.ConcurrencyError):
            await ws.__aenter__()
