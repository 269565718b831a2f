"""Typed models: Klein, LCM, Turbo, Lightning, and the parts to build one's own.

Names are imported when they are first used: pydantic and the schemas cost a fifth of a second, which an app
that sends plain dicts never pays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = [
    "IMAGE_SIZES",
    "KLEIN",
    "LCM",
    "LIGHTNING",
    "TURBO",
    "Image",
    "ImageField",
    "ImageSize",
    "ImageSizeChoice",
    "ImageSizePreset",
    "ImageSource",
    "KleinInput",
    "KleinOutput",
    "LCMInput",
    "LCMOutput",
    "LightningInput",
    "LightningOutput",
    "ModelInput",
    "ModelOutput",
    "RealtimeModel",
    "Timings",
    "TurboInput",
    "TurboOutput",
    "WireBytes",
    "image_size_pixels",
]

_HOMES = {
    "falrt.media.source": ("ImageSource",),
    "falrt.models.fields": ("ImageField", "Timings", "WireBytes"),
    "falrt.models.image": ("Image",),
    "falrt.models.klein": ("KLEIN", "KleinInput", "KleinOutput"),
    "falrt.models.lcm": ("LCM", "LCMInput", "LCMOutput"),
    "falrt.models.lightning": ("LIGHTNING", "LightningInput", "LightningOutput"),
    "falrt.models.schema": ("ModelInput", "ModelOutput"),
    "falrt.models.sizes": (
        "IMAGE_SIZES",
        "ImageSize",
        "ImageSizeChoice",
        "ImageSizePreset",
        "image_size_pixels",
    ),
    "falrt.models.spec": ("RealtimeModel",),
    "falrt.models.turbo": ("TURBO", "TurboInput", "TurboOutput"),
}

if TYPE_CHECKING:
    from falrt.media.source import ImageSource
    from falrt.models.fields import ImageField, Timings, WireBytes
    from falrt.models.image import Image
    from falrt.models.klein import KLEIN, KleinInput, KleinOutput
    from falrt.models.lcm import LCM, LCMInput, LCMOutput
    from falrt.models.lightning import LIGHTNING, LightningInput, LightningOutput
    from falrt.models.schema import ModelInput, ModelOutput
    from falrt.models.sizes import (
        IMAGE_SIZES,
        ImageSize,
        ImageSizeChoice,
        ImageSizePreset,
        image_size_pixels,
    )
    from falrt.models.spec import RealtimeModel
    from falrt.models.turbo import TURBO, TurboInput, TurboOutput
else:  # hidden from type checkers, which would take any name for granted

    def __getattr__(name: str) -> object:
        for module, names in _HOMES.items():
            if name in names:
                from importlib import import_module

                value = globals()[name] = getattr(import_module(module), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
