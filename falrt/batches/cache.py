"""Results on disk by endpoint and input, shared by all batches of a user: the same prompt and seed are paid once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]  # msgpack ships no types

from falrt.exceptions import ConfigurationError, MissingDependencyError

__all__ = ["Cache"]

_LIMIT_BYTES: Final = 4 * 1024**3


class Cache:
    """Keeps results with their pictures; blocking, safe for many processes.

    Args:
        folder: Where; None is ``falrt`` in the user's cache folder.

    Raises:
        MissingDependencyError: ``diskcache`` is absent.
        ConfigurationError: The folder cannot be used.
    """

    def __init__(self, folder: Path | None = None) -> None:
        try:
            import diskcache
        except ImportError as exc:
            cure = "the cache of a batch (or pass cache=False)"
            raise MissingDependencyError("diskcache", "batch", cure) from exc
        place = folder or _default_folder()
        try:
            # Least recently used goes first. Values are bytes that we pack, so that none is ever unpickled.
            self._store = diskcache.Cache(
                str(place), size_limit=_LIMIT_BYTES, eviction_policy="least-recently-used"
            )
        except Exception as exc:  # the file system's errors, and SQLite's
            raise ConfigurationError(f"the cache in {place} cannot be used: {exc}") from exc

    def get(self, key: str) -> tuple[dict[str, Any], list[bytes]] | None:
        """Return a result and its files; None where there is none, or it cannot be read."""
        try:
            packed = self._store.get(key)
            result, files = msgpack.unpackb(packed) if type(packed) is bytes else (None, None)
        except Exception:  # a damaged cache costs a picture, and must not cost a batch
            return None
        return (result, files) if isinstance(result, dict) and isinstance(files, list) else None

    def put(self, key: str, result: dict[str, Any], files: Sequence[bytes]) -> None:
        """Keep a result; what cannot be kept is not."""
        try:
            self._store.set(key, msgpack.packb([result, list(files)]))
        except Exception:  # as above: the files are in the batch's folder already
            return

    def close(self) -> None:
        """Let go of the files."""
        self._store.close()


def _default_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "falrt" / "batch"
