"""Soon."""

from __future__ import annotations

from typing import Any

UploadSource = Any


async def upload(*args: Any, **options: Any) -> str:
    """Store a file."""
    raise NotImplementedError
