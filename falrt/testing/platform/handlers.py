"""From the forms that a handler may have to one function: defaults, and lists of answers unrolled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from falrt.testing.platform.app import App, picture_answer, settled

__all__ = ["unrolled"]


def unrolled(app: App) -> Callable[..., Any]:
    """Return an app's handler as a function; a list of answers becomes one that goes through it."""
    handler = app.handler
    if handler is None:
        return _default(app.mode)
    if callable(handler):
        return handler
    answers = list(handler)
    if app.mode == "server_streaming":
        return lambda message: (_played(answer, message) for answer in answers)
    rest = iter(answers)

    def answer(*inputs: Any) -> Any:
        try:
            scripted = next(rest)
        except StopIteration:
            raise LookupError(f"the script has only {len(answers)} answers") from None
        return _played(scripted, *inputs)

    if app.mode == "unary":
        return answer
    return _reading_all(answer) if app.mode == "client_streaming" else _answering_each(answer)


def _played(scripted: Any, *inputs: Any) -> Any:
    if isinstance(scripted, BaseException):
        raise scripted
    return scripted(*inputs) if callable(scripted) else scripted


def _default(mode: str) -> Callable[..., Any]:
    if mode == "unary":
        return picture_answer
    if mode == "server_streaming":
        return lambda message: [{**picture_answer(message), "index": index} for index in range(3)]
    return _reading_all(picture_answer) if mode == "client_streaming" else _answering_each(picture_answer)


def _reading_all(answer: Callable[..., Any]) -> Callable[..., Any]:
    async def read_all(inputs: Any) -> Any:
        messages = [message async for message in inputs]
        return await settled(answer(*messages[-1:]))

    return read_all


def _answering_each(answer: Callable[..., Any]) -> Callable[..., Any]:
    async def answer_each(inputs: Any) -> Any:
        async for message in inputs:
            yield await settled(answer(message))

    return answer_each
