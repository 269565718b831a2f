from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from falrt.exceptions import ConfigurationError, HTTPCallError, HTTPStatusError
from falrt.media import fetch as module
from falrt.media.fetch import fetch, fetch_async

Handler = Callable[[httpx.Request], httpx.Response]


async def both(handler: Handler, url: str = "https://v3.fal.media/a.jpg") -> bytes:
    """Fetch either way; the two must agree."""
    try:
        blocking: bytes | Exception = fetch(url, transport=httpx.MockTransport(handler))
    except Exception as exc:
        blocking = exc
    try:
        waiting: bytes | Exception = await fetch_async(url, transport=httpx.MockTransport(handler))
    except Exception as exc:
        waiting = exc
    assert (type(blocking), str(blocking)) == (type(waiting), str(waiting))
    if isinstance(waiting, Exception):
        raise waiting
    return waiting


async def test_the_body_is_returned() -> None:
    assert await both(lambda request: httpx.Response(200, content=b"picture")) == b"picture"


async def test_redirects_are_followed_without_credentials() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        if request.url.host == "v3.fal.media":
            return httpx.Response(302, headers={"location": "https://v3b.fal.media/a.jpg"})
        return httpx.Response(200, content=request.url.host.encode())

    assert await both(handler) == b"v3b.fal.media"


async def test_an_error_status_is_named() -> None:
    with pytest.raises(HTTPStatusError, match="status 404"):
        await both(lambda request: httpx.Response(404))


async def test_a_lost_network_is_an_http_call_error() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    with pytest.raises(HTTPCallError, match="no route"):
        await both(handler)


@pytest.mark.parametrize(
    "url", ["https://\u2028x/", "http://x\0y/", f"http://{'a' * 70}.x/", "http://\ud800/"]
)
async def test_a_host_name_that_is_none_is_an_http_call_error(url: str) -> None:
    with pytest.raises(HTTPCallError, match=r"^fetching 'http"):
        fetch(url)
    with pytest.raises(HTTPCallError, match=r"^fetching 'http"):
        await fetch_async(url)


async def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(HTTPStatusError, match=r"^fetching 'https://\*\*\*@x\.y/a\.jpg': status 404$"):
        await both(lambda request: httpx.Response(404), "https://me:geheim@x.y/a.jpg")


async def test_a_picture_above_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BYTES", 10)

    with pytest.raises(HTTPCallError, match="larger than 10 bytes"):
        await both(lambda request: httpx.Response(200, content=b"x" * 11))


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "ftp://x/y", "/etc/passwd", "data:,x"])
async def test_only_web_addresses_are_fetched(url: str) -> None:
    with pytest.raises(ConfigurationError, match="only http and https"):
        await both(lambda request: httpx.Response(200), url)
