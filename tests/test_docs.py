"""Every Python block of the README and the docs runs, in order, against the local stand-in."""

from __future__ import annotations

import ast
import asyncio
import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from falrt import media, models
from falrt.local import LocalOptions, LocalServer
from falrt.protocol.events import TRANSITIONS

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]
# Where a reader saves each block as a file and runs it.
PROGRAMS = [ROOT / "README.md", ROOT / "docs" / "tutorial" / "first-picture.md"]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(page: Path) -> list[str]:
    return _BLOCK.findall(page.read_text())


def _prelude() -> dict[str, object]:
    """Names that the pages take for granted: a camera, a screen, a picture."""
    picture = np.zeros((64, 64, 3), np.uint8)
    left = iter(range(6))

    async def camera():
        for _ in range(6):
            yield models.KleinInput(image_url=picture, prompt="oil painting")
            await asyncio.sleep(0.01)

    return {
        "camera": camera,
        "read_camera": lambda: picture if next(left, None) is not None else None,
        "show": lambda *_: None,
        "picture": picture,
        "__name__": "__docs__",
    }


def _run(source: str, name: str, namespace: dict[str, object]) -> None:
    code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)
    if inspect.isawaitable(result):

        async def within_a_minute() -> None:
            async with asyncio.timeout(60):
                await result

        asyncio.run(within_a_minute())


@pytest.fixture(scope="module")
def stand_in() -> Iterator[str]:
    with LocalServer(LocalOptions(speed=50.0)) as server:
        yield server.url


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda p: p.name)
def test_every_block_of_a_first_page_is_a_program(page: Path, stand_in: str, tmp_path: Path) -> None:
    (tmp_path / "me.jpg").write_bytes(media.jpeg_bytes(np.full((64, 64, 3), 128, np.uint8)))
    environment = {**os.environ, "FAL_KEY": "local", "FALRT_BASE_URL": stand_in, "PYTHONPATH": str(ROOT)}
    for number, block in enumerate(_blocks(page), 1):
        program = tmp_path / f"program{number}.py"
        program.write_text(block)
        done = subprocess.run(
            [sys.executable, "-W", "error", program.name],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), f"block {number}: {done.stderr}"


@pytest.mark.parametrize("page", [p for p in PAGES if _blocks(p) and p not in PROGRAMS], ids=lambda p: p.name)
def test_every_block_of_a_page_runs(
    page: Path, stand_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "me.jpg").write_bytes(media.jpeg_bytes(np.full((64, 64, 3), 128, np.uint8)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAL_KEY", "local")
    monkeypatch.setenv("FALRT_BASE_URL", stand_in)
    namespace = _prelude()
    for number, block in enumerate(_blocks(page), 1):
        _run(block, f"{page.name} block {number}", namespace)


def test_the_drawing_of_the_life_cycle_shows_the_whole_table() -> None:
    spec = importlib.util.spec_from_file_location("life_cycle", ROOT / "docs/_extensions/life_cycle.py")
    assert spec is not None
    assert spec.loader is not None
    extension = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extension)
    svg = ElementTree.fromstring(extension.drawing())
    words = [text.text for text in svg.iter("text")]
    states = {state.name for (state, _), _ in TRANSITIONS.items()} | {
        state.name for state in TRANSITIONS.values()
    }
    assert states <= set(words)
    arrows = {(source, target) for (source, _), target in TRANSITIONS.items()}
    assert len([path for path in svg.iter("path") if path.get("class") is None]) == len(arrows)
    assert {str(event) for _, event in TRANSITIONS} <= {
        word for text in words if text for word in text.split(", ")
    } | set(words)


def test_the_life_cycle_diagram_is_the_transition_table() -> None:
    page = (ROOT / "docs/explanation/life-cycle.md").read_text()
    lines = [f"    {a.name} --> {b.name}: {event}" for (a, event), b in TRANSITIONS.items()]
    assert "\n".join(["stateDiagram-v2", *lines]) in page


@pytest.mark.parametrize(
    "room",
    [
        "falrt",
        "falrt.protocol.pacing.policies",
        "falrt.media",
        "falrt.testing",
        "falrt.local",
        "falrt.server",
        "falrt.telemetry",
        "falrt.codecs",
    ],
)
def test_every_public_name_is_in_the_api_reference(room: str) -> None:
    pages = "".join((ROOT / "docs/reference" / page).read_text() for page in ("api.md", "errors.md"))
    names = [name for name in importlib.import_module(room).__all__ if not name.startswith("__")]
    assert [name for name in names if not re.search(rf"\b{name}\b", pages)] == []


def test_every_link_of_the_pages_leads_somewhere() -> None:
    others = [
        ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")
    ]
    missing = [
        f"{page.name}: {target}"
        for page in [*PAGES, *others]
        for target in re.findall(r"\]\(([^)#:]+\.(?:md|jpg|png|svg|ipynb|py))[^)]*\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert missing == []
