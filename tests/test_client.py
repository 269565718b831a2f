"""A client: one key, one token cache and one TLS context for many connections; shared connections; who closes what."""

from __future__ import annotations

import asyncio
import gc
import inspect
import ssl
import warnings
import weakref
from typing import Any

import pytest

import falrt
from falrt import models
from falrt.options import NAMES_ELSEWHERE, ClientOptions, ConnectOptions
from falrt.testing import BackgroundFakeServer, FakeServer, make_token, script
from tests.leaks import leaves_nothing, no_strays, soon, turns, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")


def echo(message: Any) -> dict[str, Any]:
    return {"n": message["n"]}


def client_of(server: FakeServer, **options: Any) -> falrt.Client:
    return falrt.Client(**{"base_url": server.url, "key": "test", **options})


# --- arguments


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"auth": "both"}, "auth must be"),
        ({"auth": "key", "token_provider": lambda app: "t"}, "auth='key' needs no tokens"),
        ({"auth": "key", "proxy_url": "http://127.0.0.1/p"}, "auth='key' needs no tokens"),
        ({"proxy_url": "http://127.0.0.1/p", "token_provider": lambda app: "t"}, "pass only one of them"),
        ({"base_url": "nonsense"}, "base_url"),
        ({"token_expiration_seconds": -1}, "token_expiration_seconds"),
    ],
)
def test_wrong_arguments_are_named(options: Any, text: str) -> None:
    with pytest.raises(falrt.ConfigurationError, match=text):
        falrt.Client(key="k", **options)


def test_the_base_url_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALRT_BASE_URL", " http://127.0.0.1:8765 ")
    assert "127.0.0.1:8765" in repr(falrt.Client(key="k"))


def test_a_missing_key_is_told_before_anything_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(falrt.MissingCredentialsError):
        falrt.connect("acme/app")


def test_the_class_of_an_input_gets_the_model_it_belongs_to() -> None:
    with pytest.raises(falrt.ConfigurationError, match=r"pass its model, such as models\.KLEIN"):
        falrt.connect(models.KleinInput, key="k")  # type: ignore[call-overload]


@pytest.mark.parametrize("app", [5, None, ["acme/app"]])
def test_what_is_no_app_is_refused(app: Any) -> None:
    with pytest.raises(falrt.ConfigurationError, match="app must be"):
        falrt.connect(app, key="k")


def test_an_unknown_option_gets_a_suggestion() -> None:
    with pytest.raises(falrt.ConfigurationError, match="did you mean 'max_buffering'"):
        falrt.connect("acme/app", key="k", max_bufering=2)  # type: ignore[call-overload]
    with pytest.raises(falrt.ConfigurationError, match="option 'zzz' is unknown"):
        falrt.connect("acme/app", key="k", zzz=2)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("timeout", "falrt calls it 'request_timeout' or 'open_timeout'"),
        ("on_message", "falrt calls it 'on_result'"),
        ("api_key", "falrt calls it 'key'"),
        ("use_jwt", "falrt calls it 'auth': auth='token' for True, auth='key' for False"),
        ("token_expiration", "falrt calls it 'token_expiration_seconds'"),
        ("maxBuffering", "did you mean 'max_buffering'"),
        ("tokenExpirationSeconds", "did you mean 'token_expiration_seconds'"),
    ],
)
def test_another_librarys_name_for_an_option_gets_ours(name: str, meant: str) -> None:
    with pytest.raises(falrt.ConfigurationError, match=meant):
        falrt.connect("acme/app", **{name: 2})  # type: ignore[call-overload]


def test_every_name_that_is_suggested_is_an_option() -> None:
    suggested = {each for names in NAMES_ELSEWHERE.values() for each in names}
    assert suggested <= {*ClientOptions.__annotations__, *ConnectOptions.__annotations__}
    assert not NAMES_ELSEWHERE.keys() & {*ClientOptions.__annotations__, *ConnectOptions.__annotations__}


def test_a_client_explains_wrong_options() -> None:
    with pytest.raises(falrt.ConfigurationError, match="option 'foo' is unknown: use one of auth, base_url"):
        falrt.Client(foo=1)  # type: ignore[call-arg]
    with pytest.raises(falrt.ConfigurationError, match="takes its options by name") as caught:
        falrt.Client("topsecret")  # type: ignore[misc]
    assert "topsecret" not in str(caught.value)
    with pytest.raises(falrt.ConfigurationError, match="'lazy' belongs to a connection, not a client"):
        falrt.Client(lazy=True)  # type: ignore[call-arg]
    with pytest.raises(falrt.ConfigurationError, match=r"'key' belongs to falrt\.Client, not a connection"):
        falrt.Client(key="k").connect("acme/app", key="k")  # type: ignore[call-overload]
    assert "proxy_url" in inspect.signature(falrt.Client).parameters


