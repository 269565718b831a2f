"""fal's storage and CDN: uploads in one piece and in parts, by both clients' ways, and downloads. All in memory."""

from __future__ import annotations

import base64
import datetime
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from falrt.testing.platform.port import Request, Response, Route, invalid, not_found, refused

__all__ = ["Storage", "StoredFile"]

_REST: Final = "rest.fal.ai"
_CDN: Final = "v3.fal.media"
_TOKEN_SECONDS: Final = 3600


@dataclass(slots=True)
class StoredFile:
    """One file.

    Attributes:
        name: As the client named it.
        content_type: As the client said.
        lifecycle: The header about its lifetime, or None.
        parts: Its bytes; by number where it came in parts.
        complete: Whether it can be fetched.
    """

    name: str
    content_type: str
    lifecycle: str | None = None
    parts: dict[int, bytes] = field(default_factory=dict, repr=False)
    complete: bool = False

    @property
    def data(self) -> bytes:
        """All of it."""
        return b"".join(self.parts[number] for number in sorted(self.parts))


class Storage:
    """Keeps files, as long as the server lives.

    Attributes:
        files: By the path below the CDN, such as ``"/files/a1b2/cat.png"``.
    """

    def __init__(self) -> None:
        self.files: dict[str, StoredFile] = {}
        # Tokens of the CDN, which are not those of the gateway.
        self._tokens: set[str] = set()
        file = r"(?P<path>/files/[0-9a-f]+/[^/]*)"
        self.routes = (
            Route("POST", _REST, "/storage/auth/token", self._token),
            Route("POST", _REST, "/storage/upload/initiate(?P<parted>-multipart)?", self._initiate),
            Route("POST", _CDN, "/files/upload", self._upload, needs_key=False),
            Route("POST", _CDN, "/files/upload/multipart", self._begin, needs_key=False),
            # What a token begins, or whoever holds the address that /initiate gave.
            Route(
                "PUT", _CDN, rf"{file}(/multipart/[0-9a-f]+)?/(?P<number>\d+)", self._part, needs_key=False
            ),
            Route("POST", _CDN, rf"{file}(/multipart/[0-9a-f]+)?/complete", self._complete, needs_key=False),
            Route("PUT", _CDN, file, self._put, needs_key=False),
            Route("GET", _CDN, file, self._fetch, needs_key=False),
        )

    def add(self, data: bytes, content_type: str, name: str) -> str:
        """Store a file; return its path."""
        path = self._new(name, content_type, None)
        self.files[path].parts[1] = data
        self.files[path].complete = True
        return path

    def inlined(self, value: Any) -> Any:
        """Return an input with the addresses of stored files as data URIs, as an app would download them."""
        if isinstance(value, dict):
            return {name: self.inlined(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.inlined(item) for item in value]
        if isinstance(value, str) and value.startswith("http") and "/files/" in value:
            file = self.files.get(f"/files/{value.partition('/files/')[2]}")
            if file is not None and file.complete:
                return f"data:{file.content_type};base64,{base64.b64encode(file.data).decode()}"
        return value

    # The routes.

    async def _token(self, request: Request) -> Response:
        token = secrets.token_hex(16)
        self._tokens.add(token)
        now = datetime.datetime.now(datetime.UTC)
        ends = now + datetime.timedelta(seconds=_TOKEN_SECONDS)
        return Response.json(
            200,
            {
                "token": token,
                "token_type": "Bearer",
                "base_url": request.url(_CDN, ""),
                "created_at": now.isoformat(),
                "expires_at": ends.isoformat(),
            },
        )

    async def _upload(self, request: Request) -> Response:
        path = self._begun(request)
        await self._put(request, path)
        return Response.json(200, {"access_url": request.url(_CDN, path)})

    async def _begin(self, request: Request) -> Response:
        path = self._begun(request)
        return Response.json(200, {"access_url": request.url(_CDN, path), "uploadId": secrets.token_hex(8)})

    async def _initiate(self, request: Request, parted: str | None) -> Response:
        del parted  # the parts' addresses stand below the file's
        body = request.json()
        given = body if isinstance(body, dict) else {}
        for name in ("content_type", "file_name"):
            if not isinstance(given.get(name), str):
                raise invalid("missing", ["body", name], "Field required", body)
        # The Python clients' header, and the JavaScript client's.
        lifetimes = (f"x-fal-object-lifecycle{end}" for end in ("-preference", ""))
        lifecycle = next((request.headers[name] for name in lifetimes if name in request.headers), None)
        path = self._new(given["file_name"], given["content_type"], lifecycle)
        # The address is all that is asked for later, as with the real service's signed ones.
        return Response.json(
            200, {"upload_url": request.url(_CDN, path), "file_url": request.url(_CDN, path)}
        )

    async def _put(self, request: Request, path: str) -> Response:
        file = self._file(request, path)
        file.parts[1], file.complete = request.body, True
        return Response.json(200, {})

    async def _part(self, request: Request, path: str, number: str) -> Response:
        file = self._file(request, path)
        file.parts[int(number)] = request.body
        # fal-client reads the header, the JavaScript client the body.
        etag = f'"{int(number):x}-{len(request.body):x}"'
        return Response.json(200, {"partNumber": int(number), "etag": etag}, headers={"etag": etag})

    async def _complete(self, request: Request, path: str) -> Response:
        file = self._file(request, path)
        body = request.json()
        parts = body.get("parts") if isinstance(body, dict) else None
        named = [part.get("partNumber") for part in parts or () if isinstance(part, dict)]
        numbers = list(range(1, len(file.parts) + 1))
        if (
            len(named) != len(numbers)
            or sorted(file.parts) != numbers
            or any(n not in named for n in numbers)
        ):
            raise refused(400, "the parts are not those that were uploaded")
        file.complete = True
        return Response.json(200, {})

    async def _fetch(self, request: Request, path: str) -> Response:
        file = self._file(request, path)
        if not file.complete:
            raise not_found(request)
        return Response(200, file.data, file.content_type)

    # Inside.

    def _begun(self, request: Request) -> str:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self._tokens:
            raise refused(401, "Unauthorized")
        headers = request.headers
        kind = headers.get("content-type", "application/octet-stream")
        return self._new(headers.get("x-fal-file-name", "file"), kind, headers.get("x-fal-object-lifecycle"))

    def _new(self, name: str, content_type: str, lifecycle: str | None) -> str:
        safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
        path = f"/files/{secrets.token_hex(8)}/{safe}"
        self.files[path] = StoredFile(name, content_type, lifecycle)
        return path

    def _file(self, request: Request, path: str) -> StoredFile:
        file = self.files.get(path)
        if file is None:
            raise not_found(request)
        return file
