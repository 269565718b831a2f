"""Which of fal's hosts a request is for, when all are folded into one address."""

from __future__ import annotations

import pytest

from falrt.testing.platform.port import Request

HERE = {"host": "127.0.0.1:8765"}


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        ("/tokens/realtime", "rest.fal.ai", "/tokens/realtime"),
        ("/storage/upload/initiate", "rest.fal.ai", "/storage/upload/initiate"),
        ("/files/upload", "v3.fal.media", "/files/upload"),
        ("/fal-ai/flux/dev", "fal.run", "/fal-ai/flux/dev"),
        ("/queue.fal.run/fal-ai/flux/dev", "queue.fal.run", "/fal-ai/flux/dev"),
        ("/ws.fal.run/fal-ai/flux/dev", "ws.fal.run", "/fal-ai/flux/dev"),
        ("/rest.fal.ai/tokens/", "rest.fal.ai", "/tokens/"),
        ("/a%20b/c?x=1&x=2&y=%26", "fal.run", "/a b/c"),
        ("", "fal.run", "/"),
    ],
)
def test_the_host_is_told_by_the_path(target: str, host: str, path: str) -> None:
    request = Request.arrived("post", target, HERE)
    assert (request.method, request.host, request.path) == ("POST", host, path)
    assert request.url("queue.fal.run", "/x") == "http://127.0.0.1:8765/queue.fal.run/x"


def test_the_query_is_decoded() -> None:
    assert Request.arrived("GET", "/a?x=1&x=2&y=%26&z=", HERE).query == {"x": "2", "y": "&", "z": ""}


def test_the_host_is_told_by_the_host_header_where_it_is_one_of_fals() -> None:
    request = Request.arrived("GET", "/fal-ai/flux/dev", {"host": "queue.fal.run"})
    assert (request.host, request.origin) == ("queue.fal.run", "")
    assert request.url("rest.fal.ai", "/tokens/") == "https://rest.fal.ai/tokens/"


def test_the_host_is_told_by_the_target_behind_the_proxy() -> None:
    headers = {**HERE, "x-fal-target-url": "https://queue.fal.run/fal-ai/flux/dev?logs=1"}
    request = Request.arrived("GET", "/api/fal/proxy", headers)
    assert (request.host, request.path, request.query) == ("queue.fal.run", "/fal-ai/flux/dev", {"logs": "1"})
    assert request.via_proxy
    assert request.url("queue.fal.run", "/x") == "https://queue.fal.run/x"
