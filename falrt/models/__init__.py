"""Typed models, realtime and HTTP, and the parts to build one's own.

Names are imported when they are first used: pydantic and the schemas cost a fifth of a second, which an app
that sends plain dicts never pays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = [
    "CONTROLNET_CANNY",
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
    "FLUX_CANNY",
    "FLUX_DEV",
    "FLUX_DEV_IMAGE_TO_IMAGE",
    "FLUX_LORA",
    "FLUX_LORA_IMAGE_TO_IMAGE",
    "FLUX_SCHNELL",
    "HYPER_SDXL",
    "HYPER_SDXL_IMAGE_TO_IMAGE",
    "HYPER_SDXL_INPAINTING",
    "IMAGE_SIZES",
    "KLEIN",
    "LCM",
    "LIGHTNING",
    "TURBO",
    "ControlNetCannyInput",
    "Embedding",
    "Endpoint",
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
    "FluxCannyInput",
    "FluxDevImageToImageInput",
    "FluxDevInput",
    "FluxLoraImageToImageInput",
    "FluxLoraInput",
    "FluxSchnellInput",
    "HyperSDXLImageToImageInput",
    "HyperSDXLInpaintingInput",
    "HyperSDXLInput",
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
    "Lora",
    "LoraWeight",
    "ModelInput",
    "ModelOutput",
    "RealtimeModel",
    "StillInput",
    "StillOutput",
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
    "falrt.models.turbo": ("TURBO", "TurboInput", "TurboOutput"),
}

if TYPE_CHECKING:
    from falrt.media.source import ImageSource
    from falrt.models.fields import ImageField, Timings, WireBytes
    from falrt.models.flux import (
        FLUX_CANNY,
        FLUX_DEV,
        FLUX_DEV_IMAGE_TO_IMAGE,
        FLUX_LORA,
        FLUX_LORA_IMAGE_TO_IMAGE,
        FLUX_SCHNELL,
        FluxCannyInput,
        FluxDevImageToImageInput,
        FluxDevInput,
        FluxLoraImageToImageInput,
        FluxLoraInput,
        FluxSchnellInput,
    )
    from falrt.models.flux2 import (
        FLUX2_KLEIN,
        FLUX2_KLEIN_4B,
        FLUX2_KLEIN_4B_BASE,
        FLUX2_KLEIN_4B_BASE_EDIT,
        FLUX2_KLEIN_4B_BASE_EDIT_LORA,
        FLUX2_KLEIN_4B_BASE_LORA,
        FLUX2_KLEIN_4B_EDIT,
        FLUX2_KLEIN_4B_EDIT_LORA,
        FLUX2_KLEIN_4B_LORA,
        FLUX2_KLEIN_9B,
        FLUX2_KLEIN_9B_BASE,
        FLUX2_KLEIN_9B_BASE_EDIT,
        FLUX2_KLEIN_9B_BASE_EDIT_LORA,
        FLUX2_KLEIN_9B_BASE_LORA,
        FLUX2_KLEIN_9B_EDIT,
        FLUX2_KLEIN_9B_EDIT_LORA,
        FLUX2_KLEIN_9B_LORA,
        FLUX2_TURBO,
        FLUX2_TURBO_EDIT,
        Flux2KleinBaseEditInput,
        Flux2KleinBaseEditLoraInput,
        Flux2KleinBaseInput,
        Flux2KleinBaseLoraInput,
        Flux2KleinEditInput,
        Flux2KleinEditLoraInput,
        Flux2KleinInput,
        Flux2KleinLoraInput,
        Flux2TurboEditInput,
        Flux2TurboInput,
    )
    from falrt.models.image import Image
    from falrt.models.klein import KLEIN, KleinInput, KleinOutput
    from falrt.models.lcm import LCM, LCMInput, LCMOutput
    from falrt.models.lightning import LIGHTNING, LightningInput, LightningOutput
    from falrt.models.schema import ModelInput, ModelOutput
    from falrt.models.sdxl import (
        CONTROLNET_CANNY,
        HYPER_SDXL,
        HYPER_SDXL_IMAGE_TO_IMAGE,
        HYPER_SDXL_INPAINTING,
        ControlNetCannyInput,
        HyperSDXLImageToImageInput,
        HyperSDXLInpaintingInput,
        HyperSDXLInput,
    )
    from falrt.models.sizes import (
        IMAGE_SIZES,
        ImageSize,
        ImageSizeChoice,
        ImageSizePreset,
        image_size_pixels,
    )
    from falrt.models.spec import Endpoint, RealtimeModel
    from falrt.models.still import Embedding, Lora, LoraWeight, StillInput, StillOutput
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
