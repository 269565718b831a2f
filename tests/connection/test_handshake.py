"""What strange servers answer to the request to upgrade, and how soon and how clearly it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import falrt
from falrt.connection.handshake import Answer, NotAnUpgrade, body_in, is_body_complete, read_answer
from tests.leaks import leaves_nothing, no_strays, soon  # noqa: F401
from tests.raw_server import raw_server

pytestmark = pytest.mark.usefixtures("no_strays")


@asynccontextmanager
async def saying(*pieces: bytes, at_once: bool = False, hang_up: bool = False) -> AsyncIterator[str]:
    """Run a server that says something to whoever connects, piece by piece, and then keeps the connection."""
    over = asyncio.Event()
    requests: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not at_once:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if not hang_up:
            await over.wait()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        over.set()


async def refused_by(url: str) -> falrt.FalrtError:
    options: Any = {"base_url": url, "key": "k", "auth": "key", "reconnect": False}
    async with leaves_nothing(url):
        with pytest.raises(falrt.FalrtError) as caught:
            await soon(falrt.connect("acme/app", **options))
    return caught.value


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "'SSH-2.0-OpenSSH_9.6'"),
        (b"-ERR wrong number of arguments\r\n", "'-ERR wrong number"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03", r"\x12\x04"),
        (b"\x15\x03\x01\x00\x02\x02\x46", r"\x15\x03"),
        (b"HTTP/2 200\r\n\r\n", "'HTTP/2 200'"),
        (b"HTTP/1.1 abc\r\n\r\n", "'HTTP/1.1 abc'"),
        (b"HTTP/1.1\r\n\r\n", "'HTTP/1.1'"),
    ],
)
async def test_a_server_that_speaks_something_else_is_told_at_once(said: bytes, shown: str) -> None:
    async with saying(said, at_once=True) as url:
        error = await refused_by(url)
    assert isinstance(error, falrt.HandshakeError)
    assert "did not answer the upgrade as a WebSocket server" in str(error)
    assert shown in str(error)


HEADERS = b"".join(b"x-%d: %s\r\n" % (n, b"y" * 60) for n in range(300))
LONG = b"set-cookie: " + b"z" * 20_000 + b"\r\n"


@pytest.mark.parametrize("headers", [HEADERS, LONG, b""])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_401_is_a_401_whatever_its_headers(headers: bytes, version: bytes) -> None:
    body = b"content-length: 4\r\n\r\nnope"
    async with saying(b"HTTP/" + version + b" 401 No\r\n", headers, body) as url:
        error = await refused_by(url)
    assert isinstance(error, falrt.UnauthorizedError)
    assert "HTTP 401: nope" in str(error)


async def test_an_upgrade_with_many_and_long_headers_is_an_upgrade() -> None:
    async with (
        raw_server(b"", headers=(HEADERS + LONG).decode()) as url,
        falrt.connect("acme/app", base_url=url, key="k", auth="key") as conn,
    ):
        assert conn.state is falrt.State.OPEN


@pytest.mark.parametrize(
    "announced", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n"]
)
async def test_what_announces_the_answer_is_skipped(announced: bytes) -> None:
    async with (
        raw_server(b"", before=announced) as url,
        falrt.connect("acme/app", base_url=url, key="k", auth="key") as conn,
    ):
        assert conn.state is falrt.State.OPEN
    async with saying(announced * 2 + b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n") as url:
        assert getattr(await refused_by(url), "status", None) == 404


async def test_a_refusal_in_chunks_is_told_in_its_own_words() -> None:
    chunked = b"HTTP/1.1 400 No\r\ntransfer-encoding: chunked\r\n\r\n"
    async with saying(chunked, b"3\r\nbad", b"\r\n4;x=y\r\n app\r\n", b"0\r\n\r\n") as url:
        assert str(await refused_by(url)).endswith("HTTP 400: bad app")


async def test_a_refusal_whose_explanation_never_comes_is_told_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("falrt.connection.transport.BODY_TIMEOUT", 0.01)
    async with saying(b"HTTP/1.1 400 No\r\ncontent-length: 100\r\n\r\nbecau") as url:
        assert str(await refused_by(url)).endswith("HTTP 400: becau")


async def test_a_refusal_without_a_length_ends_with_the_connection() -> None:
    async with saying(b"HTTP/1.1 403 No\r\n\r\nlocked", hang_up=True) as url:
        assert "HTTP 403: locked" in str(await refused_by(url))


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 101 Swi", b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\n"]
)
async def test_a_server_that_hangs_up_before_it_has_answered_is_told_so(said: bytes) -> None:
    async with saying(said, hang_up=True) as url:
        error = await refused_by(url)
    assert isinstance(error, falrt.HandshakeError)
    assert "ended the connection before it had answered" in str(error)


@pytest.mark.parametrize("head", [b"", b"upgrade: h2c\r\n", b"upgrade: websocket\r\nconnection: upgrade\r\n"])
async def test_an_upgrade_that_is_not_ours_is_refused(head: bytes) -> None:
    async with saying(b"HTTP/1.1 101 Switching Protocols\r\n" + head + b"\r\n") as url:
        assert isinstance(await refused_by(url), falrt.HandshakeError)


def test_a_head_that_has_no_end_is_none() -> None:
    with pytest.raises(NotAnUpgrade, match="headers of more than 262144 bytes"):
        read_answer(b"HTTP/1.1 200 OK\r\n" + b"a" * 300_000)


@pytest.mark.parametrize("data", [b"", b"H", b"HTTP/1", b"HTTP/1.1 200 OK\r\na: b\r\n"])
def test_an_answer_that_is_not_whole_is_waited_for(data: bytes) -> None:
    assert read_answer(data) is None


def test_an_answer_is_taken_apart() -> None:
    answer = read_answer(b"HTTP/1.1 503 \r\nRetry-After: 7 \r\nodd line\r\nX: a:b\r\n\r\nbody")
    assert answer is not None
    assert (answer.status, answer.header("retry-after"), answer.header("x")) == (503, "7", "a:b")
    assert answer.header("y") == ""


def test_a_body_that_is_cut_short_is_shown_as_far_as_it_came() -> None:
    chunked = Answer(400, (("transfer-encoding", "chunked"),), 0)
    assert body_in(chunked, b"5\r\nhel") == b"hel"
    assert body_in(chunked, b"zz\r\nhel") == b""
    assert is_body_complete(Answer(204, (), 0), b"")
    assert not is_body_complete(Answer(400, (), 0), b"x")
    assert is_body_complete(Answer(400, (), 0), b"x" * 5000)
