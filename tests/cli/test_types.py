from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from falrt import models
from falrt.local import LocalServer
from falrt.models.openapi import document


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    with LocalServer() as server:
        monkeypatch.setenv("FALRT_BASE_URL", server.url)
        yield server


def test_what_a_server_says_of_an_endpoint_becomes_a_module_that_runs(
    run: Callable[..., Result], server: LocalServer, tmp_path: Path
) -> None:
    result = run("types", "fal-ai/flux-2/klein/realtime")

    (tmp_path / "klein.py").write_text(result.stdout)
    code = (
        "import klein; print(klein.FLUX_2_KLEIN_REALTIME.app, klein.KleinInput.model_fields['seed'].default)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["fal-ai/flux-2/klein/realtime", "35"]


def test_a_document_may_come_from_a_file(run: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "flux.json"
    file.write_text(json.dumps(document(models.FLUX_DEV)))

    result = run("types", "fal-ai/flux/dev", "--from", file)

    assert "class FluxDevInput(models.ModelInput):" in result.stdout
    assert result.stdout.endswith("\n")


def test_an_unknown_endpoint_is_told(run: Callable[..., Result], server: LocalServer) -> None:
    result = run("types", "fal-ai/nope")

    assert result.exit_code == 1
    assert "no OpenAPI document for 'fal-ai/nope': is the id right? (fetching" in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"<html>", "not a JSON document"), (b"{}", "no POST /acme/app"), (None, "cannot be read")],
)
def test_what_is_no_document_is_refused(
    run: Callable[..., Result], content: bytes | None, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    if content is not None:
        file.write_bytes(content)

    result = run("types", "acme/app", "--from", file)

    assert result.exit_code == 1
    assert words in result.stderr


def test_no_server_is_told_in_a_line(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALRT_BASE_URL", "http://127.0.0.1:1")

    result = run("types", "fal-ai/flux/dev")

    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert (
        "the OpenAPI document of fal-ai/flux/dev: nothing listens at 127.0.0.1:1 (FALRT_BASE_URL"
        in result.stderr
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_cannot_be_written_is_told_in_a_line(tmp_path: Path, unbuffered: str) -> None:
    file = tmp_path / "flux.json"
    file.write_text(json.dumps(document(models.FLUX_DEV)))
    command = [sys.executable, "-m", "falrt", "types", "fal-ai/flux/dev", "--from", str(file)]

    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, env=environment, text=True, check=False
        )

    assert (done.returncode, done.stderr) == (1, "falrt: [Errno 28] No space left on device\n")
