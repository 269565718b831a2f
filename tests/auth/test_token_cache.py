from __future__ import annotations

import asyncio
import base64
import json
import selectors
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from falrt.auth import Key, Token, TokenCache
from falrt.exceptions import (
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    MissingCredentialsError,
    TokenRequestError,
)

PATH, ALIAS = "fal-ai/fast-lcm-diffusion/realtime", "fast-lcm-diffusion"
WALL = 1_800_000_000.0


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # its type depends on the system
    """Instead of waiting for a timer, moves the loop's clock to it."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise AssertionError("nothing will ever happen")
        self.now += max(timeout, 1e-3)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose hours pass in no time; for code that neither does I/O nor starts threads."""

    def __init__(self) -> None:
        self.clock = _Selector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def in_virtual_time(scenario: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def test() -> None:
        async def run() -> None:
            await scenario()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, "the cache left tasks behind"

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(run())

    test.__name__ = scenario.__name__
    return test


def now() -> float:
    return asyncio.get_running_loop().time()


def wall() -> float:
    return WALL + now()


def jwt(lifetime: float, number: int = 0) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": wall() + lifetime, "n": number}).encode()).rstrip(
        b"="
    )
    return f"e30.{claims.decode()}.c2ln"


class Mint:
    """A token provider that counts; takes ``delay`` seconds and fails as scripted."""

    def __init__(self, lifetime: float | None = 120, delay: float = 0.0) -> None:
        self.lifetime, self.delay = lifetime, delay
        self.asked_at: list[float] = []
        self.failures: list[BaseException] = []

    async def __call__(self, app: str) -> str | Token:
        self.asked_at.append(now())
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.failures:
            raise self.failures.pop(0)
        number = len(self.asked_at)
        return f"opaque-{number}" if self.lifetime is None else jwt(self.lifetime, number)

    @property
    def count(self) -> int:
        return len(self.asked_at)


def cache(provider: Any, **options: Any) -> TokenCache:
    return TokenCache(token_provider=provider, wall_clock=wall, **options)


# Sharing.


@in_virtual_time
async def test_fifty_waiters_share_one_request() -> None:
    mint = Mint(delay=1)
    tokens = cache(mint)
    got = await asyncio.gather(*(tokens.get(PATH, ALIAS) for _ in range(50)))
    assert mint.count == 1
    assert len({token.value for token in got}) == 1
    await tokens.aclose()


@in_virtual_time
async def test_fifty_waiters_share_one_failure() -> None:
    mint = Mint(delay=1)
    mint.failures = [KeyError("x")]
    tokens = cache(mint)
    got = await asyncio.gather(*(tokens.get(PATH, ALIAS) for _ in range(50)), return_exceptions=True)
    assert mint.count == 1
    assert all(isinstance(error, TokenRequestError) for error in got)
    await tokens.aclose()


@in_virtual_time
async def test_a_cancelled_waiter_leaves_the_request_to_the_others() -> None:
    mint = Mint(delay=1)
    tokens = cache(mint)
    first, second = (asyncio.create_task(tokens.get(PATH, ALIAS)) for _ in range(2))
    await asyncio.sleep(0.5)
    first.cancel()
    assert (await second).value
    assert first.cancelled()
    assert mint.count == 1
    await tokens.aclose()


@in_virtual_time
async def test_a_fetch_whose_waiters_have_all_gone_still_fills_the_cache() -> None:
    mint = Mint(delay=1)
    tokens = cache(mint)
    waiter = asyncio.create_task(tokens.get(PATH, ALIAS))
    await asyncio.sleep(0.5)
    waiter.cancel()
    await asyncio.sleep(1)
    await tokens.get(PATH, ALIAS)
    assert mint.count == 1
    await tokens.aclose()


@in_virtual_time
async def test_each_app_has_its_own_token() -> None:
    mint = Mint()
    tokens = cache(mint)
    one, two = await tokens.get("a/b/realtime", "b"), await tokens.get("a/c/realtime", "c")
    assert one.value != two.value
    assert mint.count == 2
    await tokens.aclose()


# Freshness.


@in_virtual_time
async def test_a_cached_token_comes_with_what_is_left_of_its_life() -> None:
    mint = Mint()
    tokens = cache(mint)
    assert (await tokens.get(PATH, ALIAS)).expires_in == pytest.approx(120)
    await asyncio.sleep(50)
    assert (await tokens.get(PATH, ALIAS)).expires_in == pytest.approx(70, abs=0.1)
    assert mint.count == 1
    await tokens.aclose()


