from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest
from typer.testing import Result

from falrt.local import LocalOptions, LocalServer

APP = "fal-ai/fast-lcm-diffusion"


@pytest.fixture
def proxying() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``falrt proxy`` on a free port before a local stand-in, and its URL."""
    with LocalServer(LocalOptions(speed=100)) as local:
        command = [sys.executable, "-m", "falrt", "proxy", "--port", "0", "--allow", APP]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "FALRT_BASE_URL": local.url, "FAL_KEY": "local"}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            found = (re.search(r"metrics: +(http://127\.0\.0\.1:\d+)", line) for line in process.stdout)
            yield process, next(match[1] for match in found if match)
            process.kill()


def test_it_serves_tokens_and_figures_and_nothing_else(proxying: tuple[subprocess.Popen[str], str]) -> None:
    process, url = proxying
    assert httpx.get(f"{url}/api/fal/token", params={"app": APP}).json()["token"].count(".") == 2
    assert httpx.get(f"{url}/api/fal/token", params={"app": "fal-ai/secret"}).status_code == 403
    assert (
        httpx.get(f"{url}/api/fal/token", params={"app": APP}, headers={"host": "evil.example"}).status_code
        == 421
    )
    figures = httpx.get(f"{url}/metrics").text
    assert 'falrt_requests_total{route="token",status="200"} 1' in figures
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--allow", "nonsense"], "too short"),
        (["--allow", APP, "--host", "0.0.0.0"], "FALRT_PROXY_SECRET"),
        (["--allow", APP, "--origin", "*"], "origins"),
    ],
)
def test_it_does_not_start_unsafely(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, arguments: list[str], text: str
) -> None:
    monkeypatch.setenv("FAL_KEY", "local")
    monkeypatch.delenv("FALRT_PROXY_SECRET", raising=False)
    result = run("proxy", *arguments)
    assert result.exit_code == 1
    assert text in result.stderr


def test_it_wants_a_key_and_a_list(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET"):
        monkeypatch.delenv(name, raising=False)
    assert "FAL_KEY" in run("proxy", "--allow", APP).stderr
    assert run("proxy").exit_code == 2
