"""Files to the service's storage: read as they leave, in parts where they are large."""

from __future__ import annotations

import io
import json
import mimetypes
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

from falrt import tasks
from falrt.exceptions import (
    ConfigurationError,
    DecodeError,
    HTTPAuthenticationError,
    HTTPCallError,
    UploadError,
)
from falrt.http.caller import Ask, Caller
from falrt.media import encode_image, parse_data_uri
from falrt.media.source import check_no_folder, describe, is_pixels
from falrt.options import check_function
from falrt.protocol.wire.http_errors import recast
from falrt.protocol.wire.pipelined import Answer
from falrt.protocol.wire.storage import (
    PARTS_AT_A_TIME,
    Lifetime,
    Place,
    content_type_of,
    lifecycle,
    part_sizes,
    read_place,
)
from falrt.threads import run_in_thread

if TYPE_CHECKING:
    from falrt.media import ImageSource

    UploadSource: TypeAlias = ImageSource | BinaryIO

__all__ = ["upload"]

# What is read from the disk and handed on at a time; ten parts hold ten of these.
_PIECE_BYTES: Final = 1024 * 1024
_SPOOL_BYTES: Final = 8 * 1024 * 1024
_WHAT: Final = "upload"
_TEXT_MODE: Final = "a file to upload must be opened in binary mode, such as open(path, 'rb')"


async def upload(
    caller: Caller,
    source: UploadSource,
    *,
    content_type: str | None,
    file_name: str | None,
    expires_in: Lifetime | None,
    on_progress: Callable[[int, int], object] | None,
) -> str:
    """Store a file and return its URL; see ``Client.upload``."""
    kept = lifecycle(expires_in)
    for name, value in (("content_type", content_type), ("file_name", file_name)):
        if value is not None and not (value.isprintable() and value.strip()):
            raise ConfigurationError(f"{name} must be a non-empty line of text, got {value!r:.60}")
    if content_type is not None and not content_type.isascii():
        raise ConfigurationError(f"content_type must be ASCII, such as 'image/png', got {content_type!r:.60}")
    check_function("on_progress", on_progress)
    with ExitStack() as stack:
        file, name = await _opened(source, stack)
        data = _File(file)
        head = await run_in_thread(lambda: data.read(0, 32))
        if not isinstance(head, bytes):
            raise ConfigurationError(_TEXT_MODE)
        name = file_name or name
        kind = content_type or content_type_of(head) or (mimetypes.guess_type(name)[0] if name else None)
        kind = kind or "application/octet-stream"
        name = (name or f"file{mimetypes.guess_extension(kind) or ''}").encode("ascii", "replace").decode()
        name = "".join(each if each.isprintable() else "_" for each in name)  # a path may contain a line feed
        sending = _Sending(caller, data, name.replace("?", "_"), kind, kept, on_progress)
        try:
            return await sending.send()
        except (HTTPAuthenticationError, UploadError):
            raise
        except HTTPCallError as exc:
            raise recast(exc, UploadError) from exc
        except DecodeError as exc:
            raise UploadError(f"{_WHAT}: {caller.hide(str(exc))}") from None


async def _opened(source: Any, stack: ExitStack) -> tuple[BinaryIO, str]:
    """Return a file that can be read anywhere, and its name if it has one."""
    if is_pixels(source):
        return io.BytesIO(await run_in_thread(lambda: encode_image(source, quality=95))), ""
    if isinstance(source, str) and source.startswith("data:"):
        return io.BytesIO(parse_data_uri(source).data), ""
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(bytes(source)), ""  # a view may have gaps
    if hasattr(source, "read") and not isinstance(source, type):
        if isinstance(source, io.TextIOBase):
            raise ConfigurationError(_TEXT_MODE)
        name = getattr(source, "name", "")
        name = os.path.basename(name) if isinstance(name, str) else ""
        return await _seekable(source, stack), name
    if not isinstance(source, str | os.PathLike):
        raise ConfigurationError(
            f"an upload cannot be made from {describe(source)}: give bytes, a path, an open binary file, "
            "a PIL image or a numpy array"
        )
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        raise ConfigurationError(f"{describe(source)} is a web address already: pass it as it is")
    check_no_folder(source)
    file = await run_in_thread(lambda: open(source, "rb"))  # noqa: SIM115 - the stack closes it
    return await _seekable(stack.enter_context(file), stack), os.path.basename(os.fsdecode(source))


async def _seekable(file: Any, stack: ExitStack) -> BinaryIO:
    """Return a file as it is, or what it holds where it can be read only once."""
    seekable = getattr(file, "seekable", None)
    if seekable is not None and seekable():
        given: BinaryIO = file
        return given
    spool = stack.enter_context(tempfile.SpooledTemporaryFile(_SPOOL_BYTES))  # noqa: SIM115 - the stack closes it
    try:
        await run_in_thread(lambda: shutil.copyfileobj(file, spool))
    except TypeError as exc:  # it gives text
        raise ConfigurationError(_TEXT_MODE) from exc
    spool.seek(0)
    return spool  # type: ignore[return-value]  # a SpooledTemporaryFile is a binary file


