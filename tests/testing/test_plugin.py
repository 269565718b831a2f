from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from falrt.testing import FakeServer
from tests.testing.wire_client import dial, hear, say

pytest_plugins = ["pytester"]

# Unset, it is a warning of pytest-asyncio.
SCOPE = ["-o", "asyncio_default_fixture_loop_scope=function"]

USER_TEST = """
    import msgpack, pytest
    from websockets.asyncio.client import connect
    from falrt.testing import make_token

    pytestmark = pytest.mark.fal_server(buffering=2)

    async def ask(server):
        token = make_token({"allowed_apps": ["app"]})
        async with connect(f"{server.ws_url}/acme/app/realtime?fal_jwt_token={token}") as ws:
            await ws.send(msgpack.packb({}))
            return msgpack.unpackb(await ws.recv())

    MARK
    @pytest.mark.fal_server([{"n": 1}])
    async def test_it(fal_server):
        assert await ask(fal_server) == {"n": 1}

    MARK
    async def test_many(make_fal_server):
        first = await make_fal_server([{"n": 1}])
        second = await make_fal_server([{"n": 2}])
        assert [await ask(first), await ask(second)] == [{"n": 1}, {"n": 2}]

    def test_blocking(fal_server_blocking):
        assert fal_server_blocking.url.startswith("http://127.0.0.1:")
"""


@pytest.mark.fal_server([{"n": 1}], session_timeout=9.0)
async def test_the_marker_sets_the_server_up(fal_server: FakeServer) -> None:
    async with dial(fal_server) as ws:
        await say(ws, {"a": 1})
        assert await hear(ws) == {"n": 1}


async def test_without_a_marker_it_answers_with_pictures(fal_server: FakeServer) -> None:
    async with dial(fal_server) as ws:
        await say(ws, {"a": 1})
        assert "images" in await hear(ws)


@pytest.mark.parametrize(
    ("args", "mark"),
    [
        (["-o", "asyncio_mode=auto", *SCOPE], ""),
        (["-o", "asyncio_mode=strict", *SCOPE], "@pytest.mark.asyncio"),
        (["-p", "no:asyncio"], "@pytest.mark.anyio"),
    ],
    ids=["auto", "strict", "anyio"],
)
def test_the_fixtures_work_in_every_async_mode(pytester: Any, args: list[str], mark: str) -> None:
    pytester.makepyfile(USER_TEST.replace("MARK", mark))
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n")
    result = pytester.runpytest_subprocess(
        "-q", "-W", "error", "--strict-markers", "-p", "no:cacheprovider", "-p", "no:xdist", *args
    )
    result.assert_outcomes(passed=3)


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    heavy = ["websockets", "msgpack", "httpx", "pydantic", "numpy", "PIL", "asyncio"]
    code = f"import sys, falrt.testing.plugin; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_exports_what_it_lists() -> None:
    import falrt.testing

    for name in falrt.testing.__all__:
        assert getattr(falrt.testing, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = falrt.testing.nothing