@in_virtual_time
async def test_a_token_about_to_expire_is_not_given_out() -> None:
    mint = Mint()
    tokens = cache(mint)
    await tokens.get(PATH, ALIAS)
    await asyncio.sleep(115)
    assert (await tokens.get(PATH, ALIAS)).expires_in == pytest.approx(120)
    assert mint.count == 2
    await tokens.aclose()


@in_virtual_time
async def test_the_lifetime_of_an_opaque_token_is_the_configured_one() -> None:
    mint = Mint(lifetime=None)
    tokens = cache(mint, token_expiration_seconds=60)
    await tokens.get(PATH, ALIAS)
    await asyncio.sleep(50)
    await tokens.get(PATH, ALIAS)
    assert mint.count == 1
    await asyncio.sleep(10)
    await tokens.get(PATH, ALIAS)
    assert mint.count == 2
    await tokens.aclose()


@in_virtual_time
async def test_time_spent_fetching_is_taken_off_an_assumed_lifetime() -> None:
    tokens = cache(Mint(lifetime=None, delay=5), token_expiration_seconds=60)
    assert (await tokens.get(PATH, ALIAS)).expires_in == pytest.approx(55, abs=0.1)
    await tokens.aclose()


@in_virtual_time
async def test_a_lifetime_given_by_the_provider_wins() -> None:
    async def provider(app: str) -> Token:
        return Token(jwt(120), 30)

    tokens = cache(provider)
    assert (await tokens.get(PATH, ALIAS)).expires_in == 30
    await tokens.aclose()


@in_virtual_time
async def test_a_token_of_unknown_lifetime_is_fetched_for_every_handshake() -> None:
    mint = Mint(lifetime=None)
    tokens = cache(mint)
    tokens.in_use(PATH)
    first, second = await tokens.get(PATH, ALIAS), await tokens.get(PATH, ALIAS)
    assert (first.value, second.value) == ("opaque-1", "opaque-2")
    assert first.expires_in is None
    await asyncio.sleep(3600)
    assert mint.count == 2
    tokens.release(PATH)
    await tokens.aclose()


# Renewal.


@in_virtual_time
async def test_a_token_in_use_is_renewed_in_the_background_at_nine_tenths_of_its_life() -> None:
    mint = Mint()
    tokens = cache(mint)
    tokens.in_use(PATH)
    start = now()
    await tokens.get(PATH, ALIAS)
    await asyncio.sleep(330)
    assert [at - start for at in mint.asked_at] == pytest.approx([0, 108, 216, 324], abs=0.1)
    await tokens.aclose()


@in_virtual_time
async def test_a_renewal_under_way_does_not_hold_up_whoever_has_a_good_token() -> None:
    mint = Mint(delay=4)
    tokens = cache(mint)
    tokens.in_use(PATH)
    first = await tokens.get(PATH, ALIAS)
    await asyncio.sleep(110)
    assert mint.count == 2
    asked_at = now()
    assert (await tokens.get(PATH, ALIAS)).value == first.value
    assert now() == asked_at
    await asyncio.sleep(5)
    assert (await tokens.get(PATH, ALIAS)).value != first.value
    await tokens.aclose()


@in_virtual_time
async def test_nothing_is_renewed_while_no_connection_uses_the_app() -> None:
    mint = Mint()
    tokens = cache(mint)
    await tokens.get(PATH, ALIAS)
    tokens.in_use(PATH)
    tokens.in_use(PATH)
    tokens.release(PATH)
    await asyncio.sleep(109)
    assert mint.count == 2
    tokens.release(PATH)
    await asyncio.sleep(3600)
    assert mint.count == 2
    await tokens.aclose()


@in_virtual_time
async def test_releasing_too_often_or_an_unknown_app_does_nothing() -> None:
    mint = Mint()
    tokens = cache(mint)
    tokens.release(PATH)
    tokens.in_use(PATH)
    tokens.release(PATH)
    tokens.release(PATH)
    tokens.in_use(PATH)
    await tokens.get(PATH, ALIAS)
    await asyncio.sleep(109)
    assert mint.count == 2
    await tokens.aclose()


@in_virtual_time
async def test_a_failed_renewal_is_tried_again_before_expiry() -> None:
    mint = Mint()
    tokens = cache(mint)
    tokens.in_use(PATH)
    start = now()
    await tokens.get(PATH, ALIAS)
    mint.failures = [ConnectionError("down"), ConnectionError("down")]
    await asyncio.sleep(119)
    assert [at - start for at in mint.asked_at] == pytest.approx([0, 108, 114, 117], abs=0.1)
    assert (await tokens.get(PATH, ALIAS)).expires_in == pytest.approx(118, abs=0.1)
    await tokens.aclose()


