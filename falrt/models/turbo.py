"""SDXL Turbo and SD Turbo: ``fal-ai/fast-turbo-diffusion``, which its page marks as deprecated.

For the sub-paths build ``RealtimeModel("fal-ai/fast-turbo-diffusion/image-to-image", TurboInput,
TurboOutput)``, or ``.../inpainting``.

Source: fal's generated endpoint types; wire facts W63, W64 and W67, docs/reference/wire.md.
"""

from __future__ import annotations

from typing import Final, Literal

from falrt.models.diffusion import DiffusionInput, DiffusionOutput
from falrt.models.sizes import ImageSizeChoice
from falrt.models.spec import RealtimeModel

__all__ = ["TURBO", "TurboInput", "TurboOutput"]


class TurboInput(DiffusionInput):
    """A prompt, and perhaps a picture to start from; the common fields are those of ``DiffusionInput``.

    Attributes:
        model_name: Base model.
        negative_prompt: What to avoid.
        image_size: Default ``"square"``, 512 x 512.
        num_inference_steps: Default 2.
        guidance_scale: Default 1.0.
        enable_safety_checker: Replace flagged pictures.
        enable_safety_checks: The name that fal's realtime demo uses for it.
        width: Of the output in pixels, as in fal's realtime demo.
        height: Likewise.
    """

    model_name: Literal["stabilityai/sdxl-turbo", "stabilityai/sd-turbo"] = "stabilityai/sdxl-turbo"
    negative_prompt: str = ""
    image_size: ImageSizeChoice = "square"
    num_inference_steps: int = 2
    guidance_scale: float = 1.0
    enable_safety_checker: bool = False
    enable_safety_checks: bool | None = None
    width: int | None = None
    height: int | None = None


class TurboOutput(DiffusionOutput):
    """The pictures of one answer; fields as in ``DiffusionOutput``."""


TURBO: Final = RealtimeModel("fal-ai/fast-turbo-diffusion", TurboInput, TurboOutput)
"""SDXL Turbo over realtime."""
