"""A batch on the workers of a Dask cluster, for where one machine is too small.

The journal stays with whoever runs the batch. Each worker makes its own calls, and says through the scheduler
what the service calls a piece; so a piece of a worker that was killed is asked for, not submitted again, by the next.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from falrt import tasks
from falrt.batches.pieces import Call, OnSubmit, Piece, calling
from falrt.client import Client
from falrt.exceptions import ConfigurationError, MissingDependencyError

__all__ = ["calling_on"]

_TOPIC: Final = "falrt-batch"
_CONNECT_SECONDS: Final = 10


@contextlib.asynccontextmanager
async def calling_on(dask: Any) -> AsyncIterator[Call]:
    """Give the function that has a piece's result made by a worker.

    Args:
        dask: An address, or an asynchronous ``distributed.Client``.

    Raises:
        MissingDependencyError: ``distributed`` is absent.
        ConfigurationError: There is no scheduler at the address.
    """
    try:
        import distributed
    except ImportError as exc:
        raise MissingDependencyError("distributed", "dask", "a batch on Dask") from exc
    # Key of a piece -> who waits for it to be submitted.
    waiting: dict[str, OnSubmit] = {}
    noting: set[asyncio.Task[None]] = set()

    def submitted(event: tuple[float, dict[str, str]]) -> None:
        said = event[1]
        if (on_submit := waiting.get(said["key"])) is not None:
            task = tasks.begin(on_submit(said["request_id"]), name="falrt batch note")
            noting.add(task)
            task.add_done_callback(noting.discard)

    async def call(piece: Piece, request_id: str | None, on_submit: OnSubmit) -> dict[str, Any]:
        waiting[piece.key] = on_submit
        future = client.submit(_on_worker, piece, request_id, pure=False)
        try:
            result: dict[str, Any] = await future
            return result
        finally:
            del waiting[piece.key]
            future.release()

    client = dask if isinstance(dask, distributed.Client) else await _connected(dask)
    try:
        client.subscribe_topic(_TOPIC, submitted)
        yield call
    finally:
        client.unsubscribe_topic(_TOPIC)
        await tasks.settle(noting)
        if client is not dask:
            await client.close()


async def _connected(address: Any) -> Any:
    from distributed import Client

    connecting: Any = Client
    client = connecting(address, asynchronous=True, timeout=_CONNECT_SECONDS)
    try:
        return await client
    except (OSError, ValueError, TypeError) as exc:
        await client.close()
        raise ConfigurationError(f"no Dask scheduler at {address!r:.100}: {exc}") from exc


def _on_worker(piece: Piece, request_id: str | None) -> dict[str, Any]:
    """Run one piece; called in a thread of a worker."""
    import distributed

    async def on_submit(request_id: str) -> None:
        said = {"key": piece.key, "request_id": request_id}
        distributed.get_worker().log_event([_TOPIC, f"{_TOPIC}-{piece.key}"], said)

    async def called(request_id: str | None) -> dict[str, Any]:
        async with Client() as client:
            return await calling(client)(piece, request_id, on_submit)

    if request_id is None:
        # Another worker may have had this piece, and died.
        for _, said in distributed.get_client().get_events(f"{_TOPIC}-{piece.key}"):
            request_id = said["request_id"]
    return asyncio.run(called(request_id))
