from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import httpx


def test_the_playground_opens_without_a_key_and_paints() -> None:
    command = [sys.executable, "-m", "falrt", "playground", "--port", "0", "--no-open", "--speed", "100"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FAL_KEY")}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        found = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stdout)
        url = next(match.group() for match in found if match)
        assert httpx.get(f"{url}/models").json()["offline"] is True
        assert "falrt playground" in httpx.get(url).text
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
