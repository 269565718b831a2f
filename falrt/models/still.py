"""Types that fal's HTTP endpoints for images share.

Source: fal's generated endpoint types, August 2026. Defaults are the server's own: they are shown, but not sent.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from falrt.models.fields import Flags, ImageField, Timings
from falrt.models.image import Image
from falrt.models.schema import ModelInput, ModelOutput

__all__ = ["Embedding", "Lora", "LoraWeight", "StillInput", "StillOutput"]

PICTURE = partial(ImageField, quality=90, web_urls=True, fit="cover", max_side=2048)
"""A picture in its own shape, at most 2048 pixels wide and high, which is 1 MB: fal refuses data URIs above 10 MiB."""

Acceleration = Literal["none", "regular", "high"]


class Lora(BaseModel):
    """Weights that are merged into the model.

    Attributes:
        path: Address of the .safetensors file, or a hub name.
        scale: Strength of the weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    scale: float = 1.0


class LoraWeight(Lora):
    """As ``Lora``, for the SDXL family and FLUX.1.

    Attributes:
        force: Merge them even if they do not seem to fit.
    """

    force: bool = False


class Embedding(BaseModel):
    """A textual-inversion embedding.

    Attributes:
        path: Address of the .safetensors file, or a hub name.
        tokens: The words that stand for it in the prompt.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    tokens: list[str] = ["<s0>", "<s1>"]


class StillInput(ModelInput):
    """A prompt and the fields that all of these endpoints take.

    Attributes:
        prompt: What to draw; required.
        num_images: Pictures per answer.
        seed: The same seed and prompt give the same picture; None is random.
        enable_safety_checker: Replace flagged pictures.
        sync_mode: The picture comes inside the answer as a data URI, and is not kept in the request history.
    """

    prompt: str
    num_images: int = Field(default=1, ge=1)
    seed: int | None = None
    enable_safety_checker: bool = True
    sync_mode: bool = False


class StillOutput(ModelOutput):
    """The pictures of one answer.

    Attributes:
        images: The pictures; ``await image.abytes()`` downloads those that came as an address.
        seed: The seed that was used.
        timings: Seconds by name.
        has_nsfw_concepts: One flag per image.
        prompt: The prompt that was used.
    """

    images: list[Image]
    seed: int | None = None
    timings: Timings = Field(default_factory=dict)
    has_nsfw_concepts: Flags = Field(default_factory=list)
    prompt: str | None = None
