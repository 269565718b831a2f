"""The way through a proxy that is a process of its own: tokens and sockets, in TLS and without."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import falrt
from falrt.testing import FakeServer
from tests.certificates import make_certificate, server_context, trusting_context
from tests.leaks import leaves_nothing, no_strays, soon  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")

PROGRAM = Path(__file__).with_name("proxy_process.py")
LOGIN = "user:hunter2"
KEY = "test"


def echo(message: Any) -> Any:
    return message


class RunningProxy:
    """A proxy and what it was asked for."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.port = process, port

    async def asked(self) -> str:
        """Return what it was asked for next."""
        assert self.process.stdout is not None
        return (await soon(self.process.stdout.readline())).decode().strip()


@asynccontextmanager
async def running(kind: str, *options: str) -> AsyncIterator[RunningProxy]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), kind, *options, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield RunningProxy(process, int(await soon(process.stdout.readline())))
    finally:
        process.terminate()
        await process.communicate()


def far(server: FakeServer, host: str = "fal.test") -> str:
    """Return the server's URL under a name that only the proxy knows."""
    return server.url.replace("127.0.0.1", host)


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("login", ["", LOGIN])
async def test_tokens_and_sockets_take_the_same_proxy(tmp_path: Path, kind: str, login: str) -> None:
    pem = make_certificate(tmp_path)
    program = [kind, *(["--login", login] if login else [])]
    async with running(*program) as proxy, FakeServer(echo, ssl=server_context(pem)) as server:
        scheme = {"http": "http", "socks5": "socks5h"}[kind]
        way = f"{scheme}://{login}{'@' if login else ''}127.0.0.1:{proxy.port}"
        options: Any = {"key": KEY, "proxy": way, "ssl": trusting_context(pem)}
        async with falrt.connect("acme/app", base_url=far(server), **options) as conn:
            picture = {"data": bytes(100_000)}
            assert await soon(conn.request(picture)) == picture
        target = f"fal.test:{server.port}"
        asked = f"CONNECT {target} HTTP/1.1" if kind == "http" else f"SOCKS5 {target}"
        assert [await proxy.asked() for _ in range(2)] == [asked] * 2


async def test_the_name_is_looked_up_here_or_by_the_proxy() -> None:
    async with running("socks5") as proxy, FakeServer(echo) as server:
        options: Any = {"key": KEY, "auth": "key", "proxy": f"socks5://127.0.0.1:{proxy.port}"}
        async with falrt.connect("acme/app", base_url=far(server, "127.0.0.9"), **options):
            assert await proxy.asked() == f"SOCKS5 7f000009:{server.port}"


@pytest.mark.parametrize("secure_proxy", [False, True])
@pytest.mark.parametrize("secure_server", [False, True])
async def test_tls_is_spoken_with_the_proxy_and_through_it(
    tmp_path: Path, secure_proxy: bool, secure_server: bool
) -> None:
    pem = make_certificate(tmp_path)
    server_ssl = server_context(pem) if secure_server else None
    async with (
        running("http", *(["--pem", str(pem)] if secure_proxy else [])) as proxy,
        FakeServer(echo, ssl=server_ssl) as server,
    ):
        way = f"{'https' if secure_proxy else 'http'}://127.0.0.1:{proxy.port}"
        options: Any = {"proxy": way, "ssl": trusting_context(pem), "key": KEY, "auth": "key"}
        async with falrt.connect("acme/app", base_url=far(server), **options) as conn:
            picture = {"data": bytes(300_000)}
            assert await soon(conn.request(picture)) == picture


async def test_the_environment_names_the_proxy_and_what_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running("http") as proxy, FakeServer(echo) as server:
        monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
        options: Any = {"key": KEY, "auth": "key", "reconnect": False}
        async with falrt.connect("acme/app", base_url=far(server), **options) as conn:
            assert await soon(conn.request({"n": 1})) == {"n": 1}
        assert await proxy.asked() == f"CONNECT fal.test:{server.port} HTTP/1.1"
        # This machine needs none, nor does what the list names, nor who says so.
        async with falrt.connect("acme/app", base_url=server.url, **options) as conn:
            assert await soon(conn.request({"n": 1})) == {"n": 1}
        monkeypatch.setenv("NO_PROXY", "fal.test")
        with pytest.raises(falrt.ConnectError, match=r"cannot reach fal\.test"):
            await falrt.connect("acme/app", base_url=far(server), **options)
        monkeypatch.delenv("NO_PROXY")
        with pytest.raises(falrt.ConnectError, match=r"cannot reach fal\.test"):
            await falrt.connect("acme/app", base_url=far(server), proxy=None, **options)


