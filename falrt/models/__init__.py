"""Typed models for realtime and HTTP, and what you need to define your own.

Names are imported when they are first used: pydantic and the schemas take 0.2 s to load, which an app that sends
plain dicts does not need.
"""

# ruff: noqa: F403 - each module lists its exports in __all__
from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from falrt.models.diffusion import *
    from falrt.models.fields import *
    from falrt.models.flux import *
    from falrt.models.flux2 import *
    from falrt.models.image import *
    from falrt.models.klein import *
    from falrt.models.schema import *
    from falrt.models.sdxl import *
    from falrt.models.sizes import *
    from falrt.models.spec import *
    from falrt.models.still import *

else:  # hidden from type checkers, which would accept any name
    # In the order in which names are looked for: what loads least first.
    _MODULES = (
        *("spec", "sizes", "image", "fields", "schema", "klein"),
        *("still", "diffusion", "flux", "flux2", "sdxl"),
    )

    def _exports() -> Iterator[tuple[str, object]]:
        for module in _MODULES:
            loaded = import_module(f"falrt.models.{module}")
            yield from ((name, getattr(loaded, name)) for name in loaded.__all__)

    def __getattr__(name: str) -> object:
        if name == "__all__":
            return [each for each, _ in _exports()]
        # Python asks here for submodules too; unlike exports, they begin with a small letter.
        if name[:1].isupper() or name == "image_size_pixels":
            for each, value in _exports():
                globals()[each] = value
                if each == name:
                    return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})
