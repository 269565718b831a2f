from __future__ import annotations

import threading

import msgpack
import pytest
from websockets.sync.client import connect

from falrt.exceptions import ConfigurationError
from falrt.testing import BackgroundFakeServer, make_token


def test_a_blocking_client_can_use_it() -> None:
    token = make_token({"allowed_apps": ["app"]})
    with BackgroundFakeServer([{"n": 1}]) as server:
        url = server.url.replace("http", "ws")
        with connect(f"{url}/acme/app/realtime?fal_jwt_token={token}") as ws:
            ws.send(msgpack.packb({"a": 1}))
            assert msgpack.unpackb(ws.recv(timeout=5)) == {"n": 1}
            server.call(server.connections[0].close, 1012)
            server.wait_for(lambda: server.connections[0].close_code == 1012)
    assert server.inputs == [{"a": 1}]
    assert server.key == "test"


def test_falrts_blocking_connection_can_use_it() -> None:
    with BackgroundFakeServer([{"n": 1}]) as server, server.connect("acme/app", auth="key") as conn:
        assert conn.request({"a": 1}) == {"n": 1}


def test_its_thread_ends_with_it() -> None:
    before = threading.active_count()
    with BackgroundFakeServer():
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_failed_wait_is_a_timeout() -> None:
    with BackgroundFakeServer() as server, pytest.raises(TimeoutError):
        server.wait_for(lambda: False, timeout=0.01)


def test_outside_of_the_block_it_does_not_run() -> None:
    server = BackgroundFakeServer()
    with pytest.raises(ConfigurationError, match="not running"):
        server.call(lambda: None)
    with server:
        pass
    with pytest.raises(ConfigurationError, match="already"), server:
        pass
