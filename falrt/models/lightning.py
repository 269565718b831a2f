"""SDXL Lightning: ``fal-ai/fast-lightning-sdxl``; realtime exists on this id only, not on its sub-paths.

Source: fal's generated endpoint types; wire facts W63, W64 and W67, docs/reference/wire.md.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from falrt.models.diffusion import DiffusionInput, DiffusionOutput
from falrt.models.fields import NumberText
from falrt.models.spec import RealtimeModel
from falrt.models.still import Embedding

__all__ = ["LIGHTNING", "LightningInput", "LightningOutput"]


class LightningInput(DiffusionInput):
    """A prompt; the common fields are those of ``DiffusionInput``.

    The realtime route was seen to ignore the picture fields and to draw from the prompt alone (one report,
    2026).

    Attributes:
        num_inference_steps: ``"1"``, ``"2"``, ``"4"`` or ``"8"``, as text; a number is taken for its text.
        sync_mode: Default False, unlike the others.
        num_images: 1 to 8.
        embeddings: Textual inversions.
        enable_safety_checker: Replace flagged pictures.
        safety_checker_version: ``"v1"`` (CompVis) or ``"v2"`` (ViT).
        format: Of the picture.
        preserve_aspect_ratio: Image to image: keep the picture's own.
        crop_output: Image to image: cut to the size that was asked for.
    """

    num_inference_steps: Annotated[Literal["1", "2", "4", "8"], NumberText] = "4"
    sync_mode: bool = False
    num_images: int = Field(default=1, ge=1, le=8)
    embeddings: list[Embedding] = Field(default=[])
    enable_safety_checker: bool = True
    safety_checker_version: Literal["v1", "v2"] = "v1"
    format: Literal["jpeg", "png"] = "jpeg"
    preserve_aspect_ratio: bool = False
    crop_output: bool = False


class LightningOutput(DiffusionOutput):
    """The pictures of one answer; fields as in ``DiffusionOutput``."""


LIGHTNING: Final = RealtimeModel("fal-ai/fast-lightning-sdxl", LightningInput, LightningOutput)
"""SDXL Lightning over realtime."""
