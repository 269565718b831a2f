"""The files of a result: every picture, film or sound that it names, found, fetched and written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from falrt.exceptions import ConfigurationError
from falrt.media.data_uri import parse_data_uri
from falrt.media.fetch import fetch_async
from falrt.media.image_header import image_format
from falrt.media.source import is_web_url

__all__ = ["addresses", "fetched", "written"]

_SUFFIXES: Final = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "gif": ".gif"}


def addresses(result: Any) -> Iterator[str]:
    """Yield the address of each file that a result names, whatever the endpoint calls them."""
    if isinstance(result, dict):
        url = result.get("url")
        if isinstance(url, str) and (is_web_url(url) or url.startswith("data:")):
            yield url
        else:
            for value in result.values():
                yield from addresses(value)
    elif isinstance(result, list):
        for value in result:
            yield from addresses(value)


async def fetched(url: str) -> bytes:
    """Return the bytes behind an address.

    Raises:
        HTTPCallError: It could not be fetched.
        ConfigurationError: A data URI is damaged.
    """
    return parse_data_uri(url).data if url.startswith("data:") else await fetch_async(url)


def written(folder: Path, stem: str, files: Sequence[bytes], urls: Sequence[str]) -> list[str]:
    """Write the files of one piece; return their names. Each appears under its name when it is whole.

    Raises:
        OSError: The disk is full, for one.
    """
    names = []
    for number, (data, url) in enumerate(zip(files, urls, strict=True), start=1):
        name = f"{stem}{f'-{number}' if len(files) > 1 else ''}{_suffix(data, url)}"
        part = folder / f".{name}.part"
        try:
            part.write_bytes(data)
            os.replace(part, folder / name)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        names.append(name)
    return names


def _suffix(data: bytes, url: str) -> str:
    known = image_format(data)
    if known is not None:
        return _SUFFIXES[known]
    if url.startswith("data:"):
        try:
            kind = parse_data_uri(url[:256].partition(",")[0] + ",AAAA").mime_type.rpartition("/")[2]
        except ConfigurationError:
            return ".bin"
        suffix = f".{kind.partition('+')[0]}"  # svg+xml
    else:
        suffix = Path(urlsplit(url).path).suffix
    # Nothing that a result says leads out of the folder, or to a name that a system does not take.
    return suffix if 1 < len(suffix) <= 6 and suffix[1:].isalnum() else ".bin"
