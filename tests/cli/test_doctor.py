from __future__ import annotations

import re
import socket
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

import falrt
from falrt.cli.doctor import EXTRAS
from falrt.local import LocalOptions, LocalServer


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FALRT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_a_healthy_place_is_told_step_by_step(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalServer(LocalOptions(speed=50, key="right")) as server:
        monkeypatch.setenv("FALRT_BASE_URL", server.url)
        monkeypatch.setenv("FAL_KEY", "right")
        url, result = server.url, run("doctor")

    assert result.exit_code == 0
    steps = [line.split()[0] for line in result.output.splitlines() if not line.startswith("extra")]
    assert steps == ["versions", "key", "server", "token", "socket", "picture", "result"]
    for part in (
        falrt.__version__,
        "found in FAL_KEY",
        f"{url} (FALRT_BASE_URL)",
        "768 x 768 pixels in ",
    ):
        assert part in result.output
    assert "right" not in result.output


def test_it_works_with_no_key_and_no_network(run: Callable[..., Result]) -> None:
    result = run("doctor", "--local", "--model", "lcm")

    assert result.exit_code == 0
    assert result.output.endswith("everything works\n")


@pytest.mark.parametrize(
    ("key", "step", "cure"), [(None, "versions", "FAL_KEY"), ("wrong", "server", "check FAL_KEY")]
)
def test_what_fails_is_named_with_its_cure(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, key: str | None, step: str, cure: str
) -> None:
    with LocalServer(LocalOptions(key="right")) as server:
        monkeypatch.setenv("FALRT_BASE_URL", server.url)
        if key is not None:
            monkeypatch.setenv("FAL_KEY", key)
        result = run("doctor")

    assert result.exit_code == 1
    *_, before, failed = [line for line in result.output.splitlines() if not line.startswith("extra")]
    assert before.startswith(step)
    assert failed.startswith("FAILED")
    assert cure in failed


def test_the_token_is_asked_for_through_the_environments_proxy(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def refuse(listening: socket.socket) -> None:
        with listening, listening.accept()[0] as client:  # once: further tries are refused
            asked.append(client.recv(65536))
            client.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        proxy = threading.Thread(target=refuse, args=(listening,))
        proxy.start()
        for name in ("NO_PROXY", "no_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("FAL_KEY", "test")
        result = run("doctor")
        proxy.join()

    assert result.exit_code == 1
    assert [each.partition(b" HTTP")[0] for each in asked] == [b"CONNECT rest.fal.ai:443"]


def test_a_missing_extra_is_told_and_does_not_fail(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXTRAS, "video", ("no_such_package",))

    result = run("doctor", "--local")

    assert result.exit_code == 0
    assert "video: no no_such_package (optional: pip install 'falrt[video]')" in result.output


def test_the_extras_are_those_that_can_be_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(EXTRAS) <= set(extras)
    installed = {re.split(r"[>=\[]", each)[0] for requirements in extras.values() for each in requirements}
    named = {"PIL": "pillow", "python_socks": "python-socks", "socksio": "httpx"}
    assert {named.get(module, module) for modules in EXTRAS.values() for module in modules} <= installed
