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

from falrt.local import LocalServer


@pytest.fixture
def serving() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``falrt serve`` on a free port, and its URL."""
    command = [sys.executable, "-m", "falrt", "serve", "--port", "0", "--speed", "100", "-v"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        found = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stdout)
        yield process, next(match.group() for match in found if match)
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send to a single process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_it_is_interrupted(
    serving: tuple[subprocess.Popen[str], str], number: signal.Signals
) -> None:
    process, url = serving
    assert httpx.post(
        f"{url}/tokens/", json={"allowed_apps": ["a"]}, headers={"Authorization": "Key x"}
    ).is_success

    process.send_signal(number)
    assert process.stdout is not None
    output = process.stdout.read()  # communicate() would miss what readline() has already buffered
    process.wait(20)

    assert f"FALRT_BASE_URL={url}" in output
    assert 'out.images[0].save("sunset.jpg")' in output
    assert "Traceback" not in output
    if number == signal.SIGINT:
        assert process.returncode == 0
        assert output.endswith("stopped\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--speed", "0"], "speed must be a positive number"),
        (["--latency", "99"], "latency"),
        (["--key", ""], "--no-auth|key"),
    ],
)
def test_wrong_option_is_told_in_a_line(run: Callable[..., Result], arguments: list[str], text: str) -> None:
    result = run("serve", *arguments)

    assert result.exit_code == 1
    assert re.search(text, result.stderr)


def test_taken_port_is_told_in_a_line(run: Callable[..., Result]) -> None:
    with LocalServer() as server:
        port = server.url.rpartition(":")[2]
        result = run("serve", "--port", port)

    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr


def test_a_key_of_its_own_is_not_shown_nor_another_told(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(host: str, port: int, options: object, *, started: Callable[[str], None]) -> None:
        started("http://127.0.0.1:1")

    monkeypatch.setattr("falrt.local.serve", told, raising=False)
    output = run("serve", "--key", "sekret").output
    assert "sekret" not in output
    assert "FAL_KEY=local" not in output
    assert "FAL_KEY=THE_KEY_YOU_GAVE" in output
