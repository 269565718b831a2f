"""Typed models for realtime and HTTP, and what you need to define your own.

Names are imported when they are first used: pydantic and the schemas take 0.2 s to load, which an app that sends
plain dicts does not need.
"""

# ruff: noqa: F403 - each module lists its exports in __all__
from __future__ import annotations

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

    __all__: list[str]
else:  # hidden from type checkers, which would accept any name
    # Module -> its __all__, which a test compares.
    _HOMES = {
        "falrt.models.diffusion": (
            "LCM",
            "LIGHTNING",
            "TURBO",
            "LCMInput",
            "LCMOutput",
            "LightningInput",
            "LightningOutput",
            "TurboInput",
            "TurboOutput",
        ),
        "falrt.models.fields": ("ImageField", "ImageSource", "Timings", "WireBytes"),
        "falrt.models.image": ("Image",),
        "falrt.models.klein": ("KLEIN", "KleinInput", "KleinOutput"),
        "falrt.models.schema": ("ModelInput", "ModelOutput"),
        "falrt.models.sizes": (
            "IMAGE_SIZES",
            "ImageSize",
            "ImageSizeChoice",
            "ImageSizePreset",
            "image_size_pixels",
        ),
        "falrt.models.spec": ("Endpoint", "RealtimeModel"),
        "falrt.models.flux": (
            "FLUX_CANNY",
            "FLUX_DEV",
            "FLUX_DEV_IMAGE_TO_IMAGE",
            "FLUX_LORA",
            "FLUX_LORA_IMAGE_TO_IMAGE",
            "FLUX_SCHNELL",
            "FluxCannyInput",
            "FluxDevImageToImageInput",
            "FluxDevInput",
            "FluxLoraImageToImageInput",
            "FluxLoraInput",
            "FluxSchnellInput",
        ),
        "falrt.models.flux2": (
            "FLUX2_KLEIN",
            "FLUX2_KLEIN_4B",
            "FLUX2_KLEIN_4B_BASE",
            "FLUX2_KLEIN_4B_BASE_EDIT",
            "FLUX2_KLEIN_4B_BASE_EDIT_LORA",
            "FLUX2_KLEIN_4B_BASE_LORA",
            "FLUX2_KLEIN_4B_EDIT",
            "FLUX2_KLEIN_4B_EDIT_LORA",
            "FLUX2_KLEIN_4B_LORA",
            "FLUX2_KLEIN_9B",
            "FLUX2_KLEIN_9B_BASE",
            "FLUX2_KLEIN_9B_BASE_EDIT",
            "FLUX2_KLEIN_9B_BASE_EDIT_LORA",
            "FLUX2_KLEIN_9B_BASE_LORA",
            "FLUX2_KLEIN_9B_EDIT",
            "FLUX2_KLEIN_9B_EDIT_LORA",
            "FLUX2_KLEIN_9B_LORA",
            "FLUX2_TURBO",
            "FLUX2_TURBO_EDIT",
            "Flux2KleinBaseEditInput",
            "Flux2KleinBaseEditLoraInput",
            "Flux2KleinBaseInput",
            "Flux2KleinBaseLoraInput",
            "Flux2KleinEditInput",
            "Flux2KleinEditLoraInput",
            "Flux2KleinInput",
            "Flux2KleinLoraInput",
            "Flux2TurboEditInput",
            "Flux2TurboInput",
        ),
        "falrt.models.sdxl": (
            "CONTROLNET_CANNY",
            "HYPER_SDXL",
            "HYPER_SDXL_IMAGE_TO_IMAGE",
            "HYPER_SDXL_INPAINTING",
            "ControlNetCannyInput",
            "HyperSDXLImageToImageInput",
            "HyperSDXLInpaintingInput",
            "HyperSDXLInput",
        ),
        "falrt.models.still": ("Embedding", "Lora", "LoraWeight", "StillInput", "StillOutput"),
    }

    __all__ = [name for names in _HOMES.values() for name in names]

    def __getattr__(name: str) -> object:
        for module, names in _HOMES.items():
            if name in names:
                from importlib import import_module

                value = globals()[name] = getattr(import_module(module), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