@in_virtual_time
async def test_a_renewal_that_awaits_something_cancelled_is_tried_again_later_and_not_at_once() -> None:
    mint = Mint()
    tokens = cache(mint)
    tokens.in_use(PATH)
    await tokens.get(PATH, ALIAS)
    mint.failures = [asyncio.CancelledError()]
    await asyncio.sleep(119)
    assert mint.count == 3
    mint.failures = [asyncio.CancelledError()]
    with pytest.raises(TokenRequestError, match="was cancelled") as caught:
        await tokens.get(PATH, ALIAS, force=True)
    assert caught.value.passing
    await tokens.aclose()


@in_virtual_time
async def test_a_final_refusal_ends_the_renewal_and_the_next_get_asks_again() -> None:
    mint = Mint()
    tokens = cache(mint)
    tokens.in_use(PATH)
    await tokens.get(PATH, ALIAS)
    mint.failures = [KeyError("x"), MissingCredentialsError("no key any more")]
    await asyncio.sleep(3600)
    assert mint.count == 2
    with pytest.raises(MissingCredentialsError):
        await tokens.get(PATH, ALIAS)
    assert (await tokens.get(PATH, ALIAS)).value
    await tokens.aclose()


# After a refused handshake.


@in_virtual_time
async def test_a_refused_token_is_replaced_by_one_request_for_all_who_held_it() -> None:
    mint = Mint()
    tokens = cache(mint)
    held = await asyncio.gather(*(tokens.get(PATH, ALIAS) for _ in range(10)))

    async def come_back(token: Token) -> Token:
        tokens.refused(PATH, token)
        return await tokens.get(PATH, ALIAS)

    renewed = await asyncio.gather(*map(come_back, held))
    assert mint.count == 2
    tokens.refused(PATH, held[0])  # A latecomer with the old one does no harm.
    assert (await tokens.get(PATH, ALIAS)).value == renewed[0].value
    assert mint.count == 2
    await tokens.aclose()


@in_virtual_time
async def test_a_refused_token_of_an_unknown_app_is_ignored() -> None:
    tokens = cache(Mint())
    tokens.refused(PATH, Token("t"))
    await tokens.aclose()


@in_virtual_time
async def test_force_fetches_although_a_good_token_is_there() -> None:
    mint = Mint()
    tokens = cache(mint)
    first = await tokens.get(PATH, ALIAS)
    assert (await tokens.get(PATH, ALIAS, force=True)).value != first.value
    await tokens.aclose()


# Ends.


@in_virtual_time
async def test_a_provider_that_never_answers_is_given_up() -> None:
    tokens = cache(Mint(delay=1e6), fetch_timeout=20)
    with pytest.raises(TokenRequestError, match=r"the token provider gave no token .* within 20 s") as caught:
        await tokens.get(PATH, ALIAS)
    assert caught.value.passing
    await tokens.aclose()


@in_virtual_time
async def test_closing_ends_waiters_renewals_and_tasks() -> None:
    tokens = cache(Mint(delay=10))
    tokens.in_use(PATH)
    waiter = asyncio.create_task(tokens.get(PATH, ALIAS))
    await asyncio.sleep(1)
    await tokens.aclose()
    with pytest.raises(TokenRequestError, match="closing"):
        await waiter
    with pytest.raises(TokenRequestError, match="client is closed"):
        await tokens.get(PATH, ALIAS)
    await asyncio.sleep(3600)


@in_virtual_time
async def test_closing_stops_the_timer_of_a_token_in_use() -> None:
    mint = Mint()
    tokens = cache(mint)
    tokens.in_use(PATH)
    await tokens.get(PATH, ALIAS)
    await tokens.aclose()
    await asyncio.sleep(3600)
    assert mint.count == 1


@in_virtual_time
async def test_releasing_after_the_close_does_nothing() -> None:
    tokens = cache(Mint())
    tokens.in_use(PATH)
    await tokens.aclose()
    tokens.release(PATH)


# From the endpoints.


