"""What can be set on the local server."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from falrt.testing.allowed import Helpful, check_fields

__all__ = ["LocalOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions(metaclass=Helpful):
    """How the stand-in behaves. Checked when built.

    Attributes:
        speed: How many times faster than the real models; 1 takes their time (klein 0.25 s at 3 steps), 4 a
            quarter of it. A picture never takes less time than painting it does.
        latency: Delay of every frame in seconds, each way: simulates a network.
        idle_timeout: Seconds without input after which a socket ends with TIMEOUT, as klein's do; None:
            never.
        buffering: Inputs that wait for the model where the URL has no ``max_buffering``; the oldest are
            dropped beyond. None: no limit.
        check_keys: Whether tokens and sockets need a key. False accepts everyone.
        key: The only key that is accepted; None: any non-empty key.
        forbidden: Ids of apps that neither a key nor a token may use: 403 over HTTP.
        strict: Make and check tokens as the service's own schema has it, and not as its pages show it.

    Raises:
        ConfigurationError: A value is invalid; the text names it.
    """

    speed: float = 1.0
    latency: float = 0.0
    idle_timeout: float | None = 30.0
    buffering: int | None = 2
    check_keys: bool = True
    key: str | None = None
    strict: bool = False
    forbidden: Collection[str] = ()

    def __post_init__(self) -> None:
        """Check each value."""
        check_fields(self)
