"""Over HTTP, an app of the fake server answers as one of fal's own server SDK does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from falrt.testing import App, BackgroundFakeServer

pytestmark = pytest.mark.peer
fal = pytest.importorskip("fal", reason="fal's server SDK is not installed: pip install --group peers")
from tests.interop.fal_app import serve_fal_app  # noqa: E402 - needs fal


class Given(BaseModel):
    prompt: str
    steps: int = 4


def work(given: Given) -> dict[str, Any]:
    if given.prompt == "fail":
        raise RuntimeError("no memory left")
    return {"prompt": given.prompt, "steps": given.steps}


class Peer(fal.App):  # type: ignore[misc,name-defined]  # fal is imported if it is there
    @fal.endpoint("/echo")  # type: ignore[untyped-decorator]  # as above
    def echo(self, given: Given) -> dict[str, Any]:
        return work(given)


@pytest.fixture(scope="module")
def peers() -> Iterator[tuple[str, str]]:
    app = App(work, input_type=Given)
    with serve_fal_app(Peer) as fals, BackgroundFakeServer(apps={"acme/app/echo": app}, auth=False) as ours:
        yield fals, f"{ours.url}/acme/app"


def told(reply: httpx.Response) -> tuple[int, Any]:
    """Return status and body; of a problem with an input, what a client can act upon."""
    body = reply.json()
    detail = body.get("detail")
    if isinstance(detail, list):
        return reply.status_code, [(entry["type"], entry["loc"], entry["msg"]) for entry in detail]
    return reply.status_code, str(body).replace("/acme/app", "")


@pytest.mark.wire("W70")
@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "a fox"},
        {"prompt": "a fox", "unknown": 1},
        {},
        {"prompt": 1},
        {"prompt": "x", "steps": "many"},
    ],
)
def test_an_input_is_answered_or_refused_alike(peers: tuple[str, str], body: Any) -> None:
    fals, ours = (told(httpx.post(f"{url}/echo", json=body)) for url in peers)
    assert ours == fals


def test_what_an_app_raises_is_a_500_alike(peers: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    fals, ours = (told(httpx.post(f"{url}/echo", json={"prompt": "fail"})) for url in peers)
    assert ours == fals == (500, "{'detail': 'Internal Server Error'}")


def test_a_path_that_is_not_there_is_a_404_alike(peers: tuple[str, str]) -> None:
    fals, ours = (told(httpx.post(f"{url}/nothing", json={})) for url in peers)
    assert ours == fals == (404, "{'detail': 'Path /nothing not found'}")


def test_another_method_is_refused_alike(peers: tuple[str, str]) -> None:
    fals, ours = (told(httpx.get(f"{url}/echo")) for url in peers)
    assert ours == fals
