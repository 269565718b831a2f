"""Downloads a picture that a reply gives as a web address.

No credentials are sent: the addresses are public files on fal's CDN, and redirects may lead to other hosts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from falrt.exceptions import ConfigurationError, HTTPCallError, HTTPStatusError
from falrt.media.source import describe, is_web_url
from falrt.protocol.wire.endpoint import redact

if TYPE_CHECKING:
    import httpx

__all__ = ["fetch", "fetch_async"]

# A JPEG of 14142 x 14142 pixels, the largest size of the models, is smaller.
_MAX_BYTES = 128 * 1024 * 1024
_TIMEOUT = 30.0


def fetch(url: str, *, transport: httpx.BaseTransport | None = None) -> bytes:
    """Download the bytes at an http or https address; blocks.

    Args:
        url: The address.
        transport: An httpx transport, for tests and special networks. Default: httpx's own.

    Raises:
        ConfigurationError: Another kind of address.
        HTTPStatusError: The host answered with an error status.
        HTTPCallError: No answer within 30 s, a damaged one, or one above 128 MiB.
    """
    import httpx

    with (
        _as_ours(url),
        httpx.Client(transport=transport, timeout=_TIMEOUT, follow_redirects=True) as client,
        client.stream("GET", url) as response,
    ):
        _check_status(response)
        body = bytearray()
        for chunk in response.iter_bytes():
            _append(body, chunk)
    return bytes(body)


async def fetch_async(url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> bytes:
    """Download as :func:`fetch` does, without blocking the event loop. May be cancelled."""
    import httpx

    with _as_ours(url):
        async with (
            httpx.AsyncClient(transport=transport, timeout=_TIMEOUT, follow_redirects=True) as client,
            client.stream("GET", url) as response,
        ):
            _check_status(response)
            body = bytearray()
            async for chunk in response.aiter_bytes():
                _append(body, chunk)
    return bytes(body)


@contextmanager
def _as_ours(url: str) -> Iterator[None]:
    """Refuse other kinds of addresses, and raise httpx's errors as falrt's."""
    import httpx

    if not is_web_url(url):
        raise ConfigurationError(f"only http and https addresses can be fetched, not {describe(url)}")
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as exc:  # the last two for invalid host names
        text = f"fetching {redact(describe(url))}: {redact(str(exc)) or type(exc).__name__}"
        raise HTTPCallError(text) from exc


def _check_status(response: httpx.Response) -> None:
    if not response.is_success:
        address = redact(describe(str(response.url)))
        raise HTTPStatusError(f"fetching {address}: status {response.status_code}")


def _append(body: bytearray, chunk: bytes) -> None:
    body += chunk
    if len(body) > _MAX_BYTES:
        raise HTTPCallError(f"the picture is larger than {_MAX_BYTES} bytes")
