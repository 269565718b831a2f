"""Every example is a whole program, and runs without a key or a network."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import falrt
import falrt.sync
from falrt import models
from falrt.local import LocalOptions, LocalServer

ROOT = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(ROOT.glob("*.py"))
# Those that go on until told take the seconds as their argument.
ARGUMENTS = {"webcam": ["1"], "game_loop": ["1"]}
# Servers, which have a test of their own each.
SERVERS = {"fastapi_canvas", "fastapi_relay", "gradio_webcam"}


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "FAL_KEY_ID", "FALRT_BASE_URL", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_key")
@pytest.mark.parametrize(
    "example", [path for path in EXAMPLES if path.stem not in SERVERS], ids=lambda path: path.stem
)
def test_an_example_runs_and_leaves_its_result(example: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(example), *ARGUMENTS.get(example.stem, [])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert any(file.stat().st_size > 1000 for file in tmp_path.iterdir())


def load(name: str) -> ModuleType:
    """Import an example, which does nothing by itself."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_relay_serves_its_page_and_pictures_to_a_browser() -> None:
    pytest.importorskip("fastapi", reason="FastAPI is not installed")
    from tests.server.serving import serving

    async with LocalServer(LocalOptions(speed=50)) as fal, asyncio.timeout(60):
        app = load("fastapi_relay").create_app(base_url=fal.url, key="local")
        async with serving(app) as url, httpx.AsyncClient() as http:
            page = (await http.get(url)).text
            address = re.search(r'"(/api/fal/realtime/[^"]+)"', page)
            assert address is not None
            async with connect(url.replace("http", "ws", 1) + address[1], origin=url) as socket:
                frame = falrt.data_uri(np.zeros((64, 64, 3), np.uint8))
                await socket.send(json.dumps({"image_url": frame, "prompt": "gold"}))
                while "images" not in (message := json.loads(await socket.recv())):
                    pass
        assert base64.b64decode(message["images"][-1]["content"]).startswith(b"\xff\xd8")


async def test_the_canvas_is_for_who_is_logged_in() -> None:
    pytest.importorskip("fastapi", reason="FastAPI is not installed")
    from tests.server.serving import serving

    async with LocalServer(LocalOptions(speed=50)) as fal, asyncio.timeout(60):
        app = load("fastapi_canvas").create_app(base_url=fal.url, key="local")
        async with serving(app) as url, httpx.AsyncClient(base_url=url, follow_redirects=True) as http:
            address = url.replace("http", "ws", 1) + "/api/fal/realtime/fal-ai/flux-2/klein"
            assert "password" in (await http.post("/login", content="name=anna&password=wrong")).text
            async with connect(address) as stranger:
                with pytest.raises(ConnectionClosed):
                    await stranger.recv()
            assert stranger.close_code == 4401
            assert "Hello anna" in (await http.post("/login", content="name=anna&password=anna")).text
            cookie = {"cookie": f"session={http.cookies['session']}"}
            async with connect(address, origin=url, additional_headers=cookie) as socket:
                frame = falrt.data_uri(np.zeros((64, 64, 3), np.uint8))
                await socket.send(json.dumps({"image_url": frame, "prompt": "gold"}))
                while "images" not in (message := json.loads(await socket.recv())):
                    pass
        assert base64.b64decode(message["images"][-1]["content"]).startswith(b"\xff\xd8")


def test_the_gradio_example_restyles_a_frame() -> None:
    pytest.importorskip("gradio", reason="Gradio is not installed")
    with (
        LocalServer(LocalOptions(speed=50)) as fal,
        falrt.sync.connect(models.KLEIN, base_url=fal.url, key="local") as conn,
    ):
        app = load("gradio_webcam").create_app(conn)
        (restyle,) = (block.fn for block in app.fns.values())
        assert restyle(None, "gold") is None
        assert restyle(np.zeros((64, 64, 3), np.uint8), "gold").shape == (768, 768, 3)


@pytest.mark.usefixtures("no_key")
def test_the_notebook_shows_pictures_that_change(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bytes] = []

    class Handle:
        def update(self, picture: bytes) -> None:
            shown.append(picture)

    # What a notebook brings, so that the cells run where there is none.
    display = ModuleType("IPython.display")
    display.Image = lambda data, **_: data
    display.display = lambda **_: Handle()
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    notebook = json.loads((ROOT / "live.ipynb").read_text(encoding="utf-8"))
    cells: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "a notebook is kept without its outputs"
            exec("".join(cell["source"]), cells)
    assert len(set(shown)) > 1


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short(example: Path) -> None:
    assert len(example.read_text().splitlines()) <= 65
