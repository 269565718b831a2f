"""The picture in an answer, whether it came as raw bytes, a data URI or a web address.

Source: wire facts W62 and W64, docs/reference/wire.md: the same app answers with raw bytes in ``content`` over
msgpack and with an address in ``url`` over JSON or HTTP, and the bytes decide the format.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, PrivateAttr, field_validator, model_validator

from falrt.exceptions import ConfigurationError, DecodeError
from falrt.media import fetch
from falrt.media.data_uri import decode_base64, parse_data_uri
from falrt.media.image_header import image_format, read_header
from falrt.media.source import describe, is_data_uri

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

__all__ = ["Image"]

# The method `bytes` hides the type within the class body.
_Bytes: TypeAlias = bytes


class Image(BaseModel):
    """One picture of an answer.

    Attributes:
        content: The encoded picture, where it came inside the message.
        url: Its data URI or web address, where it came as one.
        content_type: Media type according to the server; may be absent or wrong, the bytes decide.
        width: In pixels, if the server sent it.
        height: In pixels, if the server sent it.
        file_name: Name of a file on the CDN.
        file_size: Size of a file on the CDN, in bytes.
    """

    model_config = ConfigDict(extra="allow", frozen=True, ser_json_bytes="base64")

    content: _Bytes | None = None
    url: str | None = None
    content_type: str | None = None
    width: int | None = None
    height: int | None = None
    file_name: str | None = None
    file_size: int | None = None

    # The bytes of a web address once they are fetched, so that to_pil() after abytes() does not fetch it again.
    _fetched: _Bytes | None = PrivateAttr(default=None)

    @field_validator("content", mode="before")
    @classmethod
    def _content_from_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return parse_data_uri(value).data if is_data_uri(value) else decode_base64(value)

    @model_validator(mode="after")
    def _holds_a_picture(self) -> Self:
        if not self.content and not self.url:
            raise ValueError("an image needs content or url")
        return self

    @property
    def format(self) -> str | None:
        """``"jpeg"``, ``"png"``, ``"webp"`` or ``"gif"``, by the bytes; None where unknown or not yet fetched."""
        data = self.content or self._fetched
        if data is None and self.url is not None and is_data_uri(self.url):
            data = self.bytes()
        return None if data is None else image_format(data)

    def bytes(self) -> _Bytes:
        """Return the encoded picture, unchanged.

        If it is a URL, the first call downloads it and blocks: in asyncio code await :meth:`abytes` first.

        Raises:
            DecodeError: The data URI is damaged.
            HTTPCallError: The address could not be fetched.
        """
        ready = self._ready_bytes()
        if ready is None:
            ready = self._fetched = fetch.fetch(self._address())
        return ready

    async def abytes(self) -> _Bytes:
        """Return the encoded picture; download it, if it is a URL, without blocking the event loop.

        Afterwards the other methods do not wait for the network. Errors as in :meth:`bytes`.
        """
        ready = self._ready_bytes()
        if ready is None:
            ready = self._fetched = await fetch.fetch_async(self._address())
        return ready

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file and return its path.

        The bytes are written unchanged, unless the extension names another format: then Pillow converts
        them, so that a ``.png`` is a PNG.

        Raises:
            ConfigurationError: The extension is not one of a picture format, or its format cannot hold this picture.
            DecodeError: A conversion is needed and the bytes are not a picture.
            MissingDependencyError: A conversion is needed and Pillow is absent.
            OSError: The file cannot be written.
        """
        target, data = Path(path), self.bytes()
        target.write_bytes(_in_format_of(target.suffix, data))
        return target

    def to_pil(self) -> PILImage:
        """Decode to a PIL image.

        Raises:
            DecodeError: The bytes are not a picture.
            MissingDependencyError: Pillow is absent; install ``falrt[images]``.
        """
        from falrt.media import pillow

        return pillow.decode(self.bytes())

    def to_numpy(self) -> NDArray[np.uint8]:
        """Decode to an array of shape ``(height, width, 3)``, dtype uint8, RGB order, writable.

        For OpenCV reverse the channels: ``image.to_numpy()[..., ::-1]``. Errors as in :meth:`to_pil`.
        """
        from falrt.media import arrays

        return arrays.decode(self.bytes())

    def _ready_bytes(self) -> _Bytes | None:
        if self.content:
            return self.content
        if self._fetched is None and self.url is not None and is_data_uri(self.url):
            try:
                self._fetched = parse_data_uri(self.url).data
            except ConfigurationError as exc:  # the server's error, not the caller's
                raise DecodeError(f"the image's url: {exc}", size=len(self.url)) from exc
        return self._fetched

    def _address(self) -> str:
        return self.url or ""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show kind and size; never the bytes."""
        if self.content:
            header = read_header(self.content)
            yield None, header.format if header else self.content_type
            yield "content", f"{len(self.content)} bytes"
        else:
            url = self._address()
            is_data = is_data_uri(url)
            yield "url", f"data URI of {len(url)} characters" if is_data else describe(url).strip("'")
        for name in ("width", "height"):
            if getattr(self, name) is not None:
                yield name, getattr(self, name)


def _in_format_of(extension: str, data: bytes) -> bytes:
    name = extension[1:].lower()
    if not name or image_format(data) == {"jpg": "jpeg", "jpe": "jpeg"}.get(name, name):
        return data
    from falrt.media import pillow

    return pillow.convert(data, extension)
