from __future__ import annotations

import asyncio
import json
import logging
import ssl
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from falrt.auth import Key, find_key
from falrt.auth.token_requests import TokenRequests
from falrt.exceptions import (
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    MissingCredentialsError,
    TokenRequestError,
)
from falrt.protocol.wire.token_endpoints import TokenEndpoint

GENERAL, REALTIME = TokenEndpoint.GENERAL, TokenEndpoint.REALTIME
PATH, ALIAS = "fal-ai/flux-2/klein/realtime", "flux-2"
SECRET = "0f1e2d3c4b5a:9a8b7c6d5e4f"
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ0ZXN0In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"

Answer = httpx.Response | Exception


def minted() -> httpx.Response:
    return httpx.Response(201, json=TOKEN)


def refused(status: int, detail: Any = "no", **headers: str) -> httpx.Response:
    return httpx.Response(
        status, json={"detail": detail}, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


@dataclass
class Service:
    """Answers token requests from a script; the last answer is repeated."""

    general: list[Answer] = field(default_factory=lambda: [minted()])
    realtime: list[Answer] = field(default_factory=lambda: [minted()])
    seen: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        target = request.headers.get("x-fal-target-url", str(request.url))
        script = self.realtime if target.endswith(REALTIME) else self.general
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.seen]


def requests(service: Callable[[httpx.Request], httpx.Response], **options: Any) -> TokenRequests:
    client = httpx.AsyncClient(transport=httpx.MockTransport(service), follow_redirects=True)

    async def http() -> httpx.AsyncClient:
        return client

    return TokenRequests(**{"key": lambda: Key(SECRET), "http": http, "retry_delays": (0.0, 0.0), **options})


async def ask(
    asked: TokenRequests, seconds: float = 120, worked: TokenEndpoint | None = None, custom_path: bool = False
) -> tuple[str, TokenEndpoint]:
    token, endpoint = await asked.ask(PATH, ALIAS, seconds=seconds, worked=worked, custom_path=custom_path)
    return token.value, endpoint


async def failure(asked: TokenRequests, **options: Any) -> TokenRequestError:
    with pytest.raises(TokenRequestError) as caught:
        await ask(asked, **options)
    return caught.value


async def no_connection(asked: TokenRequests) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await ask(asked)
    return caught.value


# The requests.


@pytest.mark.wire("W42")
async def test_the_general_endpoint_gets_the_key_and_the_alias() -> None:
    service = Service()
    assert await ask(requests(service)) == (TOKEN, GENERAL)
    [request] = service.seen
    assert (request.method, str(request.url)) == ("POST", "https://rest.fal.ai/tokens/")
    assert request.headers["authorization"] == f"Key {SECRET}"
    assert json.loads(request.content) == {"allowed_apps": ["flux-2"], "token_expiration": 120}


@pytest.mark.parametrize("status", [403, 404, 422])
async def test_the_realtime_endpoint_is_asked_where_the_general_one_refuses(status: int) -> None:
    service = Service(general=[refused(status)])
    assert await ask(requests(service)) == (TOKEN, REALTIME)
    assert service.paths == ["/tokens/", "/tokens/realtime"]
    assert json.loads(service.seen[1].content)["app"] == PATH


async def test_the_endpoint_that_worked_before_is_asked_alone() -> None:
    service = Service()
    assert await ask(requests(service), worked=REALTIME) == (TOKEN, REALTIME)
    assert service.paths == ["/tokens/realtime"]


async def test_a_custom_path_is_asked_for_at_the_realtime_endpoint() -> None:
    service = Service(realtime=[refused(404)])
    assert await ask(requests(service), custom_path=True) == (TOKEN, GENERAL)
    assert service.paths == ["/tokens/realtime", "/tokens/"]


