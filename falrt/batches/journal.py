"""What a batch has done, on disk, as it happens: so that a crash, a Ctrl-C or a full disk costs nothing twice.

One line for each step of a piece: ``submitted`` (the service has it, and will be asked for it again), ``paid`` (its
result), ``done`` (its files). A line that was cut by a crash is left out. So that there is room for these lines when
the disk is full, a little is held back from the beginning.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from falrt.exceptions import ConfigurationError

__all__ = ["Journal"]

_NAME: Final = ".falrt-batch.jsonl"
# Results of some hundred pieces, as addresses.
_HELD_BACK_BYTES: Final = 256 * 1024


class Journal:
    """The steps of a batch's pieces; blocking, and used by one thread at a time.

    Args:
        folder: Of the batch.

    Raises:
        ConfigurationError: Another batch is at work in this folder.
        OSError: It cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _NAME
        self._ballast = folder / f"{_NAME}.reserve"
        # Key -> all that is known of a piece.
        self._known: dict[str, dict[str, Any]] = {}
        self._file = self.path.open("a+b")
        try:
            _lock(self._file.fileno(), folder)
            self._read()
            self._ballast.write_bytes(bytes(_HELD_BACK_BYTES))
        except BaseException:
            self._file.close()
            raise

    def of(self, key: str) -> Mapping[str, Any]:
        """Return what is known of a piece: ``request_id``, ``result``, ``files``, ``seconds``, as far as it came."""
        return self._known.get(key, {})

    def note(self, key: str, step: str, **facts: Any) -> None:
        """Write a step down, so that it is there after a crash.

        Raises:
            OSError: Not even what was held back is enough.
        """
        line = json.dumps({"step": step, "key": key, **facts}, ensure_ascii=True).encode() + b"\n"
        try:
            self._write(line)
        except OSError:
            # The last lines that the disk takes tell what was paid.
            self._ballast.unlink(missing_ok=True)
            self._write(line)
        self._learn(key, step, facts)

    def close(self) -> None:
        """Let another run go on from here."""
        with contextlib.suppress(OSError):
            self._ballast.unlink(missing_ok=True)
        self._file.close()

    def _write(self, line: bytes) -> None:
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(end)  # half a line would hide the next one
            raise

    def _read(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        for line in data.splitlines():
            try:
                facts = json.loads(line)
                key, step = facts.pop("key"), facts.pop("step")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # cut by a crash
            self._learn(key, step, facts)
        if data and not data.endswith(b"\n"):
            self._file.write(b"\n")

    def _learn(self, key: str, step: str, facts: Mapping[str, Any]) -> None:
        if step == "failed":
            self._known.pop(key, None)  # the next run tries again
        else:
            self._known.setdefault(key, {}).update(facts)


def _lock(descriptor: int, folder: Path) -> None:
    """Keep a second batch out of the folder; where the system has no such lock, that is left to the user."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        raise ConfigurationError(f"another batch is at work in {folder}; give it another folder") from exc
