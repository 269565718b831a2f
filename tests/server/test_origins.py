from __future__ import annotations

from typing import Any

import pytest

from falrt import ConfigurationError
from falrt.server.origins import Origins

LISTED = Origins.of(["https://app.example", "http://localhost:5173/"])


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "api.example"},
        {"host": "api.example", "sec-fetch-site": "none"},
        {"host": "api.example", "sec-fetch-site": "same-origin"},
        {"host": "api.example", "origin": "https://api.example"},
        {"host": "api.example", "origin": "http://api.example"},
        {"host": "api.example:8443", "origin": "https://api.example:8443"},
        {"host": "api.example:443", "origin": "https://api.example"},
        {"host": "[::1]:3333", "origin": "http://[::1]:3333"},
        {"host": "api.example", "origin": "https://app.example"},
        {"host": "api.example", "origin": "https://app.example:443"},
        {"host": "api.example", "origin": "HTTPS://App.Example"},
        {"host": "api.example", "origin": "http://localhost:5173"},
    ],
)
def test_pages_of_our_own_and_listed_origins_may_call(headers: dict[str, str]) -> None:
    assert not LISTED.refuses(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "api.example", "origin": "https://evil.example"},
        {"host": "api.example", "origin": "https://app.example.evil.example"},
        {"host": "api.example", "origin": "https://evilapp.example"},
        {"host": "api.example", "origin": "http://app.example"},
        {"host": "api.example", "origin": "https://app.example:8443"},
        {"host": "api.example:8443", "origin": "https://api.example"},
        {"host": "api.example", "origin": "null"},
        {"host": "api.example", "origin": ""},
        {"host": "", "origin": "https://"},
        {"origin": "https://evil.example"},
        {"host": "api.example", "origin": "https://api.example@evil.example"},
        {"host": "api.example", "origin": "https://api.example/path"},
        {"host": "api.example", "origin": "file://"},
        {"host": "api.example", "origin": "https://[::1"},
        {"host": "api.example", "sec-fetch-site": "cross-site"},
        {"host": "api.example", "sec-fetch-site": "same-site"},
    ],
)
def test_other_pages_may_not(headers: dict[str, str]) -> None:
    assert LISTED.refuses(headers)


@pytest.mark.parametrize(
    "origins", [["*"], ["app.example"], ["https://*.example"], ["null"], [None], "https://a.b"]
)
def test_what_is_no_origin_is_refused_at_the_start(origins: Any) -> None:
    with pytest.raises(ConfigurationError, match="origin"):
        Origins.of(origins)