async def test_the_lifetime_asked_for_comes_back_as_the_tokens_own() -> None:
    asked = requests(Service(general=[refused(403)]))
    token, _ = await asked.ask(PATH, ALIAS, seconds=300, worked=None, custom_path=False)
    assert token.expires_in == 120
    token, _ = await asked.ask(PATH, ALIAS, seconds=300, worked=REALTIME, custom_path=False)
    assert token.expires_in == 120


@pytest.mark.wire("W46")
async def test_every_success_status_counts() -> None:
    for status in (200, 201, 202):
        assert await ask(requests(Service(general=[httpx.Response(status, json={"token": TOKEN})])))


async def test_base_url_is_asked_instead_of_fal() -> None:
    service = Service()
    await ask(requests(service, base_url="http://10.0.0.7:8765"))
    assert str(service.seen[0].url) == "http://10.0.0.7:8765/tokens/"


def no_key() -> Key:
    return find_key(environ={})


async def test_a_missing_key_is_told_before_anything_is_sent() -> None:
    service = Service()
    with pytest.raises(MissingCredentialsError):
        await ask(requests(service, key=no_key))
    assert not service.seen


async def test_a_server_on_this_machine_needs_no_key() -> None:
    service = Service()
    await ask(requests(service, key=no_key, base_url="http://127.0.0.1:8765"))
    assert "authorization" not in service.seen[0].headers


async def test_a_refusal_on_this_machine_without_a_key_is_told_as_such() -> None:
    service = Service(general=[refused(401, "who are you")])
    error = await failure(requests(service, key=no_key, base_url="http://localhost:1"))
    assert "who are you" in str(error)


async def test_a_proxy_gets_the_same_request_with_the_target_and_no_key() -> None:
    service = Service()
    await ask(requests(service, key=no_key, proxy_url="https://me.example/api/fal/proxy"))
    [request] = service.seen
    assert str(request.url) == "https://me.example/api/fal/proxy"
    assert request.headers["x-fal-target-url"] == "https://rest.fal.ai/tokens/"
    assert "authorization" not in request.headers
    assert json.loads(request.content) == {"allowed_apps": ["flux-2"], "token_expiration": 120}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"proxy_url": "me.example/proxy"}, "proxy_url .* must begin with http"),
        ({"proxy_url": "https://"}, "proxy_url .* must begin with http"),
        ({"proxy_url": "https://me:pass@me.example"}, "proxy_url contains a user name or password"),
        ({"base_url": "http://me:pass@10.0.0.7"}, "base_url contains a user name or password"),
    ],
)
def test_a_wrong_url_is_refused_when_it_is_given(options: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        requests(Service(), **options)


# Refusals.


@pytest.mark.wire("W46")
@pytest.mark.parametrize(
    ("status", "cure"),
    [
        (400, "app id"),
        (401, "FAL_KEY"),
        (402, "balance"),
        (403, "scope"),
        (404, "app id"),
        (422, 'auth="key"'),
        (418, "key"),
    ],
)
async def test_a_refusal_names_status_words_and_cure_at_once(status: int, cure: str) -> None:
    service = Service(general=[refused(status, "the reason")], realtime=[refused(status, "another")])
    error = await failure(requests(service))
    assert (error.status, error.passing) == (status, False)
    assert f"answered {status}: the reason" in str(error)
    assert cure in str(error)
    assert len(service.seen) <= 2


async def test_both_endpoints_words_are_told() -> None:
    service = Service(
        general=[refused(403, "not on the list")],
        realtime=[refused(422, [{"loc": ["body", "app"], "msg": "no realtime endpoint"}])],
    )
    error = await failure(requests(service))
    assert (error.status, error.detail) == (422, "app: no realtime endpoint")
    assert "/tokens/ answered 403: not on the list" in str(error)
    assert "/tokens/realtime answered 422: app: no realtime endpoint" in str(error)


async def test_where_there_is_no_second_endpoint_the_first_ones_status_counts() -> None:
    error = await failure(requests(Service(general=[refused(403, "locked")], realtime=[refused(404)])))
    assert (error.status, error.detail) == (403, "locked")


@pytest.mark.parametrize(
    ("status", "cure"), [(400, "allows the token URL"), (401, "its own login"), (405, "does not accept POST")]
)
async def test_a_proxys_refusal_is_the_proxys(status: int, cure: str) -> None:
    service = Service(general=[refused(status, "Invalid request")])
    error = await failure(requests(service, proxy_url="https://me.example/p?secret=hush"))
    assert cure in str(error)
    assert "by way of https://me.example/p answered" in str(error)
    assert "hush" not in str(error)


@pytest.mark.parametrize("body", ["", "{}", '{"detail": "Forbidden"}', "<html>Sign in</html>", "x" * 100_000])
async def test_a_success_without_a_token_is_an_error(body: str) -> None:
    error = await failure(requests(Service(general=[httpx.Response(200, text=body)])))
    assert "without a token" in str(error)
    assert (error.status, error.passing) == (200, False)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://user:pw@evil.example/x", "evil.example"),
        ("/elsewhere", "another path"),
        ("", "another path"),
    ],
)
async def test_no_credential_follows_a_redirect(location: str, told: str) -> None:
    service = Service(general=[httpx.Response(307, headers={"location": location})])
    error = await failure(requests(service))
    assert len(service.seen) == 1
    assert f"redirects to {told};" in str(error)
    assert "base_url" in str(error)
    assert "pw" not in str(error)


