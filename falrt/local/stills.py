"""The endpoints for single pictures that the stand-in serves over HTTP: run, queue and events.

Source: fal's generated endpoint types; models reference, section 7.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from falrt.local.inputs import DiffusionInput, ImageSize, Picture
from falrt.local.stand_ins import Memory, StandIn, answer_diffusion

__all__ = ["STILLS", "partial_answers"]


class StillInput(DiffusionInput):
    """What these endpoints share; steps are those of the quick ones."""

    image_size: ImageSize = "landscape_4_3"
    num_inference_steps: int = Field(default=4, ge=1, le=50)
    guidance_scale: float = 2.5
    sync_mode: bool = False
    output_format: Literal["jpeg", "png", "webp"] | None = None
    image_urls: list[Picture] = Field(default=[], max_length=4)
    loras: list[dict[str, Any]] = Field(default=[])

    @model_validator(mode="after")
    def _settle(self, info: ValidationInfo) -> Self:
        if "pictures" in (info.context or ()) and not self.image_urls:
            raise ValueError("image_urls is required on this route")
        if self.image_urls:
            self.image_url = self.image_urls[0]
        if self.output_format is not None:
            self.format = "jpeg" if self.output_format == "jpeg" else "png"
        if self.seed is None:
            self.seed = random.randrange(2**32)
        return self


class PatientInput(StillInput):
    """The larger models' steps."""

    num_inference_steps: int = Field(default=28, ge=1, le=50)


class SingleStepInput(StillInput):
    """Hyper SDXL's step."""

    image_size: ImageSize = "square_hd"
    num_inference_steps: int = Field(default=1, ge=1, le=50)


def partial_answers(model: StandIn, given: DiffusionInput) -> Iterator[dict[str, Any]]:
    """Yield the picture of an input as it comes to be: with a third of its steps, two thirds, all."""
    steps = given.num_inference_steps
    for done in sorted({max(1, steps // 3), max(1, 2 * steps // 3), steps}):
        yield model.answer(given.model_copy(update={"num_inference_steps": done}), Memory())


def _still(id_: str, title: str, given: type[StillInput], base: float, step: float, *needs: Any) -> StandIn:
    return StandIn(id_, title, given, answer_diffusion, base, step, needs)


def _with_image(id_: str, title: str, given: type[StillInput], base: float, step: float) -> list[StandIn]:
    return [
        _still(id_, title, given, base, step),
        _still(f"{id_}/image-to-image", f"{title}, image to image", given, base, step, "picture"),
    ]


def _klein(size: str, base: float) -> list[StandIn]:
    title = f"FLUX.2 [klein] {size.upper()}"
    return [
        _still(f"fal-ai/flux-2/klein/{size}{'/base' * base_model}{path}", title, kind, base, step, *needs)
        for base_model, kind, step in ((False, StillInput, 0.08), (True, PatientInput, 0.05))
        for path, needs in (("", ()), ("/lora", ()), ("/edit", ("pictures",)), ("/edit/lora", ("pictures",)))
    ]


STILLS: Final[tuple[StandIn, ...]] = (
    _still("fal-ai/flux/schnell", "FLUX.1 [schnell]", StillInput, 0.2, 0.1),
    *_with_image("fal-ai/flux/dev", "FLUX.1 [dev]", PatientInput, 0.3, 0.06),
    *_with_image("fal-ai/flux-lora", "FLUX.1 [dev] with LoRAs", PatientInput, 0.4, 0.06),
    *_klein("4b", 0.15),
    *_klein("9b", 0.25),
    _still("fal-ai/flux-2/turbo", "FLUX.2 Turbo", StillInput, 0.6, 0.1),
    _still("fal-ai/flux-2/turbo/edit", "FLUX.2 Turbo, edit", StillInput, 0.6, 0.1, "pictures"),
    *_with_image("fal-ai/hyper-sdxl", "Hyper SDXL", SingleStepInput, 0.3, 0.1),
)
"""Every endpoint served over HTTP beside the realtime models' own."""
