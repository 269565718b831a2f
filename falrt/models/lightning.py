"""SDXL Lightning: ``fal-ai/fast-lightning-sdxl``; realtime exists on this id only, not on its sub-paths.

Source: fal's generated endpoint types; wire facts W63, W64 and W67, docs/reference/wire.md.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from falrt.models.diffusion import DiffusionInput, DiffusionOutput
from falrt.models.spec import RealtimeModel

__all__ = ["LIGHTNING", "Embedding", "LightningInput", "LightningOutput"]


class Embedding(BaseModel):
    """A textual-inversion embedding.

    Attributes:
        path: Address of the .safetensors file, or a hub name.
        tokens: The words that stand for it in the prompt.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    tokens: list[str] = ["<s0>", "<s1>"]


def _text_of_number(value: object) -> object:
    return str(value) if type(value) is int else value


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

    num_inference_steps: Annotated[Literal["1", "2", "4", "8"], BeforeValidator(_text_of_number)] = "4"
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