def test_connect_shares_nothing() -> None:
    with pytest.raises(falrt.ConfigurationError, match=r"belongs to a falrt\.Client"):
        falrt.connect("acme/app", key="k", connection_key="a")


# --- tokens


async def test_ten_connections_make_one_token_request() -> None:
    async with FakeServer(echo) as server, client_of(server) as fal:
        connections = [fal.connect("acme/app") for _ in range(10)]
        await soon(asyncio.gather(*(conn.__aenter__() for conn in connections)))
        assert len(server.token_requests) == 1
        assert len({connection.token for connection in server.connections}) == 1


async def test_two_apps_have_a_token_each() -> None:
    async with FakeServer(echo) as server, client_of(server) as fal:
        async with fal.connect("acme/app"), fal.connect("acme/other"):
            pass
        assert len(server.token_requests) == 2


async def test_the_key_may_go_in_the_header() -> None:
    async with FakeServer(echo) as server, client_of(server, auth="key") as fal:
        async with fal.connect("acme/app") as conn:
            assert await soon(conn.request({"n": 1})) == {"n": 1}
        assert server.connections[0].headers["authorization"] == "Key test"
        assert server.connections[0].token is None
        assert server.token_requests == []


async def test_a_proxy_holds_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAL_KEY", raising=False)
    async with FakeServer(echo) as server:
        fal = falrt.Client(base_url=server.url, proxy_url=server.proxy_url)
        async with fal, fal.connect("acme/app") as conn:
            assert await soon(conn.request({"n": 1})) == {"n": 1}
        assert server.token_requests[0].via_proxy


async def test_a_token_provider_is_asked_with_the_full_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAL_KEY", raising=False)
    asked: list[str] = []

    def provide(app_path: str) -> str:
        asked.append(app_path)
        return make_token(app_path)

    async with FakeServer(echo) as server:
        fal = falrt.Client(base_url=server.url, token_provider=provide)
        async with fal, fal.connect("acme/app/realtime") as conn:
            assert await soon(conn.request({"n": 1})) == {"n": 1}
        assert asked == ["acme/app/realtime"]


@pytest.mark.parametrize(
    ("app", "path", "wanted"),
    [
        ("acme/app", None, "/acme/app/realtime"),
        ("acme/app/realtime", None, "/acme/app/realtime"),
        ("acme/realtime", None, "/acme/realtime/realtime"),
        ("workflows/acme/flow", None, "/workflows/acme/flow/realtime"),
        ("123-app", None, "/123/app/realtime"),
        ("acme/app", "/ws", "/acme/app/ws"),
    ],
)
async def test_every_form_of_id_reaches_its_path(app: str, path: str | None, wanted: str) -> None:
    async with FakeServer(echo) as server, client_of(server) as fal:
        async with fal.connect(app, path=path, max_buffering=2) as conn:
            assert await soon(conn.request({"n": 1})) == {"n": 1}
        assert server.connections[0].path == wanted
        assert server.connections[0].query["max_buffering"] == "2"


# --- redirects


