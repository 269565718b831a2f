"""One socket for many calls, for blocking code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, Self

from falrt.sync.calls import wait
from falrt.sync.loop_thread import LoopThread
from falrt.typing import InputT, OutputT

if TYPE_CHECKING:
    from falrt.http.pipeline import Pipeline as AsyncPipeline

__all__ = ["Pipeline"]


class Pipeline(Generic[InputT, OutputT]):
    """Many calls of an endpoint over one socket, as ``falrt.Client.pipeline`` makes them; used with ``with``.

    Calls may be made from several threads at the same time.
    """

    def __init__(self, pipeline: AsyncPipeline[InputT, OutputT], loop: LoopThread) -> None:
        self._pipeline, self._loop = pipeline, loop

    def __repr__(self) -> str:
        return repr(self._pipeline)

    def __enter__(self) -> Self:
        wait(self._loop, self._pipeline.__aenter__)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; calls that wait for an answer fail with ``ConnectionClosedOK``."""
        self._loop.finish(self._pipeline.close, stop=False)

    def run(
        self,
        input: InputT | Mapping[str, Any],
        *,
        timeout: float | None = None,
        repeatable: bool | None = None,
    ) -> OutputT:
        """Call the endpoint and wait for the result; arguments and errors as in ``falrt.Client.pipeline``."""
        return wait(self._loop, lambda: self._pipeline.run(input, timeout=timeout, repeatable=repeatable))