async def test_a_redirecting_proxy_is_not_followed_either() -> None:
    service = Service(general=[httpx.Response(302, headers={"location": "https://login.example/"})])
    assert "set proxy_url" in str(await failure(requests(service, proxy_url="https://me.example")))


async def test_a_short_key_for_tests_does_not_blank_out_words_that_contain_it() -> None:
    error = await failure(
        requests(Service(general=[refused(400, "the latest test")]), key=lambda: Key("test"))
    )
    assert error.detail == "the latest test"


# Failures that may pass.


REFUSED = [refused(429), refused(500), refused(503)]
DOWN = [httpx.ConnectError("refused"), httpx.ReadTimeout(""), httpx.RemoteProtocolError("gone")]
PASSING: list[Answer] = [*REFUSED, *DOWN]


@pytest.mark.parametrize(
    "answer", PASSING, ids=lambda answer: str(getattr(answer, "status_code", type(answer).__name__))
)
async def test_a_passing_failure_is_tried_again(answer: Answer) -> None:
    service = Service(general=[answer, answer, minted()])
    assert await ask(requests(service)) == (TOKEN, GENERAL)
    assert len(service.seen) == 3


@pytest.mark.parametrize("answer", REFUSED, ids=lambda answer: str(answer.status_code))
async def test_three_passing_failures_are_an_error_that_says_so(answer: httpx.Response) -> None:
    service = Service(general=[answer])
    error = await failure(requests(service))
    assert error.passing
    assert error.status == answer.status_code
    assert len(service.seen) == 3


@pytest.mark.parametrize("answer", DOWN, ids=lambda answer: type(answer).__name__)
async def test_a_network_that_is_down_three_times_is_no_matter_of_the_credential(answer: Exception) -> None:
    service = Service(general=[answer])
    error = await no_connection(requests(service))
    assert isinstance(error, ConnectTimeoutError) is isinstance(answer, httpx.TimeoutException)
    assert len(service.seen) == 3
    assert error.__context__ is answer
    assert error.__cause__ is None, "the library's own chain is not shown"


async def test_a_local_server_that_does_not_run_is_told_at_once_with_the_cure() -> None:
    service = Service(general=[httpx.ConnectError("refused")])
    error = await no_connection(requests(service, base_url="http://127.0.0.1:8765"))
    assert str(error) == (
        "nothing listens at 127.0.0.1:8765 (FALRT_BASE_URL or base_url); is `falrt serve` running?"
    )
    assert len(service.seen) == 1


