"""SDXL over HTTP: Hyper-SDXL in its three routes, and the ControlNet for edges.

Source: fal's generated endpoint types, December 2025 (Hyper-SDXL, which later ones lack) and August 2026.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from falrt.models.fields import ImageSource, NumberText
from falrt.models.sizes import ImageSizeChoice
from falrt.models.spec import Endpoint
from falrt.models.still import PICTURE, Embedding, LoraWeight, StillInput, StillOutput

__all__ = [
    "CONTROLNET_CANNY",
    "HYPER_SDXL",
    "HYPER_SDXL_IMAGE_TO_IMAGE",
    "HYPER_SDXL_INPAINTING",
    "ControlNetCannyInput",
    "HyperSDXLImageToImageInput",
    "HyperSDXLInpaintingInput",
    "HyperSDXLInput",
]


class HyperSDXLInput(StillInput):
    """A prompt for Hyper-SDXL; the common fields are those of ``StillInput``.

    Attributes:
        image_size: A preset's name or a size.
        num_inference_steps: ``"1"``, ``"2"`` or ``"4"``, as text; a number is converted.
        embeddings: Textual inversions.
        expand_prompt: Let the server expand the prompt.
        format: Of the picture.
    """

    image_size: ImageSizeChoice = "square_hd"
    num_inference_steps: Annotated[Literal["1", "2", "4"], NumberText] = "1"
    embeddings: list[Embedding] = Field(default=[])
    expand_prompt: bool = False
    format: Literal["jpeg", "png"] = "jpeg"


class HyperSDXLImageToImageInput(HyperSDXLInput):
    """As ``HyperSDXLInput``, with a picture to start from.

    Attributes:
        image_url: The picture; required. It is fitted to ``image_size`` where that is set.
        strength: How far to depart from it.
    """

    image_url: Annotated[ImageSource, PICTURE(size_field="image_size")]
    strength: float = 0.95


class HyperSDXLInpaintingInput(HyperSDXLImageToImageInput):
    """As ``HyperSDXLImageToImageInput``, to change a part of the picture.

    Attributes:
        mask_url: White areas are filled; required.
    """

    mask_url: Annotated[ImageSource, PICTURE(size_field="image_size")]


class ControlNetCannyInput(StillInput):
    """A picture whose edges guide SDXL; the common fields are those of ``StillInput``.

    Attributes:
        control_image_url: The picture; required. It is fitted to ``image_size`` where that is set.
        controlnet_conditioning_scale: Strength of its edges.
        image_size: A preset's name or a size; None: that of the picture.
        num_inference_steps: None: the server's own number.
        guidance_scale: How closely to follow the prompt.
        negative_prompt: What to avoid.
        loras: Weights to merge.
        expand_prompt: Let the server expand the prompt.
        enable_safety_checker: Default False here.
        enable_deep_cache: Faster, at some loss of quality.
    """

    control_image_url: Annotated[ImageSource, PICTURE(size_field="image_size")]
    controlnet_conditioning_scale: float = 0.5
    image_size: ImageSizeChoice | None = None
    num_inference_steps: int | None = Field(default=None, ge=1)
    guidance_scale: float = 7.5
    negative_prompt: str = ""
    loras: list[LoraWeight] = Field(default=[])
    expand_prompt: bool = False
    enable_safety_checker: bool = False
    enable_deep_cache: bool = False


HYPER_SDXL: Final = Endpoint("fal-ai/hyper-sdxl", HyperSDXLInput, StillOutput)
"""Hyper-SDXL: a picture in about half a second."""
HYPER_SDXL_IMAGE_TO_IMAGE: Final = Endpoint(
    "fal-ai/hyper-sdxl/image-to-image", HyperSDXLImageToImageInput, StillOutput
)
"""Hyper-SDXL, from a picture."""
HYPER_SDXL_INPAINTING: Final = Endpoint("fal-ai/hyper-sdxl/inpainting", HyperSDXLInpaintingInput, StillOutput)
"""Hyper-SDXL, for a part of a picture."""
CONTROLNET_CANNY: Final = Endpoint("fal-ai/fast-sdxl-controlnet-canny", ControlNetCannyInput, StillOutput)
"""SDXL, guided by the edges of a picture."""
