"""Latent consistency models (SDXL or SD 1.5): ``fal-ai/fast-lcm-diffusion``.

For the sub-paths build ``RealtimeModel("fal-ai/fast-lcm-diffusion/image-to-image", LCMInput, LCMOutput)``, or
``.../inpainting``; the documentation sends pictures to the plain id as well.

Source: fal's generated endpoint types; wire facts W63, W64 and W67, docs/reference/wire.md.
"""

from __future__ import annotations

from typing import Final, Literal

from falrt.models.diffusion import DiffusionInput, DiffusionOutput
from falrt.models.spec import RealtimeModel

__all__ = ["LCM", "LCMInput", "LCMOutput"]


class LCMInput(DiffusionInput):
    """A prompt, and perhaps a picture to start from; the common fields are those of ``DiffusionInput``.

    Attributes:
        model_name: Base model; gone from the latest schemas, so send it only where it is needed.
        negative_prompt: What to avoid.
        num_inference_steps: Default 6.
        guidance_scale: How closely to follow the prompt, default 1.5.
        guidance_rescale: Gone from the latest schemas likewise.
        enable_safety_checker: Replace flagged pictures by black ones.
        safety_checker_version: ``"v1"`` (CompVis) or ``"v2"`` (ViT).
        format: Of the picture.
        preserve_aspect_ratio: Image to image: keep the picture's own.
        crop_output: Image to image: cut to the size that was asked for; sizes snap to multiples of 32.
    """

    model_name: Literal["stabilityai/stable-diffusion-xl-base-1.0", "runwayml/stable-diffusion-v1-5"] = (
        "stabilityai/stable-diffusion-xl-base-1.0"
    )
    negative_prompt: str = ""
    num_inference_steps: int = 6
    guidance_scale: float = 1.5
    guidance_rescale: float | None = None
    enable_safety_checker: bool = True
    safety_checker_version: Literal["v1", "v2"] = "v1"
    format: Literal["jpeg", "png"] = "jpeg"
    preserve_aspect_ratio: bool = False
    crop_output: bool = False


class LCMOutput(DiffusionOutput):
    """The pictures of one answer; fields as in ``DiffusionOutput``."""


LCM: Final = RealtimeModel("fal-ai/fast-lcm-diffusion", LCMInput, LCMOutput)
"""Latent consistency models over realtime."""
