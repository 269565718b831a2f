"""Whose user's functions the present code runs in: nobody there may wait for itself to end."""

from __future__ import annotations

from contextvars import Context, ContextVar, copy_context
from typing import Final

__all__ = ["Inside", "in_users_code"]

_INSIDE: Final[ContextVar[frozenset[Inside]]] = ContextVar("falrt_inside", default=frozenset())


class Inside:
    """Marks what runs for one connection's user: callbacks and sources, and the tasks that they start.

    An object of its own, and neither the connection, which old contexts would keep alive, nor its ``id``, which is
    used again.
    """

    __slots__ = ()

    def context(self) -> Context:
        """Return a context in which the user's functions may run, and close the connection."""
        context = copy_context()
        context.run(_INSIDE.set, _INSIDE.get() | {self})
        return context

    @property
    def is_here(self) -> bool:
        """Whether the present code runs in one of them."""
        return self in _INSIDE.get()


def in_users_code() -> bool:
    """Whether the present code runs in functions of any connection's user."""
    return bool(_INSIDE.get())
