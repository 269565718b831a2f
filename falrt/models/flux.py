"""FLUX.1 over HTTP: schnell, dev, with LoRAs, and with the edges of a picture.

Source: fal's generated endpoint types, August 2026; the range of schnell's steps from its page.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from falrt.models.fields import ImageSource
from falrt.models.sizes import ImageSizeChoice
from falrt.models.spec import Endpoint
from falrt.models.still import PICTURE, Acceleration, LoraWeight, StillInput, StillOutput

__all__ = [
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
]


class _FluxInput(StillInput):
    """What the FLUX.1 endpoints share.

    Attributes:
        guidance_scale: How closely to follow the prompt.
        output_format: Of the picture.
    """

    unknown_field_hints: ClassVar = {
        "negative_prompt": "this endpoint has none; say in the prompt what should be there instead",
        "lora_url": "LoRAs go to models.FLUX_LORA, in loras=[models.LoraWeight(path=...)]",
    }

    guidance_scale: float = 3.5
    output_format: Literal["jpeg", "png"] = "jpeg"


class FluxSchnellInput(_FluxInput):
    """A prompt for FLUX.1 [schnell], which needs 1 to 4 steps; the common fields are those of ``StillInput``.

    Attributes:
        image_size: A preset's name or a size.
        num_inference_steps: 1 to 12.
        guidance_scale: How closely to follow the prompt.
        output_format: Of the picture.
        acceleration: Faster, at some loss of quality.
    """

    image_size: ImageSizeChoice = "landscape_4_3"
    num_inference_steps: int = Field(default=4, ge=1, le=12)
    acceleration: Acceleration = "none"


class FluxDevInput(_FluxInput):
    """A prompt for FLUX.1 [dev]; fields as in ``FluxSchnellInput``, with 28 steps."""

    image_size: ImageSizeChoice = "landscape_4_3"
    num_inference_steps: int = Field(default=28, ge=1)
    acceleration: Acceleration = "none"


class FluxDevImageToImageInput(_FluxInput):
    """A picture to start from, for FLUX.1 [dev]; the answer has its shape.

    Attributes:
        image_url: The picture: anything that :class:`~falrt.models.ImageField` takes; required.
        strength: How far to depart from it; high values suit this model.
        num_inference_steps: Default 40.
        acceleration: Faster, at some loss of quality.
    """

    image_url: Annotated[ImageSource, PICTURE()]
    strength: float = 0.95
    num_inference_steps: int = Field(default=40, ge=1)
    acceleration: Acceleration = "none"


class FluxLoraInput(_FluxInput):
    """A prompt for FLUX.1 [dev] with LoRAs; fields as in ``FluxDevInput``.

    Attributes:
        loras: Any number; they are merged.
    """

    image_size: ImageSizeChoice = "landscape_4_3"
    num_inference_steps: int = Field(default=28, ge=1)
    loras: list[LoraWeight] = Field(default=[])
    acceleration: Literal["none", "regular"] = "none"


class FluxLoraImageToImageInput(FluxLoraInput):
    """A picture to start from, for FLUX.1 [dev] with LoRAs.

    Attributes:
        image_url: The picture; required. It is fitted to ``image_size`` where that is set.
        strength: How far to depart from it: 1 ignores it, 0 keeps it.
    """

    image_url: Annotated[ImageSource, PICTURE(size_field="image_size")]
    strength: float = 0.85


class FluxCannyInput(_FluxInput):
    """A picture whose edges guide FLUX.1 [dev]: a drawing, or a photo to repaint.

    Attributes:
        image_url: The picture; the server finds its edges. Required. It is fitted to ``image_size`` where that is set.
        image_size: A preset's name or a size.
        guidance_scale: Default 30.
        loras: Any number; they are merged.
    """

    image_url: Annotated[ImageSource, PICTURE(size_field="image_size")]
    image_size: ImageSizeChoice | None = None
    num_inference_steps: int = Field(default=28, ge=1)
    guidance_scale: float = 30.0
    loras: list[LoraWeight] = Field(default=[])


FLUX_SCHNELL: Final = Endpoint("fal-ai/flux/schnell", FluxSchnellInput, StillOutput)
"""FLUX.1 [schnell]: a picture in about a second."""
FLUX_DEV: Final = Endpoint("fal-ai/flux/dev", FluxDevInput, StillOutput)
"""FLUX.1 [dev]."""
FLUX_DEV_IMAGE_TO_IMAGE: Final = Endpoint(
    "fal-ai/flux/dev/image-to-image", FluxDevImageToImageInput, StillOutput
)
"""FLUX.1 [dev], from a picture."""
FLUX_LORA: Final = Endpoint("fal-ai/flux-lora", FluxLoraInput, StillOutput)
"""FLUX.1 [dev] with LoRAs."""
FLUX_LORA_IMAGE_TO_IMAGE: Final = Endpoint(
    "fal-ai/flux-lora/image-to-image", FluxLoraImageToImageInput, StillOutput
)
"""FLUX.1 [dev] with LoRAs, from a picture."""
FLUX_CANNY: Final = Endpoint("fal-ai/flux-lora-canny", FluxCannyInput, StillOutput)
"""FLUX.1 [dev], guided by the edges of a picture."""