async def test_a_redirect_is_refused_and_the_credential_stays_at_home() -> None:
    seen: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(1000))
        writer.close()

    other = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
    target = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/"

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    home = await asyncio.start_server(redirect, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{home.sockets[0].getsockname()[1]}"
    async with other, home:
        for options in ({"auth": "key"}, {"token_provider": lambda app: "a.b.c"}):
            with pytest.raises(falrt.HandshakeError, match="redirects are not followed"):
                await falrt.connect("acme/app", base_url=url, key="secret-key", **options)  # type: ignore[arg-type]
    assert seen == []


# --- closing


async def test_leaving_a_client_closes_its_connections() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        async with client_of(server) as fal:
            first, second = await fal.connect("acme/app"), await fal.connect("acme/app")
            fal.connect("acme/app")  # never opened
        assert first.state is second.state is falrt.State.CLOSED
        with pytest.raises(falrt.ConfigurationError, match="client is closed"):
            fal.connect("acme/app")
        await fal.aclose()


async def test_a_client_cancelled_while_it_closes_leaves_nothing() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        fal = client_of(server)
        connections = [await fal.connect("acme/app") for _ in range(3)]
        for connection in server.connections:
            connection.silence()
        closing = asyncio.create_task(fal.aclose())
        await turns(3)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(closing)
        assert [conn.state for conn in connections] == [falrt.State.CLOSED] * 3


async def test_a_client_keeps_no_connection_that_was_never_entered() -> None:
    async with falrt.Client(key="k", base_url="http://127.0.0.1:9") as fal:
        seen = weakref.ref(fal.connect("acme/app"))
        gc.collect()
        assert seen() is None


async def test_a_connection_made_by_a_client_that_was_closed_meanwhile_is_refused() -> None:
    async with falrt.Client(key="k", base_url="http://127.0.0.1:9") as fal:
        conn = fal.connect("acme/app")
    with pytest.raises(falrt.ConfigurationError, match="client is closed"):
        await conn


async def test_closing_a_client_ends_its_openings() -> None:
    faults = [script.SlowToken(60)]
    async with FakeServer(echo, faults=faults) as server, leaves_nothing(server.url):
        fal = client_of(server)
        opening = asyncio.ensure_future(fal.connect("acme/app").__aenter__())
        await until(lambda: server.token_requests)
        await soon(fal.aclose())
        with pytest.raises(falrt.FalrtError):
            await soon(opening)


async def test_a_closed_connection_is_forgotten_by_its_client() -> None:
    async with FakeServer(echo) as server, client_of(server) as fal:
        for _ in range(3):
            async with fal.connect("acme/app"):
                pass
        assert not fal._connections


def test_a_client_may_be_used_by_one_event_loop_after_the_other() -> None:
    with BackgroundFakeServer(echo) as server:
        fal = falrt.Client(base_url=server.url, key=server.key)

        async def call() -> Any:
            async with fal.connect("acme/app") as conn:
                return await fal.run("acme/app", {"n": 1}), await conn.request({"n": 2})

        with warnings.catch_warnings():
            # The connections of a loop that has ended can only be dropped.
            warnings.simplefilter("ignore", ResourceWarning)
            for _ in range(3):
                assert asyncio.run(call()) == ({"n": 1}, {"n": 2})
            asyncio.run(fal.aclose())
            gc.collect()


# --- shared connections


async def test_callers_with_the_same_key_share_a_live_connection() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url), client_of(server) as fal:

        async def work(n: int) -> Any:
            async with fal.connect("acme/app", connection_key="canvas") as conn:
                return await conn.request({"n": n})

        answers = await soon(asyncio.gather(*(work(n) for n in range(10))))
        assert answers == [{"n": n} for n in range(10)]
        assert len(server.connections) == 1


async def test_a_shared_connection_closes_when_the_last_one_leaves() -> None:
    async with FakeServer(echo) as server, client_of(server) as fal:
        first = await fal.connect("acme/app", connection_key="canvas")
        second = await fal.connect("acme/app", connection_key="canvas")
        await first.close()
        assert await soon(second.request({"n": 1})) == {"n": 1}
        await second.close()
        assert second.state is falrt.State.CLOSED
        with pytest.raises(falrt.ConcurrencyError):
            await second
        async with fal.connect("acme/app", connection_key="canvas") as third:
            assert await soon(third.request({"n": 2})) == {"n": 2}
        assert len(server.connections) == 2


@pytest.mark.parametrize("left_by", ["a user", "somebody who never entered"])
async def test_a_hold_that_is_first_entered_when_all_others_have_left_opens_anew(left_by: str) -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url), client_of(server) as fal:
        first = fal.connect("acme/app", connection_key="canvas")
        second = fal.connect("acme/app", connection_key="canvas")
        if left_by == "a user":
            async with first:
                assert await soon(first.request({"n": 1})) == {"n": 1}
        else:
            await first.close()
        async with second, fal.connect("acme/app", connection_key="canvas") as third:
            assert await soon(second.request({"n": 2})) == {"n": 2}
            assert await soon(third.request({"n": 3})) == {"n": 3}
            assert len(server.connections) == 1 + (left_by == "a user")
        with pytest.raises(falrt.ConcurrencyError):
            await second


async def test_one_callers_second_close_does_not_count_for_another() -> None:
    async with FakeServer(echo) as server, client_of(server) as fal:
        first = fal.connect("acme/app", connection_key="canvas")
        second = fal.connect("acme/app", connection_key="canvas")
        async with second:
            async with first:
                assert await soon(first.request({"n": 1})) == {"n": 1}
                await first.close()
                await first.close()
            assert second.state is falrt.State.OPEN
            assert await soon(second.request({"n": 2})) == {"n": 2}
            async with first:  # a hold may be taken again while the connection lives
                assert await soon(first.request({"n": 3})) == {"n": 3}
        assert first.state is second.state is falrt.State.CLOSED
        assert len(server.connections) == 1


async def test_only_one_stream_may_run_on_a_shared_connection() -> None:
    async with (
        FakeServer(echo) as server,
        client_of(server) as fal,
        fal.connect("acme/app", connection_key="canvas") as first,
        fal.connect("acme/app", connection_key="canvas") as second,
    ):
        replies = first.stream([{"n": 1}, {"n": 2}])
        await soon(anext(replies))
        with pytest.raises(falrt.ConcurrencyError, match="stream"):
            await soon(anext(second.stream([{"n": 3}])))
        await replies.aclose()


