"""falrt.compat: fal_client's names, arguments, types and documented programs."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import falrt
from falrt import compat as fal_client
from falrt.testing import App, BackgroundFakeServer, FakeServer
from falrt.testing.platform.port import refused
from tests.http.scripted import Said, scripted
from tests.leaks import soon

original = pytest.importorskip("fal_client", reason="fal_client itself is compared with")

# Name of fal_client -> why it is not here.
ABSENT = {
    "set_get_current_app": "for code inside fal's own runners, whose request it passes on",
    "ws_connect": "a raw socket of another library; falrt.connect(path=..., encode_message=...) reaches such apps",
    "ws_connect_async": "as ws_connect",
    "auth": "a module, not documented",
    "client": "a module, not documented",
}
ABSENT_METHODS = {
    "ws_connect": "as above",
    "from_request_id": "takes an httpx client; get_handle() of a client does the same",
}


def public(owner: Any) -> list[str]:
    return [name for name in dir(owner) if not name.startswith("_")]


def test_every_public_name_is_here_or_its_absence_has_a_reason() -> None:
    names = {*public(original), *original.__all__} - {"annotations"}
    assert sorted(name for name in names if not hasattr(fal_client, name)) == sorted(ABSENT)


@pytest.mark.parametrize(
    "name", ["SyncClient", "AsyncClient", "SyncRequestHandle", "AsyncRequestHandle", "RealtimeConnection"]
)
def test_every_method_is_here_with_its_arguments(name: str) -> None:
    theirs, ours = getattr(original, name), getattr(fal_client, name)
    for method in public(theirs):
        if method in ABSENT_METHODS:
            continue
        kind = getattr(theirs, method)
        if not callable(kind):
            continue
        parameters = inspect.signature(getattr(ours, method)).parameters
        flexible = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        for parameter in inspect.signature(kind).parameters.values():
            if parameter.name not in parameters:
                assert flexible, f"{name}.{method}({parameter.name})"
            elif parameter.default is not parameter.empty:
                assert parameters[parameter.name].default == parameter.default, (
                    f"{name}.{method}({parameter.name})"
                )


@pytest.mark.parametrize("name", ["Queued", "InProgress", "Completed", "StorageSettings", "StorageACL"])
def test_every_type_has_the_same_fields(name: str) -> None:
    theirs = inspect.signature(getattr(original, name)).parameters
    ours = inspect.signature(getattr(fal_client, name)).parameters
    assert list(theirs) == list(ours)


def test_realtime_takes_fal_clients_options() -> None:
    theirs = set(inspect.signature(original.realtime).parameters) - {"application"}
    ours = set(inspect.signature(fal_client._realtime_options).parameters)  # type: ignore[attr-defined]
    assert ours - theirs == {"on_result", "on_error"}
    assert theirs <= ours


# Its documented programs, with only the import changed.

SNIPPETS = {
    "run": """
response = fal_client.run("fal-ai/fast-sdxl", arguments={"prompt": "a cute cat, realistic, orange"})
print(response["images"][0]["url"])
""",
    "run_async": """
import asyncio

async def main():
    response = await fal_client.run_async("fal-ai/fast-sdxl", arguments={"prompt": "a cute cat, realistic, orange"})
    print(response["images"][0]["url"])


asyncio.run(main())
asyncio.run(main())
""",
    "upload": """
audio_url = fal_client.upload_file("audio.wav")
response = fal_client.run("fal-ai/whisper", arguments={"audio_url": audio_url})
print(response["text"])
""",
    "encode": """
audio_data_url = fal_client.encode_file("audio.wav")
response = fal_client.run("fal-ai/whisper", arguments={"audio_url": audio_data_url})
print(response["text"])
""",
    "queue": """
import asyncio

async def main():
    response = await fal_client.submit_async("fal-ai/fast-sdxl", arguments={"prompt": "a cute cat, realistic, orange"})

    logs_index = 0
    async for event in response.iter_events(with_logs=True):
        if isinstance(event, fal_client.Queued):
            print("Queued. Position:", event.position)
        elif isinstance(event, (fal_client.InProgress, fal_client.Completed)):
            new_logs = event.logs[logs_index:]
            for log in new_logs:
                print(log["message"])
            logs_index = len(event.logs)

    result = await response.get()
    print(result["images"][0]["url"])


asyncio.run(main())
""",
    "subscribe": """