def endpoints(handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> TokenCache:
    client = httpx.AsyncClient(transport=httpx.MockTransport(handler))

    async def http() -> httpx.AsyncClient:
        return client

    return TokenCache(key=Key("0f1e2d3c"), http=http, wall_clock=wall, **options)


@in_virtual_time
async def test_a_network_that_is_down_does_not_end_the_renewal() -> None:
    asked: list[float] = []

    def service(request: httpx.Request) -> httpx.Response:
        asked.append(now())
        if len(asked) == 2:
            raise httpx.ConnectError("down")
        return httpx.Response(201, json=jwt(120))

    tokens = endpoints(service, retry_delays=())
    tokens.in_use(PATH)
    await tokens.get(PATH, ALIAS)
    await asyncio.sleep(119)
    assert len(asked) == 3
    await tokens.aclose()


@in_virtual_time
async def test_token_requests_that_take_too_long_are_a_network_that_is_too_slow() -> None:
    def service(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("down")

    tokens = endpoints(service, retry_delays=(60.0,), fetch_timeout=20)
    with pytest.raises(ConnectTimeoutError, match=r"the token request to rest\.fal\.ai gave no token"):
        await tokens.get(PATH, ALIAS)
    tokens = endpoints(service, retry_delays=())
    with pytest.raises(ConnectError, match="ConnectError down"):
        await tokens.get(PATH, ALIAS)
    await tokens.aclose()


@in_virtual_time
async def test_the_endpoint_that_worked_is_remembered_for_the_app() -> None:
    paths: list[str] = []

    def service(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(403) if request.url.path == "/tokens/" else httpx.Response(201, json=jwt(10))

    tokens = endpoints(service)
    assert (await tokens.get(PATH, ALIAS)).expires_in == pytest.approx(10)
    await asyncio.sleep(60)
    await tokens.get(PATH, ALIAS)
    assert paths == ["/tokens/", "/tokens/realtime", "/tokens/realtime"]
    await tokens.aclose()


@in_virtual_time
async def test_a_custom_path_starts_with_the_realtime_endpoint() -> None:
    paths: list[str] = []

    def service(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(201, json="opaque")

    tokens = endpoints(service, token_expiration_seconds=300)
    token = await tokens.get("acme/app/ws", "app", custom_path=True)
    assert paths == ["/tokens/realtime"]
    assert token.expires_in == pytest.approx(120)
    await tokens.aclose()


@in_virtual_time
async def test_the_configured_lifetime_is_asked_for() -> None:
    bodies: list[Any] = []

    def service(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(201, json="opaque")

    tokens = endpoints(service, token_expiration_seconds=300)
    await tokens.get(PATH, ALIAS)
    assert bodies == [{"allowed_apps": [ALIAS], "token_expiration": 300}]
    await tokens.aclose()


@in_virtual_time
async def test_an_http_client_that_cannot_be_made_is_a_token_error() -> None:
    async def http() -> httpx.AsyncClient:
        raise OSError("no certificates")

    tokens = TokenCache(key=lambda: Key("0f1e2d3c"), http=http, wall_clock=wall)
    with pytest.raises(TokenRequestError, match="OSError") as caught:
        await tokens.get(PATH, ALIAS)
    assert isinstance(caught.value.__cause__, OSError)
    await tokens.aclose()


async def test_the_key_is_looked_for_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET"):
        monkeypatch.delenv(name, raising=False)
    client = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda request: httpx.Response(201, json="opaque"))
    )

    async def http() -> httpx.AsyncClient:
        return client

    tokens = TokenCache(http=http)
    with pytest.raises(MissingCredentialsError):
        await tokens.get(PATH, ALIAS)
    monkeypatch.setenv("FAL_KEY", "0f1e2d3c")
    assert (await tokens.get(PATH, ALIAS)).value == "opaque"
    await tokens.aclose()


# Wrong options.


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e308, True, "60"])
def test_a_lifetime_must_be_positive_seconds(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="token_expiration_seconds"):
        TokenCache(token_expiration_seconds=seconds)


def test_a_provider_must_be_a_function() -> None:
    with pytest.raises(ConfigurationError, match=r"token_provider must be a function .* got str"):
        TokenCache(token_provider="eyJ")  # type: ignore[arg-type]


# Secrets.


@in_virtual_time
async def test_no_token_shows_in_representations_or_failures() -> None:
    mint = Mint()
    tokens = cache(mint)
    token = await tokens.get(PATH, ALIAS)
    mint.failures = [KeyError("x")]
    try:
        await tokens.get(PATH, ALIAS, force=True)
    except TokenRequestError as exc:
        told = "".join(traceback.format_exception(exc))
    assert token.value not in told + repr(tokens) + repr(tokens._entries) + repr(token)
    await tokens.aclose()
