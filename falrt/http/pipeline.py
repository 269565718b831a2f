"""Soon."""

from __future__ import annotations

from typing import Generic

from falrt.typing import InputT, OutputT


class Pipeline(Generic[InputT, OutputT]):
    """Soon."""
