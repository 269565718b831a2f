"""Which proxy leads where."""

from __future__ import annotations

import pytest

from falrt.exceptions import ConfigurationError
from falrt.protocol.wire.proxies import NO_PROXIES, Proxies, Proxy

FAL = "wss://fal.run/acme/app/realtime?fal_jwt_token=x"


def address(proxies: Proxies, url: str) -> str | None:
    proxy = proxies.to(url)
    return None if proxy is None else proxy.address


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy:3128", Proxy("http", "proxy", 3128)),
        ("http://proxy/", Proxy("http", "proxy", 80)),
        ("https://proxy", Proxy("https", "proxy", 443)),
        ("socks5://[::1]", Proxy("socks5", "::1", 1080)),
        ("socks5h://us%40er:pa%2Fss@h:1", Proxy("socks5h", "h", 1, "us@er", "pa/ss")),
    ],
)
def test_a_url_is_taken_apart(url: str, proxy: Proxy) -> None:
    assert Proxy.parse(url) == proxy
    assert Proxy.parse(proxy.url) == proxy


@pytest.mark.parametrize(
    "url",
    ["ftp://h:1", "http://", "proxy:3128", "http://h:port", "http://h/path", "http://h?q", 7, b"http://h"],
)
def test_what_is_no_proxy_is_refused_and_not_shown(url: object) -> None:
    with pytest.raises(ConfigurationError, match="proxy must be a URL") as caught:
        Proxies.of(url)
    assert "path" not in str(caught.value)


def test_credentials_are_not_shown() -> None:
    proxy = Proxy.parse("http://user:hunter2@h:1")
    assert "hunter2" not in repr(proxy) + repr(Proxies.of("http://user:hunter2@h:1")) + proxy.address
    assert "user" not in repr(proxy) + proxy.address


@pytest.mark.parametrize("option", [None, False])
def test_none_means_none_whatever_the_environment_says(option: object) -> None:
    assert Proxies.of(option, {"https": "http://p:1"}) == NO_PROXIES
    assert NO_PROXIES.to(FAL) is None


def test_one_url_serves_every_host_but_this_machine() -> None:
    proxies = Proxies.of("http://p:1")
    assert address(proxies, FAL) == "http://p:1"
    assert address(proxies, "http://elsewhere:80/") == "http://p:1"
    assert [address(proxies, f"ws://{host}:80/") for host in ("localhost", "127.0.0.1", "[::1]")] == [
        None
    ] * 3


def test_the_environment_names_a_proxy_for_each_scheme() -> None:
    proxies = Proxies.of(True, {"https": "secure:1", "http": "http://plain:2", "all": "", "no": ""})
    assert address(proxies, FAL) == "http://secure:1"
    assert address(proxies, "https://rest.fal.ai/tokens/") == "http://secure:1"
    assert address(proxies, "ws://h/") == "http://plain:2"
    assert address(Proxies.of(True, {"all": "socks5://s:3"}), FAL) == "socks5://s:3"
    assert address(Proxies.of(True, {"http": "http://plain:2"}), FAL) is None
    assert address(Proxies.of(True, {}), FAL) is None


def test_a_wrong_environment_is_told_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY is not") as caught:
        Proxies.of(True, {"https": "ftp://user:hunter2@h"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "direct"),
    [
        ("*", True),
        ("fal.run", True),
        ("FAL.RUN", True),
        (" a.com , fal.run", True),
        (".fal.run", True),
        ("*.fal.run", True),
        ("run", True),
        ("al.run", False),
        ("https://fal.run", True),
        ("fal.run:443", True),
        ("other", False),
        ("", False),
        ("[2001:db8::1]", False),
    ],
)
def test_hosts_that_need_none_are_listed(rule: str, direct: bool) -> None:
    proxies = Proxies.of(True, {"all": "http://p:1", "no": rule})
    assert (proxies.to(FAL) is None) is direct


def test_a_port_of_the_list_counts_where_both_name_one() -> None:
    proxies = Proxies.of(True, {"all": "http://p:1", "no": "fal.run:80,[2001:db8::1]:80"})
    assert proxies.to("wss://fal.run:443/") is not None
    assert proxies.to("wss://fal.run:80/") is None
    assert proxies.to("ws://[2001:db8::1]:80/") is None