async def test_a_connection_may_have_another_proxy_than_its_client() -> None:
    async with running("http") as one, running("http") as two, FakeServer(echo) as server:
        base: Any = {"base_url": far(server), "key": KEY, "auth": "key"}
        async with falrt.Client(proxy=f"http://127.0.0.1:{one.port}", **base) as fal:
            async with fal.connect("acme/app"):
                assert "CONNECT" in await one.asked()
            async with fal.connect("acme/app", proxy=f"http://127.0.0.1:{two.port}"):
                assert "CONNECT" in await two.asked()


FAILURES: dict[str, tuple[list[str], str, type[Exception], str]] = {
    "wrong login": (
        ["http", "--login", LOGIN],
        "http",
        falrt.ConfigurationError,
        "refused the user name and password",
    ),
    "refused": (["http", "--status", "403"], "http", falrt.HandshakeError, "did not connect to"),
    "cannot reach": (["http", "--status", "503"], "http", falrt.HandshakeError, "HTTP 503"),
    "socks refused": (
        ["socks5", "--status", "2"],
        "socks5h",
        falrt.ConnectError,
        "did not connect to fal.test",
    ),
    "socks wrong login": (["socks5", "--login", LOGIN], "socks5h", falrt.ConnectError, "did not connect to"),
    "not a proxy": (["socks5"], "http", falrt.ConnectError, "did not answer as an HTTP proxy"),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_what_a_proxy_refuses_is_told_without_its_password(name: str) -> None:
    program, scheme, kind, text = FAILURES[name]
    async with running(*program) as proxy, FakeServer(echo) as server, leaves_nothing(server.url):
        way = f"{scheme}://somebody:s3cr3tword@127.0.0.1:{proxy.port}"
        options: Any = {"key": KEY, "auth": "key", "reconnect": False, "proxy": way}
        with pytest.raises(kind, match=text) as caught:
            await soon(falrt.connect("acme/app", base_url=far(server), **options))
        assert "s3cr3tword" not in "".join(traceback.format_exception(caught.value))


async def test_a_login_that_the_proxy_refuses_is_told_to_calls_too() -> None:
    async with running("http", "--login", LOGIN) as proxy:
        way = f"http://somebody:s3cr3tword@127.0.0.1:{proxy.port}"
        refused = pytest.raises(falrt.ConfigurationError, match="refused the user name and password")
        async with falrt.Client(key=KEY, base_url="https://fal.test", proxy=way) as fal:
            with refused as caught:
                await soon(fal.run("acme/app", {}))
    assert "s3cr3tword" not in "".join(traceback.format_exception(caught.value))


async def test_a_proxy_that_is_not_there_is_a_network_error() -> None:
    options: Any = {"key": KEY, "auth": "key", "reconnect": False, "proxy": "http://127.0.0.1:9"}
    with pytest.raises(falrt.ConnectError):
        await soon(falrt.connect("acme/app", base_url="http://fal.test", **options))


async def test_a_socks_proxy_without_its_package_is_told_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    options: Any = {"key": KEY, "auth": "key", "proxy": "socks5://127.0.0.1:9"}
    with pytest.raises(falrt.MissingDependencyError, match=r"pip install 'falrt\[proxy\]'"):
        await soon(falrt.connect("acme/app", base_url="http://fal.test", **options))


async def test_a_certificate_that_cannot_be_trusted_is_final_whichever_way_one_authenticates(
    tmp_path: Path,
) -> None:
    pem = make_certificate(tmp_path)
    async with FakeServer(echo, ssl=server_context(pem)) as server:
        for auth in ("token", "key"):
            with pytest.raises(falrt.ConnectError, match="certificate of 127"):
                await soon(falrt.connect("acme/app", base_url=server.url, key=KEY, auth=auth))  # type: ignore[arg-type]
        assert server.token_requests == []