def on_queue_update(update):
    if isinstance(update, fal_client.InProgress):
        for log in update.logs:
           print(log["message"])

result = fal_client.subscribe(
    "fal-ai/flux/dev",
    arguments={"prompt": "a cat"},
    with_logs=True,
    on_queue_update=on_queue_update,
)
print(result["images"][0]["url"])
""",
    "stream": """
stream = fal_client.stream("fal-ai/flux/dev", arguments={"prompt": "a cat"})
for event in stream:
    print(event["images"][0]["url"])
for event in fal_client.run_iterator("fal-ai/flux/dev", arguments={"prompt": "a cat"}):
    print(event["images"][0]["url"])
""",
    "status": """
handler = fal_client.submit("fal-ai/flux/dev", arguments={"prompt": "a cat"}, webhook_url="http://127.0.0.1:9/hook")
request_id = handler.request_id
status = fal_client.status("fal-ai/flux/dev", request_id, with_logs=True)
result = fal_client.result("fal-ai/flux/dev", request_id)
print(result["images"][0]["url"])
""",
    "realtime": """
with fal_client.realtime("fal-ai/fast-lcm-diffusion") as connection:
    connection.send({"prompt": "a cat"})
    print("http" if connection.recv()["images"] else "")
""",
}


def whisper(given: dict[str, Any]) -> dict[str, Any]:
    assert given["audio_url"].startswith("data:")
    return {"text": "http"}


@pytest.mark.parametrize("name", SNIPPETS)
def test_documented_programs_run_with_only_the_import_changed(name: str, tmp_path: Path) -> None:
    (tmp_path / "audio.wav").write_bytes(b"RIFF....WAVE" + bytes(100))
    program = "from falrt import compat as fal_client\n" + SNIPPETS[name]
    apps: Any = {
        "fal-ai/whisper": whisper,
        "fal-ai/fast-sdxl": None,
        "fal-ai/flux/dev": None,
        "fal-ai/fast-lcm-diffusion": None,
    }
    with BackgroundFakeServer(apps=apps) as server:
        environment = {
            "FALRT_BASE_URL": server.url, "FAL_KEY": "test", "PYTHONPATH": str(Path(falrt.__file__).parent.parent),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    assert "http" in done.stdout


# What programs rely on beside.


@pytest.fixture
def base_url(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FAL_KEY", "test")
    return lambda url: monkeypatch.setenv("FALRT_BASE_URL", url)


async def test_a_http_error_has_fal_clients_attributes(base_url: Any) -> None:
    def fail(given: Any) -> Any:
        raise refused(422, [{"loc": ["body", "n"], "msg": "no", "type": "x"}])

    async with FakeServer(fail) as server:
        base_url(server.url)
        client = fal_client.AsyncClient()
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            await soon(client.run("acme/app", {}))
        with pytest.raises(fal_client.FalClientHTTPError):
            await soon(client.subscribe("acme/app", {}))
        await client.aclose()
    error = caught.value
    assert error.status_code == 422
    assert error.message[0]["msg"] == "no"
    assert error.response.json() == {"detail": error.message}
    assert error.response.status_code == 422
    assert isinstance(error, falrt.FalrtError)


@pytest.mark.parametrize("detail", ["NaN", '"\\ud800"', '"caf\u00e9"', "{}"])
async def test_an_odd_error_is_a_http_error_too(base_url: Any, detail: str) -> None:
    odd = Said(422, f'{{"detail": {detail}}}'.encode(), {"x-fal-request-id": "caf\u00e9"})
    async with scripted(lambda _: odd) as (url, _):
        base_url(url)
        client = fal_client.AsyncClient()
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            await soon(client.run("acme/app", {}))
        await client.aclose()
    assert caught.value.response.headers["x-fal-request-id"] == "caf\u00e9"
    assert "detail" in caught.value.response.json()


async def test_a_client_timeout_cancels_and_names_the_request(base_url: Any) -> None:
    never = asyncio.Event()

    async def stall(given: Any) -> Any:
        await never.wait()

    async with FakeServer(stall) as server:
        base_url(server.url)
        client = fal_client.AsyncClient()
        with pytest.raises(fal_client.FalClientTimeoutError) as caught:
            await soon(client.subscribe("acme/app", {}, client_timeout=0.2))
        await client.aclose()
        job = server.platform.queue.jobs[caught.value.request_id or ""]
        assert job.status == "COMPLETED"
    assert caught.value.timeout == 0.2
    assert isinstance(caught.value, TimeoutError)


async def test_callbacks_of_subscribe_get_the_id_and_all_lines_so_far(base_url: Any) -> None:
    told: list[Any] = []

    async def on_enqueue(request_id: str) -> None:
        told.append(request_id)

    async with FakeServer() as server:
        base_url(server.url)
        client = fal_client.AsyncClient()
        await soon(
            client.subscribe(
                "acme/app", {}, with_logs=True, on_enqueue=on_enqueue, on_queue_update=told.append
            )
        )
        await client.aclose()
        assert told[0] in server.platform.queue.jobs
    assert isinstance(told[-1], fal_client.Completed)
    assert (told[-1].logs or [])[0]["message"] == "started"


async def test_files_and_pictures_are_stored(base_url: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello")
    acl = fal_client.StorageACL(default="hide", rules=[fal_client.StorageACLRule("me", "allow")])
    settings = fal_client.StorageSettings(expires_in="1h", initial_acl=acl)
    async with FakeServer() as server:
        base_url(server.url)
        client = fal_client.AsyncClient()
        await soon(client.upload("text", "text/plain", "b.txt", repository="fal", lifecycle=settings))
        await soon(client.upload_file(path))
        await soon(client.upload_image(Image.new("RGB", (4, 4)), "png"))
        wrong: Any = "floppy"
        with pytest.raises(ValueError, match="floppy"):
            await client.upload(b"", "text/plain", repository=wrong)
        with pytest.warns(DeprecationWarning, match="cdn"):
            await soon(client.upload(b"", "text/plain", fallback_repository=["cdn"]))
        await client.aclose()
        files = list(server.platform.storage.files.values())
    assert [(file.name, file.content_type) for file in files[:3]] == [
        ("b.txt", "text/plain"),
        ("a.txt", "text/plain"),
        ("file.png", "image/png"),
    ]
    assert '"rules": [{"user": "me", "decision": "allow"}]' in (files[0].lifecycle or "")
    assert '"expiration_duration_seconds": 3600' in (files[0].lifecycle or "")


async def test_realtime_hands_results_to_callbacks(base_url: Any) -> None:
    got: asyncio.Queue[Any] = asyncio.Queue()
    async with FakeServer() as server:
        base_url(server.url)
        connection = fal_client.realtime_async("acme/app", on_result=got.put_nowait, use_jwt=False)
        async with connection:
            await connection.send({"prompt": "a"})
            assert (await soon(got.get()))["images"]
        assert server.token_requests == []


async def test_a_closed_realtime_connection_gives_none_and_a_failing_app_an_error(base_url: Any) -> None:
    def fail(given: Any) -> Any:
        raise ValueError("boom")

    async with FakeServer(fail) as server:
        base_url(server.url)
        async with fal_client.realtime_async("acme/app/realtime") as connection:
            await connection.send({})
            with pytest.raises(fal_client.RealtimeError, match="boom") as caught:
                await soon(connection.recv())
        assert await connection.recv() is None
    assert caught.value.error == "INTERNAL_ERROR"


def test_a_forked_or_forgotten_client_leaves_no_thread(base_url: Any) -> None:
    with BackgroundFakeServer() as server:
        base_url(server.url)
        client = fal_client.SyncClient(key="test")
        assert client.run("acme/app", {})["seed"] == 35
        handle = client.submit("acme/app", {})
        assert handle.get()["seed"] == 35
        assert isinstance(handle.status(with_logs=True), fal_client.Completed)
        assert [type(each) for each in handle.iter_events()] == [fal_client.Completed]
        handle.cancel()
        assert client.get_handle("acme/app", handle.request_id).request_id in repr(handle)
        thread = client.parts()[1]._thread
        del client, handle
        import gc

        gc.collect()
        thread.join(5)
        assert not thread.is_alive()


def test_parts_of_a_stream_may_come_from_another_path(base_url: Any) -> None:
    parts = App(parts=lambda given: [{"n": 1}, {"n": 2}])
    with BackgroundFakeServer(apps={"acme/app": parts}) as server:
        base_url(server.url)
        client = fal_client.SyncClient()
        assert list(client.stream("acme/app", {})) == [{"n": 1}, {"n": 2}]
