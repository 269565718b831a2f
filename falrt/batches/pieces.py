"""The pieces of a batch: one for each input, with a key by which its result is found again."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from falrt import tasks
from falrt.exceptions import HTTPStatusError

if TYPE_CHECKING:
    from falrt.client import Client
    from falrt.http.queue import Job

__all__ = ["Call", "OnSubmit", "Piece", "calling", "pieces_of"]

_LONGEST_STEM = 48


@dataclass(frozen=True, slots=True)
class Piece:
    """One input of a batch.

    Attributes:
        index: Its place among the inputs, from 0.
        app: Endpoint id.
        input: As it is sent: plain JSON.
        key: The same for the same endpoint and input at the same place, in every batch.
        stem: Of the names of its files: number and prompt.
    """

    index: int
    app: str
    input: dict[str, Any]
    key: str
    stem: str


OnSubmit: TypeAlias = Callable[[str], Coroutine[Any, Any, None]]
"""Called with what the service calls a piece, before its result is waited for."""

Call: TypeAlias = Callable[[Piece, str | None, OnSubmit], Awaitable[dict[str, Any]]]
"""``(piece, request_id or None, on_submit) -> result``: how the result of a piece is come by."""


def calling(client: Client) -> Call:
    """Return how a client comes by results: what was submitted before is asked for, not submitted again."""

    async def call(piece: Piece, request_id: str | None, on_submit: OnSubmit) -> dict[str, Any]:
        if request_id is not None:
            try:
                return await client.job(piece.app, request_id).result()
            except HTTPStatusError as exc:
                if exc.status != 404:
                    raise
                # The service has forgotten it: it is submitted anew.

        async def submit() -> Job[dict[str, Any]]:
            job = await client.submit(piece.app, piece.input)
            await on_submit(job.request_id)
            return job

        # A caller that is cancelled meanwhile waits until it is known what the service calls the piece.
        job = await tasks.whole(submit(), name="falrt batch submit")
        return await job.result()

    return call


def pieces_of(app: str, inputs: Iterable[dict[str, Any]], place: str) -> list[Piece]:
    """Return the pieces of a batch.

    Inputs that say no seed and come more than once are wanted more than once, so each time has a key of its own;
    with a seed the same input gives the same picture, and has one key.

    Args:
        app: Endpoint id.
        inputs: Plain JSON.
        place: Where they are sent, empty for fal itself: a stand-in's picture is never taken for one of fal's.
    """
    seen: Counter[str] = Counter()
    pieces = []
    for index, given in enumerate(inputs):
        text = json.dumps(
            [app, given, *filter(None, [place])], sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        again = 0 if given.get("seed") is not None else seen[text]
        seen[text] += 1
        key = hashlib.sha256(f"{text}{again or ''}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
        pieces.append(Piece(index, app, given, key, f"{index + 1:04}{_slug(given)}"))
    return pieces


def _slug(given: dict[str, Any]) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", str(given.get("prompt", "")).lower())[:_LONGEST_STEM].strip("-")
    return f"-{words}" if words else ""
