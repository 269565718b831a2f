"""Endpoint ids, the URLs they stand for, and what must not be read in a log."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falrt.exceptions import ConfigurationError
from falrt.protocol.numbers import check_number
from falrt.protocol.wire.endpoint import BUFFERING, Endpoint, Hosts, redact

# Taking an id apart.


@pytest.mark.wire("W01")
def test_an_id_is_owner_alias_and_perhaps_a_path() -> None:
    assert Endpoint.parse("fal-ai/fast-lcm-diffusion") == Endpoint("fal-ai", "fast-lcm-diffusion")
    assert Endpoint.parse("fal-ai/flux-2/klein/realtime") == Endpoint("fal-ai", "flux-2", "klein/realtime")


@pytest.mark.wire("W02")
@pytest.mark.parametrize("namespace", ["workflows", "comfy"])
def test_two_namespaces_stand_in_front_of_the_owner(namespace: str) -> None:
    assert Endpoint.parse(f"{namespace}/o/wf/p") == Endpoint("o", "wf", "p", namespace)
    assert Endpoint.parse(f"{namespace}/o/wf").app_id == f"{namespace}/o/wf"


def test_another_first_word_is_an_owner() -> None:
    assert Endpoint.parse("models/o/wf") == Endpoint("models", "o", "wf")


@pytest.mark.wire("W03")
def test_a_legacy_id_is_split_at_its_first_hyphen() -> None:
    assert Endpoint.parse("110602490-lcm").app_id == "110602490/lcm"
    assert Endpoint.parse("123-sd-turbo-2") == Endpoint("123", "sd-turbo-2")


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("lcm", "must have the form owner/alias, such as 'fal-ai/fast-lcm-diffusion'"),
        ("abc-lcm", "must have the form owner/alias"),
        ("workflows", "must have the form workflows/owner/alias"),
        ("workflows/x", "must have the form workflows/owner/alias"),
        ("comfy/x", "must have the form comfy/owner/alias"),
        ("", "empty segment"),
        ("/fal-ai/lcm", "remove leading, trailing and double slashes"),
        ("fal-ai/lcm/", "remove leading, trailing and double slashes"),
        ("fal-ai//lcm", "remove leading, trailing and double slashes"),
        ("fal-ai/ lcm", "invalid segment ' lcm'"),
        ("fal-ai/lcm\n", "invalid segment"),
        ("fal-ai/../lcm", "invalid segment '..'"),
        ("./fal-ai/lcm", "invalid segment '.'"),
        ("fal-ai/lcm?x=1", "invalid segment 'lcm?x=1'"),
        ("fal-ai/lcm#x", "invalid segment"),
        ("fal-ai/lcm%2f", "invalid segment"),
        ("fal-ai/lçm", "invalid segment"),
    ],
)
def test_what_is_no_id_is_refused_with_the_reason(app: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="app id") as refused:
        Endpoint.parse(app)
    assert said in str(refused.value)


def test_a_url_is_refused_and_the_id_in_it_is_shown() -> None:
    with pytest.raises(
        ConfigurationError, match=r"is a URL: pass the id alone, 'fal-ai/lcm/realtime'.*base_url"
    ):
        Endpoint.parse("wss://fal.run/fal-ai/lcm/realtime")


@pytest.mark.parametrize("url", ["https://fal.run/", "http://[", "http://h:x"])
def test_a_url_without_an_id_is_refused_too(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is a URL: pass the id alone; other hosts"):
        Endpoint.parse(url)


def test_a_token_in_a_refused_url_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Endpoint.parse("wss://fal.run/a/b/realtime?fal_jwt_token=eyJsecret")
    assert "eyJsecret" not in str(refused.value)


def test_an_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="app must be an endpoint id or a RealtimeModel, got int"):
        Endpoint.parse(5)  # type: ignore[arg-type]


@given(st.text(max_size=40))
def test_any_text_is_an_id_or_a_configuration_error(app: str) -> None:
    try:
        endpoint = Endpoint.parse(app)
    except ConfigurationError:
        return
    assert Endpoint.parse(endpoint.app_id) == endpoint


# The realtime path.


@pytest.mark.wire("W04")
@pytest.mark.parametrize(
    ("app", "path", "full"),
    [
        ("fal-ai/fast-lcm-diffusion", None, "fal-ai/fast-lcm-diffusion/realtime"),
        ("fal-ai/flux-2/klein/realtime", None, "fal-ai/flux-2/klein/realtime"),
        ("fal-ai/flux-2/klein", "realtime", "fal-ai/flux-2/klein/realtime"),
        ("110602490-lcm", None, "110602490/lcm/realtime"),
        ("workflows/o/wf", None, "workflows/o/wf/realtime"),
        ("fal-ai/my-app", "/my-custom-ws", "fal-ai/my-app/my-custom-ws"),
        ("fal-ai/lcm", "/ws", "fal-ai/lcm/ws"),
        ("fal-ai/lcm/ws", "/ws/", "fal-ai/lcm/ws"),
        ("fal-ai/lcm", "//realtime/bidi", "fal-ai/lcm/realtime/bidi"),
        ("fal-ai/lcm/realtime", "/realtime/bidi", "fal-ai/lcm/realtime/bidi"),
        ("fal-ai/lcm/realtime/realtime", None, "fal-ai/lcm/realtime"),
        ("fal-ai/lcm/realtime/realtime/bidi", "/ws", "fal-ai/lcm/realtime/bidi/ws"),
        ("fal-ai/lcm", "/realtime/realtime", "fal-ai/lcm/realtime"),
        ("fal-ai/lcm/realtime", "/realtime/realtime/", "fal-ai/lcm/realtime"),
        ("fal-ai/lcm", "/ws/ws", "fal-ai/lcm/ws/ws"),
        ("fal-ai/lcm/xrealtime", None, "fal-ai/lcm/xrealtime/realtime"),
        ("acme/realtime", None, "acme/realtime/realtime"),
        ("acme/realtime/realtime", None, "acme/realtime/realtime"),
    ],
)
def test_the_realtime_path_is_added_once(app: str, path: str | None, full: str) -> None:
    assert Endpoint.parse(app).realtime_path(path) == full


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "path '' is empty: leave it out"),
        ("//", "path '//' is empty"),
        ("a//b", "path 'a//b' has an empty segment"),
        ("a/../b", "invalid segment '..'"),
        ("ws?x=1", "invalid segment 'ws?x=1'"),
        (5, "path must be a string such as '/ws', or None for '/realtime', got int"),
    ],
)
def test_a_path_that_is_none_is_refused_by_name(path: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Endpoint.parse("a/b").realtime_path(path)
    assert said in str(refused.value)


# Hosts and URLs.


@pytest.mark.wire("W05")
def test_the_socket_and_the_tokens_have_hosts_of_their_own() -> None:
    hosts = Hosts.at(None)
    assert (hosts.socket, hosts.rest) == ("wss://fal.run", "https://rest.fal.ai")
    assert hosts.secure


@pytest.mark.wire("W05")
def test_token_and_buffering_stand_in_the_query() -> None:
    url = Hosts().realtime_url("a/b/realtime", token="x&y=z+/", max_buffering=2)
    assert url == "wss://fal.run/a/b/realtime?fal_jwt_token=x%26y%3Dz%2B%2F&max_buffering=2"
    assert Hosts().realtime_url("a/b/realtime") == "wss://fal.run/a/b/realtime"
    assert Hosts().realtime_url("a/b/realtime", max_buffering=60).endswith("/realtime?max_buffering=60")


@given(token=st.text(min_size=1, max_size=30))
def test_any_token_survives_the_query(token: str) -> None:
    url = urlsplit(Hosts().realtime_url("a/b/realtime", token=token))
    assert parse_qs(url.query, strict_parsing=True) == {"fal_jwt_token": [token]}


@pytest.mark.parametrize(
    ("base_url", "socket", "rest"),
    [
        ("http://127.0.0.1:8765", "ws://127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("ws://localhost/", "ws://localhost", "http://localhost"),
        ("https://relay.example/fal/", "wss://relay.example/fal", "https://relay.example/fal"),
        ("wss://[::1]:443", "wss://[::1]:443", "https://[::1]:443"),
    ],
)
def test_a_base_url_sends_both_services_to_one_place(base_url: str, socket: str, rest: str) -> None:
    hosts = Hosts.at(base_url)
    assert (hosts.socket, hosts.rest) == (socket, rest)
    assert (hosts.run, hosts.cdn) == (rest, rest)
    assert (hosts.queue, hosts.pipeline) == (f"{rest}/queue.fal.run", f"{socket}/ws.fal.run")
    assert hosts.secure == socket.startswith("wss")


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "localhost:8765",
        "ftp://localhost",
        "http://",
        "http://:80",
        "http://[::1",
        "http://h:99999",
        "http://h:x",
        "http://h/?a=b",
        "http://h/#a",
    ],
)
def test_a_base_url_without_a_host_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"base_url .* must be a URL with a host and no query"):
        Hosts.at(base_url)


def test_a_base_url_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"base_url must be a string .* got int"):
        Hosts.at(5)  # type: ignore[arg-type]


# max_buffering.


@pytest.mark.wire("W17")
@pytest.mark.parametrize("value", [None, 1, 2, 60])
def test_a_buffering_from_1_to_60_passes(value: int | None) -> None:
    check_number("max_buffering", value, BUFFERING, optional=True)


@pytest.mark.wire("W17")
@pytest.mark.parametrize("value", [0, 61, -1, True, 2.5, 2.0, "2"])
def test_any_other_buffering_is_refused(value: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"max_buffering must be a whole number from 1 to 60 or None, got"
    ):
        check_number("max_buffering", value, BUFFERING, optional=True)


# What must not be read in a log.


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /a/b?fal_jwt_token=eyJ.a.b&max_buffering=2", "GET /a/b?fal_jwt_token=***&max_buffering=2"),
        ("GET /a/b?max_buffering=2&FAL_JWT_TOKEN=abc HTTP/1.1", "GET /a/b?max_buffering=2&FAL_JWT_TOKEN=*** HTTP/1.1"),
        ("Authorization: Key id:secret", "Authorization: Key ***"),
        ("{'authorization': 'Bearer  abc'}", "{'authorization': 'Bearer  ***'}"),
        ('"fal_jwt_token=abc"', '"fal_jwt_token=***"'),
        ("to=%2Fa%3Ffal_jwt_token%3Dabc&x=1", "to=%2Fa%3Ffal_jwt_token%3D***&x=1"),
        ('{"fal_jwt_token": "abc"}', '{"fal_jwt_token": "***"}'),
        ("wrong Key 0f1e2d3c:a1b2", "wrong Key ***"),
        ("token eyJhbGciOi.SECRET-_.sig, expired", "token ***, expired"),
        ("cut short: eyJhbGciOi.SECR", "cut short: ***"),
        ("http://user:hunt@er2@proxy:1/path is wrong", "http://***@proxy:1/path is wrong"),
        ("(foo://token@h)", "(foo://***@h)"),
        ("https://fal.run/acme/app@v2", "https://fal.run/acme/app@v2"),
        ("missing key image_url: give one", "missing key image_url: give one"),
        ("eyJ, they said", "eyJ, they said"),
        ("nothing to hide", "nothing to hide"),
    ],
)  # fmt: skip
def test_tokens_and_keys_are_redacted(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_each_of_fals_services_has_a_host() -> None:
    hosts = Hosts.at(None)
    assert (hosts.run, hosts.queue) == ("https://fal.run", "https://queue.fal.run")
    assert (hosts.cdn, hosts.pipeline) == ("https://v3.fal.media", "wss://ws.fal.run")


def test_an_address_in_json_hides_nothing_behind_its_quote() -> None:
    text = '{"url": "https://fal.run", "mail": "me@example.com"}'
    assert redact(text) == text