async def test_a_shared_connection_that_all_have_left_is_forgotten() -> None:
    async with FakeServer(echo) as server, client_of(server) as fal:
        for n in range(3):
            async with fal.connect("acme/app", connection_key=f"user {n}"):
                assert len(fal._connections) == len(fal._shared) == 1
        assert not fal._connections
        assert not fal._shared


async def test_another_app_or_other_options_under_the_same_key_are_refused() -> None:
    async with FakeServer(echo) as server, client_of(server) as fal:
        async with fal.connect("acme/app", connection_key="canvas"):
            for app, options in (("acme/other", {}), ("acme/app", {"max_buffering": 2})):
                with pytest.raises(falrt.ConfigurationError, match="other options"):
                    fal.connect(app, connection_key="canvas", **options)  # type: ignore[arg-type]
        with pytest.raises(falrt.ConfigurationError, match="non-empty"):
            fal.connect("acme/app", connection_key="")
        with pytest.raises(falrt.ConfigurationError, match="app must be"):
            fal.connect(5, connection_key="new")  # type: ignore[call-overload]


async def test_a_shared_connection_that_cannot_open_fails_for_all_and_is_tried_anew() -> None:
    faults = [script.RefuseHandshake(404, times=1)]
    async with (
        FakeServer(echo, faults=faults) as server,
        leaves_nothing(server.url),
        client_of(server) as fal,
    ):
        first = fal.connect("acme/app", connection_key="canvas")
        openings = [asyncio.ensure_future(first.__aenter__()) for _ in range(3)]
        errors = await soon(asyncio.gather(*openings, return_exceptions=True))
        assert all(isinstance(error, falrt.HandshakeError) for error in errors)
        async with fal.connect("acme/app", connection_key="canvas") as conn:
            assert await soon(conn.request({"n": 1})) == {"n": 1}


async def test_one_of_two_that_wait_for_the_opening_may_give_up() -> None:
    faults = [script.SlowHandshake(0.05)]
    async with (
        FakeServer(echo, faults=faults) as server,
        leaves_nothing(server.url),
        client_of(server) as fal,
    ):
        conn = fal.connect("acme/app", connection_key="canvas")
        first, second = (asyncio.ensure_future(conn.__aenter__()) for _ in range(2))
        await until(lambda: server.connections)
        first.cancel()
        assert await soon(second) is conn
        assert await soon(conn.request({"n": 1})) == {"n": 1}
        await conn.close()


async def test_when_all_give_up_waiting_nothing_is_left() -> None:
    faults = [script.Hang(times=None)]
    async with (
        FakeServer(echo, faults=faults) as server,
        leaves_nothing(server.url),
        client_of(server) as fal,
    ):
        conn = fal.connect("acme/app", connection_key="canvas")
        waiting = [asyncio.ensure_future(conn.__aenter__()) for _ in range(2)]
        await until(lambda: server.connections)
        for task in waiting:
            task.cancel()
        await soon(asyncio.gather(*waiting, return_exceptions=True))
        assert conn.state is falrt.State.CLOSED


async def test_a_shared_connection_that_died_is_replaced() -> None:
    async with FakeServer(echo) as server, client_of(server) as fal:
        options: Any = {"connection_key": "canvas", "reconnect": False}
        async with fal.connect("acme/app", **options) as first:
            server.connections[0].reset()
            await until(lambda: first.state is falrt.State.CLOSED)
            async with fal.connect("acme/app", **options) as second:
                assert await soon(second.request({"n": 1})) == {"n": 1}


# --- TLS


async def test_a_context_of_ones_own_is_used() -> None:
    context = ssl.create_default_context()
    fal = falrt.Client(key="k", ssl=context)
    assert await fal._ssl_context() is context
    await fal.aclose()


async def test_one_context_is_built_for_all_and_a_failure_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[int] = []

    async def build() -> ssl.SSLContext:
        built.append(1)
        if len(built) == 1:
            raise OSError("no certificates")
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    monkeypatch.setattr("falrt.connection.dialing.default_ssl_context", build)
    fal = falrt.Client(key="k")
    with pytest.raises(OSError, match="no certificates"):
        await fal._ssl_context()
    contexts = await asyncio.gather(fal._ssl_context(), fal._ssl_context())
    assert contexts[0] is contexts[1]
    assert len(built) == 2
    await fal.aclose()


async def test_closing_while_the_context_is_built_leaves_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    async def build() -> ssl.SSLContext:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("falrt.connection.dialing.default_ssl_context", build)
    fal = falrt.Client(key="k")
    waiting = asyncio.ensure_future(fal._ssl_context())
    await turns()
    await soon(fal.aclose())
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_the_default_context_is_built_in_a_thread_that_ends() -> None:
    from falrt.connection.dialing import default_ssl_context

    context = await default_ssl_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509_ca"] >= 0
