"""Every option is refused by name when it is wrong, before anything is opened."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

import falrt
from falrt import pacing
from falrt.exceptions import ConfigurationError, MissingCredentialsError
from falrt.options import ClientOptions, ConnectionSettings, ConnectOptions
from falrt.protocol.reconnect.liveness import Keepalive

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "options.md"
CLIENT, CONNECTION = set(ClientOptions.__annotations__), set(ConnectOptions.__annotations__)

# Option, a wrong value, and what the error says besides the option's name.
WRONG: list[tuple[str, Any, str]] = [
    ("key", 5, "must be a string, got int"),
    ("key", "two words", "copy the key again"),
    ("base_url", 5, "must be a string such as 'http://127.0.0.1:8765', got int"),
    ("base_url", "localhost", "must be a URL with a host"),
    ("base_url", "http://h/?a=b", "and no query"),
    ("proxy_url", 5, "must be a string, got int"),
    ("proxy_url", "ftp://x", "must begin with http:// or https:// and a host"),
    *(
        (name, url, said)
        for name, said in (
            ("base_url", "must be a URL with a host"),
            ("proxy_url", "must begin with http:// or https:// and a host"),
            ("proxy", "must be a URL with its scheme"),
        )
        for url in ("http://[", "http://[::1", "http://[abc]", "http://h:x", "http://h:99999")
    ),
    ("token_provider", "token", "must be a function of the app's path, got str"),
    ("token_expiration_seconds", 0, "must be a positive number of seconds or None, got 0"),
    ("token_expiration_seconds", "120", "must be a positive number of seconds or None, got '120'"),
    ("auth", "jwt", "must be 'token' or 'key', got 'jwt'"),
    ("ssl", True, "must be an ssl.SSLContext or None, got True"),
    ("path", "", "leave it out for '/realtime'"),
    ("path", 5, "must be a string such as '/ws', or None for '/realtime', got int"),
    ("path", "a?b", "use letters, digits"),
    ("mode", "duplex", "use one of 'unary'"),
    ("mode", "", "use one of 'unary'"),
    ("mode", [], "use one of 'unary'"),
    ("max_buffering", 0, "must be a whole number from 1 to 60 or None, got 0"),
    ("max_buffering", True, "must be a whole number from 1 to 60 or None, got True"),
    ("codec", None, "such as falrt.codecs.Json(), got None"),
    ("codec", falrt.codecs.Json, "such as falrt.codecs.Json(), got <class"),
    ("encode_message", "json", "must be a function, got str"),
    ("decode_message", 5, "must be a function, got int"),
    ("pacing", None, "such as falrt.pacing.Latest(), got None"),
    ("pacing", pacing.Latest, "such as falrt.pacing.Latest(), got <class"),
    ("throttle_interval", 0, "must be a positive number of seconds or None, got 0"),
    ("throttle_interval", True, "must be a positive number of seconds or None, got True"),
    ("on_result", [], "must be a function, got list"),
    ("on_error", "print", "must be a function, got str"),
    ("on_event", 3, "must be a function, got int"),
    ("connection_key", "camera", "belongs to a falrt.Client"),
    ("reconnect", None, "must be True, False or a falrt.Backoff, got None"),
    ("reconnect", 3, "must be True, False or a falrt.Backoff, got 3"),
    ("lazy", "yes", "must be True or False, got 'yes'"),
    ("idle_close", math.inf, "must be a positive number of seconds or None, got inf"),
    ("idle_close", -1, "must be a positive number of seconds or None, got -1"),
    ("warmup_timeout", None, "must be a positive number of seconds, got None"),
    ("warmup_timeout", 0, "must be a positive number of seconds, got 0"),
    ("open_timeout", "90", "must be a positive number of seconds or None, got '90'"),
    ("request_timeout", math.nan, "must be a positive number of seconds or None, got nan"),
    ("request_timeout", 10**400, "must be a positive number of seconds or None, got 1000"),
    ("max_size", 0, "must be a number of bytes above 0 or None, got 0"),
    ("max_size", 1.5, "must be a number of bytes above 0 or None, got 1.5"),
    ("max_size", True, "must be a number of bytes above 0 or None, got True"),
    ("proxy", "user:pw@proxy:3128", "must be a URL with its scheme, such as 'http://proxy:3128'"),
    ("proxy", "foo://user:hunter2@h:1", "must be a URL with its scheme"),
    ("proxy", "http://user:hunter2@", "must be a URL with its scheme"),
    ("proxy", "http://user:hunter/2@h:1", "must be a URL with its scheme"),
    ("proxy", 5, "True to use the environment's proxies, or None for no proxy"),
    ("compression", "gzip", "must be None or 'deflate', got 'gzip'"),
    ("compression", True, "must be None or 'deflate', got True"),
    ("ping_interval", 0, "must be a positive number of seconds or None, got 0"),
    ("ping_interval", "20", "must be a positive number of seconds or None, got '20'"),
    ("ping_timeout", -5, "must be a positive number of seconds or None, got -5"),
]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FALRT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


# Wrong values.


@pytest.mark.parametrize(
    ("name", "value", "said"), WRONG, ids=[f"{name}={value!r:.12}" for name, value, _ in WRONG]
)
def test_a_wrong_option_is_refused_with_its_name_and_the_cure(name: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        falrt.connect("acme/app", **{"key": "k", name: value})
    assert name in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "said"), [case for case in WRONG if case[0] in CONNECTION - {"connection_key"}],
    ids=[f"{name}={value!r:.12}" for name, value, _ in WRONG if name in CONNECTION - {"connection_key"}],
)  # fmt: skip
def test_a_client_refuses_the_same(name: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as refused:
        falrt.Client(key="k").connect("acme/app", **{name: value})
    assert said in str(refused.value)


def test_every_option_has_a_wrong_value_here() -> None:
    assert {name for name, _, _ in WRONG} == CLIENT | CONNECTION


@pytest.mark.parametrize("value", ["", 5, ["camera"]])
def test_a_connection_key_is_a_text(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="connection_key must be a non-empty string, got"):
        falrt.Client(key="k").connect("acme/app", connection_key=value)


def test_connections_without_a_key_share_nothing() -> None:
    client = falrt.Client(key="k")
    assert client.connect("acme/app", connection_key=None) is not client.connect("acme/app")


def test_a_connection_key_in_use_is_not_lent_to_another_app() -> None:
    client = falrt.Client(key="k")
    first = client.connect("acme/app", connection_key="camera")
    second = client.connect("acme/app", connection_key="camera")
    assert second._core is first._core
    with pytest.raises(
        ConfigurationError, match="'camera' is in use with another app or other options: use the same"
    ):
        client.connect("acme/other", connection_key="camera")
    with pytest.raises(ConfigurationError, match="or another key"):
        client.connect("acme/app", connection_key="camera", lazy=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"auth": "key", "token_provider": lambda app: "t"},
            "auth='key' needs no tokens: leave out token_provider",
        ),
        ({"auth": "key", "proxy_url": "https://p.example"}, "or use auth='token'"),
        ({"proxy_url": "https://p.example", "token_provider": lambda app: "t"}, "pass only one of them"),
        (
            {"throttle_interval": 0.1, "pacing": pacing.Latest()},
            "is short for pacing=Throttle(interval): pass only one",
        ),
    ],
)
def test_options_that_exclude_each_other_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        falrt.connect("acme/app", **{"key": "k", **options})
    assert said in str(refused.value)


@pytest.mark.parametrize("app", [5, None, b"acme/app", object()])
def test_an_app_that_is_neither_id_nor_model_is_refused(app: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"app must be an endpoint id such as .* or a RealtimeModel such as"
    ):
        falrt.connect(app, key="k")


def test_a_misspelt_option_is_told_from_its_neighbour() -> None:
    with pytest.raises(
        ConfigurationError,
        match="option 'throtle_interval' is unknown: did you mean 'throttle_interval'",
    ):
        falrt.connect("acme/app", key="k", throtle_interval=0.1)  # type: ignore[call-overload]


def test_an_option_that_resembles_none_is_refused_with_all_names() -> None:
    with pytest.raises(
        ConfigurationError, match=r"option 'zzz' is unknown: use one of auth, base_url, .*warmup_timeout"
    ):
        falrt.connect("acme/app", key="k", zzz=1)  # type: ignore[call-overload]


def test_an_option_of_a_client_is_none_of_its_connections() -> None:
    with pytest.raises(ConfigurationError, match=r"option 'base_url' belongs to falrt\.Client"):
        falrt.Client(key="k").connect("acme/app", base_url="http://h")  # type: ignore[call-overload]


def test_a_missing_key_shows_before_anything_is_opened() -> None:
    with pytest.raises(MissingCredentialsError, match="FAL_KEY"):
        falrt.connect("acme/app")
    with pytest.raises(MissingCredentialsError, match="FAL_KEY"):
        falrt.connect("acme/app", auth="key")


def test_a_wrong_base_url_in_the_environment_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALRT_BASE_URL", "localhost")
    with pytest.raises(ConfigurationError, match="base_url 'localhost' must be a URL"):
        falrt.connect("acme/app", key="k")


def test_no_error_shows_the_key() -> None:
    for name, value, _ in WRONG:
        if name != "key":
            with pytest.raises(ConfigurationError) as refused:
                falrt.connect("acme/app", **{"key": "kid:verysecret", name: value})
            assert "verysecret" not in str(refused.value)


# Right values.


def test_defaults_are_checked_values_too() -> None:
    settings = ConnectionSettings()
    assert settings.effective_pacing == pacing.Immediate()
    assert settings.backoff == falrt.Backoff()
    assert settings.keepalive == Keepalive(20.0, 20.0)


def test_a_throttle_interval_is_short_for_a_throttle() -> None:
    assert ConnectionSettings(throttle_interval=0.128).effective_pacing == pacing.Throttle(0.128)
    assert ConnectionSettings(pacing=pacing.Latest(2)).effective_pacing == pacing.Latest(2)


def test_reconnect_may_be_switched_off_or_tuned() -> None:
    tuned = falrt.Backoff(attempts=3)
    assert ConnectionSettings(reconnect=False).backoff is None
    assert ConnectionSettings(reconnect=tuned).backoff is tuned


def test_everything_that_may_be_none_can_be_switched_off() -> None:
    none: dict[str, Any] = dict.fromkeys(
        [
            *("path", "mode", "max_buffering", "throttle_interval", "idle_close", "open_timeout"),
            *("request_timeout", "max_size", "proxy", "compression", "ping_interval", "ping_timeout"),
        ]
    )
    settings = ConnectionSettings.of(none)
    assert settings.keepalive == Keepalive(None, None)


@pytest.mark.parametrize("mode", ["unary", "server_streaming", "client_streaming", "bidi"])
def test_every_mode_can_be_named(mode: Any) -> None:
    assert ConnectionSettings(mode=mode).mode == mode


@pytest.mark.parametrize("proxy", [None, False, True, "http://proxy:3128", "socks5://127.0.0.1:1080"])
def test_a_proxy_is_a_url_or_the_environments(proxy: Any) -> None:
    assert ConnectionSettings(proxy=proxy).proxy == proxy


def test_a_provider_or_a_proxy_stands_in_for_the_key() -> None:
    falrt.connect("acme/app", token_provider=lambda app: "token")
    falrt.connect("acme/app", proxy_url="https://backend.example/fal")


# The page.


def documented() -> dict[str, str]:
    """Return what the page says of each option."""
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    assert len({name for name, _ in rows}) == len(rows)
    return dict(rows)


def test_every_option_stands_on_the_page_and_nothing_else() -> None:
    assert set(documented()) == CLIENT | CONNECTION


@pytest.mark.parametrize("name", sorted(ConnectionSettings.__dataclass_fields__))
def test_the_page_tells_the_default(name: str) -> None:
    default = getattr(ConnectionSettings(), name)
    shown = documented()[name].split("|")[0].strip()
    written = {"codec": "`codecs.Msgpack()`", "pacing": "`pacing.Immediate()`", "max_size": "64 MiB"}
    if name in written:
        assert shown == written[name]
    elif isinstance(default, float):
        assert shown == f"`{default:g}`"
    else:
        assert shown == f"`{default}`"


def test_an_async_on_event_is_refused() -> None:
    async def on_event(event: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="on_event must be a plain function, got an async one"):
        falrt.Client(key="k").connect("acme/app", on_event=on_event)