class _File:
    """A file of which several parts are read at the same time, from where it stands to its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._begin = file.tell()
        self.size = file.seek(0, os.SEEK_END) - self._begin
        self._lock = threading.Lock()

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes; blocks."""
        with self._lock:
            self._file.seek(self._begin + offset)
            return self._file.read(count)


@dataclass(frozen=True)
class _Part:
    """The body of one request: a piece of a file after the other, from the beginning with each try."""

    file: _File
    offset: int
    size: int
    told: Callable[[int], Awaitable[None]]

    def __len__(self) -> int:
        return self.size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sent = 0
        while sent < self.size:
            count, offset = min(_PIECE_BYTES, self.size - sent), self.offset + sent
            piece = await run_in_thread(lambda: self.file.read(offset, count))  # noqa: B023 - awaited at once
            if not piece:
                raise UploadError(f"{_WHAT}: the file became shorter while it was read")
            yield piece
            sent += len(piece)
            await self.told(sent)


class _Sending:
    """One upload."""

    def __init__(
        self,
        caller: Caller,
        file: _File,
        name: str,
        kind: str,
        kept: str | None,
        on_progress: Callable[[int, int], object] | None,
    ) -> None:
        self._caller, self._file, self._name, self._kind = caller, file, name, kind
        self._lifecycle = {} if kept is None else {"x-fal-object-lifecycle": kept}
        self._about = {"content-type": kind, "x-fal-file-name": name, **self._lifecycle}
        self._on_progress = on_progress
        # Bytes that have left, by part; a part that is tried again begins anew.
        self._sent: dict[int, int] = {}

    async def send(self) -> str:
        sizes = part_sizes(self._file.size)
        place = await self._place(in_parts=len(sizes) > 1)
        if len(sizes) > 1:
            await self._send_parts(place, sizes)
        elif place.file_url:
            await self._put(place, place.url, 1, 0, sizes[0])
        else:
            reply = await self._put(place, place.url, 1, 0, sizes[0], method="POST", headers=self._about)
            url = self._map(reply).get("access_url")
            if not isinstance(url, str):
                raise DecodeError("the storage service returned no URL for the file")
            return url
        return place.file_url

    async def _place(self, *, in_parts: bool) -> Place:
        """Ask where the file goes: with a token of the storage's own, or through a proxy to a signed address."""
        rest, query = self._caller.hosts.rest, {"storage_type": "fal-cdn-v3"}
        if self._caller.proxy_url is not None:
            url = f"{rest}/storage/upload/initiate{'-multipart' if in_parts else ''}"
            about = {"content_type": self._kind, "file_name": self._name}
            headers = {f"{name}-preference": value for name, value in self._lifecycle.items()}
            return read_place(self._map(await self._ask("POST", url, about, query=query, headers=headers)))
        given = self._map(await self._ask("POST", f"{rest}/storage/auth/token", {}, query=query))
        token = given.get("token")
        if not isinstance(token, str) or not token.isprintable():
            raise DecodeError("the storage service returned no token")
        token = f"{given.get('token_type', 'Bearer')} {token}"
        url = f"{self._caller.hosts.cdn}/files/upload"
        if not in_parts:
            return Place(url, authorization=token)
        reply = await self._ask("POST", f"{url}/multipart", b"", headers=self._about, authorization=token)
        return read_place(self._map(reply), authorization=token, trusted=url)

    async def _send_parts(self, place: Place, sizes: list[int]) -> None:
        etags: dict[int, str] = {}
        numbers = iter(range(1, len(sizes) + 1))

        async def work() -> None:
            for number in numbers:
                offset, size = sum(sizes[: number - 1]), sizes[number - 1]
                reply = await self._put(place, place.part_url(number), number, offset, size)
                etags[number] = reply.headers.get("etag", "")

        await tasks.together([work() for _ in range(PARTS_AT_A_TIME)], name="falrt upload")
        parts = [{"partNumber": number, "etag": etags[number]} for number in sorted(etags)]
        url = place.part_url("complete")
        await self._ask("POST", url, {"parts": parts}, authorization=place.authorization)

    async def _put(
        self,
        place: Place,
        url: str,
        number: int,
        offset: int,
        size: int,
        *,
        method: str = "PUT",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        async def told(sent: int) -> None:
            self._sent[number] = sent
            await tasks.told(self._on_progress, sum(self._sent.values()), self._file.size)

        body, headers = _Part(self._file, offset, size, told), headers or {"content-type": self._kind}
        return await self._ask(method, url, body, headers=headers, authorization=place.authorization)

    async def _ask(self, method: str, url: str, body: Any, **more: Any) -> Answer:
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        try:
            # Storing the same bytes twice costs nothing, so all that may pass is tried again.
            return await self._caller.ask(Ask(method, url, _WHAT, body, idempotent=True, **more))
        except HTTPAuthenticationError as exc:
            if more.get("authorization") is None:
                raise
            raise recast(exc, UploadError) from exc  # the storage's own token, not the key

    def _map(self, reply: Answer) -> dict[str, Any]:
        given = self._caller.decode(reply, _WHAT)
        return given if isinstance(given, dict) else {}