async def test_https_to_a_plain_port_is_not_told_as_a_server_that_does_not_run() -> None:
    refused = httpx.ConnectError("wrong version number")
    refused.__cause__ = ssl.SSLError(1, "wrong version number")
    error = await no_connection(requests(Service(general=[refused]), base_url="https://127.0.0.1:8765"))
    assert "wrong version number" in str(error)
    assert "falrt serve" not in str(error)


async def test_another_failure_of_the_http_library_is_final() -> None:
    service = Service(general=[httpx.TooManyRedirects("loop")])
    error = await failure(requests(service))
    assert not error.passing
    assert len(service.seen) == 1


async def test_a_long_retry_after_is_left_to_the_caller() -> None:
    service = Service(general=[refused(429, retry_after="3600")])
    error = await failure(requests(service))
    assert error.passing
    assert len(service.seen) == 1


async def test_a_short_retry_after_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("falrt.auth.token_requests.asyncio.sleep", note)
    service = Service(
        general=[refused(429, retry_after="7"), refused(503, retry_after="Fri, 01 Jan 2038"), minted()]
    )
    await ask(requests(service, retry_delays=(0.0, 4.0)))
    assert waits[0] == 7
    assert 2 <= waits[1] <= 4


# The client made here.


async def serve(replies: list[bytes], heads: list[bytes]) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        heads.append(head)
        body = replies.pop(0)
        writer.write(
            b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


async def test_without_a_given_client_one_is_made_kept_and_closed() -> None:
    heads: list[bytes] = []
    server = await serve([json.dumps(TOKEN).encode()] * 2, heads)
    port = server.sockets[0].getsockname()[1]
    asked = TokenRequests(key=lambda: Key(SECRET), base_url=f"http://127.0.0.1:{port}")
    async with server, asyncio.timeout(10):
        answers = await asyncio.gather(ask(asked), ask(asked))
        assert answers == [(TOKEN, GENERAL)] * 2
        await asked.aclose()
    assert heads[0].startswith(b"POST /tokens/ HTTP/1.1")
    assert f"Key {SECRET}".encode() in heads[0]


async def test_closing_without_ever_asking_does_nothing() -> None:
    await TokenRequests(key=no_key).aclose()


def test_keys_tokens_and_codecs_are_imported_without_any_heavy_library() -> None:
    heavy = {"httpx", "httpcore", "pydantic", "websockets", "anyio", "numpy", "PIL"}
    program = f"import sys, falrt.auth, falrt.codecs; sys.exit(str({heavy!r} & set(sys.modules) or 0))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() in ("", "0")


# Secrets.


async def test_no_key_or_token_shows_in_errors_tracebacks_or_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "falrt", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    quoting = f"key {SECRET} (id {SECRET.split(':')[0]}) with Key {SECRET} and token {TOKEN} is bad"
    answers: list[Answer] = [
        refused(401, quoting),
        refused(403, [{"loc": ["header"], "msg": quoting}]),
        refused(503, quoting),
        httpx.Response(200, json={"detail": f"not {TOKEN}"}),
        httpx.ConnectError(quoting.replace(TOKEN, "")),
    ]
    texts = []
    for answer in answers:
        asked = requests(Service(general=[answer], realtime=[answer]))
        error: Any = await (no_connection if isinstance(answer, Exception) else failure)(asked)
        texts += [str(error), repr(error), getattr(error, "detail", ""), repr(asked)]
        if not isinstance(answer, Exception):  # Its own words are the test's here, not httpx's.
            texts.append("".join(traceback.format_exception(error)))
    heads: list[bytes] = []
    server = await serve([json.dumps(TOKEN).encode()], heads)
    asked = TokenRequests(
        key=lambda: Key(SECRET), base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    )
    async with server, asyncio.timeout(10):
        await ask(asked)
        await asked.aclose()
    assert "send_request_headers" in caplog.text  # httpcore did log its request.
    texts.append(caplog.text)
    for part in (SECRET, *SECRET.split(":"), TOKEN, TOKEN.split(".")[2]):
        assert not [text for text in texts if part in text]
