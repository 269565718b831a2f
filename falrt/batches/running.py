"""``falrt.batch``: many inputs through one endpoint, to files, without paying twice for anything.

Each input goes into fal's queue, and what the service calls it is written down before its result is waited for. So a
crash, a Ctrl-C or a full disk costs nothing: the next run asks for what was submitted, fetches what was paid, and
submits only what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import urlsplit

from falrt import tasks
from falrt.auth.pool import LOOPBACK
from falrt.batches.cache import Cache
from falrt.batches.files import addresses, fetched, written
from falrt.batches.journal import Journal
from falrt.batches.pieces import Call, Piece, calling, pieces_of
from falrt.batches.report import BatchItem, BatchProgress, BatchReport
from falrt.exceptions import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    FalrtError,
    RequestFailedError,
)
from falrt.models.plain import plain_map
from falrt.options import BASE_URL_VARIABLE
from falrt.protocol.wire.endpoint import Hosts
from falrt.threads import Worker

if TYPE_CHECKING:
    from falrt.client import Client
    from falrt.typing import EndpointModel

__all__ = ["BatchOptions", "batch"]

_FETCH_TRIES = 3


class BatchOptions(TypedDict, total=False):
    """Options of :func:`batch`."""

    folder: str | os.PathLike[str]
    concurrency: int
    cache: bool | str | os.PathLike[str]
    price: float
    sheet: bool
    dask: Any
    on_progress: Callable[[BatchProgress], object] | None


async def batch(
    app: str | EndpointModel[Any, Any],
    inputs: Iterable[Any],
    *,
    folder: str | os.PathLike[str] = "falrt-batch",
    client: Client | None = None,
    concurrency: int = 8,
    cache: bool | str | os.PathLike[str] = True,
    price: float = 0.0,
    sheet: bool = True,
    dask: Any = None,
    on_progress: Callable[[BatchProgress], object] | None = None,
) -> BatchReport:
    """Run many inputs through an endpoint and save the results.

    Run it again with the same inputs and folder to resume where it stopped, whatever stopped it. Cancelling stops it:
    submitted inputs stay in the service's queue, and the next run fetches their results.

    Args:
        app: An endpoint id, or a model of ``falrt.models``.
        inputs: Maps, or the model's input type.
        folder: Where pictures, ``manifest.jsonl`` and ``sheet.jpg`` go; made where it is missing.
        client: Whose key and connections are used; by default one for this batch.
        concurrency: How many are at work at once.
        cache: Keep results by endpoint and input, in the user's cache folder or the given one, for all batches:
            needs ``falrt[batch]``. False: only this folder remembers.
        price: Of one picture, to tell the cost.
        sheet: Whether to make a contact sheet; without Pillow there is none.
        dask: The address of a Dask scheduler, or a ``distributed.Client``: its workers make the calls; needs
            ``falrt[dask]``. They take the key from their own environment.
        on_progress: Called with a :class:`BatchProgress` after each input; sync or async.

    Returns:
        What became of each input. One that failed is one failed item, and tried again by the next run.

    Raises:
        ConfigurationError: An input or option is wrong, or the folder cannot be used; before anything is sent.
        MissingDependencyError: ``cache`` or ``dask`` needs a package.
        AuthenticationError, ConnectError, HTTPStatusError: No key, no network, no balance: nothing further would
            succeed. What was paid is kept.
        OSError: The disk is full, for one. What was paid is written down, and the next run fetches it.
    """
    if type(concurrency) is not int or not 1 <= concurrency <= 1000:
        raise ConfigurationError(
            f"concurrency must be a whole number from 1 to 1000, got {concurrency!r:.50}"
        )
    endpoint_id, place = app if isinstance(app, str) else app.app, Path(folder)
    worker = Worker()
    try:
        # In the thread: pictures of typed inputs are encoded here.
        pieces = await worker.run(lambda: pieces_of(endpoint_id, _dumped(app, inputs), _place(client)))
        run = await worker.run(lambda: _Run(pieces, place, cache, price, worker))
        try:
            run.on_progress = on_progress
            await _work(run, client, dask, concurrency)
        finally:
            # Also when it is cancelled: the manifest tells how far it came.
            await tasks.whole(worker.run(lambda: run.close(with_sheet=sheet)), name="falrt batch close")
        return run.report
    finally:
        worker.close()


def _place(client: Client | None) -> str:
    """Name where the inputs are sent: empty for fal itself, one name for every server on this machine."""
    url = os.environ.get(BASE_URL_VARIABLE, "").strip() or None if client is None else client.base_url
    if url is None:
        return ""
    server = urlsplit(Hosts.at(url).rest)
    return "this machine" if server.hostname in LOOPBACK else server.netloc + server.path


def _dumped(app: Any, inputs: Iterable[Any]) -> list[dict[str, Any]]:
    """Check all inputs before one is sent; return them as plain JSON."""
    if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Iterable):
        raise ConfigurationError(f"inputs must be an iterable of inputs, not {type(inputs).__name__}")
    dumped = []
    for index, given in enumerate(inputs):
        if not isinstance(app, str):
            dumped.append(dict(app.dump(given, json=True)))
        elif isinstance(given, Mapping):
            dumped.append(dict(plain_map(given, json=True)))
        else:
            raise ConfigurationError(f"inputs[{index}] must be a mapping, not {type(given).__name__}")
    return dumped


async def _work(run: _Run, client: Client | None, dask: Any, concurrency: int) -> None:
    """Have every piece done, so many at a time."""
    if dask is not None:
        from falrt.batches.on_dask import calling_on

        async with calling_on(dask) as call:
            await run.all(call, concurrency)
        return
    if client is not None:
        await run.all(calling(client), concurrency)
        return
    from falrt.client import Client

    async with Client() as own:
        await run.all(calling(own), concurrency)


def _ends_all(exc: Exception) -> bool:
    """Whether every further piece would fail in the same way: no key, no balance, no network."""
    return isinstance(exc, AuthenticationError | ConnectError) or getattr(exc, "status", None) == 402


def _is_final(exc: Exception) -> bool:
    """Whether asking for the same job again cannot help."""
    status = getattr(exc, "status", None)
    refused = status is not None and 400 <= status < 500 and status not in (408, 429)
    return isinstance(exc, RequestFailedError) or refused


class _Run:
    """One run of a batch: what is known, what came of it, and the files. Made and closed in the worker's thread."""

    def __init__(
        self,
        pieces: list[Piece],
        folder: Path,
        cache: bool | str | os.PathLike[str],
        price: float,
        worker: Worker,
    ) -> None:
        self._pieces, self._folder, self._price, self._worker = pieces, folder, price, worker
        self._items = [BatchItem(piece.index, piece.input) for piece in pieces]
        self._progress = BatchProgress(len(pieces))
        self._began = time.monotonic()
        self._sheet: Path | None = None
        # By key: a piece of the same key as another waits for it.
        self._working: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.on_progress: Callable[[BatchProgress], object] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._journal = Journal(folder)
        except OSError as exc:
            raise ConfigurationError(f"{folder}: cannot be written ({exc.strerror or exc})") from exc
        try:
            self._cache = Cache(None if cache is True else Path(cache)) if cache is not False else None
        except BaseException:
            self._journal.close()
            raise

    @property
    def report(self) -> BatchReport:
        """What it came to."""
        manifest = self._folder / "manifest.jsonl"
        return BatchReport(tuple(self._items), self._progress, self._folder, manifest, self._sheet)

    async def all(self, call: Call, concurrency: int) -> None:
        """Work on the pieces in order, so many at a time; the first error that is not one piece's ends it."""
        waiting = iter(self._pieces)

        async def worker() -> None:
            for piece in waiting:
                await self._one(piece, call)

        count = min(concurrency, len(self._pieces))
        await tasks.together([worker() for _ in range(count)], name="falrt batch")

    async def _one(self, piece: Piece, call: Call) -> None:
        async with self._working[piece.key]:
            try:
                item = await self._item(piece, call)
            except (FalrtError, ValueError) as exc:
                if _ends_all(exc):
                    raise
                await self._note(piece, "failed" if _is_final(exc) else "interrupted", error=str(exc))
                item = replace(self._items[piece.index], status="failed", error=str(exc))
        self._items[piece.index] = item
        await self._tell(item)

    async def _item(self, piece: Piece, call: Call) -> BatchItem:
        """Come by the result of a piece and its files, in the cheapest way there is."""
        known = self._journal.of(piece.key)
        result, names = known.get("result"), known.get("files")
        if names is not None and all((self._folder / name).exists() for name in names):
            return self._done(piece, "before", result, names)
        if self._cache is not None and (kept := await self._in_thread(self._cache.get, piece.key)):
            return self._done(piece, "cache", kept[0], await self._save(piece, *kept))
        source, seconds = "before", None
        if result is None:
            began = time.monotonic()
            result = await self._paid(piece, call, known.get("request_id"))
            source, seconds = "paid", time.monotonic() - began
        files = [await self._fetched(url) for url in addresses(result)]
        names = await self._save(piece, result, files)
        if self._cache is not None:
            await self._in_thread(self._cache.put, piece.key, result, files)
        return self._done(piece, source, result, names, seconds)

    def _done(
        self, piece: Piece, source: Any, result: Any, names: Iterable[str], seconds: Any = None
    ) -> BatchItem:
        files = tuple(self._folder / name for name in names)
        item = self._items[piece.index]
        return replace(item, status="done", source=source, result=result, files=files, seconds=seconds)

    async def _paid(self, piece: Piece, call: Call, request_id: str | None) -> dict[str, Any]:
        async def on_submit(request_id: str) -> None:
            await self._note(piece, "submitted", request_id=request_id)

        result = await call(piece, request_id, on_submit)
        await self._note(piece, "paid", result=result)
        return result

    async def _fetched(self, url: str) -> bytes:
        for _ in range(_FETCH_TRIES - 1):
            with contextlib.suppress(FalrtError):
                return await fetched(url)
        return await fetched(url)

    async def _save(self, piece: Piece, result: dict[str, Any], files: list[bytes]) -> list[str]:
        urls = list(addresses(result))
        names: list[str] = await self._in_thread(written, self._folder, piece.stem, files, urls)
        await self._note(piece, "done", result=result, files=names)
        return names

    async def _note(self, piece: Piece, step: str, **facts: Any) -> None:
        """Write a step down; a caller that is cancelled meanwhile waits until it stands there."""
        writing = self._worker.run(lambda: self._journal.note(piece.key, step, **facts))
        await tasks.whole(writing, name="falrt batch note")

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._worker.run(lambda: function(*args))

    async def _tell(self, item: BatchItem) -> None:
        done, paid = item.status == "done", item.source == "paid" and item.status == "done"
        before = self._progress
        self._progress = replace(
            before,
            done=before.done + done,
            failed=before.failed + (not done),
            reused=before.reused + (done and not paid),
            pictures=before.pictures + len(item.files),
            cost=before.cost + self._price * len(item.files) * paid,
            seconds=time.monotonic() - self._began,
        )
        await tasks.told(self.on_progress, self._progress)

    def close(self, *, with_sheet: bool) -> None:
        """Write the manifest and the sheet, and let go of the files."""
        try:
            lines = [self._line(piece, item) for piece, item in zip(self._pieces, self._items, strict=True)]
            part = self._folder / ".manifest.part"
            part.write_text("".join(lines), encoding="utf-8")
            os.replace(part, self._folder / "manifest.jsonl")
            if with_sheet:
                self._sheet = self._make_sheet()
        finally:
            self._journal.close()
            if self._cache is not None:
                self._cache.close()

    def _make_sheet(self) -> Path | None:
        from falrt.batches.sheet import contact_sheet

        pictures = [(file, str(item.input.get("prompt", ""))) for item in self._items for file in item.files]
        try:
            return contact_sheet(self._folder / "sheet.jpg", pictures)
        except ImportError:
            return None

    def _line(self, piece: Piece, item: BatchItem) -> str:
        facts = {
            "index": item.index,
            "status": item.status,
            "files": [path.name for path in item.files],
            "app": piece.app,
            "input": _short(piece.input),
            "seed": (item.result or {}).get("seed"),
            "source": item.source if item.status == "done" else None,
            "seconds": item.seconds and round(item.seconds, 3),
            "error": item.error,
            "key": piece.key,
        }
        return json.dumps({name: value for name, value in facts.items() if value is not None}) + "\n"


def _short(value: Any) -> Any:
    """Leave out what no reader of a manifest wants: the pictures within inputs."""
    if isinstance(value, str) and value.startswith("data:"):
        return f"{value[:40]}... ({len(value)} characters)"
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list) else value
